//! Every metric is documented.

use std::{collections::BTreeSet, path::Path};

use crate::{read, rust_files};

#[test]
fn every_metric_is_documented() {
    let sources = rust_files().into_iter().filter(|file| file.starts_with("control-plane/src"));
    let metrics: BTreeSet<String> = sources
        .flat_map(|file| read(&file).split('"').map(str::to_owned).collect::<Vec<_>>())
        .filter(|text| is_metric(text))
        .collect();
    assert!(metrics.len() > 30, "{} metrics are too few to be all", metrics.len());
    let page = read(Path::new("docs/operations/observability.md"));
    for metric in metrics {
        assert!(page.contains(&format!("`{metric}")), "{metric} is not in docs/operations/observability.md");
    }
}

/// Nothing else in quotes is named like one.
fn is_metric(text: &str) -> bool {
    text.strip_prefix("rollcall_")
        .is_some_and(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}
