//! How Postgres is set up: what it keeps, how many it lets in, and what it would cut off.

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};

use super::{
    finding::Finding,
    store::{Occupancy, Place},
};
use crate::auth::tokens::ISSUED_AT_LEEWAY;

/// Oldest release that is supported, as `server_version_num` has it.
const VERSION_MIN: i64 = 150_000;
/// Below this, checkpoints come faster than they should under the beats of a large fleet, in MB.
const WAL_MB_HINT: i64 = 4_096;
/// What a clock may be off without being worth a word.
const CLOCK_SKEW_MIN: Duration = Duration::seconds(1);

/// What is looked up for this file.
pub(super) const SETTINGS: &[&str] = &[
    "server_version_num",
    "server_version",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "max_wal_size",
    "max_connections",
    "superuser_reserved_connections",
    "reserved_connections",
    "statement_timeout",
    "idle_session_timeout",
    "default_transaction_read_only",
    "default_transaction_isolation",
];

/// Settings by name, in the units of `pg_settings`.
pub(super) struct Settings(pub(super) HashMap<String, String>);

impl Settings {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// 0 for one that this release does not have.
    fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }
}

pub(super) fn version(settings: &Settings) -> Finding {
    let version = settings.text("server_version");
    if settings.number("server_version_num") < VERSION_MIN {
        return Finding::failed("version", format!("PostgreSQL {version}"), "Upgrade to 15 or newer");
    }
    Finding::ok("version", format!("PostgreSQL {version}"))
}

/// Whether the database can be written at all, and by the isolation that the statements are made for.
pub(super) fn writable(place: &Place, settings: &Settings) -> Finding {
    if place.is_replica {
        return Finding::failed(
            "writable",
            "this Postgres is a standby of another one",
            "Name the primary in DATABASE_URL",
        );
    }
    if settings.text("default_transaction_read_only") == "on" {
        return Finding::failed(
            "writable",
            "transactions are read only unless they say otherwise",
            "Reset default_transaction_read_only for the role and the database",
        );
    }
    let isolation = settings.text("default_transaction_isolation");
    if isolation != "read committed" {
        return Finding::failed(
            "writable",
            format!("transactions are {isolation} unless they say otherwise"),
            "Reset default_transaction_isolation for the role and the database",
        );
    }
    Finding::ok("writable", format!("{} as {}", place.database, place.role))
}

/// Whether what was acknowledged survives a crash.
pub(super) fn durability(settings: &Settings) -> Finding {
    let off = ["fsync", "full_page_writes", "synchronous_commit"].map(|name| (name, settings.text(name)));
    let off: Vec<&str> = off.into_iter().filter(|(_, value)| *value == "off").map(|(name, _)| name).collect();
    if off.is_empty() {
        return Finding::ok("durability", "fsync, full_page_writes and synchronous_commit are on");
    }
    Finding::warning(
        "durability",
        format!("{} off", off.join(", ")),
        "A crash of the machine loses what was acknowledged, or the whole database: turn them on, save for trying out",
    )
}

pub(super) fn wal(settings: &Settings) -> Finding {
    let size = settings.number("max_wal_size");
    let hint = if size < WAL_MB_HINT { "; fleets of hundreds of thousands want 4 GB or more" } else { "" };
    Finding::ok("wal", format!("max_wal_size is {size} MB{hint}"))
}

/// Whether a server and one beside it find room.
pub(super) fn connections(settings: &Settings, occupancy: &Occupancy, needed: u32) -> Finding {
    let reserved =
        settings.number("superuser_reserved_connections") + settings.number("reserved_connections");
    let mut room =
        vec![("max_connections", settings.number("max_connections") - reserved - occupancy.others)];
    for (what, limit, others) in [
        ("the connection limit of the role", occupancy.role_limit, occupancy.others_of_role),
        ("the connection limit of the database", occupancy.database_limit, occupancy.others_of_database),
    ] {
        if limit >= 0 {
            room.push((what, i64::from(limit) - others));
        }
    }
    let (what, room) = room.into_iter().min_by_key(|(_, room)| *room).unwrap_or(("max_connections", 0));
    let detail = format!("{what} leaves room for {room}, and a server takes up to {needed}");
    match room / i64::from(needed.max(1)) {
        ..=0 => Finding::failed("connections", detail, "Raise it, or run fewer other clients"),
        1 => {
            Finding::warning("connections", detail, "Raise it: a second server, as a standby, finds no room")
        }
        2.. => Finding::ok("connections", detail),
    }
}

/// What the role or the database would cut off.
pub(super) fn timeouts(settings: &Settings) -> Finding {
    let set = ["statement_timeout", "idle_session_timeout"].map(|name| (name, settings.number(name)));
    let set: Vec<String> = set
        .into_iter()
        .filter(|(_, milliseconds)| *milliseconds > 0)
        .map(|(name, milliseconds)| format!("{name} is {milliseconds} ms"))
        .collect();
    if set.is_empty() {
        return Finding::ok("timeouts", "Postgres sets none of its own");
    }
    Finding::warning(
        "timeouts",
        set.join(", "),
        "Reset them for the role and the database: they end migrations and the leader's session; servers set their own",
    )
}

/// How far this machine's clock and the database's are apart. The answer was under way for `round_trip`.
pub(super) fn clock(own: OffsetDateTime, database: OffsetDateTime, round_trip: Duration) -> Finding {
    let apart = (own - database).abs();
    let surely = (apart - round_trip).max(Duration::ZERO);
    let detail = format!("this machine's and the database's are {:.1} s apart", apart.as_seconds_f64());
    let advice = "Synchronise both by NTP: a token that was made by a clock ahead is refused by the others";
    if surely > ISSUED_AT_LEEWAY {
        Finding::failed("clock", detail, advice)
    } else if surely > CLOCK_SKEW_MIN {
        Finding::warning("clock", detail, advice)
    } else {
        Finding::ok("clock", detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::doctor::finding::Verdict;

    fn settings(changed: &[(&str, &str)]) -> Settings {
        let good = [
            ("server_version_num", "150003"),
            ("server_version", "15.3"),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
            ("max_wal_size", "4096"),
            ("max_connections", "100"),
            ("superuser_reserved_connections", "3"),
            ("statement_timeout", "0"),
            ("idle_session_timeout", "0"),
            ("default_transaction_read_only", "off"),
            ("default_transaction_isolation", "read committed"),
        ];
        let pairs = good.iter().chain(changed);
        Settings(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn place(is_replica: bool) -> Place {
        Place { role: "r".into(), database: "d".into(), schema: None, may_create: true, is_replica }
    }

    #[test]
    fn settings_that_hurt_are_named() {
        assert_eq!(version(&settings(&[])).verdict, Verdict::Ok);
        assert_eq!(version(&settings(&[("server_version_num", "140011")])).verdict, Verdict::Failed);
        assert_eq!(durability(&settings(&[])).verdict, Verdict::Ok);
        assert_eq!(durability(&settings(&[("synchronous_commit", "local")])).verdict, Verdict::Ok);
        for name in ["fsync", "full_page_writes", "synchronous_commit"] {
            let finding = durability(&settings(&[(name, "off")]));
            assert_eq!((finding.verdict, finding.detail), (Verdict::Warning, format!("{name} off")));
        }
        assert_eq!(timeouts(&settings(&[])).verdict, Verdict::Ok);
        assert_eq!(timeouts(&settings(&[("idle_session_timeout", "1000")])).verdict, Verdict::Warning);
        assert!(wal(&settings(&[("max_wal_size", "1024")])).detail.contains("4 GB"));
    }

    #[test]
    fn a_database_that_cannot_be_written_serves_nobody() {
        assert_eq!(writable(&place(false), &settings(&[])).verdict, Verdict::Ok);
        assert_eq!(writable(&place(true), &settings(&[])).verdict, Verdict::Failed);
        for changed in
            [("default_transaction_read_only", "on"), ("default_transaction_isolation", "serializable")]
        {
            assert_eq!(
                writable(&place(false), &settings(&[changed])).verdict,
                Verdict::Failed,
                "{changed:?}"
            );
        }
    }

    #[test]
    fn the_tightest_bound_decides_and_a_standby_wants_room_too() {
        let free = Occupancy {
            others: 0,
            others_of_role: 0,
            others_of_database: 0,
            role_limit: -1,
            database_limit: -1,
        };
        let judged = |occupancy: &Occupancy| {
            let finding = connections(&settings(&[]), occupancy, 20);
            (finding.verdict, finding.detail)
        };
        assert_eq!(judged(&free).0, Verdict::Ok);
        assert_eq!(judged(&Occupancy { others: 57, ..free.clone() }).0, Verdict::Ok);
        assert_eq!(judged(&Occupancy { others: 58, ..free.clone() }).0, Verdict::Warning);
        assert_eq!(judged(&Occupancy { others: 78, ..free.clone() }).0, Verdict::Failed);
        assert_eq!(judged(&Occupancy { others: 99, ..free.clone() }).0, Verdict::Failed);
        let (verdict, detail) = judged(&Occupancy { role_limit: 25, others_of_role: 6, ..free.clone() });
        assert_eq!(verdict, Verdict::Failed);
        assert!(detail.starts_with("the connection limit of the role leaves room for 19"), "{detail}");
        assert_eq!(judged(&Occupancy { database_limit: 0, ..free }).0, Verdict::Failed);
    }

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let judged = |seconds: i64, round_trip: i64| {
            clock(now, now + Duration::seconds(seconds), Duration::seconds(round_trip)).verdict
        };
        assert_eq!((judged(0, 0), judged(1, 0), judged(-1, 0)), (Verdict::Ok, Verdict::Ok, Verdict::Ok));
        assert_eq!((judged(2, 0), judged(-5, 0)), (Verdict::Warning, Verdict::Warning));
        assert_eq!((judged(6, 0), judged(-6, 0)), (Verdict::Failed, Verdict::Failed));
        assert_eq!(judged(6, 6), Verdict::Ok);
    }
}
