//! `rollcall maintenance status`.

use contracts::wire::v1::{GetMaintenanceRequest, maintenance_service_client::MaintenanceServiceClient};

use super::json;
use crate::cli::{
    age::at_and_ago, clock, exit::after_help, failure::Failure, output::Output, servers::Servers,
    table::Table,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall maintenance status
  rollcall maintenance status --json | jq .on"))]
pub(crate) struct Status {
    /// Print whether it is on, since when and why as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let answer = servers
            .call(&GetMaintenanceRequest {}, async |channel, request| {
                MaintenanceServiceClient::new(channel).get_maintenance(request).await
            })
            .await?;
        let maintenance = answer.maintenance.ok_or_else(|| Failure::missing("maintenance"))?;
        if self.json {
            return output.json(&json::Maintenance::from(maintenance));
        }
        let mut table = Table::with_headings(&["MAINTENANCE", "SINCE", "REASON"]);
        if maintenance.on {
            let since = at_and_ago(maintenance.since.as_ref(), clock::now());
            table.row(["on".to_owned(), since, maintenance.reason]);
        } else {
            table.row(["off", "-", "-"].map(str::to_owned));
        }
        output.table(&table)
    }
}
