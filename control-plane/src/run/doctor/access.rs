//! What the database lets this role do.

use super::{
    finding::Finding,
    store::{Place, TablePrivileges},
};
use crate::postgres::migrate;

/// The migrator's own table: servers only read it.
const HISTORY: &str = "refinery_schema_history";

/// Whether the role may read and write what a server does.
pub(super) fn privileges(place: &Place, tables: &[TablePrivileges]) -> Finding {
    let role = &place.role;
    let Some(schema) = &place.schema else {
        return Finding::failed(
            "privileges",
            format!("there is no schema in the search path that {role} may use"),
            format!("grant usage on schema public to {role}"),
        );
    };
    let missing: Vec<String> = tables.iter().filter_map(missing).collect();
    if !missing.is_empty() {
        return Finding::failed(
            "privileges",
            format!("{role} may not {}", missing.join("; ")),
            format!("grant select, insert, update, delete on all tables in schema {schema} to {role}"),
        );
    }
    let migrations = if place.may_create { "migrate" } else { "not migrate: that takes another role" };
    Finding::ok("privileges", format!("{role} may read and write {} tables, and {migrations}", tables.len()))
}

fn missing(privileges: &TablePrivileges) -> Option<String> {
    let writes = privileges.table != HISTORY;
    let needed = [
        ("select", true, privileges.select),
        ("insert", writes, privileges.insert),
        ("update", writes, privileges.update),
        ("delete", writes, privileges.delete),
    ];
    let missing = needed.into_iter().filter(|(_, is_needed, has)| *is_needed && !has);
    let missing: Vec<_> = missing.map(|(privilege, _, _)| privilege).collect();
    (!missing.is_empty()).then(|| format!("{} in {}", missing.join(", "), privileges.table))
}

pub(super) fn schema(checked: Result<(), migrate::Error>) -> Finding {
    match checked {
        Ok(()) => Finding::ok("schema", format!("at version {}", migrate::known_version())),
        Err(migrate::Error::SchemaOlder { found, needed }) => Finding::failed(
            "schema",
            format!("the schema is at version {found}, and this build needs {needed}"),
            "Run `rollcall migrate`, or serve with --migrate",
        ),
        Err(migrate::Error::SchemaNewer { found, known }) => Finding::failed(
            "schema",
            format!("the schema is at version {found}, and this build knows only up to {known}"),
            "Run a newer rollcall",
        ),
        Err(error @ (migrate::Error::Database(_) | migrate::Error::Migration(_))) => Finding::failed(
            "schema",
            format!("its version cannot be read: {}", crate::failure::chain(&error)),
            format!("The role needs select on {HISTORY}"),
        ),
    }
}

/// A standby may only end the session of a stuck leader that has its own role.
pub(super) fn role(own: &str, others: &[String]) -> Finding {
    if others.is_empty() {
        return Finding::ok("role", format!("{own}, and no server has another one"));
    }
    Finding::failed(
        "role",
        format!("this is {own}, and other servers are {}", others.join(", ")),
        "Give all servers one role: otherwise a standby may not end the session of a leader that is stuck",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::doctor::finding::Verdict;

    fn place() -> Place {
        Place {
            role: "rollcall".to_owned(),
            database: "rollcall".to_owned(),
            schema: Some("public".to_owned()),
            may_create: true,
            is_replica: false,
        }
    }

    fn all(table: &str) -> TablePrivileges {
        TablePrivileges { table: table.to_owned(), select: true, insert: true, update: true, delete: true }
    }

    #[test]
    fn what_is_missing_is_named_with_its_table() {
        assert_eq!(privileges(&place(), &[all("sessions")]).verdict, Verdict::Ok);
        let read_only = TablePrivileges { insert: false, update: false, delete: false, ..all(HISTORY) };
        assert_eq!(
            privileges(&place(), std::slice::from_ref(&read_only)).verdict,
            Verdict::Ok,
            "of the migrator"
        );
        let read_only = TablePrivileges { table: "sessions".to_owned(), ..read_only };
        let finding = privileges(&place(), &[all("leadership"), read_only]);
        assert_eq!(finding.verdict, Verdict::Failed);
        assert_eq!(finding.detail, "rollcall may not insert, update, delete in sessions");
        let nowhere = Place { schema: None, ..place() };
        assert_eq!(privileges(&nowhere, &[]).verdict, Verdict::Failed);
        let served = Place { may_create: false, ..place() };
        let finding = privileges(&served, &[all("sessions")]);
        assert_eq!(finding.verdict, Verdict::Ok);
        assert!(finding.detail.contains("not migrate"), "{finding:?}");
    }

    #[test]
    fn servers_have_one_role() {
        assert_eq!(role("a", &[]).verdict, Verdict::Ok);
        assert_eq!(role("a", &["b".to_owned()]).verdict, Verdict::Failed);
    }
}
