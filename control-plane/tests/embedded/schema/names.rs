//! One scheme for names, so that code can rely on the name of a constraint and an error message reads well.

use crate::harness::Database;

/// Why a name is not by our scheme; none when it is. `columns` are those of the constraint or index.
fn offence(table: &str, kind: Kind, name: &str, columns: &[&str]) -> Option<String> {
    let Some(rest) = name.strip_prefix(table).and_then(|rest| rest.strip_prefix('_')) else {
        return Some(format!("{name} does not begin with its table, {table}"));
    };
    if rest.ends_with(|last: char| last.is_ascii_digit()) {
        return Some(format!("{name} ends in a number, as names do that Postgres chose"));
    }
    let is_good = match kind {
        Kind::PrimaryKey => rest == "pkey",
        // After the noun that it refers to, not after the column.
        Kind::ForeignKey => {
            let noun = |column: &str| -> String {
                column
                    .strip_suffix("_id")
                    .or_else(|| column.strip_suffix("_key"))
                    .unwrap_or(column)
                    .to_owned()
            };
            let nouns: Vec<String> = columns.iter().map(|column| noun(column)).collect();
            rest == format!("{}_fkey", nouns.join("_"))
        }
        // After the rule.
        Kind::Check => !["check", "key", "fkey", "pkey", "idx"]
            .iter()
            .any(|kind| rest.strip_suffix(kind).is_some_and(|rule| rule.is_empty() || rule.ends_with('_'))),
        Kind::Unique => rest.ends_with("_key") || rest.starts_with("one_"),
        Kind::Index => rest.ends_with("_idx") && !rest.ends_with("_id_idx"),
    };
    (!is_good).then(|| format!("{name} is no name for {kind:?} on {columns:?}"))
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    PrimaryKey,
    ForeignKey,
    Check,
    Unique,
    Index,
}

fn kind(word: &str) -> Kind {
    match word {
        "p" => Kind::PrimaryKey,
        "f" => Kind::ForeignKey,
        "c" => Kind::Check,
        "u" => Kind::Unique,
        "i" => Kind::Index,
        other => panic!("no scheme for constraints of kind {other:?}"),
    }
}

/// Constraints, and the indexes that belong to none of them.
const NAMES: &str = r"
select conrelid::regclass, contype::text, conname, (
    select string_agg(attname, ',' order by position)
    from unnest(conkey) with ordinality as key (number, position)
    join pg_attribute on attrelid = conrelid and attnum = number
)
from pg_constraint
where connamespace = 'public'::regnamespace and contype <> 'n' and conrelid <> 'refinery_schema_history'::regclass
union all
select indrelid::regclass, case when indisunique then 'u' else 'i' end, relname, (
    select string_agg(attname, ',' order by attnum) from pg_attribute where attrelid = indexrelid
)
from pg_index join pg_class on pg_class.oid = indexrelid
where relnamespace = 'public'::regnamespace and not exists (select from pg_constraint where conindid = indexrelid)
";

#[test]
fn every_constraint_and_index_is_named_by_the_scheme() {
    let names = Database::migrated().sql(NAMES);
    let offences: Vec<String> = names
        .lines()
        .filter_map(|line| {
            let [table, word, name, columns] = line.split('|').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            offence(table, kind(word), name, &columns.split(',').collect::<Vec<_>>())
        })
        .collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
    assert!(names.lines().count() > 40, "they were found: {names}");
}

#[test]
fn names_that_postgres_chooses_are_offences() {
    for (kind, name, columns) in [
        (Kind::Check, "sessions_check", "name"),
        (Kind::Check, "sessions_check1", "name"),
        (Kind::Check, "sessions_name_check", "name"),
        (Kind::Check, "name_length", "name"),
        (Kind::ForeignKey, "sessions_owner_id_fkey", "owner_id"),
        (Kind::ForeignKey, "sessions_owner_fkey1", "owner_id"),
        (Kind::Index, "sessions_name_idx1", "name"),
        (Kind::Index, "sessions_owner_id_idx", "owner_id"),
        (Kind::Unique, "sessions_name_idx", "name"),
        (Kind::Unique, "sessions_name_key1", "name"),
        (Kind::PrimaryKey, "sessions_key", "id"),
    ] {
        assert!(offence("sessions", kind, name, &[columns]).is_some(), "{name}");
    }
    assert_eq!(offence("sessions", Kind::ForeignKey, "sessions_owner_fkey", &["owner_id"]), None);
    assert_eq!(offence("sessions", Kind::Check, "sessions_name_length", &["name"]), None);
}
