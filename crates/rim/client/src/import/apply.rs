//! Makes the target what it should be.

use serde_json::{Map, Value, json};

use super::compare::{changes, events};
use super::{Action, Kind, Options, Row, Wanted, What};
use crate::api::{Api, ApiError};
use crate::kapacitor::objects::{list_of, text};

/// States in a request. Source: ours: what a Levada server takes at once.
const EVENTS_PER_REQUEST: usize = 1_000;

/// Bytes of states in a request, unless one alone has more. Ours: far below what a server takes as one body.
const EVENT_BYTES_PER_REQUEST: usize = 4 << 20;

/// A status that is brought over when all else is there.
struct Pending {
    row: usize,
    id: String,
    status: String,
}

/// Why an object is not as it should be.
enum Problem {
    /// It alone.
    Object(String),
    /// The server cannot be reached.
    Server(ApiError),
}

/// Brings all objects over; gives a row for each, and what stopped the work.
pub(super) fn all(
    target: &Api,
    mut wanted: Vec<Wanted>,
    options: &Options,
) -> (Vec<Row>, Option<ApiError>) {
    wanted.sort_by_key(|wanted| wanted.kind);
    let mut rows = Vec::new();
    let mut pending = Vec::new();
    for Wanted { kind, name, what } in wanted {
        let outcome = what.map_err(Problem::Object).and_then(|what| match what {
            What::Definition(body) => {
                define(target, kind, &name, body, options, rows.len(), &mut pending)
            }
            What::Handler { topic, id, body } => handler(target, &topic, &id, &body, options),
            What::Events { topic, events } => states(target, &topic, &events, options),
        });
        let (action, detail) = match outcome {
            Ok(outcome) => outcome,
            Err(Problem::Object(detail)) => (Action::Failed, detail),
            Err(Problem::Server(error)) => return (rows, Some(error)),
        };
        rows.push(Row { kind, name, action, detail });
    }
    for Pending { row, id, status } in pending {
        let body = json!({"status": status});
        match target.patch(&["tasks", &id], &body).map_err(Problem::from) {
            Ok(_) => {}
            Err(Problem::Server(error)) => return (rows, Some(error)),
            Err(Problem::Object(problem)) => {
                rows[row].action = Action::Failed;
                rows[row].detail = format!("cannot become {status}: {problem}");
            }
        }
    }
    (rows, None)
}

type Outcome = Result<(Action, String), Problem>;

fn define(
    target: &Api,
    kind: Kind,
    id: &str,
    mut body: Map<String, Value>,
    options: &Options,
    row: usize,
    pending: &mut Vec<Pending>,
) -> Outcome {
    let collection = if kind == Kind::Template { "templates" } else { "tasks" };
    let path = [collection, id];
    let there = target.find(&path, &[("script-format", "raw")])?;
    let status = body.get("status").and_then(Value::as_str).map(str::to_owned);
    let status = status.filter(|_| !options.disabled);
    let mut status_later = |status: Option<String>| {
        let work = status.map(|status| Pending { row, id: id.to_owned(), status });
        pending.extend(work.filter(|_| !options.dry_run));
    };
    let Some(there) = there else {
        if kind == Kind::Task {
            body.insert("status".into(), "disabled".into());
        }
        body.retain(|_, value| *value != json!({}));
        if !options.dry_run {
            target.post(&[collection], &Value::Object(body))?;
        }
        let detail = status.as_deref().unwrap_or_default().to_owned();
        status_later(status.filter(|status| status == "enabled"));
        return Ok((Action::Created, detail));
    };
    let changes = changes(&body, &there).map_err(Problem::Object)?;
    let mut keys: Vec<String> = changes.keys().cloned().collect();
    if !changes.is_empty() && !options.dry_run {
        target.patch(&path, &Value::Object(changes))?;
    }
    if let Some(status) = status.filter(|status| status != text(&there, "status")) {
        keys.push(status.clone());
        status_later(Some(status));
    }
    let action = if keys.is_empty() { Action::Unchanged } else { Action::Changed };
    Ok((action, keys.join(", ")))
}

fn handler(target: &Api, topic: &str, id: &str, body: &Value, options: &Options) -> Outcome {
    let path = ["alerts", "topics", topic, "handlers", id];
    let Some(there) = target.find(&path, &[])? else {
        if !options.dry_run {
            target.post(&path[..4], body)?;
        }
        return Ok((Action::Created, text(body, "kind").to_owned()));
    };
    let keys: Vec<&str> = ["kind", "options", "match"]
        .into_iter()
        .filter(|key| {
            is_set(body, key).then(|| &body[*key]) != is_set(&there, key).then(|| &there[*key])
        })
        .collect();
    if keys.is_empty() {
        return Ok((Action::Unchanged, String::new()));
    }
    if !options.dry_run {
        target.put(&path, body)?;
    }
    Ok((Action::Changed, keys.join(", ")))
}

/// Says whether a key holds something: no options, an empty object and null are the same.
fn is_set(object: &Value, key: &str) -> bool {
    !matches!(object.get(key), None | Some(Value::Null))
        && object[key] != json!({})
        && object[key] != json!("")
}

fn states(target: &Api, topic: &str, wanted: &[Value], options: &Options) -> Outcome {
    let path = ["alerts", "topics", topic, "events"];
    let there = match target.find(&path, &[])? {
        Some(answer) => list_of(answer, "events"),
        None => Vec::new(),
    };
    let (missing, known) = events(wanted, &there);
    if missing.is_empty() {
        return Ok((Action::Unchanged, String::new()));
    }
    let detail = match missing.len() {
        1 => "1 state".to_owned(),
        count => format!("{count} states"),
    };
    if !options.dry_run {
        for some in requests(&missing) {
            target.post_preview(&path, &json!({"events": some}))?;
        }
    }
    Ok((if known > 0 { Action::Changed } else { Action::Created }, detail))
}

/// Cuts states into what one request takes.
fn requests(events: &[Value]) -> Vec<&[Value]> {
    let mut requests = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        let size = event.to_string().len();
        let is_full = at - begin == EVENTS_PER_REQUEST || bytes + size > EVENT_BYTES_PER_REQUEST;
        if is_full && at > begin {
            requests.push(&events[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += size;
    }
    requests.push(&events[begin..]);
    requests
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        match error.status {
            Some(_) => Problem::Object(error.message),
            None => Problem::Server(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_by_number_and_by_size() {
        let sizes =
            |events: &[Value]| requests(events).iter().map(|some| some.len()).collect::<Vec<_>>();
        let small: Vec<Value> = (0..2_001).map(|id| json!({"id": id.to_string()})).collect();
        assert_eq!(sizes(&small), [1_000, 1_000, 1]);
        assert_eq!(sizes(&small[..1_000]), [1_000]);
        let large = |bytes: usize| json!({"id": "x".repeat(bytes)});
        let half = EVENT_BYTES_PER_REQUEST / 2;
        assert_eq!(sizes(&[large(half), large(half), small[0].clone()]), [1, 2]);
        assert_eq!(sizes(&[small[0].clone(), large(3 * half), small[0].clone()]), [1, 1, 1]);
    }
}
