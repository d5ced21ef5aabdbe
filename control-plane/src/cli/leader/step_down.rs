//! `rollcall leader step-down`.

use contracts::wire::v1::{StepDownRequest, leadership_service_client::LeadershipServiceClient};

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
The leader finishes what is under way and lets go of the lock; a standby leads a moment later, and daemons follow. \
Refused when no standby waits. Admins only.

Examples:
  rollcall leader step-down --dry-run
  rollcall leader step-down --reason kernel-update"))]
pub(crate) struct StepDown {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    /// Step down although no standby waits; this server leads again when none comes
    #[arg(long)]
    without_standby: bool,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print what ended as JSON
    #[arg(long)]
    json: bool,
}

impl StepDown {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { reason, without_standby, change, json } = self;
        let dry_run = change.dry_run;
        let request_id = change.request_id();
        let request = StepDownRequest {
            reason: reason.unwrap_or_default(),
            without_standby,
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                LeadershipServiceClient::new(channel).step_down(request).await
            })
            .await?;
        let epoch = answer.epoch;
        if json {
            return output.json(&json::SteppedDown { epoch, dry_run, request_id });
        }
        output.note(&if dry_run {
            format!("dry run: the leader of epoch {epoch} would step down")
        } else {
            format!("the leader of epoch {epoch} stepped down")
        });
        Ok(())
    }
}
