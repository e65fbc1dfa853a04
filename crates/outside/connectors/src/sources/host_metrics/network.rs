//! `network`: traffic of network interfaces, one record per interface, from `/proc/net/dev`.
//!
//! The loopback interface `lo` is left out by default. Rates cover the time since the sample
//! before; they are missing in the first sample of an interface and after it was reset.
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `bytes_in` | bytes | received since the interface came up |
//! | `packets_in` | packets | received since the interface came up |
//! | `errors_in` | packets | received with an error |
//! | `drops_in` | packets | received and dropped |
//! | `bytes_out` | bytes | sent since the interface came up |
//! | `packets_out` | packets | sent since the interface came up |
//! | `errors_out` | packets | not sent because of an error |
//! | `drops_out` | packets | dropped before they were sent |
//! | `bytes_in_per_second` | bytes per second | received |
//! | `packets_in_per_second` | packets per second | received |
//! | `errors_in_per_second` | packets per second | received with an error |
//! | `drops_in_per_second` | packets per second | received and dropped |
//! | `bytes_out_per_second` | bytes per second | sent |
//! | `packets_out_per_second` | packets per second | sent |
//! | `errors_out_per_second` | packets per second | not sent because of an error |
//! | `drops_out_per_second` | packets per second | dropped before they were sent |
//!
//! | tag | meaning |
//! |---|---|
//! | `interface` | name of the interface, such as `eth0` |

use super::error::Problems;
use super::history::History;
use super::text::{lines, words};
use super::{CollectError, Collector, Ctx, INSTANCES_MAX};

/// Columns after the name up to `drop` of the sending side; fifo, colls, carrier and compressed
/// follow.
const COLUMNS: usize = 12;
/// The columns that are reported: bytes, packets, errs and drop of either side.
const REPORTED: [usize; 8] = [0, 1, 2, 3, 8, 9, 10, 11];
/// Fields for [`REPORTED`]: the counter and its rate.
const NAMES: [(&str, &str); REPORTED.len()] = [
    ("bytes_in", "bytes_in_per_second"),
    ("packets_in", "packets_in_per_second"),
    ("errors_in", "errors_in_per_second"),
    ("drops_in", "drops_in_per_second"),
    ("bytes_out", "bytes_out_per_second"),
    ("packets_out", "packets_out_per_second"),
    ("errors_out", "errors_out_per_second"),
    ("drops_out", "drops_out_per_second"),
];

/// See the module.
#[derive(Default)]
pub(super) struct Network {
    history: History<{ REPORTED.len() }>,
}

impl Collector for Network {
    const NAME: &'static str = "network";
    const TAGS: &'static [(&'static str, &'static str)] =
        &[("interface", "name of the network interface, such as `eth0`")];
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("bytes_in", "received since the interface came up, bytes"),
        ("packets_in", "received since the interface came up, packets"),
        ("errors_in", "received with an error since the interface came up, packets"),
        ("drops_in", "received and dropped since the interface came up, packets"),
        ("bytes_out", "sent since the interface came up, bytes"),
        ("packets_out", "sent since the interface came up, packets"),
        ("errors_out", "not sent because of an error since the interface came up, packets"),
        ("drops_out", "dropped before sending since the interface came up, packets"),
        ("bytes_in_per_second", "received since the sample before, bytes per second"),
        ("packets_in_per_second", "received since the sample before, packets per second"),
        (
            "errors_in_per_second",
            "received with an error since the sample before, packets per second",
        ),
        ("drops_in_per_second", "received and dropped since the sample before, packets per second"),
        ("bytes_out_per_second", "sent since the sample before, bytes per second"),
        ("packets_out_per_second", "sent since the sample before, packets per second"),
        (
            "errors_out_per_second",
            "not sent because of an error since the sample before, packets per second",
        ),
        (
            "drops_out_per_second",
            "dropped before sending since the sample before, packets per second",
        ),
    ];

    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        let file = ctx.files.read_namespaced("net/dev")?;
        let mut problems = Problems::default();
        let mut seen = 0;
        for (number, line) in lines(file.text) {
            // The two lines of headings are the ones with bars.
            if line.contains(&b'|') {
                continue;
            }
            if seen == INSTANCES_MAX {
                let what = "network interfaces";
                problems.note(Err(CollectError::TooMany { what, limit: INSTANCES_MAX }));
                break;
            }
            let Some((interface, counters)) = parse(line) else {
                seen += 1;
                let expected = "an interface, a colon and twelve or more counts";
                problems.note(Err(file.malformed(number, expected)));
                continue;
            };
            if interface == b"lo" && !ctx.options.include_loopback {
                continue;
            }
            seen += 1;
            let growth = self.history.advance(interface, ctx.now, counters);
            let mut record = ctx.output.record(Self::NAME, &[("interface", interface)]);
            for (value, (name, _)) in counters.iter().zip(NAMES) {
                record = record.integer(name, *value);
            }
            if let Some(growth) = growth {
                for (index, (_, rate)) in NAMES.iter().enumerate() {
                    record = record.decimal(rate, growth.rate(index));
                }
            }
            problems.note(record.finish());
        }
        self.history.forget_unseen();
        problems.finish()
    }
}

/// Splits a line such as `eth0:1024 7 0 …`; the name itself may hold colons, the counts do not.
fn parse(line: &[u8]) -> Option<(&[u8], [u64; REPORTED.len()])> {
    let colon = line.iter().rposition(|&byte| byte == b':')?;
    let interface = line[..colon].trim_ascii();
    let columns = words(&line[colon + 1..]).integers::<COLUMNS>()?;
    (!interface.is_empty()).then(|| (interface, REPORTED.map(|at| columns[at])))
}
