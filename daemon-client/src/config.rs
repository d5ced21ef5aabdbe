//! What a daemon says about itself, and where it says it.

use std::{fmt, str::FromStr};

use contracts::{EventEnvelopeVersion, NodeId, SessionId, capabilities::Declaration, wire::v1};

use crate::{Address, AddressError, TokenSource, Trust, replica};

/// Most addresses that are worth configuring: one active server and its standbys.
const ADDRESSES_MAX: usize = 32;

/// Everything that a client needs to keep a node attached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Servers of one control plane, tried in turn.
    pub addresses: Addresses,
    /// Where the token comes from that is sent with each call.
    pub token: TokenSource,
    /// Whom `https://` servers are checked by.
    pub trust: Trust,
    /// Session to attach to.
    pub session_id: SessionId,
    /// Name of the node.
    pub node_id: NodeId,
    /// Version of the event envelope that the daemon speaks.
    pub client_version: EventEnvelopeVersion,
    /// Health at the start.
    pub health: Health,
    /// What the node can do. `None` keeps what the server has stored, an empty one clears it.
    pub declaration: Option<Declaration>,
    /// The replica of the session's log that the node keeps, if it keeps one.
    pub replica: Option<replica::Config>,
}

/// Health that a daemon reports of itself. There is no offline: a daemon that stops detaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// All is well.
    Online,
    /// At work, but not at its best.
    Degraded,
}

impl From<Health> for v1::ReportedHealth {
    fn from(health: Health) -> Self {
        match health {
            Health::Online => Self::Online,
            Health::Degraded => Self::Degraded,
        }
    }
}

/// One or more addresses, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    first: Address,
    others: Vec<Address>,
}

/// Why a list of addresses cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressesError {
    /// One of them is not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// More than anyone needs.
    #[error("at most {ADDRESSES_MAX} addresses are taken")]
    TooMany,
    /// What one of them keeps secret, another would have sent in clear.
    #[error("some addresses are https:// and some are not: expected all or none")]
    Mixed,
}

impl Addresses {
    /// How many there are; never none.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// The address at `position`, counted round.
    pub(crate) fn get(&self, position: usize) -> &Address {
        match position.checked_sub(1) {
            Some(index) => self.others.get(index).unwrap_or(&self.first),
            None => &self.first,
        }
    }

    pub(crate) fn position(&self, address: &Address) -> Option<usize> {
        (0..self.len()).find(|position| self.get(*position) == address)
    }
}

impl From<Address> for Addresses {
    fn from(first: Address) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// Comma-separated, as `ROLLCALL_ADDR` has them.
impl FromStr for Addresses {
    type Err = AddressesError;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let (first, rest) = list.split_once(',').unwrap_or((list, ""));
        let mut addresses = Self::from(first.parse::<Address>()?);
        // A comma at the end is forgiven: such lists are often put together by a program.
        for address in rest.split(',').filter(|address| !address.trim().is_empty()) {
            let address = address.parse()?;
            if addresses.position(&address).is_none() {
                addresses.others.push(address);
            }
        }
        if addresses.len() > ADDRESSES_MAX {
            return Err(AddressesError::TooMany);
        }
        if addresses.others.iter().any(|address| address.is_secure() != addresses.first.is_secure()) {
            return Err(AddressesError::Mixed);
        }
        Ok(addresses)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.others.iter().try_for_each(|address| write!(f, ",{address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_order_and_each_address_once() {
        let addresses: Addresses = "a, http://b:1 ,a:7420,".parse().unwrap();
        assert_eq!(addresses.to_string(), "http://a:7420,http://b:1");
        assert_eq!(addresses.len(), 2);
        assert_eq!(addresses.position(&"b:1".parse().unwrap()), Some(1));
        assert_eq!(addresses.position(&"c".parse().unwrap()), None);
    }

    #[test]
    fn a_list_is_all_tls_or_none_of_it() {
        assert!("https://a,https://b".parse::<Addresses>().is_ok());
        for list in ["https://a,http://b", "http://a,https://b", "https://a,b"] {
            assert_eq!(list.parse::<Addresses>(), Err(AddressesError::Mixed), "{list}");
        }
    }

    #[test]
    fn a_list_is_neither_empty_nor_endless() {
        assert_eq!("".parse::<Addresses>(), Err(AddressError::Empty.into()));
        assert_eq!(",a".parse::<Addresses>(), Err(AddressError::Empty.into()));
        let list = |count: usize| (0..count).map(|n| format!("h{n}")).collect::<Vec<_>>().join(",");
        assert!(list(ADDRESSES_MAX).parse::<Addresses>().is_ok());
        assert_eq!(list(ADDRESSES_MAX + 1).parse::<Addresses>(), Err(AddressesError::TooMany));
    }
}
