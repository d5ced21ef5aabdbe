//! The database: pools, migrations, and the private Postgres of `rollcall dev` and the tests.

pub mod embedded;
pub mod migrate;
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

/// The pool for requests. No statement outlives 3 s, and no transaction is left open for longer than 2 s.
pub fn request_pool(options: PgConnectOptions) -> PgPool {
    let options =
        options.options([("statement_timeout", "3s"), ("idle_in_transaction_session_timeout", "2s")]);
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
