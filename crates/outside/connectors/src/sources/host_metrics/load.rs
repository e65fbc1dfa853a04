//! `load`: run queue averages, one record, from `/proc/loadavg`.
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `load1` | tasks | average of tasks that run, wait for a CPU or wait for a disk, over 1 minute |
//! | `load5` | tasks | the same over 5 minutes |
//! | `load15` | tasks | the same over 15 minutes |
//! | `running` | tasks | tasks (processes and threads) that run or wait for a CPU now |
//! | `total` | tasks | all tasks (processes and threads) |

use super::text::{integer, lines, words};
use super::{CollectError, Collector, Ctx};

/// See the module.
#[derive(Default)]
pub(super) struct Load;

impl Collector for Load {
    const NAME: &'static str = "load";
    const TAGS: &'static [(&'static str, &'static str)] = &[];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("load1", "tasks running or waiting for a CPU or a disk, average of 1 minute"),
        ("load5", "tasks running or waiting for a CPU or a disk, average of 5 minutes"),
        ("load15", "tasks running or waiting for a CPU or a disk, average of 15 minutes"),
        ("running", "tasks (processes and threads) running or waiting for a CPU now"),
        ("total", "all tasks (processes and threads)"),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let file = ctx.files.read("proc/loadavg")?;
        let (line, text) = lines(file.text).next().unwrap_or((1, b""));
        let Some(([load1, load5, load15], [running, total])) = parse(text) else {
            return Err(file.malformed(line, "three averages and `running/total`"));
        };
        let record = ctx.output.record(Self::NAME, &[]);
        let record = record.decimal("load1", load1).decimal("load5", load5);
        let record = record.decimal("load15", load15);
        record.integer("running", running).integer("total", total).finish()
    }
}

fn parse(line: &[u8]) -> Option<([f64; 3], [u64; 2])> {
    let mut words = words(line);
    let averages = [words.decimal()?, words.decimal()?, words.decimal()?];
    let tasks = words.next()?;
    let slash = tasks.iter().position(|&byte| byte == b'/')?;
    Some((averages, [integer(&tasks[..slash])?, integer(&tasks[slash + 1..])?]))
}
