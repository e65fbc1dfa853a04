//! Runs command lines in a world that a test owns.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use levada_client::{Format, World, kapacitor};
use levada_model::Timestamp;
use levada_runtime::Clock;

/// How long answers may take, also on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A clock that stands at noon of 1 March 2026 and whose sleeps are over at once; as those of the system's clock they
/// need a runtime to begin in.
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_772_366_400_000_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(Duration::ZERO))
    }
}

/// How a command line ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs something in a world with these variables, in this zone.
pub(crate) fn in_world(
    variables: &BTreeMap<String, String>,
    zone: &str,
    work: impl FnOnce(&mut World<'_>) -> u8,
) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let variable = |name: &str| variables.get(name).cloned();
    let mut world = World {
        variable: &variable,
        clock: Arc::new(Noon),
        zone: if zone == "UTC" { TimeZone::UTC } else { TimeZone::get(zone).unwrap() },
        poll_interval: Duration::ZERO,
        answer_timeout: TIMEOUT,
        out: &mut out,
        err: &mut err,
    };
    let code = work(&mut world);
    Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// Runs `kapacitor` against the server at `url`, which may take only so long.
pub(crate) fn kapacitor_within(url: &str, timeout: Duration, words: &[&str]) -> Ran {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let variables = BTreeMap::from([("KAPACITOR_URL".to_owned(), url.to_owned())]);
    in_world(&variables, "UTC", |world| {
        world.answer_timeout = timeout;
        kapacitor::run(&words, Format::Text, world)
    })
}

/// Runs `kapacitor` against the server at `url`.
pub(crate) fn kapacitor(url: &str, words: &[&str]) -> Ran {
    kapacitor_within(url, TIMEOUT, words)
}
