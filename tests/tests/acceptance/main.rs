//! What the product promises, shown on the built binaries, from outside.

mod attach;
mod bad_input;
mod beats;
mod brake;
mod capabilities;
mod floor;
mod generations;
mod outage;
mod service_time;
mod sessions;
mod silence;
mod spans;
mod watch;
