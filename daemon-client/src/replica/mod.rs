//! A replica of the session's log in a folder of the application: durable, readable while there is no server, and
//! proven equal to the log whenever there is one.
//!
//! An application asks for one by [`Config`] in [`crate::Config::replica`], and reads it through [`Replica`], which
//! [`crate::Handle::replica`] gives. It follows the attachment of the node: each stream carries its generation, and one
//! that is lost ends it.
//!
//! What it promises:
//!
//! - **replica-moves-whole**: Entries and position of a replica change in one transaction, so a kill at any moment leaves
//!   it as it was before, or as it is after.
//! - **replica-takes-what-is-proven**: Nothing enters a replica that does not continue its hash chain, or that is not the
//!   base that its digest says.
//! - **acknowledged-is-on-disk**: A replica acknowledges a place after the commit that holds it was flushed.
//! - **rebuild-beside-the-old**: While a replica is built anew, what it held stays readable, and is replaced in one step.
//! - **nothing-cut-is-lost-silently**: What is cut off, replaced, damaged or of another history is kept aside, within a
//!   bound; what the bound drops is reported.
//! - **one-writer-a-folder**: Of two clients with one folder, the second is refused until the first is gone.
//! - **foreign-history-halts**: A replica of another history than the server's is left as it is until someone decides.
//! - **waiting-is-bounded**: What waits to be written to a replica is bounded, and a disk that does not get on stops the
//!   stream from being read.
//!
//! A message that does not fit costs the stream and nothing else: it is given up for a typed [`Fault`], nothing of the
//! message is applied, and a later stream begins with where the replica truly stands.
//!
//! - [`message`] parses what comes, [`machine`] decides what to do with it, and [`mod@fault`] says why not: pure;
//! - [`store`] is the file, and the only SQL here; [`worker`] runs it where it may block;
//! - [`replication`] goes from stream to stream, [`stream`] is one of them;
//! - [`decode`] turns stored events into what the application reads; [`status`] tells where all this stands.
//!
//! Deliberately absent: pruning of its own. A replica holds every event since its history began, so its folder grows
//! with the log. Also absent: writes. Events come from the server alone; what this node has to say, it appends there
//! ([`crate::Handle::append`]), and gets back like everyone else's.

mod decode;
mod fault;
#[cfg(test)]
mod fixture;
mod machine;
mod message;
mod replication;
mod status;
mod store;
mod stream;
mod worker;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use contracts::{
    EventEnvelopeVersion, Seq,
    log::{Event, EventKey},
};
use tokio::sync::watch;

pub use decode::{Entry, Reading, Stub, Unreadable, Upcast, Upcasters};
pub use fault::Fault;
pub use message::Source;
pub use status::{Halt, Position, PutAside, Rebuilding, Setback, State, Status};
pub use store::{Aside, Check, Misfit, OpenError, Verified};

use decode::Decoder;
use store::{Folder, Reader};

pub(crate) use replication::{Replication, Seat};

/// Bytes that are kept aside at most, unless the application says otherwise.
const ASIDE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Events on a page at most.
const PAGE_MAX: usize = 1_000;

/// A replica that a client keeps.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is kept. Made if it is not there. One client has it at a time.
    pub folder: PathBuf,
    /// How events of other MAJORs than the program's own are read.
    pub upcasters: Upcasters,
    /// What to do when the server follows another history than the replica.
    pub on_foreign_history: OnForeignHistory,
    /// Bytes that are kept aside at most. When there are more, the oldest are dropped, and that is logged.
    pub aside_bytes_max: u64,
    /// What is checked when it is opened.
    pub check: Check,
}

/// What to do when the server follows another history than the replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnForeignHistory {
    /// Nothing, until someone decides.
    #[default]
    Halt,
    /// Put the file aside, whole, and begin anew with the server's history.
    Adopt,
}

impl Config {
    /// A replica in `folder`, with everything else as most want it.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            upcasters: Upcasters::new(),
            on_foreign_history: OnForeignHistory::Halt,
            aside_bytes_max: ASIDE_BYTES_MAX,
            check: Check::Recent,
        }
    }
}

/// What the application reads. Clones read the same replica. It may be read before the client is attached, while it is
/// cut off, during a rebuild, and after its end.
#[derive(Clone, Debug)]
pub struct Replica {
    status: watch::Receiver<Status>,
    reader: Arc<Reader>,
    decoder: Arc<Decoder>,
}

/// Some entries, and where the replica stood when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the replica stood.
    pub position: Position,
}

/// Why a replica could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The events after that place are not all there: the replica began with a base, of which only the state is known.
    #[error("the history of this replica begins after {begins}; before that it has the state only")]
    BeforeHistory {
        /// The first place whose events after it are all there.
        begins: Seq,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] OpenError),
}

impl Replica {
    /// What a client's task and its application need of one replica.
    pub(crate) fn new(config: Config, version: EventEnvelopeVersion) -> (Self, Replication) {
        let folder = Folder::new(config.folder.clone());
        let file_number = Arc::new(AtomicU64::new(0));
        let (sender, status) = status::StatusSender::new();
        let reader = Arc::new(Reader::new(folder.clone(), Arc::clone(&file_number)));
        let decoder = Arc::new(Decoder { version, upcasters: config.upcasters.clone() });
        (Self { status, reader, decoder }, Replication { config, folder, file_number, status: sender })
    }

    /// Where the replica stands, now and from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The events after `after` in their order, at most `limit` of them and at most 1,000. Fewer when they are large;
    /// none only at the end.
    ///
    /// # Errors
    ///
    /// When the history begins after that place, or the file cannot be read.
    pub async fn events(&self, after: Seq, limit: usize) -> Result<Page, ReadError> {
        let page = self.read(move |reader| reader.events(after, limit.clamp(1, PAGE_MAX))).await?;
        let begins = page.standing.begins.seq;
        if after < begins {
            return Err(ReadError::BeforeHistory { begins });
        }
        Ok(self.decoded(page))
    }

    /// The latest event of a key.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn state(&self, key: EventKey) -> Result<Option<Entry>, ReadError> {
        let event = self.read(move |reader| reader.state(&key)).await?;
        Ok(event.map(|event| self.decoder.decode(event)))
    }

    /// The latest events of all keys after `after`, in the order of the keys, at most `limit` of them and at most 1,000.
    /// Each page is of its own moment, which it names.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn states(&self, after: Option<EventKey>, limit: usize) -> Result<Page, ReadError> {
        let page = self.read(move |reader| reader.states(after.as_ref(), limit.clamp(1, PAGE_MAX))).await?;
        Ok(self.decoded(page))
    }

    /// What is kept aside, the oldest first.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn aside(&self) -> Result<Vec<Aside>, ReadError> {
        self.read(|reader| reader.aside()).await
    }

    /// Events of something that is kept aside, as [`Self::events`] gives those of the replica.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn events_aside(&self, id: u64, after: Seq, limit: usize) -> Result<Vec<Entry>, ReadError> {
        let read = move |reader: &Reader| reader.events_aside(id, after, limit.clamp(1, PAGE_MAX));
        let events = self.read(read).await?;
        Ok(events.into_iter().map(|event| self.decoder.decode(event)).collect())
    }

    fn decoded(&self, page: store::Page) -> Page {
        Page {
            entries: page.events.into_iter().map(|event| self.decoder.decode(event)).collect(),
            position: position_of(&page.standing),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, OpenError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = Arc::clone(&self.reader);
        match tokio::task::spawn_blocking(move || read(&reader)).await {
            Ok(read) => Ok(read?),
            Err(died) => Err(OpenError::Failed(format!("the read ended: {died}")).into()),
        }
    }
}

fn position_of(standing: &store::Standing) -> Position {
    Position { history_id: standing.history, begins: standing.begins, end: standing.end }
}

/// A replica as its folder shows it, whether a client has it open or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The session whose log it follows.
    pub session_id: contracts::SessionId,
    /// What it holds.
    pub position: Position,
    /// Events in its base.
    pub base_events: u64,
    /// Events in all.
    pub events: u64,
    /// What they take, roughly.
    pub bytes: u64,
    /// What is kept aside in the file.
    pub aside: Vec<Aside>,
    /// Files that were put aside whole.
    pub put_aside: Vec<PathBuf>,
}

/// Looks at the replica in `folder`. Blocking.
///
/// # Errors
///
/// When there is none, or it cannot be read.
pub fn summary(folder: &Path) -> Result<Summary, OpenError> {
    let folder = Folder::new(folder);
    let put_aside = folder.put_aside_files();
    let reader = Reader::new(folder, Arc::default());
    let standing = reader.standing()?;
    Ok(Summary {
        session_id: standing.session_id,
        position: position_of(&standing),
        base_events: standing.base_events,
        events: standing.events,
        bytes: standing.bytes,
        aside: reader.aside()?,
        put_aside,
    })
}

/// The events of something that is kept aside in `folder`, those after `after`, at most `limit` and at most 1,000.
/// Blocking.
///
/// # Errors
///
/// When there is no replica, or it cannot be read.
pub fn events_aside(folder: &Path, id: u64, after: Seq, limit: usize) -> Result<Vec<Event>, OpenError> {
    Reader::new(Folder::new(folder), Arc::default()).events_aside(id, after, limit.clamp(1, PAGE_MAX))
}

/// Reads the whole replica in `folder`, what is kept aside included, and proves it. Blocking; works while a client has
/// it open.
///
/// # Errors
///
/// [`OpenError::Damaged`] says what is not as it was written.
pub fn verify(folder: &Path) -> Result<Verified, OpenError> {
    store::verify(&Folder::new(folder))
}
