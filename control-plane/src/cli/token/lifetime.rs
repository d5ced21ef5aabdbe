//! How long a token is valid, as an argument. Its bounds are the server's.

use prost_types::Duration;

/// Parses a time such as `24h`, in whole seconds.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    // The server counts in seconds, and would drop the rest in silence.
    if lifetime.subsec_nanos() != 0 {
        return Err("must be whole seconds".to_owned());
    }
    Duration::try_from(lifetime).map_err(|_| "is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_in_whole_seconds() {
        assert_eq!(lifetime("24h"), Ok(Duration { seconds: 86_400, nanos: 0 }));
        assert_eq!(lifetime("1h 30m"), Ok(Duration { seconds: 5_400, nanos: 0 }));
        for text in ["", "24", "1500ms", "18446744073709551615s"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
