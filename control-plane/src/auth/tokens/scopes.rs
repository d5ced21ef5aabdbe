//! The scopes of one token.

use std::{fmt, str::FromStr};

use super::scope::{Scope, ScopesError};

/// A set of scopes, never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// The set of these scopes; none if there are none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Option<Self> {
        scopes.into_iter().map(Self::from).reduce(|set, one| Self(set.0 | one.0))
    }

    /// This set and one more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | Self::from(scope).0)
    }

    /// Whether the set names this very scope.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & Self::from(scope).0 != 0
    }

    /// Whether a holder of the set may do what needs `wanted`.
    pub fn implies(self, wanted: Scope) -> bool {
        self.iter().any(|scope| scope.implies(wanted))
    }

    /// Whether this set gives nothing that `other` does not: whoever holds `other` may hand this one out.
    pub fn is_within(self, other: Self) -> bool {
        self.iter().all(|scope| other.implies(scope))
    }

    /// The scopes that the set names.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self(match scope {
            Scope::Node => 1,
            Scope::SessionRead => 1 << 1,
            Scope::SessionWrite => 1 << 2,
            Scope::Admin => 1 << 3,
        })
    }
}

/// Separated by one space, as in the `scope` claim.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            scope.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromStr for Scopes {
    type Err = ScopesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ScopesError::None);
        }
        let mut set: Option<Self> = None;
        for name in text.split(' ') {
            let scope: Scope = name.parse()?;
            if set.is_some_and(|set| set.contains(scope)) {
                return Err(ScopesError::Twice { scope });
            }
            set = Some(set.map_or_else(|| scope.into(), |set| set.with(scope)));
        }
        set.ok_or(ScopesError::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_reads_back_and_is_written_in_one_order() {
        for bits in 1..16_u8 {
            let set = Scopes(bits);
            assert_eq!(set.to_string().parse(), Ok(set));
            assert_eq!(Scopes::new(set.iter()), Some(set));
        }
        assert_eq!("admin node".parse::<Scopes>().unwrap().to_string(), "node admin");
        assert_eq!(Scopes::new([]), None);
    }

    #[test]
    fn what_is_not_a_set_of_ours_is_refused() {
        let unknown = |name: &str| Err(ScopesError::Unknown { name: name.to_owned() });
        assert_eq!("".parse::<Scopes>(), Err(ScopesError::None));
        assert_eq!(" ".parse::<Scopes>(), unknown(""));
        assert_eq!("node ".parse::<Scopes>(), unknown(""));
        assert_eq!("node  admin".parse::<Scopes>(), unknown(""));
        assert_eq!("node\tadmin".parse::<Scopes>(), unknown("node\tadmin"));
        assert_eq!("Admin".parse::<Scopes>(), unknown("Admin"));
        assert_eq!("node node".parse::<Scopes>(), Err(ScopesError::Twice { scope: Scope::Node }));
    }

    #[test]
    fn only_admin_implies_another_scope() {
        for held in Scope::ALL {
            for wanted in Scope::ALL {
                let expected = held == wanted || held == Scope::Admin;
                assert_eq!(held.implies(wanted), expected, "{held} {wanted}");
                assert_eq!(Scopes::from(held).implies(wanted), expected, "{held} {wanted}");
                assert_eq!(Scopes::from(wanted).is_within(held.into()), expected, "{held} {wanted}");
            }
        }
        let both = Scopes::from(Scope::Node).with(Scope::SessionRead);
        assert!(both.implies(Scope::Node) && both.implies(Scope::SessionRead) && !both.implies(Scope::Admin));
        assert!(!both.is_within(Scope::Node.into()));
    }
}
