//! What is accepted, and in which words the rest is refused, before any server is called.

use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::cli::{
    fake_server::{PARTICIPANT, SESSION},
    tests::Arguments,
};

fn refusal(arguments: &[&str]) -> String {
    let error = Arguments::try_parse_from([&["rollcall"], arguments].concat()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn the_definitions_are_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn ids_versions_and_names_are_refused_in_the_servers_words() {
    for (arguments, words) in [
        (&["session", "get", "demo"][..], "session_id must be a hyphenated UUID"),
        (&["session", "create", "--name", " demo"], "name must not begin or end with white space"),
        (&["session", "create", "--name", ""], "name is required"),
        (
            &["session", "create", "--name", "demo", "--id", "5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10"],
            "session_id must be a UUID of version 7",
        ),
        (&["session", "create", "--name", "demo", "--floor", "1"], "min_client_version must be MAJOR.MINOR"),
        (&["session", "raise-floor", SESSION, "01.2"], "min_client_version must not have leading zeros"),
        (&["node", "get", "a\tb"], "node_id must not contain control characters"),
        (&["node", "list", "--session", "x"], "session_id must be a hyphenated UUID"),
        (&["node", "list", "--addr", "ftp://host"], "only http:// and https:// are spoken"),
        (&["node", "list", "--timeout", "0s"], "must be more than nothing"),
        (&["node", "detach", "n", "--reason", ""], "reason is required"),
        (&["node", "detach", "n", "--request-id", "7"], "request_id must be a hyphenated UUID"),
        (&["node", "transfer", "n", "--to", "me"], "participant_id must be a hyphenated UUID"),
        (&["node", "revoke", "n", "--everywhere"], "--reason <TEXT>"),
        (&["node", "revoke", "n", "--reason", "r"], "<--session <ID>|--everywhere>"),
        (
            &["node", "revoke", "n", "--reason", "r", "--everywhere", "--session", SESSION],
            "cannot be used with",
        ),
        (&["session", "member", "set", SESSION, PARTICIPANT, "--role", "owner"], "--state <STATE>"),
        (
            &["session", "member", "set", SESSION, PARTICIPANT, "--state", "active", "--role", "boss"],
            "[possible values: owner, collaborator, runtime-contributor, viewer]",
        ),
        (&["token", "issue"], "--scope <SCOPE>"),
        (
            &["token", "issue", "--scope", "all"],
            "[possible values: node, session:read, session:write, admin]",
        ),
        (&["token", "issue", "--scope", "node", "--lifetime", "1500ms"], "must be whole seconds"),
        (&["token", "revoke", "v4.public.abc"], "token_id must be a hyphenated UUID"),
        (&["token", "join", "create", "--scope", "node"], "--participant <UUID>"),
        (&["audit", "list", "--limit", "0"], "0 is not in"),
    ] {
        let refused = refusal(arguments);
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn connection_flags_stand_before_and_after_the_verb() {
    for arguments in
        [["rollcall", "node", "--addr", "a,b", "list"], ["rollcall", "node", "list", "--addr", "a,b"]]
    {
        let parsed = format!("{:?}", Arguments::try_parse_from(arguments).unwrap());
        assert!(parsed.contains("http://a:7420") && parsed.contains("http://b:7420"), "{parsed}");
        assert!(!parsed.contains("127.0.0.1"), "{parsed}");
    }
}

/// All nouns and verbs, and what is under them.
fn commands() -> Vec<clap::Command> {
    fn collect(command: &clap::Command, into: &mut Vec<clap::Command>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            into.push(command.clone());
            collect(command, into);
        }
    }
    let mut root = Arguments::command();
    root.build();
    let mut all = Vec::new();
    collect(&root, &mut all);
    all
}

#[test]
fn every_verb_teaches_by_example_and_says_its_exit_codes() {
    for mut command in commands() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:\n  rollcall "), "{help}");
        assert!(help.contains("Exit codes:"), "{help}");
    }
}

#[test]
fn the_examples_in_the_help_parse() {
    let mut count = 0;
    for command in commands() {
        let Some(help) = command.get_after_help() else {
            continue;
        };
        for example in help.to_string().lines().filter_map(|line| line.strip_prefix("  rollcall ")) {
            let words = example.split(" | ").next().into_iter().flat_map(str::split_whitespace);
            let parsed = Arguments::try_parse_from(["rollcall"].into_iter().chain(words));
            assert!(parsed.is_ok(), "{example}: {parsed:?}");
            count += 1;
        }
    }
    assert!(count > 40, "only {count} examples were found");
}

#[test]
fn help_never_shows_the_token() {
    let error =
        Arguments::try_parse_from(["rollcall", "node", "list", "--token", "hush", "--help"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisplayHelp);
    assert!(!error.to_string().contains("hush"));
    let parsed = Arguments::try_parse_from(["rollcall", "node", "list", "--token", "hush"]).unwrap();
    assert!(!format!("{parsed:?}").contains("hush"));

    let exchange = ["rollcall", "token", "join", "exchange", "--join-token", "hush"];
    assert!(!format!("{:?}", Arguments::try_parse_from(exchange).unwrap()).contains("hush"));
}
