//! What `postmaster.pid` says about the server of a cluster, and whether it is still true.

use std::fs;
use std::io;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Postmaster {
    /// There is no server, and the last one ended in order.
    Absent,
    /// It runs, and is starting or stopping.
    Changing,
    Ready {
        pid: u32,
    },
    /// The server in the file is gone. `pid_in_use`: there still is a process of that number, as a zombie or as
    /// someone else's, which would keep the next server from starting.
    Dead {
        pid: u32,
        pid_in_use: bool,
    },
}

pub(super) fn look(cluster: &Path) -> io::Result<Postmaster> {
    let text = match fs::read(cluster.join("postmaster.pid")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Postmaster::Absent),
        Err(error) => return Err(error),
    };
    let Some(Contents { pid, ready }) = contents(&text) else {
        return Ok(Postmaster::Absent);
    };
    Ok(match process(pid, cluster) {
        Process::Gone => Postmaster::Dead { pid, pid_in_use: false },
        Process::Zombie | Process::Stranger => Postmaster::Dead { pid, pid_in_use: true },
        Process::Server if ready => Postmaster::Ready { pid },
        Process::Server => Postmaster::Changing,
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Contents {
    pid: u32,
    ready: bool,
}

/// The number of the process is in line 1, its state in line 8.
fn contents(text: &str) -> Option<Contents> {
    let pid = text.lines().next()?.trim().parse().ok()?;
    let ready = text.lines().nth(7).is_some_and(|state| state.trim() == "ready");
    Some(Contents { pid, ready })
}

enum Process {
    Gone,
    Zombie,
    /// Numbers are used again, after a restart of a container even at once.
    Stranger,
    Server,
}

/// A server works inside its cluster's folder. Where that cannot be asked (in a container root may not look at
/// other users' processes) the program's name decides.
#[cfg(target_os = "linux")]
fn process(pid: u32, cluster: &Path) -> Process {
    // `pid (name) state ...`, and the name may hold anything.
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return Process::Gone;
    };
    let Some((head, tail)) = stat.rsplit_once(')') else {
        return Process::Gone;
    };
    if tail.trim_start().starts_with(['Z', 'X']) {
        return Process::Zombie;
    }
    let is_server = match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(folder) => folder == cluster,
        Err(_) => head.ends_with("(postgres"),
    };
    if is_server { Process::Server } else { Process::Stranger }
}

#[cfg(not(target_os = "linux"))]
fn process(pid: u32, _cluster: &Path) -> Process {
    let ps = std::process::Command::new("ps").args(["-o", "stat=,comm=", "-p", &pid.to_string()]).output();
    let text = ps.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.trim().split_once(char::is_whitespace) {
        None if text.trim().is_empty() => Process::Gone,
        None => Process::Zombie,
        Some((state, _)) if state.starts_with('Z') => Process::Zombie,
        Some((_, name)) if name.trim().ends_with("postgres") => Process::Server,
        Some(_) => Process::Stranger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_eight_says_whether_the_server_is_ready() {
        let file =
            |state| format!("4711\n/d/data\n1700000000\n5432\n/d/run\n\n  5432001    131077\n{state}\n");
        assert_eq!(contents(&file("ready   ")), Some(Contents { pid: 4711, ready: true }));
        assert_eq!(contents(&file("stopping")), Some(Contents { pid: 4711, ready: false }));
        assert_eq!(contents("4711\n/d/data\n"), Some(Contents { pid: 4711, ready: false }));
        assert_eq!(contents(""), None);
    }
}
