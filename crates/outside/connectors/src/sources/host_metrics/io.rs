//! `io`: traffic of block devices, one record per device, from `/proc/diskstats`.
//!
//! Partitions, loop devices (`loop0`) and RAM disks (`ram0`) are left out by default. Rates cover
//! the time since the sample before; they are missing in the first sample of a device and after it
//! was reset.
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `reads` | requests | reads completed since boot |
//! | `writes` | requests | writes completed since boot |
//! | `read_bytes` | bytes | read since boot |
//! | `write_bytes` | bytes | written since boot |
//! | `read_time_ms` | milliseconds | sum over all reads since boot; the kernel counts in 32 bits |
//! | `write_time_ms` | milliseconds | sum over all writes since boot; the kernel counts in 32 bits |
//! | `io_time_ms` | milliseconds | time with requests in progress since boot; the kernel counts in 32 bits |
//! | `in_progress` | requests | requests handed to the device and not completed |
//! | `reads_per_second` | requests per second | reads completed |
//! | `writes_per_second` | requests per second | writes completed |
//! | `read_bytes_per_second` | bytes per second | bytes read |
//! | `write_bytes_per_second` | bytes per second | bytes written |
//! | `busy_percent` | percent | time with requests in progress, at most 100 |
//!
//! | tag | meaning |
//! |---|---|
//! | `device` | name of the device, such as `sda` |

use std::collections::HashSet;

use super::error::Problems;
use super::history::{Growth, History};
use super::output::Record;
use super::text::{lines, words};
use super::{CollectError, Collector, Ctx, INSTANCES_MAX};

/// Bytes of a sector in `/proc/diskstats`, whatever the device (Linux:
/// Documentation/block/stat.rst).
const SECTOR_BYTES: u64 = 512;

/// Columns after the name that every kernel has (Linux: Documentation/admin-guide/iostats.rst).
const COLUMNS: usize = 11;
const READS: usize = 0;
const SECTORS_READ: usize = 2;
const READ_MS: usize = 3;
const WRITES: usize = 4;
const SECTORS_WRITTEN: usize = 6;
const WRITE_MS: usize = 7;
const IN_PROGRESS: usize = 8;
const IO_MS: usize = 9;

/// The columns whose growth is reported.
const GROWING: [usize; 5] = [READS, WRITES, SECTORS_READ, SECTORS_WRITTEN, IO_MS];

/// See the module.
#[derive(Default)]
pub(super) struct Io {
    history: History<{ GROWING.len() }>,
}

impl Collector for Io {
    const NAME: &'static str = "io";
    const TAGS: &'static [(&'static str, &'static str)] =
        &[("device", "name of the block device, such as `sda`")];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("reads", "reads completed since boot, requests"),
        ("writes", "writes completed since boot, requests"),
        ("read_bytes", "read since boot, bytes"),
        ("write_bytes", "written since boot, bytes"),
        ("read_time_ms", "sum over all reads since boot, milliseconds (32-bit counter)"),
        ("write_time_ms", "sum over all writes since boot, milliseconds (32-bit counter)"),
        ("io_time_ms", "time with requests in progress since boot, milliseconds (32-bit counter)"),
        ("in_progress", "requests handed to the device and not completed"),
        ("reads_per_second", "reads completed since the sample before, requests per second"),
        ("writes_per_second", "writes completed since the sample before, requests per second"),
        ("read_bytes_per_second", "read since the sample before, bytes per second"),
        ("write_bytes_per_second", "written since the sample before, bytes per second"),
        ("busy_percent", "time with requests in progress since the sample before, percent"),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let file = ctx.files.read("proc/diskstats")?;
        let names: HashSet<&[u8]> = lines(file.text).filter_map(|(_, line)| device(line)).collect();
        let mut problems = Problems::default();
        let mut seen = 0;
        for (number, line) in lines(file.text) {
            let device = device(line);
            if !ctx.options.include_all_devices
                && device.is_some_and(|name| is_memory(name) || is_partition(name, &names))
            {
                continue;
            }
            if seen == INSTANCES_MAX {
                let what = "block devices";
                problems.note(Err(CollectError::TooMany { what, limit: INSTANCES_MAX }));
                break;
            }
            seen += 1;
            let mut words = words(line);
            let numbers = words.nth(2).and_then(|_| words.integers::<COLUMNS>());
            let (Some(device), Some(numbers)) = (device, numbers) else {
                let expected = "two numbers, a device and eleven counts";
                problems.note(Err(file.malformed(number, expected)));
                continue;
            };
            let growth = self.history.advance(device, ctx.now, GROWING.map(|at| numbers[at]));
            let record = ctx.output.record(Self::NAME, &[("device", device)]);
            problems.note(fill(record, &numbers, growth).finish());
        }
        self.history.forget_unseen();
        problems.finish()
    }
}

fn fill<'r, 'a>(
    record: Record<'r, 'a>,
    numbers: &[u64; COLUMNS],
    growth: Option<Growth<{ GROWING.len() }>>,
) -> Record<'r, 'a> {
    let bytes = |sectors: u64| sectors.saturating_mul(SECTOR_BYTES);
    let record = record.integer("reads", numbers[READS]).integer("writes", numbers[WRITES]);
    let record = record.integer("read_bytes", bytes(numbers[SECTORS_READ]));
    let record = record.integer("write_bytes", bytes(numbers[SECTORS_WRITTEN]));
    let record = record.integer("read_time_ms", numbers[READ_MS]);
    let record = record.integer("write_time_ms", numbers[WRITE_MS]);
    let record = record.integer("io_time_ms", numbers[IO_MS]);
    let record = record.integer("in_progress", numbers[IN_PROGRESS]);
    let Some(growth) = growth else { return record };
    // The order is that of GROWING.
    let [reads, writes, sectors_read, sectors_written, busy_ms] =
        std::array::from_fn(|index| growth.rate(index));
    let sector_bytes = SECTOR_BYTES as f64;
    let record = record.decimal("reads_per_second", reads).decimal("writes_per_second", writes);
    let record = record.decimal("read_bytes_per_second", sectors_read * sector_bytes);
    let record = record.decimal("write_bytes_per_second", sectors_written * sector_bytes);
    // Milliseconds per second are tenths of a percent.
    record.decimal("busy_percent", (busy_ms / 10.0).min(100.0))
}

/// Gives the device of a line; its first two words are the device numbers.
fn device(line: &[u8]) -> Option<&[u8]> {
    words(line).nth(2)
}

/// Whether a device is a loop device or a RAM disk.
fn is_memory(name: &[u8]) -> bool {
    let number = name.strip_prefix(b"loop").or_else(|| name.strip_prefix(b"ram"));
    number.is_some_and(|number| number.iter().all(u8::is_ascii_digit))
}

/// Whether a device is a partition of another one in the file: `sda1` of `sda`, `nvme0n1p2` of
/// `nvme0n1`. The kernel puts a `p` before the number where the name of the disk ends in a digit.
fn is_partition(name: &[u8], names: &HashSet<&[u8]>) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let disk = &name[..name.len() - digits];
    let numbered_disk =
        disk.strip_suffix(b"p").filter(|d| d.last().is_some_and(u8::is_ascii_digit));
    digits > 0 && (names.contains(disk) || numbered_disk.is_some_and(|disk| names.contains(disk)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_known_by_their_disk() {
        let names = ["sda", "nvme0n1", "mmcblk0", "dm-0", "md0", "xvda1", "sdp"];
        let names: HashSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        for partition in ["sda1", "sda15", "nvme0n1p1", "mmcblk0p2", "md0p1", "sdp1"] {
            assert!(is_partition(partition.as_bytes(), &names), "{partition}");
        }
        for disk in ["sda", "nvme0n1", "dm-0", "xvda1", "sdb1", "nvme0n2", "mmcblk0boot0", ""] {
            assert!(!is_partition(disk.as_bytes(), &names), "{disk}");
        }
    }
}
