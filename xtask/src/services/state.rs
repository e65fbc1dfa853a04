//! Whether a server runs, and whether it is ours.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How long an answer on a port of this machine may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What there is on the port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A process that this project started; its number.
    Running(u32),
    /// Something answers that this project did not start.
    Foreign,
    /// Nothing.
    Down,
}

// === impl State ===

impl State {
    /// Looks at the pid file in the folder of a service and at its port.
    pub(super) fn look(folder: &Path, port: u16) -> Self {
        let written = fs::read_to_string(folder.join("pid")).unwrap_or_default();
        if let Some((pid, start)) = recorded(&written)
            && fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| started(&stat) == Some(start))
        {
            return State::Running(pid);
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => State::Foreign,
            Err(_) => State::Down,
        }
    }
}

/// Reads a pid file: the process, and when it started.
fn recorded(text: &str) -> Option<(u32, u64)> {
    let (pid, start) = text.trim_end().split_once(' ')?;
    Some((pid.parse().ok()?, start.parse().ok()?))
}

/// Reads when a process started from the kernel's line about it; `None` when it has ended.
fn started(stat: &str) -> Option<u64> {
    // The name of the program, in parentheses, can hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    // The start is field 22 of the line; two stand before the state.
    let start = fields.nth(18)?.parse().ok()?;
    (state != "Z").then_some(start)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::TcpListener;

    use super::*;

    const STAT: &str = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 1 0 149430 1 2 3";

    #[test]
    fn a_number_that_was_given_to_another_process_is_not_ours() {
        assert_eq!(started(STAT), Some(149_430));
        assert_eq!(started(&STAT.replace(") S ", ") Z ")), None);
        assert_eq!(started("42 (cut"), None);
        assert_eq!(recorded("42 149430\n"), Some((42, 149_430)));
        assert_eq!(recorded("42\n"), None);
        assert_eq!(recorded(""), None);
    }

    #[test]
    fn what_answers_without_a_pid_file_is_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(State::look(folder.path(), port), State::Foreign);
        let me = std::process::id();
        fs::write(folder.path().join("pid"), format!("{me} 1\n")).unwrap();
        assert_eq!(State::look(folder.path(), port), State::Foreign, "another start");
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        fs::write(folder.path().join("pid"), format!("{me} {}\n", started(&stat).unwrap()))
            .unwrap();
        assert_eq!(State::look(folder.path(), port), State::Running(me));
        drop(listener);
        assert_eq!(State::look(Path::new("/nowhere"), port), State::Down);
    }
}
