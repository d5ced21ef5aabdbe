//! The key ring of the moment, for a server that runs.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinError, spawn_blocking},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    key_ring::KeyRing,
    ring_file::{KeyRingFile, KeyRingFileError, Stamp},
};

/// Reads a key ring file again when it changes. A file that went bad is an error in the log, and the former ring stays
/// in use: a slip of an operator's hand does not lock everybody out.
#[derive(Debug)]
pub struct KeyRingWatch {
    file: KeyRingFile,
    /// What the ring in use was read from.
    seen: Stamp,
    ring: watch::Sender<Arc<KeyRing>>,
    /// What was logged last, so that it is said once and not with each look.
    complaint: Option<String>,
}

impl KeyRingWatch {
    /// Reads the file. The receiver holds the ring of the moment from then on, also after the watch has ended.
    ///
    /// # Errors
    ///
    /// As for [`KeyRingFile::load`]: a server does not start without its keys.
    pub fn open(file: KeyRingFile) -> Result<(Self, watch::Receiver<Arc<KeyRing>>), KeyRingFileError> {
        let (ring, seen) = file.load_stamped()?;
        let (ring, receiver) = watch::channel(Arc::new(ring));
        Ok((Self { file, seen, ring, complaint: None }, receiver))
    }

    /// Looks at the file once per `period`, until it is told to stop. The period is what a rotation has to wait for
    /// between its steps.
    ///
    /// # Errors
    ///
    /// A look that panicked. Bad files are no errors here.
    pub async fn run(mut self, period: Duration, stop: CancellationToken) -> Result<(), JoinError> {
        let mut looks = interval(period);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if stop.run_until_cancelled(looks.tick()).await.is_none() {
                return Ok(());
            }
            // On a thread of its own: the folder may be on a network that hangs.
            let look = spawn_blocking(move || {
                self.look();
                self
            });
            let Some(looked) = stop.run_until_cancelled(look).await else { return Ok(()) };
            self = looked?;
        }
    }

    /// Compares the file with what was seen, reads it if it differs, and publishes what it holds.
    pub(super) fn look(&mut self) {
        let changed = self
            .file
            .stamp()
            .and_then(|stamp| if stamp == self.seen { Ok(None) } else { self.file.load_stamped().map(Some) });
        match changed {
            Ok(None) => self.complaint = None,
            Ok(Some((ring, seen))) => {
                tracing::info!(
                    path = %self.file.path().display(),
                    signing = %ring.signing().kid(),
                    keys = ring.keys().count(),
                    "the key ring was read again"
                );
                self.seen = seen;
                self.complaint = None;
                self.ring.send_replace(Arc::new(ring));
            }
            // Tried again with each look: it may be whole by then without another change of its times.
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::error!(error = %complaint, "the former key ring stays in use");
                    self.complaint = Some(complaint);
                }
            }
        }
    }
}
