//! What is asked of the server itself: log level, variables, version, service tests.

use serde_json::{Value, json};

use super::objects::{list_of, text};
use super::value::plain;
use super::{Command, Failure, OUTPUT_FLAG, Run, Session};
use crate::api::{Api, ApiError};
use crate::flags::Parsed;
use crate::table::{Table, fixed};
use crate::world::World;

/// The version of the original whose commands these are.
const COMPATIBLE_VERSION: &str = "1.8.0";

pub(super) const LEVEL: Command = Command {
    name: "level",
    arguments: "debug|info|error",
    summary: "set the log level of the server",
    detail: "",
    leading: "",
    flags: &[],
    run: Run::Server(level),
};

pub(super) const VERSION: Command = Command {
    name: "version",
    arguments: "",
    summary: "print the version",
    detail: "",
    leading: "",
    flags: &[],
    run: Run::Alone(version),
};

pub(super) const VARS: Command = Command {
    name: "vars",
    arguments: "",
    summary: "print the debug variables of the server as JSON",
    detail: "",
    leading: "",
    flags: &[],
    run: Run::Server(vars),
};

pub(super) const SERVICE_TESTS: Command = Command {
    name: "service-tests",
    arguments: "NAME-OR-PATTERN...",
    summary: "test services that alerts go to and data come from",
    detail: "Example:\n  kapacitor service-tests slack 'influx*'",
    leading: "",
    flags: &[OUTPUT_FLAG],
    run: Run::Server(service_tests),
};

fn level(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [level] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must provide a log level: debug, info or error."));
    };
    session.api.post(&["loglevel"], &json!({"level": level}))?;
    Ok(())
}

fn version(world: &mut World<'_>, _: &Parsed) -> Result<(), Failure> {
    let own = env!("CARGO_PKG_VERSION");
    Ok(world.print(&format!("Kapacitor OSS {COMPATIBLE_VERSION} (git: levada {own})\n"))?)
}

fn vars(session: &mut Session<'_, '_>, _: &Parsed) -> Result<(), Failure> {
    let bytes = session.api.get_bytes(&["debug", "vars"])?;
    Ok(session.world.out.write_all(&bytes)?)
}

fn service_tests(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    if parsed.rest.is_empty() {
        return Err(Failure::missing("Must provide at least one service name or pattern."));
    }
    let mut table = Table::new([fixed("Service", 20), fixed("Success", 10), fixed("Message", 0)]);
    let mut results = Vec::new();
    for service in services(&session.api, &parsed.rest)? {
        let name = text(&service, "name");
        // What the list shows as options are the defaults of a test; they need not be sent.
        let mut result = session.api.post(&["service-tests", name], &json!({}))?;
        table.row([name.to_owned(), plain(&result, "success"), plain(&result, "message")]);
        if let Some(result) = result.as_object_mut() {
            result.insert("service".to_owned(), name.into());
        }
        results.push(result);
    }
    if session.gives(&results)? {
        return Ok(());
    }
    session.print(&table.render())
}

/// Reads the services that match any pattern, each once.
pub(super) fn services(api: &Api, patterns: &[String]) -> Result<Vec<Value>, ApiError> {
    let all = [String::new()];
    let patterns = if patterns.is_empty() { &all } else { patterns };
    let mut found: Vec<Value> = Vec::new();
    for pattern in patterns {
        let answer = api.get(&["service-tests"], &[("pattern", pattern)])?;
        for service in list_of(answer, "services") {
            if !found.iter().any(|known| text(known, "name") == text(&service, "name")) {
                found.push(service);
            }
        }
    }
    Ok(found)
}
