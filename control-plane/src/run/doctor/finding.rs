//! What was found, and how it is told.

use serde::Serialize;

use crate::cli::table::Table;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Works, and will hurt some day, or some.
    Warning,
    /// A server would not start, or not keep its promises.
    Failed,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, in one word that does not change.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What there is.
    pub(super) detail: String,
    /// What to do; none when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, detail: detail.into(), advice: None }
    }

    pub(super) fn warning(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, detail: detail.into(), advice: Some(advice.into()) }
    }

    pub(super) fn failed(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failed, detail: detail.into(), advice: Some(advice.into()) }
    }
}

/// All findings.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The worst of all verdicts.
    pub(super) verdict: Verdict,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
        Self { verdict, findings }
    }

    /// One line a finding.
    pub(super) fn to_table(&self) -> Table {
        let mut table = Table::with_headings(&["VERDICT", "CHECK", "DETAIL"]);
        for finding in &self.findings {
            let line = match &finding.advice {
                Some(advice) => format!("{}. {advice}", finding.detail),
                None => finding.detail.clone(),
            };
            table.row([
                finding.verdict.as_str().to_owned(),
                finding.check.to_owned(),
                line.replace('\n', " "),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_as_bad_as_its_worst_finding() {
        let (ok, bad) = (Finding::ok("a", "fine"), Finding::failed("b", "is\nbad", "mend it"));
        let warned = Finding::warning("c", "may hurt", "look");
        assert_eq!(Report::new(Vec::new()).verdict, Verdict::Ok);
        assert_eq!(Report::new(vec![ok.clone(), warned.clone()]).verdict, Verdict::Warning);
        let report = Report::new(vec![ok, bad, warned]);
        assert_eq!(report.verdict, Verdict::Failed);
        assert_eq!(
            report.to_table().to_string(),
            "VERDICT  CHECK  DETAIL\nok       a      fine\nfailed   b      is bad. mend it\nwarning  c      may hurt. look\n"
        );
    }
}
