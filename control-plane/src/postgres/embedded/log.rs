//! The server's own log: bounded, and quoted when a start fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Checked at each start. There are two files of about this size, plus what the running server writes.
const BYTES_MAX: u64 = 8 << 20;

const LINES_SHOWN: usize = 20;

/// The log from one start on.
pub(super) struct Log {
    path: PathBuf,
    begins_at: u64,
}

impl Log {
    /// The file is opened here and inherited by the server, which as another account may not open it itself.
    pub(super) fn open(path: &Path) -> io::Result<(File, Self)> {
        if fs::metadata(path).is_ok_and(|log| log.len() > BYTES_MAX) {
            fs::rename(path, path.with_extension("log.1"))?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let begins_at = file.metadata()?.len();
        Ok((file, Self { path: path.to_path_buf(), begins_at }))
    }

    /// The log of a server that another process started.
    pub(super) fn of_another(path: &Path) -> Self {
        Self { path: path.to_path_buf(), begins_at: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For an error text, so a log that cannot be read is an empty one.
    pub(super) fn last_lines(&self) -> String {
        let mut bytes = Vec::new();
        let _ = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.begins_at))?;
            file.read_to_end(&mut bytes)
        });
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
    }
}
