//! Every advisory lock of Rollcall, so that no two mean the same number.

use std::time::Duration;

/// Held while migrations run.
pub const MIGRATIONS: i64 = 0x726f_6c6c_0000_0001;
/// Held by the leader for as long as it leads.
pub const LEADER: i64 = 0x726f_6c6c_0000_0002;
/// Held while the first admin's token is made, and while `rollcall dev` replaces its own.
pub const FIRST_TOKEN: i64 = 0x726f_6c6c_0000_0003;

/// With the hash of a family of tokens: shared while one is added to it, held alone while it is revoked. Locks of two
/// numbers are none of those of one.
pub const TOKEN_FAMILY: i32 = 0x726f_6c6c;

/// How often a standby tries the leader's lock. It does not wait inside Postgres: a session that waits in one
/// statement holds back vacuum for the whole cluster.
pub const CAMPAIGN_INTERVAL: Duration = Duration::from_millis(25);
