//! Every metric is documented.

use std::{collections::BTreeSet, path::Path};

use crate::{read, rust_files};

#[test]
fn every_metric_is_documented() {
    let sources = rust_files().into_iter().filter(|file| file.starts_with("control-plane/src"));
    let metrics: BTreeSet<String> = sources.flat_map(|file| metrics_of(&read(&file))).collect();
    assert!(metrics.len() > 30, "{} metrics are too few to be all", metrics.len());
    let page = read(Path::new("docs/operations/observability.md"));
    for metric in metrics {
        assert!(page.contains(&format!("`{metric}")), "{metric} is not in docs/operations/observability.md");
    }
}

/// The names that the macros of the metrics crate are called with.
fn metrics_of(source: &str) -> Vec<String> {
    let calls =
        ["counter!(", "gauge!(", "histogram!("].into_iter().flat_map(|call| source.split(call).skip(1));
    calls
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}
