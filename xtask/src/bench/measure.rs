//! What a process costs, as the kernel counts it.

use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often the memory of a running process is looked at. The kernel keeps the peak itself, so only what a process
/// adds in its last moments can be missed.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// A run that takes longer is stopped.
const RUN_MAX: Duration = Duration::from_secs(3600);
/// Clock ticks per second of `/proc/<pid>/stat` when `getconf` is not there. Source: proc(5), `USER_HZ` of Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// The number of the field `utime`; `stime` follows. Source: proc(5).
const OWN_TIMES: usize = 14;
/// The number of the field `cutime`; `cstime` follows. Source: proc(5).
const TIMES_OF_CHILDREN: usize = 16;

/// The cost of one run.
pub(super) struct Usage {
    pub wall_seconds: f64,
    /// User and system time of the process and of everything it waited for.
    pub cpu_seconds: f64,
    /// Peak resident memory in millions of bytes.
    pub peak_mb: f64,
}

/// Runs a process to its end without stdin.
pub(super) fn run(command: &mut Command) -> Result<(ExitStatus, Usage)> {
    let ticks_per_second = ticks_per_second();
    let ticks_before = children_ticks()?;
    let start = Instant::now();
    let program = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut peak_kib = 0;
    let status = loop {
        // Before the wait: once waited for, the process is gone.
        peak_kib = peak_kib.max(peak_kib_of(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().context("cannot wait for the process")? {
            break status;
        }
        if start.elapsed() > RUN_MAX {
            child.kill().context("cannot stop the process")?;
            child.wait().context("cannot wait for the process")?;
            bail!("{} did not end within {} s", program.display(), RUN_MAX.as_secs());
        }
        thread::sleep(LOOK_INTERVAL);
    };
    let wall_seconds = start.elapsed().as_secs_f64();
    // Exact: the kernel adds the times of a child to these counters when it is waited for, and we have no other child.
    let ticks = children_ticks()? - ticks_before;
    let usage = Usage {
        wall_seconds,
        cpu_seconds: ticks as f64 / ticks_per_second,
        peak_mb: peak_kib as f64 * 1024.0 / 1e6,
    };
    Ok((status, usage))
}

/// Gives the user and system time that a running process took so far, in seconds.
pub(super) fn cpu_seconds_of(process: u32) -> Result<f64> {
    cpu_seconds_from(&format!("/proc/{process}/stat"))
}

/// Gives the user and system time that this process took so far, in seconds.
pub(super) fn own_cpu_seconds() -> Result<f64> {
    cpu_seconds_from("/proc/self/stat")
}

/// Gives the highest resident memory of a running process, in millions of bytes.
pub(super) fn peak_mb_of(process: u32) -> Result<f64> {
    let peak = peak_kib_of(process).context("the process has ended")?;
    Ok(peak as f64 * 1024.0 / 1e6)
}

fn cpu_seconds_from(path: &str) -> Result<f64> {
    let stat = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let ticks =
        two_fields(&stat, OWN_TIMES).with_context(|| format!("{path} has an unknown form"))?;
    Ok(ticks as f64 / ticks_per_second())
}

/// The middle value, or the mean of the two middle ones; zero without values.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(*value, values[middle - 1]),
    }
}

/// The processor's name and the number of CPUs that we may use.
pub(super) fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let count = thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {count} CPUs")
}

/// User and system ticks of all children that this process has waited for.
fn children_ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
    two_fields(&stat, TIMES_OF_CHILDREN).context("/proc/self/stat has an unknown form")
}

/// Gives the sum of two fields of a `stat` file, the first of them by its number.
fn two_fields(stat: &str, first: usize) -> Option<u64> {
    // Field 2, the name, may hold blanks and brackets; field 3 follows its last bracket.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(first - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Peak resident memory of a running process; none once it has ended.
fn peak_kib_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

fn ticks_per_second() -> f64 {
    let output = Command::new("getconf").arg("CLK_TCK").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_own_times_and_those_of_children() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 130 70 20 0 1";
        assert_eq!(two_fields(stat, TIMES_OF_CHILDREN), Some(200));
        assert_eq!(two_fields(stat, OWN_TIMES), Some(23));
        assert_eq!(two_fields("7 (a) S 1 2", OWN_TIMES), None);
    }

    #[test]
    fn this_process_takes_time_and_memory() {
        assert!(own_cpu_seconds().unwrap() >= 0.0);
        assert!(peak_mb_of(std::process::id()).unwrap() > 1.0);
        assert!(cpu_seconds_of(0).is_err());
    }

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(median([3.0, 1.0, 900.0, 2.0, 4.0].into_iter()), 3.0);
        assert_eq!(median([4.0, 1.0, 2.0, 900.0].into_iter()), 3.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }

    #[test]
    fn a_busy_process_costs_time_and_memory() {
        // Counts in the shell for a moment: long enough for the clock's ticks to see it.
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3";
        let (status, usage) = run(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(usage.wall_seconds > 0.0);
        assert!(usage.cpu_seconds > 0.0, "{}", usage.cpu_seconds);
        assert!(usage.peak_mb > 0.1, "{}", usage.peak_mb);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program")).err().unwrap();
        assert!(error.to_string().contains("no-such-program"));
    }
}
