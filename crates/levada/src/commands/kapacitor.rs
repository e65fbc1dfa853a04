//! `levada kapacitor`: the original's client.

use levada_client::{Format, World};
use levada_runtime::SystemClock;

use crate::args::{Common, OutputFormat};
use crate::exit::Exit;

pub(super) fn run(words: &[String], common: &Common) -> Exit {
    let format = format(common);
    let code = in_world(|world| levada_client::kapacitor::run(words, format, world));
    if code == 0 { Exit::Done } else { Exit::Other(code) }
}

/// Gives what results look like.
pub(super) fn format(common: &Common) -> Format {
    match common.output {
        OutputFormat::Text => Format::Text,
        OutputFormat::Json => Format::Json,
    }
}

/// Runs something with this process's environment, clock, zone and output.
pub(super) fn in_world<T>(work: impl FnOnce(&mut World<'_>) -> T) -> T {
    let variable = |name: &str| std::env::var(name).ok();
    work(&mut World {
        variable: &variable,
        clock: SystemClock::new(),
        zone: jiff::tz::TimeZone::system(),
        poll_interval: World::POLL_INTERVAL,
        answer_timeout: World::ANSWER_TIMEOUT,
        out: &mut std::io::stdout(),
        err: &mut std::io::stderr(),
    })
}
