//! Messages that chance makes by the descriptors of the package: of the right type, mostly well-formed, and hostile.

use std::collections::BTreeMap;

use contracts::wire;
use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use uuid::Builder;

/// Levels of messages in messages, beyond which fields are left out.
const DEPTH_MAX: usize = 6;
/// Bytes beyond which nothing more is added to a message; some are over the limit of a request, most far below.
const BYTES_MAX: usize = 1_200_000;

/// What a test knows to exist, by the names of fields: chance alone would never name a session.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Texts.
    pub texts: Vec<(&'static str, String)>,
    /// Numbers.
    pub numbers: Vec<(&'static str, u64)>,
}

/// The message types of the package and of what it imports.
#[derive(Debug)]
pub struct Noise {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, Vec<i32>>,
}

impl Noise {
    /// Reads the descriptors.
    pub fn new() -> Self {
        let descriptors = FileDescriptorSet::decode(wire::DESCRIPTORS).expect("the descriptors are some");
        let mut noise = Self { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for file in descriptors.file {
            let package = file.package().to_owned();
            for r#enum in &file.enum_type {
                let numbers = r#enum.value.iter().map(|value| value.number()).collect();
                noise.enums.insert(format!("{package}.{}", r#enum.name()), numbers);
            }
            for message in file.message_type {
                noise.add(&package, message);
            }
        }
        noise
    }

    fn add(&mut self, within: &str, message: DescriptorProto) {
        let name = format!("{within}.{}", message.name());
        for nested in &message.nested_type {
            self.add(&name, nested.clone());
        }
        self.messages.insert(name, message);
    }

    /// A message of this type, as bytes.
    pub fn message(&self, rng: &mut StdRng, name: &str, known: &Known) -> Vec<u8> {
        // Nearly good messages get far, hopeless ones are refused at once; both are wanted.
        let hostility = *[0.0, 0.05, 0.05, 0.15, 0.4].choose(rng).expect("there are some");
        let mut making = Making { noise: self, rng, known, hostility, texts: 0, spoil: None };
        let mut bytes = making.message(name, 0);
        // And now and then one that is none.
        match rng.random_range(0..100) {
            0..3 if !bytes.is_empty() => bytes.truncate(rng.random_range(0..bytes.len())),
            3..6 if !bytes.is_empty() => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            _ => {}
        }
        bytes
    }
}

impl Noise {
    /// A good message of this type but for one text, the so-manieth, which ends in a NUL: what nobody looks at gets as
    /// far as Postgres, which cannot store it.
    pub fn spoilt(&self, rng: &mut StdRng, name: &str, known: &Known, text: usize) -> Vec<u8> {
        Making { noise: self, rng, known, hostility: 0.0, texts: 0, spoil: Some(text) }.message(name, 0)
    }
}

impl Default for Noise {
    fn default() -> Self {
        Self::new()
    }
}

/// A message in the making.
struct Making<'a> {
    noise: &'a Noise,
    rng: &'a mut StdRng,
    known: &'a Known,
    /// How likely each value is a bad one.
    hostility: f64,
    /// Texts so far.
    texts: usize,
    /// The one to spoil.
    spoil: Option<usize>,
}

impl Making<'_> {
    fn is_hostile(&mut self) -> bool {
        self.rng.random_bool(self.hostility)
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        *values.choose(self.rng).expect("there are some")
    }

    fn message(&mut self, name: &str, depth: usize) -> Vec<u8> {
        let noise = self.noise;
        let message = noise.messages.get(name).unwrap_or_else(|| panic!("there is no message {name}"));
        let mut bytes = Vec::new();
        let members_of_oneofs = message.field.iter().filter(|field| is_of_oneof(field)).count();
        for field in &message.field {
            let is_left_out = match is_of_oneof(field) {
                // About one of its members; the last one counts.
                true => !self.rng.random_ratio(1, u32::try_from(members_of_oneofs).expect("they are few")),
                false => self.rng.random_bool(0.02 + self.hostility / 3.0),
            };
            if bytes.len() > BYTES_MAX || is_left_out {
                continue;
            }
            for _ in 0..self.times(field) {
                if bytes.len() <= BYTES_MAX {
                    self.field(field, depth, &mut bytes);
                }
            }
        }
        if self.is_hostile() {
            // Of another release, or of nobody: field 0 is illegal.
            let number = self.one_of(&[0, 100, 1_000, 19_000, 536_870_911]);
            put_tag(number, self.rng.random_range(0..8), &mut bytes);
            put_bytes(&[0xff; 3], &mut bytes);
        }
        bytes
    }

    /// A message in a message. There may be many of them, and one bad value spoils them all.
    fn within(&mut self, name: &str, depth: usize) -> Vec<u8> {
        let hostility = self.hostility;
        self.hostility = hostility / 4.0;
        let bytes = self.message(name, depth);
        self.hostility = hostility;
        bytes
    }

    fn times(&mut self, field: &FieldDescriptorProto) -> usize {
        match (field.label(), self.is_hostile()) {
            (Label::Repeated, true) => self.one_of(&[0, 0, 65, 129, 5_000]),
            (Label::Repeated, false) => self.one_of(&[0, 1, 1, 2, 3]),
            // Set twice: the last counts, or both are merged.
            (Label::Optional | Label::Required, true) => 2,
            (Label::Optional | Label::Required, false) => 1,
        }
    }

    fn field(&mut self, field: &FieldDescriptorProto, depth: usize, bytes: &mut Vec<u8>) {
        let number = u32::try_from(field.number()).expect("numbers of fields are positive");
        if self.rng.random_bool(self.hostility / 10.0) {
            // Another wire type than its own.
            put_tag(number, self.rng.random_range(0..6), bytes);
            put_varint(self.rng.random(), bytes);
            return;
        }
        match field.r#type() {
            Type::String | Type::Bytes => {
                put_tag(number, 2, bytes);
                put_bytes(&self.text(field.name()), bytes);
            }
            Type::Message if depth >= DEPTH_MAX => {}
            Type::Message => {
                let inner = match field.type_name().trim_start_matches('.') {
                    // Deeper than anybody may go.
                    "google.protobuf.Value" if self.is_hostile() => nested_lists(300),
                    name => self.within(name, depth + 1),
                };
                put_tag(number, 2, bytes);
                put_bytes(&inner, bytes);
            }
            Type::Enum => {
                let noise = self.noise;
                let values = noise.enums.get(field.type_name().trim_start_matches('.'));
                let value = match values {
                    // The first one says that nothing was said.
                    Some(values) if !self.is_hostile() => {
                        i64::from(self.one_of(&values[1.min(values.len() - 1)..]))
                    }
                    Some(_) | None => self.extreme() as i64,
                };
                put_tag(number, 0, bytes);
                put_varint(value as u64, bytes);
            }
            Type::Bool => {
                put_tag(number, 0, bytes);
                put_varint(self.one_of(&[0, 0, 1, 1, 2, u64::MAX]), bytes);
            }
            Type::Double => {
                let value = if self.is_hostile() {
                    self.one_of(&[f64::NAN, f64::INFINITY, -0.0, f64::MAX, f64::MIN_POSITIVE])
                } else {
                    1.5
                };
                put_tag(number, 1, bytes);
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            Type::Float | Type::Fixed32 | Type::Sfixed32 => {
                put_tag(number, 5, bytes);
                bytes.extend_from_slice(&self.rng.random::<[u8; 4]>());
            }
            Type::Fixed64 | Type::Sfixed64 => {
                put_tag(number, 1, bytes);
                bytes.extend_from_slice(&self.rng.random::<[u8; 8]>());
            }
            Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 | Type::Sint32 | Type::Sint64 => {
                put_tag(number, 0, bytes);
                if self.rng.random_bool(self.hostility / 10.0) {
                    // Longer than a number may be.
                    bytes.extend_from_slice(&[0xff; 11]);
                } else {
                    put_varint(self.number(field.name()), bytes);
                }
            }
            Type::Group => panic!("{} is a group", field.name()),
        }
    }

    /// A number for a field of this name.
    fn number(&mut self, field: &str) -> u64 {
        let fitting = self.known.numbers.iter().filter(|(name, _)| *name == field);
        let fitting: Vec<_> = fitting.map(|(_, number)| *number).collect();
        match fitting.is_empty() {
            _ if self.is_hostile() => self.extreme(),
            true => self.rng.random_range(0..4),
            false => self.one_of(&fitting),
        }
    }

    fn extreme(&mut self) -> u64 {
        let negative = |number: i64| number as u64;
        let extreme = self.one_of(&[
            0,
            59,
            60,
            1_001,
            100_001,
            999_999_999,
            1_000_000_000,
            i32::MAX as u64,
            negative(i32::MIN.into()),
            i64::MAX as u64,
            negative(i64::MIN),
            u64::from(u32::MAX),
            u64::MAX,
            // The ends of timestamps and durations.
            253_402_300_799,
            253_402_300_800,
            negative(-62_135_596_801),
            315_576_000_001,
        ]);
        if self.rng.random_bool(0.9) { extreme } else { self.rng.random() }
    }

    /// A text for a field of this name.
    fn text(&mut self, field: &str) -> Vec<u8> {
        let fitting = self.known.texts.iter().filter(|(name, _)| *name == field);
        let fitting: Vec<_> = fitting.map(|(_, text)| text.as_str()).collect();
        let fitting = match fitting.is_empty() {
            // A new one: what was used for one request is refused for another.
            true if field.ends_with("_id") => {
                Builder::from_random_bytes(self.rng.random()).into_uuid().to_string()
            }
            true => format!("text-{}", self.rng.random_range(0..1_000)),
            false => self.one_of(&fitting).to_owned(),
        };
        self.texts += 1;
        if self.spoil == Some(self.texts - 1) {
            return format!("{fitting}\0").into_bytes();
        }
        match self.is_hostile() {
            false => fitting.into_bytes(),
            true if self.rng.random_bool(0.5) => self.spoilt(&fitting),
            true => self.hostile_text(),
        }
    }

    /// A good text with one character too many.
    fn spoilt(&mut self, text: &str) -> Vec<u8> {
        let spoilt = self.one_of(&["\0", "\0", "\n", "\u{9f}", " ", "\u{2028}", "\u{200b}"]);
        let (before, after) = self.one_of(&[("", spoilt), (spoilt, "")]);
        format!("{before}{text}{after}").into_bytes()
    }

    fn hostile_text(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..100) {
            0..60 => self.one_of(HOSTILE_TEXTS).as_bytes().to_vec(),
            // At and beyond every bound on characters, of one byte and of four.
            60..80 => {
                let count = self.one_of(&[63, 64, 65, 128, 129, 256, 257, 512, 513, 1_024, 1_025]);
                self.one_of(&["y", "\u{1f980}"]).repeat(count).into_bytes()
            }
            80..84 => format!("1.{}", "9".repeat(self.rng.random_range(18..70))).into_bytes(),
            84..86 => vec![b'z'; self.rng.random_range(10_000..200_000)],
            86 => vec![b'z'; BYTES_MAX],
            87..94 => {
                let length = self.rng.random_range(1..40);
                (0..length).map(|_| self.rng.random::<char>()).collect::<String>().into_bytes()
            }
            // No UTF-8.
            _ => (0..self.rng.random_range(1..20)).map(|_| self.rng.random_range(0x80..=0xff)).collect(),
        }
    }
}

/// Texts that break programs.
const HOSTILE_TEXTS: &[&str] = &[
    "",
    " ",
    "0",
    "-1",
    "01.0",
    "1.0.0",
    "-1.0",
    "null",
    "18446744073709551615",
    "99999999999999999999999999",
    "a\0b",
    "a\nb",
    "\u{7f}",
    "\u{202e}abc",
    "e\u{301}\u{301}\u{301}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{feff}x",
    "💥",
    "'; drop table sessions; --",
    "%s%n{}${x}",
    "../../etc/passwd",
    "00000000-0000-0000-0000-000000000000",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "{0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61}",
    "0198c5a26f1e7c3a9b542f8e1d0c7a61",
    "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61",
    "rcjoin_0123456789abcdef_",
    "v4.public.",
    "1/2/3",
];

/// What is optional by a word of its own is a oneof of one in the descriptors, and none in the language.
fn is_of_oneof(field: &FieldDescriptorProto) -> bool {
    field.oneof_index.is_some() && !field.proto3_optional()
}

/// A `google.protobuf.Value`: a list in a list, so often.
fn nested_lists(levels: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..levels {
        let mut list = Vec::new();
        put_tag(1, 2, &mut list);
        put_bytes(&value, &mut list);
        value = Vec::new();
        put_tag(6, 2, &mut value);
        put_bytes(&list, &mut value);
    }
    value
}

fn put_tag(number: u32, wire_type: u32, bytes: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire_type), bytes);
}

fn put_bytes(content: &[u8], bytes: &mut Vec<u8>) {
    put_varint(content.len() as u64, bytes);
    bytes.extend_from_slice(content);
}

fn put_varint(value: u64, bytes: &mut Vec<u8>) {
    prost::encoding::encode_varint(value, bytes);
}
