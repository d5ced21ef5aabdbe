//! The database: how it is connected to, migrations, and the private Postgres of `rollcall dev` and the tests.
//!
//! Each kind of connection has a name of its own in `pg_stat_activity`, and what it may do is set where it is made:
//! reads cannot write, and writes name the term of their leader, which the fence compares.

pub mod embedded;
pub(crate) mod interval;
pub mod migrate;
pub mod pooler;
pub(crate) mod stored;

use std::time::Duration;

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Connections for reads, and as many again for writes.
const REQUEST_CONNECTIONS_MAX: u32 = 16;
/// One for each writer of the logs.
const LOG_CONNECTIONS: u32 = 2;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Name of connections that hold the leader's lock, or wait for it.
pub(crate) const LOCK_CONNECTION: &str = "rollcall lock";
/// What it is called while its server leaves the lock to others.
pub(crate) const STANDING_BACK: &str = "rollcall lock, standing back";
/// Name of the setting that the fence compares with the term of the leader.
const TERM_SETTING: &str = "rollcall.epoch";
/// Its value for work that no leader does, such as migrations and repair.
const BY_HAND: &str = "by-hand";

/// No statement outlives 3 s, and no transaction is left open for longer than 2 s.
const REQUEST_LIMITS: [(&str, &str); 2] =
    [("statement_timeout", "3s"), ("idle_in_transaction_session_timeout", "2s")];

/// A server whose machine vanished must not keep a lock for as long as TCP waits by default.
const DEAD_PEER: [(&str, &str); 5] = [
    ("tcp_keepalives_idle", "4"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10s"),
    ("client_connection_check_interval", "1s"),
];

/// Connections that a server may hold at once with so many lanes: those of the pools for reads, for writes, for beats and
/// for appends, the one that holds the leader's lock or waits for it, one that recovers, and one for its migrations at the start.
pub(crate) fn connections_max(lanes: u16) -> u32 {
    2 * REQUEST_CONNECTIONS_MAX + u32::from(lanes) + LOG_CONNECTIONS + 3
}

/// A connection for requests, with the limits that all of them have.
pub(crate) fn request_options(options: PgConnectOptions) -> PgConnectOptions {
    named(options, "rollcall reads").options(REQUEST_LIMITS)
}

/// The pool for reads, which cannot write.
pub fn read_pool(options: PgConnectOptions) -> PgPool {
    let options = request_options(options).options([("default_transaction_read_only", "on")]);
    pool(REQUEST_CONNECTIONS_MAX).connect_lazy_with(options)
}

/// The pool for the writes of a term.
pub(crate) fn write_pool(options: PgConnectOptions, term: &str) -> PgPool {
    let options = named(options, "rollcall writes").options(REQUEST_LIMITS).options([(TERM_SETTING, term)]);
    pool(REQUEST_CONNECTIONS_MAX).connect_lazy_with(options)
}

/// The pool of the beat lanes of a term, one connection each. Batches of every size run the one generic plan: custom
/// plans flip to scanning the whole table from about a thousand keys on.
pub(crate) fn lane_pool(options: PgConnectOptions, term: &str, lanes: u16) -> PgPool {
    let options = named(options, "rollcall beats").options([
        ("statement_timeout", "3s"),
        ("plan_cache_mode", "force_generic_plan"),
        (TERM_SETTING, term),
    ]);
    pool(lanes.into()).connect_lazy_with(options)
}

/// The pool of the writers of the logs of a term, one connection each. Groups of every size run the one generic plan.
pub(crate) fn log_pool(options: PgConnectOptions, term: &str) -> PgPool {
    let options = named(options, "rollcall log")
        .options(REQUEST_LIMITS)
        .options([("plan_cache_mode", "force_generic_plan"), (TERM_SETTING, term)]);
    pool(LOG_CONNECTIONS).connect_lazy_with(options)
}

/// The connection that recovers, which reads all there is.
pub(crate) fn recovery_options(options: PgConnectOptions, term: &str) -> PgConnectOptions {
    named(options, "rollcall recovery").options([("statement_timeout", "60s"), (TERM_SETTING, term)])
}

/// The connection that holds the leader's lock, or waits for it. It may be idle for ever; only waits for locks of others
/// are bounded, so that nobody keeps it from proving that it is there.
pub(crate) fn lock_options(options: PgConnectOptions) -> PgConnectOptions {
    named(options, LOCK_CONNECTION).options([("lock_timeout", "1s")])
}

/// A connection for what no leader does: the fence lets it pass.
pub fn by_hand(options: PgConnectOptions) -> PgConnectOptions {
    named(options, "rollcall-by-hand").options([(TERM_SETTING, BY_HAND)])
}

/// Statements are short and many: to compile one takes longer than to run it.
fn named(options: PgConnectOptions, name: &str) -> PgConnectOptions {
    options.application_name(name).options(DEAD_PEER).options([("jit", "off")])
}

fn pool(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections_max).acquire_timeout(ACQUIRE_TIMEOUT)
}
