//! Scopes of tokens as words of the command line: those that stand in the tokens themselves.

use contracts::wire::v1::TokenScope;

use crate::cli::wire_word::UNKNOWN;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scope {
    /// Run nodes
    Node,
    /// Read sessions, rosters and nodes
    #[value(name = "session:read")]
    SessionRead,
    /// Make and change sessions, their members and their nodes
    #[value(name = "session:write")]
    SessionWrite,
    /// Everything
    Admin,
}

impl From<Scope> for TokenScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Node => Self::Node,
            Scope::SessionRead => Self::SessionRead,
            Scope::SessionWrite => Self::SessionWrite,
            Scope::Admin => Self::Admin,
        }
    }
}

/// The scopes as the wire has them.
pub(crate) fn to_wire(scopes: &[Scope]) -> Vec<i32> {
    scopes.iter().map(|scope| TokenScope::from(*scope).into()).collect()
}

/// The word for a scope of the wire, such as `session:read`.
pub(crate) fn word(scope: i32) -> &'static str {
    match TokenScope::try_from(scope) {
        Ok(TokenScope::Node) => "node",
        Ok(TokenScope::SessionRead) => "session:read",
        Ok(TokenScope::SessionWrite) => "session:write",
        Ok(TokenScope::Admin) => "admin",
        Ok(TokenScope::Unspecified) | Err(_) => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn a_scope_is_read_and_shown_by_the_same_word() {
        for scope in Scope::value_variants() {
            let name = scope.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(word(TokenScope::from(*scope).into()), name);
            assert_eq!(
                crate::auth::tokens::Scope::ALL.iter().filter(|known| known.as_str() == name).count(),
                1
            );
        }
        assert_eq!(Scope::value_variants().len(), crate::auth::tokens::Scope::ALL.len());
        assert_eq!(word(99), UNKNOWN);
    }
}
