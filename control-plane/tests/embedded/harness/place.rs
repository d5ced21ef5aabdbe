//! A folder of a test's own, and the processes that work in it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use super::PATIENCE;

/// How long what a failed test left behind may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Removed when dropped, after the end of every process that works below it. It lies in /tmp, which every account can
/// enter, with a short name, for sockets have short paths.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        let number = Uuid::new_v4().simple().to_string();
        let path = Path::new("/tmp").canonicalize().unwrap().join(format!("rollcall-{}", &number[..12]));
        fs::create_dir(&path).unwrap();
        // Everyone may make things here, as in /tmp itself.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The processes that work below this place or were told about it, with their command lines.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let own = std::process::id();
        let mut processes = if Path::new("/proc/self/cmdline").exists() {
            self.processes_in_proc()
        } else {
            self.processes_by_ps()
        };
        processes.retain(|(pid, _)| *pid != own);
        processes
    }

    /// Waits until no process works below this place.
    pub(crate) fn await_quiet(&self) {
        let began = Instant::now();
        while !self.processes().is_empty() {
            assert!(began.elapsed() < PATIENCE, "still there: {:?}", self.processes());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn processes_in_proc(&self) -> Vec<(u32, String)> {
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let works_here =
                fs::read_link(entry.path().join("cwd")).is_ok_and(|folder| folder.starts_with(&self.0));
            if works_here || self.is_named_in(&arguments) {
                processes.push((pid, String::from_utf8_lossy(&arguments).replace('\0', " ")));
            }
        }
        processes
    }

    fn processes_by_ps(&self) -> Vec<(u32, String)> {
        let output = Command::new("ps").args(["-axww", "-o", "pid=,args="]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines()
            .filter(|line| self.is_named_in(line.as_bytes()))
            .filter_map(|line| {
                let (pid, arguments) = line.trim_start().split_once(' ')?;
                Some((pid.parse().ok()?, arguments.to_owned()))
            })
            .collect()
    }

    fn is_named_in(&self, text: &[u8]) -> bool {
        let path = self.0.as_os_str().as_bytes();
        text.windows(path.len()).any(|window| OsStr::from_bytes(window) == self.0.as_os_str())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let began = Instant::now();
        while began.elapsed() < END_LIMIT && !self.processes().is_empty() {
            thread::sleep(Duration::from_millis(10));
        }
        for (pid, _) in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}
