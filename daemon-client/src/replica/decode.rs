//! What the application reads: events, and what stands in for those that it cannot read.
//!
//! A log lives longer than the programs that write it. An event whose MAJOR is above the reader's is delivered as a
//! *stub*: all that is known of it, its bytes as they were written, and no claim to have understood them. Whoever knows
//! how to read an older or newer MAJOR of a type registers an upcaster, and the same event is delivered as what it
//! means now. The file holds what was written, whatever is registered: nothing is converted in place.
//!
//! Unknown types and higher MINORs are delivered as they are.

use std::{collections::HashMap, fmt, sync::Arc};

use contracts::{
    EventEnvelopeVersion, LogPoint,
    log::{ContentType, Event, EventType},
};

/// Steps from MAJOR to MAJOR at most, so that upcasters that lead in a circle end.
const STEPS_MAX: usize = 32;

/// An event as the application gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// As it was written.
    Event(Event),
    /// Read by upcasters.
    Upcast(Upcast),
    /// Not to be read by this program. Nothing may be concluded from its payload.
    Stub(Stub),
}

/// An event of another MAJOR, and what upcasters made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcast {
    /// As it was written.
    pub original: Event,
    /// What it means now.
    pub reading: Reading,
}

/// What an event means in another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The version that it is in.
    pub version: EventEnvelopeVersion,
    /// What the payload is.
    pub content_type: ContentType,
    /// The payload.
    pub payload: Vec<u8>,
}

/// An event that this program cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// As it was written, to the byte.
    pub original: Event,
    /// Why it is not read.
    pub why: Unreadable,
}

/// Why an event is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its MAJOR is above the program's, and nobody registered an upcaster for it.
    NewerMajor,
    /// An upcaster could not read it, and said why.
    Upcaster(String),
}

impl Entry {
    /// The event as it was written.
    pub fn original(&self) -> &Event {
        match self {
            Self::Event(event) => event,
            Self::Upcast(upcast) => &upcast.original,
            Self::Stub(stub) => &stub.original,
        }
    }

    /// Its place in the log.
    pub fn point(&self) -> LogPoint {
        self.original().point()
    }
}

type Step = Arc<dyn Fn(&Reading) -> Result<Reading, String> + Send + Sync>;

/// How events of other MAJORs are read.
#[derive(Clone, Default)]
pub struct Upcasters {
    steps: HashMap<EventType, Vec<(EventEnvelopeVersion, Step)>>,
}

impl Upcasters {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads events of this type that are of the MAJOR of `from` (its MINOR does not matter) with `step`, which gives
    /// them in a later version, or says why it cannot. One step may lead to where another begins. The last one
    /// registered for a type and MAJOR counts.
    #[must_use]
    pub fn with(
        mut self,
        event_type: EventType,
        from: EventEnvelopeVersion,
        step: impl Fn(&Reading) -> Result<Reading, String> + Send + Sync + 'static,
    ) -> Self {
        let steps = self.steps.entry(event_type).or_default();
        steps.retain(|(major, _)| !major.is_same_major(&from));
        steps.push((from, Arc::new(step)));
        self
    }

    fn step(&self, event_type: &EventType, version: &EventEnvelopeVersion) -> Option<&Step> {
        let steps = self.steps.get(event_type)?;
        steps.iter().find(|(from, _)| from.is_same_major(version)).map(|(_, step)| step)
    }
}

impl fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.iter().flat_map(|(event_type, steps)| {
            steps.iter().map(move |(from, _)| format!("{event_type} from {from}"))
        });
        f.debug_list().entries(steps).finish()
    }
}

/// Reads events for a program of one version.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub(crate) version: EventEnvelopeVersion,
    pub(crate) upcasters: Upcasters,
}

impl Decoder {
    pub(crate) fn decode(&self, event: Event) -> Entry {
        let mut reading: Option<Reading> = None;
        for _ in 0..STEPS_MAX {
            let version = reading.as_ref().map_or(&event.envelope_version, |reading| &reading.version);
            let Some(step) = self.upcasters.step(&event.event_type, version) else { break };
            let before = reading.take().unwrap_or_else(|| as_written(&event));
            match step(&before) {
                // A step that leaves the MAJOR as it is has read the event.
                Ok(after) if after.version.is_same_major(&before.version) => {
                    reading = Some(after);
                    break;
                }
                Ok(after) => reading = Some(after),
                Err(why) => return stub(event, Unreadable::Upcaster(why)),
            }
        }
        let version = reading.as_ref().map_or(&event.envelope_version, |reading| &reading.version);
        if version.is_major_above(&self.version) {
            return stub(event, Unreadable::NewerMajor);
        }
        match reading {
            Some(reading) => Entry::Upcast(Upcast { original: event, reading }),
            None => Entry::Event(event),
        }
    }
}

fn as_written(event: &Event) -> Reading {
    Reading {
        version: event.envelope_version.clone(),
        content_type: event.content_type.clone(),
        payload: event.payload.clone(),
    }
}

fn stub(original: Event, why: Unreadable) -> Entry {
    Entry::Stub(Stub { original, why })
}

#[cfg(test)]
mod tests {
    use contracts::{
        EventId, SessionId,
        log::{Actor, Append, EventDraft},
    };
    use uuid::Uuid;

    use super::*;

    const SESSION: SessionId = SessionId(Uuid::from_u128(1));

    fn version(text: &str) -> EventEnvelopeVersion {
        text.parse().unwrap()
    }

    fn of_type(text: &str) -> EventType {
        EventType::parse("type", text).unwrap()
    }

    fn event(version_of_event: &str) -> Event {
        let draft = EventDraft {
            id: EventId(Uuid::from_u128(2)),
            envelope_version: version(version_of_event),
            event_type: of_type("task.finished"),
            key: None,
            content_type: ContentType::parse("content_type", "text/plain").unwrap(),
            payload: b"one".to_vec(),
            occurred_at: None,
        };
        let to = Append { session_id: SESSION, epoch: 1, recorded_at: 0 };
        Event::append(LogPoint::origin(SESSION), to, Actor::Server, draft).unwrap()
    }

    fn decoder(upcasters: Upcasters) -> Decoder {
        Decoder { version: version("2.0"), upcasters }
    }

    /// Gives the payload in another version, with the version at its end.
    fn to(text: &'static str) -> impl Fn(&Reading) -> Result<Reading, String> {
        move |reading| {
            let payload = [&reading.payload, b">".as_slice(), text.as_bytes()].concat();
            Ok(Reading { version: version(text), payload, ..reading.clone() })
        }
    }

    #[test]
    fn what_the_program_can_read_is_delivered_as_it_is() {
        for text in ["2.0", "2.999999999999999999999999", "1.0"] {
            assert_eq!(decoder(Upcasters::new()).decode(event(text)), Entry::Event(event(text)), "{text}");
        }
    }

    #[test]
    fn a_newer_major_is_a_stub_that_holds_every_byte() {
        for text in ["3.0", "99999999999999999999999999.0"] {
            let entry = decoder(Upcasters::new()).decode(event(text));
            let expected = Stub { original: event(text), why: Unreadable::NewerMajor };
            assert_eq!(entry, Entry::Stub(expected), "{text}");
            assert!(entry.original().is_what_its_hash_says());
        }
    }

    #[test]
    fn an_upcaster_turns_a_stub_into_an_event_and_changes_nothing() {
        let upcasters = Upcasters::new().with(of_type("task.finished"), version("3.7"), to("2.1"));
        let Entry::Upcast(upcast) = decoder(upcasters.clone()).decode(event("3.0")) else { panic!() };
        assert_eq!(upcast.original, event("3.0"));
        assert_eq!((upcast.reading.version, upcast.reading.payload), (version("2.1"), b"one>2.1".to_vec()));
        assert!(matches!(decoder(upcasters).decode(event("4.0")), Entry::Stub(_)), "another MAJOR");
        let other = Upcasters::new().with(of_type("task.started"), version("3.0"), to("2.1"));
        assert!(matches!(decoder(other).decode(event("3.0")), Entry::Stub(_)), "another type");
    }

    #[test]
    fn steps_lead_on_from_each_other_and_a_circle_ends() {
        let finished = || of_type("task.finished");
        let chain = Upcasters::new().with(finished(), version("0.1"), to("1.0")).with(
            finished(),
            version("1.0"),
            to("2.0"),
        );
        let Entry::Upcast(upcast) = decoder(chain).decode(event("0.9")) else { panic!() };
        assert_eq!(upcast.reading.payload, b"one>1.0>2.0");
        let circle = Upcasters::new().with(finished(), version("3.0"), to("4.0")).with(
            finished(),
            version("4.0"),
            to("3.0"),
        );
        assert!(matches!(decoder(circle).decode(event("3.0")), Entry::Stub(_)));
    }

    #[test]
    fn an_upcaster_that_fails_leaves_a_stub_that_says_why() {
        let failing = |_: &Reading| Err("no such field".to_owned());
        let upcasters = Upcasters::new().with(of_type("task.finished"), version("1.0"), failing);
        let expected = Stub { original: event("1.0"), why: Unreadable::Upcaster("no such field".to_owned()) };
        assert_eq!(decoder(upcasters).decode(event("1.0")), Entry::Stub(expected));
    }
}
