//! `rollcall leader show`.

use contracts::wire::v1::{
    GetLeadershipRequest, LeadershipRole, leadership_service_client::LeadershipServiceClient,
};

use super::json;
use crate::cli::{
    age::rfc3339, exit::after_help, failure::Failure, output::Output, servers::Servers, table::Table,
    wire_word::word,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Any server answers, a standby too. The epoch rises with every leader; STATE is what the last one was doing when it \
wrote last, and RENEWED AT when it last proved that it holds the lock.

Examples:
  rollcall leader show
  rollcall leader show --json | jq -r .leader_address"))]
pub(crate) struct Show {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let answer = servers
            .call(&GetLeadershipRequest {}, async |channel, request| {
                LeadershipServiceClient::new(channel).get_leadership(request).await
            })
            .await?;
        if self.json {
            return output.json(&json::Leadership::from(answer));
        }
        let absent = || "-".to_owned();
        let leader = Some(answer.leader_address.clone()).filter(|address| !address.is_empty());
        let mut table = Table::of_fields([
            ("leader", leader.unwrap_or_else(absent)),
            ("state", answer.state.clone()),
            ("epoch", answer.epoch.to_string()),
            ("since", rfc3339(answer.since.as_ref()).unwrap_or_else(absent)),
            ("renewed at", rfc3339(answer.renewed_at.as_ref()).unwrap_or_else(absent)),
            ("standbys", answer.standbys.to_string()),
            ("asked server", word::<LeadershipRole>(answer.role)),
        ]);
        for last in &answer.abdications {
            let at = rfc3339(last.at.as_ref()).unwrap_or_else(absent);
            table.row([
                "abdicated".to_owned(),
                format!("epoch {} at {at}, for {} hung", last.epoch, last.duty),
            ]);
        }
        output.table(&table)
    }
}
