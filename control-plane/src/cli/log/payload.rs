//! Payloads, as they are given and as they are shown.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    str,
};

use contracts::limits::EVENT_PAYLOAD_BYTES_MAX;

use crate::cli::failure::Failure;

/// Characters of a payload that a table shows.
const SHOWN_MAX: usize = 80;
/// The content type that is checked before it is sent.
pub(crate) const JSON: &str = "application/json";

/// The payload that `--payload` names: `-` is the standard input, `@FILE` a file, and all else is the payload itself.
pub(crate) fn given(argument: &str, content_type: &str) -> Result<Vec<u8>, Failure> {
    let payload = match argument.strip_prefix('@') {
        Some(path) => {
            File::open(Path::new(path)).and_then(bounded).map_err(|error| unreadable(path, &error))?
        }
        None if argument == "-" => {
            bounded(io::stdin()).map_err(|error| unreadable("the standard input", &error))?
        }
        None => argument.as_bytes().to_vec(),
    };
    if content_type == JSON && serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_err() {
        return Err(Failure::Usage {
            message: "the payload is no JSON".to_owned(),
            hint: "quote it for the shell, or say with --content-type what it is".to_owned(),
        });
    }
    Ok(payload)
}

/// Reads no more than one byte beyond what an event holds: the check of the event finds that.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    from.take(EVENT_PAYLOAD_BYTES_MAX as u64 + 1).read_to_end(&mut payload)?;
    Ok(payload)
}

fn unreadable(what: &str, error: &io::Error) -> Failure {
    Failure::Usage {
        message: format!("--payload: cannot read {what}: {error}"),
        hint: "give the payload itself, @FILE, or - for the standard input".to_owned(),
    }
}

/// The payload as text; none when it is none.
pub(crate) fn text(payload: &[u8]) -> Option<&str> {
    str::from_utf8(payload).ok()
}

/// The payload as hexadecimal digits.
pub(crate) fn hex(payload: &[u8]) -> String {
    payload.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The beginning of a payload in one line, for people.
pub(crate) fn shown(payload: &[u8]) -> String {
    let Some(text) = text(payload) else { return format!("({} bytes)", payload.len()) };
    let mut characters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = characters.by_ref().take(SHOWN_MAX).collect();
    if characters.next().is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_itself_or_a_file() {
        assert_eq!(given("{}", JSON).unwrap(), b"{}");
        assert_eq!(given("", "text/plain").unwrap(), b"");
        assert!(matches!(given("{", JSON), Err(Failure::Usage { .. })));
        assert!(matches!(given("@/nowhere/at-all", "text/plain"), Err(Failure::Usage { .. })));
        let file = std::env::temp_dir().join(format!("rollcall-payload-{}", std::process::id()));
        std::fs::write(&file, vec![b'x'; EVENT_PAYLOAD_BYTES_MAX * 2]).unwrap();
        let read = given(&format!("@{}", file.display()), "text/plain").unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(read.len(), EVENT_PAYLOAD_BYTES_MAX + 1);
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(shown(b"{\"a\":\n1}"), "{\"a\": 1}");
        assert_eq!(shown(&[255, 0]), "(2 bytes)");
        assert_eq!(shown("é".repeat(81).as_bytes()), format!("{}...", "é".repeat(80)));
    }
}
