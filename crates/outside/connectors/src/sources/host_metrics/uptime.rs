//! `uptime`: since when the host runs, and what it runs, one record, from `/proc/uptime`,
//! `/proc/stat` and `/proc/sys/kernel`.
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `uptime_seconds` | seconds | time since boot |
//! | `boot_time_seconds` | seconds | time of boot since 1970-01-01 UTC |
//! | `hostname` | text | name of the host |
//! | `kernel_release` | text | release of the kernel, such as `6.18.44` |

use super::error::Problems;
use super::files::SystemFile;
use super::text::{lines, words};
use super::{CollectError, Collector, Ctx};

/// See the module.
#[derive(Default)]
pub(super) struct Uptime {
    release: Vec<u8>,
}

impl Collector for Uptime {
    const NAME: &'static str = "uptime";
    const TAGS: &'static [(&'static str, &'static str)] = &[];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("uptime_seconds", "time since boot, seconds"),
        ("boot_time_seconds", "time of boot, seconds since 1970-01-01 UTC"),
        ("hostname", "name of the host, text"),
        ("kernel_release", "release of the kernel, text"),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let file = ctx.files.read("proc/uptime")?;
        let uptime =
            words(file.text).decimal().ok_or_else(|| file.malformed(1, "a number of seconds"))?;
        let mut problems = Problems::default();
        let boot_time = ctx.files.read("proc/stat").and_then(boot_time);
        self.release.clear();
        let release = ctx.files.read_name(&["proc/sys/kernel/osrelease"]);
        let release = release.map(|release| self.release.extend_from_slice(release));

        let mut record = ctx.output.record(Self::NAME, &[]).decimal("uptime_seconds", uptime);
        if let Ok(boot_time) = boot_time {
            record = record.integer("boot_time_seconds", boot_time);
        }
        record = record.text("hostname", ctx.host);
        if release.is_ok() {
            record = record.text("kernel_release", &self.release);
        }
        problems.note(record.finish());
        problems.note(boot_time.map(|_| ()));
        problems.note(release);
        problems.finish()
    }
}

fn boot_time(file: SystemFile<'_>) -> Result<u64, CollectError> {
    for (number, line) in lines(file.text) {
        let mut words = words(line);
        if words.next() == Some(b"btime") {
            return words
                .integer()
                .ok_or_else(|| file.malformed(number, "`btime` and a number of seconds"));
        }
    }
    Err(file.missing("btime"))
}
