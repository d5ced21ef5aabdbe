//! The rules of `buf lint`, STANDARD and COMMENTS, over the descriptor set.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};

use super::{descriptors, field, file, message, method, nodes, slot_state};

/// Numbers of the fields of descriptors, of which the paths in source info are made.
mod path {
    pub(super) const FILE_MESSAGE: i32 = 4;
    pub(super) const FILE_ENUM: i32 = 5;
    pub(super) const FILE_SERVICE: i32 = 6;
    pub(super) const MESSAGE_FIELD: i32 = 2;
    pub(super) const MESSAGE_NESTED: i32 = 3;
    pub(super) const MESSAGE_ENUM: i32 = 4;
    pub(super) const MESSAGE_ONEOF: i32 = 8;
    pub(super) const ENUM_VALUE: i32 = 2;
    pub(super) const SERVICE_METHOD: i32 = 2;
}

/// What the rules find in one file.
struct Lint {
    commented: BTreeSet<Vec<i32>>,
    used: BTreeSet<String>,
    findings: Vec<String>,
}

/// All findings in the files of our own.
fn lint(set: &FileDescriptorSet) -> Vec<String> {
    let mut findings = Vec::new();
    let mut messages_of_methods = BTreeMap::new();
    for file in set.file.iter().filter(|file| !file.name().starts_with("google/")) {
        let commented = file
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter(|place| {
                let comments = [place.leading_comments(), place.trailing_comments()];
                comments.iter().any(|comment| !comment.trim().is_empty())
            })
            .map(|place| place.path.clone())
            .collect();
        let mut lint = Lint { commented, used: BTreeSet::new(), findings: Vec::new() };
        lint.file(file);
        for (index, message) in file.message_type.iter().enumerate() {
            lint.message(message, &[path::FILE_MESSAGE, index as i32]);
        }
        for (index, r#enum) in file.enum_type.iter().enumerate() {
            lint.r#enum(r#enum, &[path::FILE_ENUM, index as i32]);
        }
        for (index, service) in file.service.iter().enumerate() {
            lint.service(service, &[path::FILE_SERVICE, index as i32], &mut messages_of_methods);
        }
        lint.imports(file, set);
        findings.append(&mut lint.findings);
    }
    findings
}

impl Lint {
    fn require(&mut self, rule: bool, finding: impl FnOnce() -> String) {
        if !rule {
            self.findings.push(finding());
        }
    }

    fn require_comment(&mut self, path: &[i32], name: &str) {
        let commented = self.commented.contains(path);
        self.require(commented, || format!("{name} has no comment"));
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        let name = file.name();
        let package = file.package();
        let version = package.rsplit_once(".v").and_then(|(_, version)| version.parse::<u32>().ok());
        self.require(version.is_some_and(|version| version > 0), || {
            format!("{name}: package {package} has no version such as v1 at its end")
        });
        self.require(package.split('.').all(is_lower_snake), || {
            format!("{name}: package {package} is not lower_snake_case")
        });
        let (directory, base) = name.rsplit_once('/').unwrap_or(("", name));
        self.require(directory == package.replace('.', "/"), || {
            format!("{name} is not in the directory of its package {package}")
        });
        let base = base.trim_end_matches(".proto");
        self.require(is_lower_snake(base), || format!("{name} is not lower_snake_case"));
        self.require(file.syntax() == "proto3", || format!("{name} is not proto3"));
        self.require(file.public_dependency.is_empty() && file.weak_dependency.is_empty(), || {
            format!("{name} has a public or weak import")
        });
    }

    fn imports(&mut self, file: &FileDescriptorProto, set: &FileDescriptorSet) {
        for import in &file.dependency {
            let used = set.file.iter().filter(|other| other.name() == import).any(|other| {
                let messages = other.message_type.iter().map(DescriptorProto::name);
                let enums = other.enum_type.iter().map(EnumDescriptorProto::name);
                messages.chain(enums).any(|name| self.used.contains(&format!(".{}.{name}", other.package())))
            });
            self.require(used, || format!("{} imports {import} and does not use it", file.name()));
        }
    }

    fn message(&mut self, message: &DescriptorProto, path: &[i32]) {
        let name = message.name();
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            self.used.extend(message.field.iter().map(|field| field.type_name().to_owned()));
            return;
        }
        self.require(is_pascal(name), || format!("message {name} is not PascalCase"));
        self.require_comment(path, name);
        for (index, field) in message.field.iter().enumerate() {
            let full = format!("{name}.{}", field.name());
            self.require(is_lower_snake(field.name()), || format!("{full} is not lower_snake_case"));
            self.require_comment(&below(path, path::MESSAGE_FIELD, index), &full);
            self.used.insert(field.type_name().to_owned());
        }
        for (index, oneof) in message.oneof_decl.iter().enumerate() {
            let synthetic = message
                .field
                .iter()
                .any(|field| field.proto3_optional() && field.oneof_index == Some(index as i32));
            if !synthetic {
                let full = format!("{name}.{}", oneof.name());
                self.require(is_lower_snake(oneof.name()), || format!("{full} is not lower_snake_case"));
                self.require_comment(&below(path, path::MESSAGE_ONEOF, index), &full);
            }
        }
        for (index, nested) in message.nested_type.iter().enumerate() {
            self.message(nested, &below(path, path::MESSAGE_NESTED, index));
        }
        for (index, r#enum) in message.enum_type.iter().enumerate() {
            self.r#enum(r#enum, &below(path, path::MESSAGE_ENUM, index));
        }
    }

    fn r#enum(&mut self, r#enum: &EnumDescriptorProto, path: &[i32]) {
        let name = r#enum.name();
        self.require(is_pascal(name), || format!("enum {name} is not PascalCase"));
        self.require_comment(path, name);
        let aliases = r#enum.options.as_ref().is_some_and(|options| options.allow_alias());
        self.require(!aliases, || format!("enum {name} allows aliases"));
        let prefix = upper_snake(name);
        let zero = format!("{prefix}_UNSPECIFIED");
        let first = r#enum.value.first().map(|value| (value.number(), value.name()));
        self.require(first == Some((0, zero.as_str())), || {
            format!("enum {name} does not begin with {zero} = 0")
        });
        for (index, value) in r#enum.value.iter().enumerate() {
            let full = format!("{name}.{}", value.name());
            let rest = value.name().strip_prefix(&prefix).and_then(|rest| rest.strip_prefix('_'));
            self.require(rest.is_some(), || format!("{full} does not begin with {prefix}_"));
            self.require(is_lower_snake(&value.name().to_lowercase()) && is_upper(value.name()), || {
                format!("{full} is not UPPER_SNAKE_CASE")
            });
            self.require_comment(&below(path, path::ENUM_VALUE, index), &full);
        }
    }

    fn service(
        &mut self,
        service: &ServiceDescriptorProto,
        path: &[i32],
        messages_of_methods: &mut BTreeMap<String, String>,
    ) {
        let name = service.name();
        self.require(is_pascal(name), || format!("service {name} is not PascalCase"));
        self.require(name.ends_with("Service"), || format!("service {name} does not end with Service"));
        self.require_comment(path, name);
        for (index, method) in service.method.iter().enumerate() {
            let full = format!("{name}.{}", method.name());
            self.require(is_pascal(method.name()), || format!("{full} is not PascalCase"));
            self.require_comment(&below(path, path::SERVICE_METHOD, index), &full);
            for (message, suffix) in [(method.input_type(), "Request"), (method.output_type(), "Response")] {
                self.used.insert(message.to_owned());
                let expect = format!("{}{suffix}", method.name());
                self.require(message.rsplit('.').next() == Some(expect.as_str()), || {
                    format!("{full} uses {message} where {expect} belongs")
                });
                if let Some(other) = messages_of_methods.insert(message.to_owned(), full.clone()) {
                    self.findings.push(format!("{full} shares {message} with {other}"));
                }
            }
        }
    }
}

fn below(path: &[i32], field: i32, index: usize) -> Vec<i32> {
    [path, &[field, index as i32]].concat()
}

fn is_lower_snake(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('_').all(|word| {
            !word.is_empty()
                && word.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
        })
}

fn is_upper(name: &str) -> bool {
    !name.chars().any(|character| character.is_lowercase())
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|character| character.is_ascii_alphanumeric())
        && name.chars().any(|character| character.is_ascii_lowercase())
}

fn upper_snake(pascal: &str) -> String {
    let mut name = String::new();
    for character in pascal.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

#[test]
fn the_protos_keep_the_rules() {
    assert_eq!(lint(&descriptors()), Vec::<String>::new());
}

/// Applies one change to the protos of today, and compares with `expect` all findings.
#[track_caller]
fn check(change: impl FnOnce(&mut FileDescriptorSet), expect: &[&str]) {
    let mut set = descriptors();
    change(&mut set);
    assert_eq!(lint(&set), expect);
}

/// Takes the comments of one element away.
fn silence(file: &mut FileDescriptorProto, path: &[i32]) {
    let info = file.source_code_info.as_mut().expect("source info");
    info.location.retain(|place| place.path != path);
}

#[test]
fn packages_are_versioned_and_files_lie_where_they_say() {
    check(
        |set| file(set, "refusal").package = Some("rollcall".to_owned()),
        &[
            "rollcall/v1/refusal.proto: package rollcall has no version such as v1 at its end",
            "rollcall/v1/refusal.proto is not in the directory of its package rollcall",
            // Which leaves the import without a type that is used.
            "rollcall/v1/runtime_node_service.proto imports rollcall/v1/refusal.proto and does not use it",
        ],
    );
    check(
        |set| file(set, "session_service").name = Some("rollcall/v1/SessionService.proto".to_owned()),
        &["rollcall/v1/SessionService.proto is not lower_snake_case"],
    );
    check(
        |set| file(set, "session_service").syntax = Some("proto2".to_owned()),
        &["rollcall/v1/session_service.proto is not proto3"],
    );
    check(
        |set| nodes(set).public_dependency = vec![0],
        &["rollcall/v1/runtime_node_service.proto has a public or weak import"],
    );
    check(
        |set| {
            file(set, "refusal").dependency.push("google/protobuf/timestamp.proto".to_owned());
        },
        &["rollcall/v1/refusal.proto imports google/protobuf/timestamp.proto and does not use it"],
    );
}

#[test]
fn methods_have_a_request_and_a_response_of_their_own() {
    check(
        |set| method(set, "Detach").input_type = Some(".rollcall.v1.AttachRequest".to_owned()),
        &[
            "RuntimeNodeService.Detach uses .rollcall.v1.AttachRequest where DetachRequest belongs",
            "RuntimeNodeService.Detach shares .rollcall.v1.AttachRequest with RuntimeNodeService.Attach",
        ],
    );
    check(
        |set| {
            let services = &mut file(set, "session_service").service;
            services[0].name = Some("Sessions".to_owned());
        },
        &["service Sessions does not end with Service"],
    );
}

#[test]
fn enums_begin_with_unspecified_and_prefix_their_values() {
    check(
        |set| slot_state(set).value[0].name = Some("SLOT_STATE_NONE".to_owned()),
        &["enum SlotState does not begin with SLOT_STATE_UNSPECIFIED = 0"],
    );
    check(
        |set| slot_state(set).value.swap(0, 1),
        &["enum SlotState does not begin with SLOT_STATE_UNSPECIFIED = 0"],
    );
    check(
        |set| slot_state(set).value[2].name = Some("ONLINE".to_owned()),
        &["SlotState.ONLINE does not begin with SLOT_STATE_"],
    );
    check(
        |set| slot_state(set).value[2].name = Some("SLOT_STATE_Online".to_owned()),
        &["SlotState.SLOT_STATE_Online is not UPPER_SNAKE_CASE"],
    );
}

#[test]
fn names_have_the_case_of_their_kind() {
    check(
        |set| field(set, "Beat", "generation").name = Some("Generation".to_owned()),
        &["Beat.Generation is not lower_snake_case"],
    );
    check(
        |set| field(set, "Beat", "generation").name = Some("genera__tion".to_owned()),
        &["Beat.genera__tion is not lower_snake_case"],
    );
    check(
        |set| message(set, "BeatResult").oneof_decl[0].name = Some("Outcome".to_owned()),
        &["BeatResult.Outcome is not lower_snake_case"],
    );
    check(
        |set| message(set, "Finding").name = Some("finding_one".to_owned()),
        &["message finding_one is not PascalCase"],
    );
}

#[test]
fn everything_has_a_comment() {
    let check_silenced = |name: &str, path: &[i32], expect: &str| {
        check(|set| silence(file(set, name), path), &[expect]);
    };
    check_silenced("refusal", &[4, 0], "Refusal has no comment");
    check_silenced("refusal", &[4, 0, 2, 1], "Refusal.message has no comment");
    check_silenced("refusal", &[5, 0], "RetryAdvice has no comment");
    check_silenced("refusal", &[5, 0, 2, 0], "RetryAdvice.RETRY_ADVICE_UNSPECIFIED has no comment");
    check_silenced("session_service", &[6, 0], "SessionService has no comment");
    check_silenced("session_service", &[6, 0, 2, 1], "SessionService.GetSession has no comment");
    let mut set = descriptors();
    nodes(&mut set).source_code_info = None;
    assert!(lint(&set).contains(&"BeatResult.outcome has no comment".to_owned()));
}
