//! The footer of a token: which key signed it.
//!
//! It is read before anything is verified, so it has one exact text and needs no parser: `{"kid":"5f1c0a9be2d37846"}`.

use super::kid::Kid;

const BEFORE: &str = r#"{"kid":""#;
const AFTER: &str = r#""}"#;

/// The footer that names a key.
pub(super) fn write(kid: Kid) -> String {
    format!("{BEFORE}{kid}{AFTER}")
}

/// The key that a footer names, if it is one of ours.
pub(super) fn read(footer: &[u8]) -> Option<Kid> {
    str::from_utf8(footer).ok()?.strip_prefix(BEFORE)?.strip_suffix(AFTER)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_has_one_text() {
        let kid = Kid::of(b"any");
        let footer = write(kid);
        assert_eq!(read(footer.as_bytes()), Some(kid));
        let value: serde_json::Value = serde_json::from_str(&footer).unwrap();
        assert_eq!(value, serde_json::json!({ "kid": kid.to_string() }));
        for bad in [
            String::new(),
            format!(" {footer}"),
            format!("{footer} "),
            footer.to_uppercase(),
            format!(r#"{{"kid":"{kid}","kid":"{kid}"}}"#),
            format!(r#"{{"kid":"{kid}0"}}"#),
            r#"{"kid":""}"#.to_owned(),
            r#"{"kid":"}"#.to_owned(),
            "{}".to_owned(),
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(read(&[0xff, 0xfe]), None);
    }
}
