//! Stands in for `buf breaking` (rules FILE) and `buf lint` (rules STANDARD and COMMENTS).
//!
//! `baseline/rollcall.v1.txt` holds one fact a line about what clients of v1 rely on. A line that is no longer true
//! is a breaking change and fails; a fact without a line is an addition, and is added to the file by
//!
//! ```text
//! UPDATE_BASELINE=1 cargo test -p contracts --test wire
//! ```
//!
//! which refuses for as long as anything is broken. Deliberately absent: options for the generators of other
//! languages (`java_package` and its like), of which the protos set none.

#[path = "wire/lint.rs"]
mod lint;

use std::{collections::BTreeMap, env, fmt, fs};

use contracts::wire;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, OneofDescriptorProto, ServiceDescriptorProto,
    descriptor_proto::ReservedRange,
    field_descriptor_proto::{Label, Type},
    method_options::IdempotencyLevel,
};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline/rollcall.v1.txt");
const PACKAGE: &str = "rollcall.v1";
const HEADER: &str = "\
# What clients of rollcall.v1 rely on, one fact a line, compared with the protos by contracts/tests/wire.rs.
# To append what is new: UPDATE_BASELINE=1 cargo test -p contracts --test wire
# A line that changes or goes away breaks every client of v1. Make a v2 instead.
";

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(wire::DESCRIPTORS).expect("a descriptor set")
}

/// What a fact is about. Numbers sort as numbers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    element: String,
    number: Option<i32>,
}

impl Subject {
    fn parse(text: &str) -> Self {
        if let Some((element, last)) = text.rsplit_once(' ')
            && let Ok(number) = last.parse()
        {
            return Self { element: element.to_owned(), number: Some(number) };
        }
        Self { element: text.to_owned(), number: None }
    }

    /// What a client loses when the fact `was` is true no more.
    fn loss(&self, was: &str) -> String {
        let number = self.number.unwrap_or_default();
        let mut words = self.element.split(' ');
        let kind = if self.element.starts_with("file ") { words.next() } else { words.nth(1) };
        match kind {
            Some("file") => "v1 code that imports the file no longer builds".to_owned(),
            Some("field") => {
                format!("a v1 client goes on to send and expect `{was}` under number {number}")
            }
            Some("value") => format!("a v1 client goes on to take {number} for `{was}`"),
            Some("method") => format!("a v1 client goes on to call it as `{was}`"),
            Some("reserved") => {
                "what was reserved could come back with another meaning than a v1 client knows".to_owned()
            }
            Some(_) | None => format!("v1 code that names the {was} no longer builds"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.element)?;
        self.number.map_or(Ok(()), |number| write!(f, " {number}"))
    }
}

#[derive(Clone, Default)]
struct Facts(BTreeMap<Subject, String>);

impl Facts {
    /// All facts about the messages, enums and services of `PACKAGE`.
    fn of(set: &FileDescriptorSet) -> Self {
        let mut facts = Self::default();
        for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
            let name = file.name();
            facts.add(format!("file {name}"), file.syntax().to_owned());
            for message in &file.message_type {
                facts.add_message(PACKAGE, name, message);
            }
            for r#enum in &file.enum_type {
                facts.add_enum(PACKAGE, name, r#enum);
            }
            for service in &file.service {
                facts.add_service(name, service);
            }
        }
        facts
    }

    fn parse(text: &str) -> Self {
        let mut facts = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (subject, fact) = line.split_once(" = ").expect("SUBJECT = FACT");
            facts.add(subject.to_owned(), fact.to_owned());
        }
        facts
    }

    fn add(&mut self, subject: String, fact: String) {
        let twice = self.0.insert(Subject::parse(&subject), fact);
        assert_eq!(twice, None, "{subject} has two facts");
    }

    fn add_message(&mut self, scope: &str, file: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        self.add(name.clone(), format!("message in {file}"));
        for field in &message.field {
            self.add(format!("{name} field {}", field.number()), field_fact(message, field));
        }
        for range in &message.reserved_range {
            // The descriptor's end is exclusive, the proto's inclusive.
            let last = range.end() - 1;
            self.add(format!("{name} reserved {} to {last}", range.start()), "numbers".to_owned());
        }
        for reserved in &message.reserved_name {
            self.add(format!("{name} reserved {reserved}"), "name".to_owned());
        }
        for nested in &message.nested_type {
            self.add_message(&name, file, nested);
        }
        for r#enum in &message.enum_type {
            self.add_enum(&name, file, r#enum);
        }
    }

    fn add_enum(&mut self, scope: &str, file: &str, r#enum: &EnumDescriptorProto) {
        let name = format!("{scope}.{}", r#enum.name());
        self.add(name.clone(), format!("enum in {file}"));
        for value in &r#enum.value {
            self.add(format!("{name} value {}", value.number()), value.name().to_owned());
        }
        for range in &r#enum.reserved_range {
            self.add(format!("{name} reserved {} to {}", range.start(), range.end()), "numbers".to_owned());
        }
        for reserved in &r#enum.reserved_name {
            self.add(format!("{name} reserved {reserved}"), "name".to_owned());
        }
    }

    fn add_service(&mut self, file: &str, service: &ServiceDescriptorProto) {
        let name = format!("{PACKAGE}.{}", service.name());
        self.add(name.clone(), format!("service in {file}"));
        for method in &service.method {
            self.add(format!("{name} method {}", method.name()), method_fact(method));
        }
    }

    /// All that is no longer true, each with what a client of v1 loses by it.
    fn broken_by(&self, present: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        for (subject, was) in &self.0 {
            let became = match present.0.get(subject) {
                Some(is) if is == was => continue,
                Some(is) => format!("is now `{is}`"),
                None => {
                    let elsewhere = present
                        .0
                        .iter()
                        .find(|(other, fact)| other.element == subject.element && *fact == was);
                    match elsewhere {
                        Some((other, _)) => format!("is now {other}"),
                        None => "is gone".to_owned(),
                    }
                }
            };
            let loss = subject.loss(was);
            broken.push(format!("{subject}, which was `{was}`, {became}: {loss}"));
        }
        broken
    }

    fn missing_from(&self, baseline: &Self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(subject, _)| !baseline.0.contains_key(subject))
            .map(|(subject, fact)| format!("{subject} = {fact}"))
            .collect()
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        self.0.iter().try_for_each(|(subject, fact)| writeln!(f, "{subject} = {fact}"))
    }
}

fn field_fact(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        Label::Required => "required ",
        Label::Optional if field.proto3_optional() => "optional ",
        Label::Optional => "",
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_owned(),
        Type::Double
        | Type::Float
        | Type::Int64
        | Type::Uint64
        | Type::Int32
        | Type::Fixed64
        | Type::Fixed32
        | Type::Bool
        | Type::String
        | Type::Bytes
        | Type::Uint32
        | Type::Sfixed32
        | Type::Sfixed64
        | Type::Sint32
        | Type::Sint64 => field.r#type().as_str_name()["TYPE_".len()..].to_lowercase(),
    };
    let mut fact = format!("{}: {label}{kind}", field.name());
    if let Some(index) = field.oneof_index
        && !field.proto3_optional()
    {
        fact += &format!(", in oneof {}", message.oneof_decl[index as usize].name());
    }
    if field.json_name() != lower_camel(field.name()) {
        fact += &format!(", in JSON {}", field.json_name());
    }
    if let Some(jstype) = field.options.as_ref().and_then(|options| options.jstype) {
        fact += &format!(", jstype {jstype}");
    }
    fact
}

fn lower_camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_uppercase() + rest
    })
}

fn method_fact(method: &MethodDescriptorProto) -> String {
    let message = |streams: bool, name: &str| {
        let stream = if streams { "stream " } else { "" };
        format!("{stream}{}", name.trim_start_matches('.'))
    };
    let request = message(method.client_streaming(), method.input_type());
    let response = message(method.server_streaming(), method.output_type());
    let mut fact = format!("({request}) returns ({response})");
    if let Some(options) = &method.options
        && options.idempotency_level.is_some()
    {
        let level: IdempotencyLevel = options.idempotency_level();
        fact += &format!(", {}", level.as_str_name());
    }
    fact
}

#[test]
fn nothing_that_clients_of_v1_rely_on_has_changed() {
    let committed = fs::read_to_string(BASELINE).unwrap();
    let baseline = Facts::parse(&committed);
    let present = Facts::of(&descriptors());
    let broken = baseline.broken_by(&present);
    assert!(
        broken.is_empty(),
        "breaking changes of {PACKAGE}; undo them, or make a v2:\n{}",
        broken.join("\n")
    );
    if env::var_os("UPDATE_BASELINE").is_some() {
        return fs::write(BASELINE, present.to_string()).unwrap();
    }
    let new = present.missing_from(&baseline);
    assert!(
        new.is_empty(),
        "additions to {PACKAGE}; append them with UPDATE_BASELINE=1 cargo test -p contracts --test wire:\n{}",
        new.join("\n")
    );
    assert_eq!(committed, present.to_string(), "the baseline is in another order or form than it is written");
}

fn file<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut FileDescriptorProto {
    let name = format!("rollcall/v1/{name}.proto");
    set.file.iter_mut().find(|file| file.name() == name).expect("the file")
}

fn nodes(set: &mut FileDescriptorSet) -> &mut FileDescriptorProto {
    file(set, "runtime_node_service")
}

fn message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    set.file
        .iter_mut()
        .flat_map(|file| &mut file.message_type)
        .find(|message| message.name() == name)
        .expect("the message")
}

fn field<'a>(set: &'a mut FileDescriptorSet, of: &str, name: &str) -> &'a mut FieldDescriptorProto {
    message(set, of).field.iter_mut().find(|field| field.name() == name).expect("the field")
}

fn slot_state(set: &mut FileDescriptorSet) -> &mut EnumDescriptorProto {
    &mut file(set, "runtime_node").enum_type[0]
}

fn method<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut MethodDescriptorProto {
    nodes(set).service[0].method.iter_mut().find(|method| method.name() == name).expect("the method")
}

/// Applies one change to the protos of today, and compares with `expect` all that it breaks.
#[track_caller]
fn check(change: impl FnOnce(&mut FileDescriptorSet), expect: &[&str]) {
    let mut set = descriptors();
    let baseline = Facts::of(&set);
    change(&mut set);
    assert_eq!(baseline.broken_by(&Facts::of(&set)), expect);
}

#[test]
fn a_field_that_is_removed_renumbered_or_renamed_breaks() {
    let was = "rollcall.v1.Beat field 2, which was `generation: uint64`,";
    let loss = "a v1 client goes on to send and expect `generation: uint64` under number 2";
    check(
        |set| message(set, "Beat").field.retain(|field| field.name() != "generation"),
        &[&format!("{was} is gone: {loss}")],
    );
    check(
        |set| field(set, "Beat", "generation").number = Some(7),
        &[&format!("{was} is now rollcall.v1.Beat field 7: {loss}")],
    );
    check(
        |set| {
            let field = field(set, "Beat", "generation");
            field.name = Some("epoch".to_owned());
            field.json_name = Some("epoch".to_owned());
        },
        &[&format!("{was} is now `epoch: uint64`: {loss}")],
    );
    check(
        |set| field(set, "Beat", "generation").json_name = Some("gen".to_owned()),
        &[&format!("{was} is now `generation: uint64, in JSON gen`: {loss}")],
    );
}

#[test]
fn a_field_of_another_type_or_label_breaks() {
    let was = "rollcall.v1.Beat field 2, which was `generation: uint64`,";
    let loss = "a v1 client goes on to send and expect `generation: uint64` under number 2";
    let check_became = |change: fn(&mut FieldDescriptorProto), became: &str| {
        check(|set| change(field(set, "Beat", "generation")), &[&format!("{was} is now `{became}`: {loss}")]);
    };
    check_became(|field| field.set_type(Type::Int64), "generation: int64");
    check_became(|field| field.set_type(Type::Fixed64), "generation: fixed64");
    check_became(|field| field.set_type(Type::String), "generation: string");
    check_became(|field| field.set_label(Label::Repeated), "generation: repeated uint64");
    check_became(|field| field.proto3_optional = Some(true), "generation: optional uint64");

    let loss = "a v1 client goes on to send and expect `health: rollcall.v1.ReportedHealth` under number 3";
    check(
        |set| field(set, "Beat", "health").type_name = Some(".rollcall.v1.PresenceHealth".to_owned()),
        &[&format!(
            "rollcall.v1.Beat field 3, which was `health: rollcall.v1.ReportedHealth`, is now \
             `health: rollcall.v1.PresenceHealth`: {loss}"
        )],
    );
    let was = "health: optional rollcall.v1.ReportedHealth";
    check(
        |set| {
            let field = field(set, "UpdateCapabilitiesRequest", "health");
            (field.proto3_optional, field.oneof_index) = (None, None);
        },
        &[&format!(
            "rollcall.v1.UpdateCapabilitiesRequest field 4, which was `{was}`, is now \
             `health: rollcall.v1.ReportedHealth`: a v1 client goes on to send and expect `{was}` under number 4"
        )],
    );
}

#[test]
fn a_field_that_enters_or_leaves_a_oneof_breaks() {
    let was = "ack: rollcall.v1.BeatAck, in oneof outcome";
    let loss = format!("a v1 client goes on to send and expect `{was}` under number 1");
    check(
        |set| field(set, "BeatResult", "ack").oneof_index = None,
        &[&format!(
            "rollcall.v1.BeatResult field 1, which was `{was}`, is now `ack: rollcall.v1.BeatAck`: {loss}"
        )],
    );
    check(
        |set| {
            let ack = message(set, "HeartbeatResponse");
            ack.oneof_decl = vec![OneofDescriptorProto { name: Some("outcome".to_owned()), options: None }];
            ack.field[0].oneof_index = Some(0);
        },
        &["rollcall.v1.HeartbeatResponse field 1, which was `ack: rollcall.v1.BeatAck`, is now \
             `ack: rollcall.v1.BeatAck, in oneof outcome`: a v1 client goes on to send and expect \
             `ack: rollcall.v1.BeatAck` under number 1"],
    );
}

#[test]
fn a_message_that_is_removed_or_moved_to_another_file_breaks() {
    let was = "rollcall.v1.DetachResponse, which was `message in rollcall/v1/runtime_node_service.proto`,";
    let loss = "v1 code that names the message in rollcall/v1/runtime_node_service.proto no longer builds";
    let remove = |set: &mut FileDescriptorSet| {
        let messages = &mut nodes(set).message_type;
        let index =
            messages.iter().position(|message| message.name() == "DetachResponse").expect("the message");
        messages.remove(index)
    };
    check(|set| drop(remove(set)), &[&format!("{was} is gone: {loss}")]);
    check(
        |set| {
            let message = remove(set);
            file(set, "refusal").message_type.push(message);
        },
        &[&format!("{was} is now `message in rollcall/v1/refusal.proto`: {loss}")],
    );
}

#[test]
fn an_enum_or_value_that_is_removed_renumbered_or_renamed_breaks() {
    let was = "rollcall.v1.SlotState value 5, which was `SLOT_STATE_REVOKED`,";
    let loss = "a v1 client goes on to take 5 for `SLOT_STATE_REVOKED`";
    check(|set| drop(slot_state(set).value.pop()), &[&format!("{was} is gone: {loss}")]);
    check(
        |set| slot_state(set).value[5].number = Some(6),
        &[&format!("{was} is now rollcall.v1.SlotState value 6: {loss}")],
    );
    check(
        |set| slot_state(set).value[5].name = Some("SLOT_STATE_GONE".to_owned()),
        &[&format!("{was} is now `SLOT_STATE_GONE`: {loss}")],
    );
    let mut set = descriptors();
    let baseline = Facts::of(&set);
    file(&mut set, "runtime_node").enum_type.remove(0);
    let broken = baseline.broken_by(&Facts::of(&set));
    assert_eq!(broken.len(), 7, "the enum and its six values: {broken:#?}");
}

#[test]
fn a_service_or_method_that_is_removed_or_renamed_breaks() {
    let was = "(rollcall.v1.DetachRequest) returns (rollcall.v1.DetachResponse)";
    let loss = format!("a v1 client goes on to call it as `{was}`");
    let expect = format!("rollcall.v1.RuntimeNodeService method Detach, which was `{was}`, is gone: {loss}");
    check(
        |set| {
            nodes(set).service[0].method.retain(|method| method.name() != "Detach");
        },
        &[&expect],
    );
    check(|set| method(set, "Detach").name = Some("Leave".to_owned()), &[&expect]);
    let mut set = descriptors();
    let baseline = Facts::of(&set);
    nodes(&mut set).service.clear();
    let broken = baseline.broken_by(&Facts::of(&set));
    assert_eq!(broken.len(), 8, "the service and its seven methods: {broken:#?}");
}

#[test]
fn a_method_with_another_request_response_or_streaming_breaks() {
    let was = "(rollcall.v1.HeartbeatRequest) returns (rollcall.v1.HeartbeatResponse)";
    let check_became = |change: fn(&mut MethodDescriptorProto), became: &str| {
        check(
            |set| change(method(set, "Heartbeat")),
            &[&format!(
                "rollcall.v1.RuntimeNodeService method Heartbeat, which was `{was}`, is now `{became}`: \
                 a v1 client goes on to call it as `{was}`"
            )],
        );
    };
    check_became(
        |method| method.input_type = Some(".rollcall.v1.Beat".to_owned()),
        "(rollcall.v1.Beat) returns (rollcall.v1.HeartbeatResponse)",
    );
    check_became(
        |method| method.output_type = Some(".rollcall.v1.BeatAck".to_owned()),
        "(rollcall.v1.HeartbeatRequest) returns (rollcall.v1.BeatAck)",
    );
    check_became(
        |method| method.client_streaming = Some(true),
        "(stream rollcall.v1.HeartbeatRequest) returns (rollcall.v1.HeartbeatResponse)",
    );
    check_became(
        |method| method.server_streaming = Some(true),
        "(rollcall.v1.HeartbeatRequest) returns (stream rollcall.v1.HeartbeatResponse)",
    );
}

#[test]
fn a_file_that_is_removed_or_of_another_package_or_syntax_breaks() {
    let removed = |change: fn(&mut FileDescriptorSet)| {
        let mut set = descriptors();
        let baseline = Facts::of(&set);
        change(&mut set);
        baseline.broken_by(&Facts::of(&set))
    };
    let gone = "file rollcall/v1/session_service.proto, which was `proto3`, is gone: v1 code that imports the file \
                no longer builds";
    let by_removal =
        removed(|set| set.file.retain(|file| file.name() != "rollcall/v1/session_service.proto"));
    assert_eq!(by_removal[0], gone);
    let by_package = removed(|set| file(set, "session_service").package = Some("rollcall.v2".to_owned()));
    assert_eq!(by_package, by_removal);
    check(
        |set| file(set, "session_service").syntax = Some("proto2".to_owned()),
        &[
            "file rollcall/v1/session_service.proto, which was `proto3`, is now `proto2`: v1 code that imports the \
             file no longer builds",
        ],
    );
}

#[test]
fn what_is_reserved_stays_reserved() {
    let mut set = descriptors();
    let beat = message(&mut set, "Beat");
    beat.reserved_name.push("mood".to_owned());
    beat.reserved_range.push(ReservedRange { start: Some(8), end: Some(10) });
    let broken = Facts::of(&set).broken_by(&Facts::of(&descriptors()));
    let loss = "what was reserved could come back with another meaning than a v1 client knows";
    assert_eq!(
        broken,
        [
            format!("rollcall.v1.Beat reserved 8 to 9, which was `numbers`, is gone: {loss}"),
            format!("rollcall.v1.Beat reserved mood, which was `name`, is gone: {loss}"),
        ]
    );
}

#[test]
fn additions_break_nothing_and_are_told() {
    let check_added = |change: fn(&mut FileDescriptorSet), expect: &[&str]| {
        check(change, &[]);
        let mut set = descriptors();
        let baseline = Facts::of(&set);
        change(&mut set);
        assert_eq!(Facts::of(&set).missing_from(&baseline), expect);
    };
    check_added(
        |set| {
            let mut added = field(set, "Beat", "generation").clone();
            added.name = Some("load_percent".to_owned());
            added.json_name = Some("loadPercent".to_owned());
            added.number = Some(10);
            message(set, "Beat").field.push(added);
        },
        &["rollcall.v1.Beat field 10 = load_percent: uint64"],
    );
    check_added(
        |set| {
            let mut added = slot_state(set).value[5].clone();
            (added.name, added.number) = (Some("SLOT_STATE_PARKED".to_owned()), Some(6));
            slot_state(set).value.push(added);
        },
        &["rollcall.v1.SlotState value 6 = SLOT_STATE_PARKED"],
    );
    check_added(
        |set| {
            let mut added = method(set, "Detach").clone();
            added.name = Some("Leave".to_owned());
            nodes(set).service[0].method.push(added);
        },
        &["rollcall.v1.RuntimeNodeService method Leave = (rollcall.v1.DetachRequest) returns \
             (rollcall.v1.DetachResponse)"],
    );
    check_added(
        |set| {
            let mut added = file(set, "refusal").clone();
            added.name = Some("rollcall/v1/more.proto".to_owned());
            added.message_type[0].name = Some("More".to_owned());
            added.message_type[0].field.clear();
            added.message_type[0].nested_type.clear();
            added.enum_type.clear();
            set.file.push(added);
        },
        &["file rollcall/v1/more.proto = proto3", "rollcall.v1.More = message in rollcall/v1/more.proto"],
    );
}

#[test]
fn order_and_comments_are_free_to_change() {
    check(
        |set| {
            set.file.reverse();
            for file in &mut set.file {
                file.source_code_info = None;
                file.message_type.reverse();
                file.enum_type.reverse();
            }
            message(set, "Beat").field.reverse();
            nodes(set).service[0].method.reverse();
        },
        &[],
    );
}

#[test]
fn facts_read_back_from_their_text() {
    let facts = Facts::of(&descriptors());
    let again = Facts::parse(&facts.to_string());
    assert!(facts.0 == again.0);
    assert!(facts.0.len() > 200, "{} facts are too few to be all", facts.0.len());
}
