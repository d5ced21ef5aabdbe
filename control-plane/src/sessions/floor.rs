//! The version floor of a session: what a client must speak to write. No I/O.

use contracts::EventEnvelopeVersion;

use crate::{failure::Fault, postgres::stored};

/// A session's version floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Every version may write.
    None,
    /// Versions below are read-only.
    At(EventEnvelopeVersion),
    /// The database holds a text that is no version. It fails closed: everyone is read-only, and what needs the floor
    /// does not happen.
    Malformed(String),
}

impl Floor {
    /// Reads the floor from the database.
    pub fn from_stored(text: Option<&str>) -> Self {
        match text.map(|text| (text, text.parse())) {
            None => Self::None,
            Some((_, Ok(version))) => Self::At(version),
            Some((text, Err(_))) => Self::Malformed(text.to_owned()),
        }
    }

    /// The floor's version, if there is one.
    ///
    /// # Errors
    ///
    /// A malformed floor is a fault that an operator has to mend.
    pub fn version(&self) -> Result<Option<&EventEnvelopeVersion>, Fault> {
        match self {
            Self::None => Ok(None),
            Self::At(version) => Ok(Some(version)),
            Self::Malformed(text) => Err(stored::unreadable("sessions", "min_client_version", text)),
        }
    }

    /// Whether a client of this version is read-only.
    pub fn is_above(&self, version: &EventEnvelopeVersion) -> bool {
        match self {
            Self::None => false,
            Self::At(floor) => version < floor,
            Self::Malformed(_) => true,
        }
    }

    /// The floor as the wire shows it: empty when there is none.
    pub fn to_wire(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::At(floor) => floor.to_string(),
            Self::Malformed(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_none_exact_or_fails_closed() {
        let version = |text: &str| text.parse::<EventEnvelopeVersion>().unwrap();
        assert!(!Floor::from_stored(None).is_above(&version("0.0")));
        let floor = Floor::from_stored(Some("1.2"));
        assert!(floor.is_above(&version("1.1")));
        assert!(!floor.is_above(&version("1.2")));
        assert!(!floor.is_above(&version("1.10")));
        for malformed in ["1", "1.0.0", ""] {
            let floor = Floor::from_stored(Some(malformed));
            assert!(floor.version().is_err(), "{malformed:?}");
            assert!(floor.is_above(&version("999.0")), "{malformed:?}");
        }
    }
}
