//! A file lock that can be awaited. The kernel releases it when its holder dies, so no lock is ever stale.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Polling rather than a blocking call, which would hold a thread and could not be cancelled.
const POLL: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) async fn acquire(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let mut waited = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if waited => {}
                Err(TryLockError::WouldBlock) => {
                    waited = true;
                    tracing::debug!(lock = %path.display(), "waiting for another process");
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
