//! `cpu`: where CPU time went, one record for all cores together (`core` is `total`) and one per
//! core, from `/proc/stat`.
//!
//! Shares are of the time since the sample before; in the first sample of a core, since boot. The
//! first eight add up to 100. A core whose counters did not move has no record (`total` has one,
//! with only `count`).
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `usage` | percent | 100 less `idle` and `iowait` |
//! | `user` | percent | programs, with virtual machines |
//! | `nice` | percent | programs of low priority, with virtual machines |
//! | `system` | percent | the kernel |
//! | `idle` | percent | nothing to do |
//! | `iowait` | percent | nothing to do but wait for a disk |
//! | `irq` | percent | hardware interrupts |
//! | `softirq` | percent | software interrupts |
//! | `steal` | percent | time that the hypervisor gave to others |
//! | `guest` | percent | virtual machines on this host; a part of `user` and `nice` |
//! | `count` | cores | cores that are online; in the `total` record only |
//!
//! | tag | meaning |
//! |---|---|
//! | `core` | number of the core, or `total` |

use super::error::Problems;
use super::history::History;
use super::text::{Words, lines, words};
use super::{CollectError, Collector, Ctx, INSTANCES_MAX};

/// Columns of a `cpu` line: user, nice, system, idle, iowait, irq, softirq, steal, guest,
/// guest_nice.
const COLUMNS: usize = 10;
/// Columns that every kernel has; the others came with Linux 2.6.
const COLUMNS_MIN: usize = 4;
/// Columns that add up to all time; the guest columns are parts of `user` and `nice`.
const DISJOINT: usize = 8;
const IDLE: usize = 3;
const IOWAIT: usize = 4;
/// Names of the first columns, in their order.
const SHARES: [&str; DISJOINT] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// See the module.
#[derive(Default)]
pub(super) struct Cpu {
    history: History<COLUMNS>,
}

impl Collector for Cpu {
    const NAME: &'static str = "cpu";
    const TAGS: &'static [(&'static str, &'static str)] =
        &[("core", "number of the core, or `total` for all together")];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("usage", "100 less idle and iowait, percent of the time since the sample before"),
        ("user", "programs, with virtual machines, percent of the time since the sample before"),
        ("nice", "programs of low priority, percent of the time since the sample before"),
        ("system", "the kernel, percent of the time since the sample before"),
        ("idle", "nothing to do, percent of the time since the sample before"),
        (
            "iowait",
            "nothing to do but wait for a disk, percent of the time since the sample before",
        ),
        ("irq", "hardware interrupts, percent of the time since the sample before"),
        ("softirq", "software interrupts, percent of the time since the sample before"),
        ("steal", "given to others by the hypervisor, percent of the time since the sample before"),
        (
            "guest",
            "virtual machines here, a part of user and nice, percent of the time since the sample before",
        ),
        ("count", "cores that are online, in the `total` record only"),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let file = ctx.files.read("proc/stat")?;
        let cores = lines(file.text).filter(|(_, line)| core(line).is_some_and(|c| c != b"total"));
        let count = cores.count() as u64;
        let mut problems = Problems::default();
        let mut seen = 0;
        for (number, line) in lines(file.text) {
            let Some(core) = core(line) else { continue };
            if seen == INSTANCES_MAX {
                let what = "lines for cores";
                problems.note(Err(CollectError::TooMany { what, limit: INSTANCES_MAX }));
                break;
            }
            seen += 1;
            let Some(ticks) = ticks(words(line)) else {
                problems.note(Err(file.malformed(number, "`cpu` and four to ten tick counts")));
                continue;
            };
            let past = self.history.swap(core, ctx.now, ticks);
            let grown = grown(past.map_or([0; COLUMNS], |(ticks, _)| ticks), ticks);
            let all: f64 = grown[..DISJOINT].iter().sum();
            let is_total = core == b"total";
            if all <= 0.0 && !is_total {
                continue;
            }
            let mut record = ctx.output.record(Self::NAME, &[("core", core)]);
            if all > 0.0 {
                let percent = |ticks: f64| ticks / all * 100.0;
                record = record.decimal("usage", percent(all - grown[IDLE] - grown[IOWAIT]));
                for (name, ticks) in SHARES.iter().zip(grown) {
                    record = record.decimal(name, percent(ticks));
                }
                record = record.decimal("guest", percent(grown[8] + grown[9]));
            }
            if is_total {
                record = record.integer("count", count);
            }
            problems.note(record.finish());
        }
        self.history.forget_unseen();
        if seen == 0 {
            return Err(file.missing("cpu"));
        }
        problems.finish()
    }
}

/// Gives the core of a line: its number, or `total`; `None` for lines about other things.
fn core(line: &[u8]) -> Option<&[u8]> {
    match words(line).next()?.strip_prefix(b"cpu")? {
        b"" => Some(b"total"),
        number => number.iter().all(u8::is_ascii_digit).then_some(number),
    }
}

fn ticks(mut words: Words<'_>) -> Option<[u64; COLUMNS]> {
    words.next()?;
    let mut ticks = [0; COLUMNS];
    for (index, ticks) in ticks.iter_mut().enumerate() {
        match words.next() {
            Some(word) => *ticks = super::text::integer(word)?,
            None if index >= COLUMNS_MIN => break,
            None => return None,
        }
    }
    Some(ticks)
}

/// Gives the growth of each column. The kernel lets single columns (`idle`, `iowait`) fall back a
/// little now and then; such a column did not grow.
fn grown(past: [u64; COLUMNS], now: [u64; COLUMNS]) -> [f64; COLUMNS] {
    std::array::from_fn(|column| now[column].saturating_sub(past[column]) as f64)
}
