//! The connection URL of a server on a unix socket.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::data_dir::PORT;

pub(super) fn of(socket_dir: &Path, database: &str) -> String {
    let database = percent_encoded(database.as_bytes());
    let host = percent_encoded(socket_dir.as_os_str().as_bytes());
    format!("postgres://postgres@localhost:{PORT}/{database}?host={host}")
}

/// Everything but the unreserved characters, and the slash, which a query may hold and which keeps it readable.
fn percent_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_and_ampersands_survives_the_url() {
        assert_eq!(
            of(Path::new("/home/a b/x&y=é/run"), "dev"),
            "postgres://postgres@localhost:5432/dev?host=/home/a%20b/x%26y%3D%C3%A9/run"
        );
    }
}
