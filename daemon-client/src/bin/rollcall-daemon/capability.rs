//! `--capability KEY[@MAJOR.MINOR]`.

use std::str::FromStr;

use contracts::{
    EventEnvelopeVersion, capabilities::Declaration, limits, refusal::FieldViolation, text, version, wire::v1,
};

/// Contract version of a capability that is given without one.
const CONTRACT_VERSION_DEFAULT: &str = "1.0";

/// One capability as a flag names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapabilityFlag {
    key: String,
    contract_version: String,
}

/// Why a flag is not a capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CapabilityFlagError {
    #[error("{0}; expected KEY or KEY@MAJOR.MINOR, such as codex@1.0")]
    Key(FieldViolation),
    #[error("the contract version {0}; expected KEY or KEY@MAJOR.MINOR, such as codex@1.0")]
    ContractVersion(version::ParseError),
}

impl FromStr for CapabilityFlag {
    type Err = CapabilityFlagError;

    fn from_str(flag: &str) -> Result<Self, Self::Err> {
        // The last one: a key may have an @ of its own, as names of packages do.
        let (key, contract_version) = match flag.rsplit_once('@') {
            Some((key, contract_version)) if !key.is_empty() => (key, contract_version),
            Some(_) | None => (flag, CONTRACT_VERSION_DEFAULT),
        };
        let key =
            text::required("key", key, limits::CAPABILITY_KEY_CHARS_MAX).map_err(CapabilityFlagError::Key)?;
        let contract_version: EventEnvelopeVersion =
            contract_version.parse().map_err(CapabilityFlagError::ContractVersion)?;
        Ok(Self { key, contract_version: contract_version.to_string() })
    }
}

/// The declaration of all that the flags name; `None` when they name nothing, which keeps what the server has stored.
pub(crate) fn declaration(flags: &[CapabilityFlag]) -> Result<Option<Declaration>, FieldViolation> {
    if flags.is_empty() {
        return Ok(None);
    }
    let capabilities = flags
        .iter()
        .map(|flag| v1::Capability {
            key: flag.key.clone(),
            contract_version: flag.contract_version.clone(),
            ..v1::Capability::default()
        })
        .collect();
    Declaration::parse(v1::Declaration { capabilities }).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flag: &str) -> (String, String) {
        let CapabilityFlag { key, contract_version } = flag.parse().unwrap();
        (key, contract_version)
    }

    #[test]
    fn the_version_may_be_left_out() {
        assert_eq!(parsed("codex"), ("codex".to_owned(), "1.0".to_owned()));
        assert_eq!(parsed("codex@2.13"), ("codex".to_owned(), "2.13".to_owned()));
        assert_eq!(parsed("@scope/tool@1.2"), ("@scope/tool".to_owned(), "1.2".to_owned()));
        assert_eq!(parsed("@scope"), ("@scope".to_owned(), "1.0".to_owned()));
    }

    #[test]
    fn faults_say_what_was_expected() {
        for flag in ["", " codex", "codex@", "codex@1", "codex@01.0"] {
            let error = flag.parse::<CapabilityFlag>().unwrap_err();
            assert!(error.to_string().contains("KEY@MAJOR.MINOR"), "{flag}: {error}");
        }
    }

    #[test]
    fn no_flag_is_no_declaration_and_a_key_counts_once() {
        assert_eq!(declaration(&[]).unwrap(), None);
        let flags = ["a", "b@1.1"].map(|flag| flag.parse().unwrap());
        assert_eq!(declaration(&flags).unwrap().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(declaration(&["a", "a@1.1"].map(|flag| flag.parse().unwrap())).is_err());
    }
}
