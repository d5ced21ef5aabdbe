//! Rollcall: a control plane for fleets of runtime daemons. `docs/ARCHITECTURE.md` is the map.

pub mod audit;
pub mod auth;
pub mod cli;
mod days;
pub mod duties;
pub mod event_log;
pub mod failure;
pub mod leadership;
pub mod maintenance;
pub mod nodes;
pub mod postgres;
pub mod presence;
pub mod quotas;
pub mod replication;
pub mod retention;
pub mod roster;
pub mod run;
pub mod server;
pub mod sessions;
pub mod settings;
pub mod wire;
