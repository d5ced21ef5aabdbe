//! What the product promises, shown on the built binaries, from outside.

mod access;
mod attach;
mod audit;
mod bad_input;
mod beats;
mod brake;
mod capabilities;
mod daemons;
mod doctor;
mod explain;
mod floor;
mod generations;
mod members;
mod observability;
mod outage;
mod retention;
mod revocation;
mod service_time;
mod sessions;
mod silence;
mod spans;
mod standby;
mod tls;
mod tokens;
mod watch;
mod wire_service;
