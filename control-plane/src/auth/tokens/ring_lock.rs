//! One writer of a key ring at a time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Changing a ring takes milliseconds; who holds the lock for longer is stuck.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Polling rather than a blocking call, which has no end.
const POLL: Duration = Duration::from_millis(10);

/// Held until dropped. The kernel releases it when its holder dies, so no lock is ever stale.
///
/// A file of its own, never removed: the ring's file is replaced by each change, and a lock on it would go with it.
#[derive(Debug)]
pub(super) struct RingLock {
    _file: File,
}

impl RingLock {
    /// Waits for the lock, for a while. None if somebody else holds it all that time.
    pub(super) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let asked = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if asked.elapsed() >= WAIT_MAX => return Ok(None),
                Err(TryLockError::WouldBlock) => thread::sleep(POLL),
            }
        }
    }
}
