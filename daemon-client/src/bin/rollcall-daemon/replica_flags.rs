//! The flags of `rollcall-daemon replica`, which looks at a folder and talks to no server.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do instead of keeping a node attached.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Looks at a replica's folder, whether a daemon has it open or not.
    #[command(subcommand)]
    Replica(ReplicaCommand),
}

#[derive(Subcommand)]
pub(crate) enum ReplicaCommand {
    /// Shows what the replica holds.
    Show(Place),
    /// Reads all of it and proves it: the base by its digest, the events by their chain. Exits with 1 when it is not
    /// what was written.
    Verify(Place),
    /// Lists what is kept aside, or shows the events of one entry.
    Aside(AsideFlags),
}

#[derive(Args)]
pub(crate) struct Place {
    /// Folder of the replica, as given to --replica.
    pub(crate) folder: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct AsideFlags {
    #[command(flatten)]
    pub(crate) place: Place,

    /// Number of the entry whose events are shown, whole, as one JSON object a line.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) events: Option<u64>,
}
