//! Says on stderr how far a long read is.

use std::time::{Duration, Instant};

use crate::cli::output::Output;

/// At most one line in this time, and none for a read that ends sooner.
const INTERVAL: Duration = Duration::from_secs(1);

/// Progress of one read.
pub(crate) struct Progress {
    what: &'static str,
    next_line_at: Instant,
}

impl Progress {
    /// Progress of reading `what`, a plural noun.
    pub(crate) fn of(what: &'static str) -> Self {
        Self { what, next_line_at: Instant::now() + INTERVAL }
    }

    /// `count` were read so far, of `total` where it is known, and the read goes on.
    pub(crate) fn tell(&mut self, count: usize, total: Option<i64>, at: Instant, output: &mut Output) {
        if at < self.next_line_at {
            return;
        }
        self.next_line_at = at + INTERVAL;
        let what = self.what;
        match total {
            Some(total) => output.note(&format!("read {count} of {total} {what}")),
            None => output.note(&format!("read {count} {what} so far")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::Captured;

    #[test]
    fn there_is_at_most_one_line_a_second() {
        let (mut output, captured) = Captured::output();
        let mut progress = Progress::of("nodes");
        let start = Instant::now();
        progress.tell(1_000, None, start, &mut output);
        progress.tell(2_000, None, start + INTERVAL * 2, &mut output);
        progress.tell(3_000, None, start + INTERVAL * 2, &mut output);
        progress.tell(4_000, Some(9_000), start + INTERVAL * 3, &mut output);
        assert_eq!(captured.notes(), "read 2000 nodes so far\nread 4000 of 9000 nodes\n");
        assert_eq!(captured.data(), "");
    }
}
