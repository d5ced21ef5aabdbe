//! `rollcall node explain`.

use contracts::{
    NodeId,
    wire::v1::{
        ExplainNodeRequest, ExplainNodeResponse, FindingKind,
        node_admin_service_client::NodeAdminServiceClient,
    },
};

use crate::cli::{
    age::at_and_ago,
    clock,
    exit::after_help,
    failure::Failure,
    node::json,
    output::Output,
    servers::{ANSWER_BYTES_MAX, Servers},
    table::Table,
    wire_word::word,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The first line is the answer; the findings that it rests on follow, the decisive one first.

Examples:
  rollcall node explain laptop-1
  rollcall node explain laptop-1 --json | jq -r .summary"))]
pub(crate) struct Explain {
    /// Name of the node
    #[arg(value_name = "NODE")]
    node: NodeId,

    /// Print the node, the summary and the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let request = ExplainNodeRequest { node_id: self.node.to_string() };
        let answer = servers
            .call(&request, async |channel, request| {
                NodeAdminServiceClient::new(channel)
                    .max_decoding_message_size(ANSWER_BYTES_MAX)
                    .explain_node(request)
                    .await
            })
            .await?;
        if self.json {
            return output.json(&json::Explanation {
                node: answer.node.map(Into::into),
                summary: answer.summary,
                findings: answer.findings.into_iter().map(Into::into).collect(),
            });
        }
        show(&answer, output)
    }
}

fn show(answer: &ExplainNodeResponse, output: &mut Output) -> Result<(), Failure> {
    output.line(&answer.summary)?;
    if answer.findings.is_empty() {
        return Ok(());
    }
    let now = clock::now();
    // The text comes last: it is the only long one, and is never padded.
    let mut table = Table::with_headings(&["FINDING", "AT", "EVIDENCE"]);
    for finding in &answer.findings {
        table.row([
            word::<FindingKind>(finding.kind),
            at_and_ago(finding.at.as_ref(), now),
            finding.text.clone(),
        ]);
    }
    output.line("")?;
    output.table(&table)
}
