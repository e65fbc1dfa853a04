//! `processes`: how many processes there are and what they do, one record, from `/proc/[pid]/stat`.
//!
//! A process that ends while it is looked at does not count. At most [`SCANNED_MAX`] processes are
//! looked at in one sample; beyond that `total` still counts all and the sample reports a failure.
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `total` | processes | all processes |
//! | `scanned` | processes | processes that the other fields are about; `total` unless there are very many |
//! | `threads` | threads | threads of these processes |
//! | `running` | processes | running or waiting for a CPU (state `R`) |
//! | `sleeping` | processes | waiting for an event (`S`) |
//! | `blocked` | processes | waiting, mostly for a disk, and deaf to signals (`D`) |
//! | `idle` | processes | idle kernel threads (`I`) |
//! | `stopped` | processes | stopped by a signal or a debugger (`T`, `t`) |
//! | `zombies` | processes | ended, and not yet collected by their parent (`Z`) |
//! | `other` | processes | any other state |

use std::io::ErrorKind;

use super::error::Problems;
use super::text::words;
use super::{CollectError, Collector, Ctx};

/// Most processes looked at in one sample. Ours: about a third of a second of system calls.
pub(super) const SCANNED_MAX: usize = 32_768;

/// "No such process": what reading `/proc/[pid]/stat` answers when the process ends after the file
/// was opened.
const NO_SUCH_PROCESS: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// The states that have a field, in the order of [`States::NAMES`].
#[derive(Default)]
struct States([u64; 7]);

/// See the module.
#[derive(Default)]
pub(super) struct Processes {
    pids: Vec<u64>,
}

impl Collector for Processes {
    const NAME: &'static str = "processes";
    const TAGS: &'static [(&'static str, &'static str)] = &[];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("total", "all processes"),
        ("scanned", "processes that the other fields are about; total unless there are very many"),
        ("threads", "threads of the scanned processes"),
        ("running", "processes running or waiting for a CPU (state R)"),
        ("sleeping", "processes waiting for an event (state S)"),
        ("blocked", "processes waiting, mostly for a disk, and deaf to signals (state D)"),
        ("idle", "idle kernel threads (state I)"),
        ("stopped", "processes stopped by a signal or a debugger (states T and t)"),
        ("zombies", "processes that ended and are not yet collected by their parent (state Z)"),
        ("other", "processes in any other state"),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let mut total = ctx.files.numbered_entries("proc", SCANNED_MAX, &mut self.pids)?;
        let mut problems = Problems::default();
        if total > self.pids.len() as u64 {
            let what = "processes";
            problems.note(Err(CollectError::TooMany { what, limit: SCANNED_MAX }));
        }
        let mut states = States::default();
        let (mut scanned, mut threads) = (0u64, 0u64);
        for pid in &self.pids {
            let file = match ctx.files.read(&format!("proc/{pid}/stat")) {
                Ok(file) => file,
                Err(error) if has_ended(&error) => {
                    total -= 1;
                    continue;
                }
                Err(error) => {
                    problems.note(Err(error));
                    continue;
                }
            };
            let Some((state, own_threads)) = parse(file.text) else {
                let expected = "a process with a state and a number of threads";
                problems.note(Err(file.malformed(1, expected)));
                continue;
            };
            states.count(state);
            scanned += 1;
            threads = threads.saturating_add(own_threads);
        }
        let record = ctx.output.record(Self::NAME, &[]).integer("total", total);
        let mut record = record.integer("scanned", scanned).integer("threads", threads);
        for (name, count) in States::NAMES.into_iter().zip(states.0) {
            record = record.integer(name, count);
        }
        problems.note(record.finish());
        problems.finish()
    }
}

// === impl States ===

impl States {
    const NAMES: [&str; 7] =
        ["running", "sleeping", "blocked", "idle", "stopped", "zombies", "other"];

    fn count(&mut self, state: u8) {
        let index = match state {
            b'R' => 0,
            b'S' => 1,
            b'D' => 2,
            b'I' => 3,
            b'T' | b't' => 4,
            b'Z' => 5,
            _ => 6,
        };
        self.0[index] += 1;
    }
}

fn has_ended(error: &CollectError) -> bool {
    let CollectError::Unreadable { source, .. } = error else {
        return false;
    };
    source.kind() == ErrorKind::NotFound || source.raw_os_error() == Some(NO_SUCH_PROCESS)
}

/// Gives state and threads of a line such as `12 (a name) S 1 …`; the name may hold anything, also
/// brackets and line breaks, the rest of the line holds none (Linux: proc_pid_stat(5)).
fn parse(stat: &[u8]) -> Option<(u8, u64)> {
    let bracket = stat.iter().rposition(|&byte| byte == b')')?;
    let mut words = words(&stat[bracket + 1..]);
    let &[state] = words.next()? else { return None };
    // The state is column 3, the number of threads column 20.
    words.nth(15)?;
    Some((state, words.integer()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_line_breaks_do_not_hide_the_state() {
        let rest = "1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 7 0 100";
        for name in ["a", "a b", "x) Z 9", "(", "a\nb"] {
            let stat = format!("12 ({name}) S {rest}\n");
            assert_eq!(parse(stat.as_bytes()), Some((b'S', 7)), "{name:?}");
        }
        for bad in ["", "12 (a) S 1 2", "12 (a) SS 1", "12 (a", ")"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
