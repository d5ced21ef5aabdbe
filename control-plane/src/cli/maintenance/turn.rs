//! `rollcall maintenance on` and `rollcall maintenance off`.

use contracts::wire::v1::{SetMaintenanceRequest, maintenance_service_client::MaintenanceServiceClient};

use super::json;
use crate::cli::{
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
When this ends, no write is under way any more. Everyone who is refused is told the reason. Turning on what is on \
changes the reason.

Examples:
  rollcall maintenance on --reason upgrade"))]
pub(crate) struct On {
    /// Why, for everyone who is refused, and for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: String,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the state as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Daemons beat again within seconds, by themselves. Turning off what is off changes nothing.

Examples:
  rollcall maintenance off
  rollcall maintenance off --reason upgraded"))]
pub(crate) struct Off {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the state as JSON
    #[arg(long)]
    json: bool,
}

impl On {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let said =
            ["maintenance is on: writes are refused, reads are served", "dry run: maintenance would be on"];
        turn(true, self.reason, &self.change, self.json, said, servers, output).await
    }
}

impl Off {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let said = ["maintenance is off: writes pass", "dry run: maintenance would be off"];
        let reason = self.reason.unwrap_or_default();
        turn(false, reason, &self.change, self.json, said, servers, output).await
    }
}

async fn turn(
    on: bool,
    reason: String,
    change: &ChangeArguments,
    is_json: bool,
    [said, said_of_dry_run]: [&str; 2],
    servers: &mut Servers,
    output: &mut Output,
) -> Result<(), Failure> {
    let (dry_run, request_id) = (change.dry_run, change.request_id());
    let request =
        SetMaintenanceRequest { on, reason, validate_only: dry_run, request_id: request_id.clone() };
    let answer = servers
        .call(&request, async |channel, request| {
            MaintenanceServiceClient::new(channel).set_maintenance(request).await
        })
        .await?;
    let maintenance = answer.maintenance.ok_or_else(|| Failure::missing("maintenance"))?;
    if is_json {
        return output.json(&json::Turned { maintenance: maintenance.into(), dry_run, request_id });
    }
    output.note(if dry_run { said_of_dry_run } else { said });
    Ok(())
}
