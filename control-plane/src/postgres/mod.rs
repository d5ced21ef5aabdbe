//! The database: pools, migrations, and the private Postgres of `rollcall dev` and the tests.

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

/// Connections for requests.
const REQUEST_CONNECTIONS_MAX: u32 = 16;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections that a server may hold at once with so many lanes: those of both pools, the leader's own, and one more
/// for its migrations at the start.
pub(crate) fn connections_max(lanes: u16) -> u32 {
    REQUEST_CONNECTIONS_MAX + u32::from(lanes) + 2
}

/// A connection for requests. No statement outlives 3 s, and no transaction is left open for longer than 2 s.
pub(crate) fn request_options(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("statement_timeout", "3s"), ("idle_in_transaction_session_timeout", "2s")])
}

/// The pool for requests.
pub fn request_pool(options: PgConnectOptions) -> PgPool {
    let options = request_options(options);
    PgPoolOptions::new()
        .max_connections(REQUEST_CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options)
}

/// The pool of the beat lanes, one connection each. Batches of every size run the one generic plan: custom plans flip
/// to scanning the whole table from about a thousand keys on.
pub(crate) fn lane_pool(options: PgConnectOptions, lanes: u16) -> PgPool {
    let options = options.options([("statement_timeout", "3s"), ("plan_cache_mode", "force_generic_plan")]);
    PgPoolOptions::new()
        .max_connections(lanes.into())
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options)
}
