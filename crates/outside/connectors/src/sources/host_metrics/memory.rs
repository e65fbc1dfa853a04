//! `memory`: memory and swap, one record, from `/proc/meminfo`.
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `total` | bytes | memory that the kernel manages |
//! | `available` | bytes | memory that programs can still get without swapping |
//! | `used` | bytes | `total` less `available` |
//! | `free` | bytes | memory that nothing uses |
//! | `buffers` | bytes | cache of raw block devices |
//! | `cached` | bytes | cache of file contents |
//! | `used_percent` | percent | `used` of `total` |
//! | `swap_total` | bytes | size of all swap areas |
//! | `swap_free` | bytes | swap that is not used |
//! | `swap_used` | bytes | `swap_total` less `swap_free` |
//!
//! `available` is the kernel's estimate; before Linux 3.14 there is none and free + buffers +
//! cached stands in.

use super::text::{lines, words};
use super::{CollectError, Collector, Ctx};

/// See the module.
#[derive(Default)]
pub(super) struct Memory;

/// The lines of `/proc/meminfo` that count here, in bytes.
#[derive(Default)]
struct MemInfo {
    total: Option<u64>,
    free: Option<u64>,
    available: Option<u64>,
    buffers: u64,
    cached: u64,
    swap_total: u64,
    swap_free: u64,
}

impl Collector for Memory {
    const NAME: &'static str = "memory";
    const TAGS: &'static [(&'static str, &'static str)] = &[];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("total", "memory that the kernel manages, bytes"),
        ("available", "memory that programs can still get without swapping, bytes"),
        ("used", "total less available, bytes"),
        ("free", "memory that nothing uses, bytes"),
        ("buffers", "cache of raw block devices, bytes"),
        ("cached", "cache of file contents, bytes"),
        ("used_percent", "used of total, percent; left out when total is 0"),
        ("swap_total", "size of all swap areas, bytes"),
        ("swap_free", "swap that is not used, bytes"),
        ("swap_used", "swap_total less swap_free, bytes"),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let file = ctx.files.read("proc/meminfo")?;
        let mut info = MemInfo::default();
        for (number, line) in lines(file.text) {
            if info.take(line).is_none() {
                return Err(file.malformed(number, "a name and a number of kB"));
            }
        }
        let total = info.total.ok_or_else(|| file.missing("MemTotal"))?;
        let free = info.free.ok_or_else(|| file.missing("MemFree"))?;
        let available = info.available.unwrap_or_else(|| {
            free.saturating_add(info.buffers).saturating_add(info.cached).min(total)
        });
        let used = total.saturating_sub(available);

        let record = ctx.output.record(Self::NAME, &[]);
        let record = record.integer("total", total).integer("available", available);
        let record = record.integer("used", used).integer("free", free);
        let mut record = record.integer("buffers", info.buffers).integer("cached", info.cached);
        if total > 0 {
            record = record.decimal("used_percent", used as f64 / total as f64 * 100.0);
        }
        let record = record.integer("swap_total", info.swap_total);
        let record = record.integer("swap_free", info.swap_free);
        record.integer("swap_used", info.swap_total.saturating_sub(info.swap_free)).finish()
    }
}

// === impl MemInfo ===

impl MemInfo {
    /// Takes a line if it is one of ours; `None` when it is and cannot be read.
    fn take(&mut self, line: &[u8]) -> Option<()> {
        let mut words = words(line);
        let key = words.next().unwrap_or_default();
        let mut bytes = || {
            let kibibytes = words.integer()?;
            (words.next()? == b"kB").then(|| kibibytes.saturating_mul(1024))
        };
        match key {
            b"MemTotal:" => self.total = Some(bytes()?),
            b"MemFree:" => self.free = Some(bytes()?),
            b"MemAvailable:" => self.available = Some(bytes()?),
            b"Buffers:" => self.buffers = bytes()?,
            b"Cached:" => self.cached = bytes()?,
            b"SwapTotal:" => self.swap_total = bytes()?,
            b"SwapFree:" => self.swap_free = bytes()?,
            _ => {}
        }
        Some(())
    }
}
