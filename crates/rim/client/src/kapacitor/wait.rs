//! Waiting for recordings and replays, and what both have in common.

use serde_json::{Map, Value};

use super::objects::text;
use super::{Failure, Session};
use crate::flags::{Flag, Parsed, switch};
use crate::times;

/// Goes on at once.
pub(super) const NO_WAIT: Flag = switch("no-wait", "print the ID at once; do not wait for the end");

/// Starts something by a request, waits for its end unless told otherwise, and prints its ID.
///
/// - `kind`: `recordings` or `replays`; `path` is below it.
pub(super) fn start(
    session: &mut Session<'_, '_>,
    parsed: &Parsed,
    kind: &str,
    path: &[&str],
    body: Map<String, Value>,
) -> Result<(), Failure> {
    let whole: Vec<&str> = std::iter::once(kind).chain(path.iter().copied()).collect();
    let begun = session.api.post(&whole, &Value::Object(body))?;
    let id = text(&begun, "id").to_owned();
    if id.is_empty() {
        return Err(Failure::error(format!("the server began something without ID: {begun}")));
    }
    let mut last = begun;
    if !parsed.is_set("no-wait") {
        while text(&last, "status") == "running" {
            let world = &*session.world;
            // The sleep begins inside: clocks of the system have no time outside of a runtime.
            session.api.wait(async { world.clock.sleep(world.poll_interval).await });
            last = session.api.get(&[kind, &id], &[])?;
        }
        if text(&last, "status") == "failed" {
            let message = match text(&last, "error") {
                "" => "it failed, and the server does not say why",
                message => message,
            };
            return Err(Failure::error(message));
        }
    }
    if session.gives_one(&last)? {
        return Ok(());
    }
    session.print(&format!("{id}\n"))
}

/// Puts a flag into a body under a key, when it is written and not empty.
pub(super) fn put(body: &mut Map<String, Value>, key: &str, parsed: &Parsed, flag: &str) {
    if let Some(value) = parsed.get(flag).filter(|value| !value.is_empty()) {
        body.insert(key.to_owned(), value.into());
    }
}

/// Gives a flag that must be written.
pub(super) fn required<'p>(parsed: &'p Parsed, flag: &'p str) -> Result<&'p str, Failure> {
    parsed
        .get(flag)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Failure::missing(format!("Must provide -{flag}.")))
}

/// Puts the range of a query that `-start`, `-stop` and `-past` mean into a body: `past` is how long before the stop.
pub(super) fn put_range(
    body: &mut Map<String, Value>,
    session: &Session<'_, '_>,
    parsed: &Parsed,
) -> Result<(), Failure> {
    let has = |flag: &str| parsed.get(flag).is_some_and(|value| !value.is_empty());
    if has("start") == has("past") {
        return Err(Failure::missing("Must set one of -start or -past, but not both."));
    }
    let stop = match has("stop") {
        true => Some(time(parsed, "stop")?),
        false => None,
    };
    if has("start") {
        body.insert("start".into(), time(parsed, "start")?.to_string().into());
        body.extend(stop.map(|stop| ("stop".to_owned(), stop.to_string().into())));
        return Ok(());
    }
    let past = times::duration_nanos(required(parsed, "past")?).map_err(Failure::error)?;
    let stop = stop.unwrap_or_else(|| session.world.clock.now().to_jiff());
    let start = past.checked_neg().ok_or_else(|| "the time is out of range".to_owned());
    let start = start.and_then(|back| times::shifted(stop, back)).map_err(Failure::error)?;
    body.insert("start".into(), start.to_string().into());
    body.insert("stop".into(), stop.to_string().into());
    Ok(())
}

fn time(parsed: &Parsed, flag: &str) -> Result<jiff::Timestamp, Failure> {
    times::timestamp(required(parsed, flag)?).map_err(Failure::error)
}
