//! What the product promises, shown on the built binaries, from outside.

mod attach;
mod bad_input;
mod beats;
mod brake;
mod capabilities;
mod daemons;
mod explain;
mod floor;
mod generations;
mod observability;
mod outage;
mod service_time;
mod sessions;
mod silence;
mod spans;
mod standby;
mod watch;
mod wire_service;
