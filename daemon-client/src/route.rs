//! Which address to try next. Pure: no I/O.
//!
//! Configured addresses are tried in turn. A server that is not the active one may name it, and that address is tried
//! next, configured or not: an address list may be older than the cluster.

use crate::{Address, config::Addresses};

/// The address in use, and those to fall back to.
#[derive(Debug)]
pub(crate) struct Route {
    configured: Addresses,
    position: usize,
    /// An address that a server named and that is not configured.
    named: Option<Address>,
    tried: usize,
}

/// How a move to another address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// There is an address left that was not tried in this round.
    WithinRound,
    /// As many tries as there are addresses have failed: time to back off.
    RoundOver,
}

impl Route {
    pub(crate) fn new(configured: Addresses) -> Self {
        Self { configured, position: 0, named: None, tried: 0 }
    }

    /// The address to use now.
    pub(crate) fn current(&self) -> &Address {
        self.named.as_ref().unwrap_or_else(|| self.configured.get(self.position))
    }

    /// Whether an address that a server named may be called. What goes by TLS stays there: whoever answers for one
    /// server must not be able to have the token sent in clear to another.
    pub(crate) fn may_follow(&self, named: &Address) -> bool {
        named.is_secure() || !self.current().is_secure()
    }

    /// The current address works.
    pub(crate) fn reached(&mut self) {
        self.tried = 0;
    }

    /// The current address does not work; `named` is the one that it gave instead, if any.
    pub(crate) fn move_on(&mut self, named: Option<Address>) -> Hop {
        match named.filter(|named| named != self.current()) {
            Some(named) => match self.configured.position(&named) {
                Some(position) => {
                    self.position = position;
                    self.named = None;
                }
                None => self.named = Some(named),
            },
            None => {
                self.named = None;
                self.position = (self.position + 1) % self.configured.len();
            }
        }
        self.tried += 1;
        if self.tried < self.configured.len() {
            return Hop::WithinRound;
        }
        self.tried = 0;
        Hop::RoundOver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn route(list: &str) -> Route {
        Route::new(list.parse().unwrap())
    }

    #[test]
    fn addresses_are_tried_in_turn_and_a_round_ends_after_all_of_them() {
        let mut route = route("a,b,c");
        assert_eq!(*route.current(), address("a"));
        assert_eq!(route.move_on(None), Hop::WithinRound);
        assert_eq!(*route.current(), address("b"));
        assert_eq!(route.move_on(None), Hop::WithinRound);
        assert_eq!(*route.current(), address("c"));
        assert_eq!(route.move_on(None), Hop::RoundOver);
        assert_eq!(*route.current(), address("a"));
        assert_eq!(route.move_on(None), Hop::WithinRound);
    }

    #[test]
    fn a_single_address_backs_off_each_time() {
        let mut route = route("a");
        assert_eq!(route.move_on(None), Hop::RoundOver);
        assert_eq!(route.move_on(None), Hop::RoundOver);
        assert_eq!(*route.current(), address("a"));
    }

    #[test]
    fn a_success_begins_a_new_round() {
        let mut route = route("a,b");
        assert_eq!(route.move_on(None), Hop::WithinRound);
        route.reached();
        assert_eq!(route.move_on(None), Hop::WithinRound);
    }

    #[test]
    fn a_named_address_is_preferred_even_when_it_is_not_configured() {
        let mut route = route("a,b");
        route.move_on(Some(address("elsewhere")));
        assert_eq!(*route.current(), address("elsewhere"));
        route.move_on(None);
        assert_eq!(*route.current(), address("b"), "the one that named it is not asked again first");
    }

    #[test]
    fn a_named_address_that_is_configured_is_moved_to() {
        let mut route = route("a,b,c");
        route.move_on(Some(address("c")));
        assert_eq!(*route.current(), address("c"));
        route.move_on(None);
        assert_eq!(*route.current(), address("a"));
    }

    #[test]
    fn a_server_that_names_itself_is_left() {
        let mut route = route("a,b");
        route.move_on(Some(address("a")));
        assert_eq!(*route.current(), address("b"));
    }

    #[test]
    fn nothing_leads_from_tls_into_the_clear() {
        let secure = route("https://a,https://b");
        assert!(secure.may_follow(&address("https://c")));
        assert!(!secure.may_follow(&address("http://a")) && !secure.may_follow(&address("c")));
        assert!(route("a").may_follow(&address("https://c")));
        assert!(route("a").may_follow(&address("c")));
    }

    #[test]
    fn two_standbys_that_name_each_other_do_not_make_a_hot_loop() {
        let mut route = route("a,b");
        assert_eq!(route.move_on(Some(address("b"))), Hop::WithinRound);
        assert_eq!(route.move_on(Some(address("a"))), Hop::RoundOver);
        assert_eq!(route.move_on(Some(address("b"))), Hop::WithinRound);
        assert_eq!(route.move_on(Some(address("a"))), Hop::RoundOver);
    }
}
