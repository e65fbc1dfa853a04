//! The log as it is written. Source: reference (server) §1.12, §7.7.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hyper::header::ACCEPT;
use hyper::{Method, StatusCode};
use levada_telemetry::feed::{LineLevel, LineValue, LogLine, Wanted, WantedLevel};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::json;
use crate::request::{Query, Request};
use crate::router::Route;

pub(super) const ROUTES: &[Route] =
    &[Route::new(Method::GET, "/kapacitor/v1preview/logs", |api, request| {
        Box::pin(follow(api, request))
    })];

/// When a client may come again that was one too many.
const COME_AGAIN: Duration = Duration::from_secs(10);

async fn follow(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let wanted = wanted(&request.query)?;
    let lines = api.log.feed().and_then(|feed| feed.read(wanted));
    let Some(lines) = lines else {
        return Err(ApiError::unavailable("the log cannot be followed now", COME_AGAIN));
    };
    let is_json = request.headers.get(ACCEPT).is_some_and(|value| value == "application/json");
    let (content_type, print): (_, fn(&LogLine) -> Vec<u8>) = match is_json {
        true => ("application/json; charset=utf-8", as_json),
        false => ("application/logfmt", as_logfmt),
    };
    let shutdown = api.shutdown.clone();
    let chunks = stream::unfold((lines, shutdown), move |(mut lines, mut shutdown)| async move {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = shutdown.draining() => return None,
        };
        Some((Bytes::from(print(&line)), (lines, shutdown)))
    });
    Ok(Answer::stream(StatusCode::OK, content_type, chunks))
}

fn wanted(query: &Query) -> Result<Wanted, ApiError> {
    let mut names = BTreeSet::new();
    let mut wanted = Wanted::default();
    for (name, value) in query.pairs() {
        if !names.insert(name) {
            return Err(ApiError::bad_request("query params cannot contain duplicate params"));
        }
        // Parameters that carry credentials are no fields.
        match name {
            "u" | "p" => {}
            "lvl" => {
                let (word, and_above) =
                    value.strip_suffix('+').map_or((value, false), |word| (word, true));
                // In a query, a plus sign is a space.
                let (word, and_above) =
                    word.strip_suffix(' ').map_or((word, and_above), |word| (word, true));
                let level = LineLevel::parse(&word.to_ascii_lowercase()).ok_or_else(|| {
                    ApiError::bad_request(format!(
                        "invalid log level {word:?}; known: debug, info, warn, error"
                    ))
                })?;
                wanted.level = Some(WantedLevel { level, and_above });
            }
            name => wanted.fields.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(wanted)
}

/// Source: reference (server) §7.7: three digits of a second.
fn time(line: &LogLine) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(line.time.0)).unwrap_or_default();
    format!("{time:.3}")
}

fn as_json(line: &LogLine) -> Vec<u8> {
    let mut object = Map::new();
    object.insert("ts".to_owned(), time(line).into());
    object.insert("lvl".to_owned(), line.level.word().into());
    object.insert("msg".to_owned(), (&*line.message).into());
    for (name, value) in &line.fields {
        let value = match value {
            LineValue::Text(text) => Value::from(&**text),
            LineValue::Bool(value) => (*value).into(),
            LineValue::Int(number) => (*number).into(),
            LineValue::UInt(number) => (*number).into(),
            LineValue::Float(number) => (*number).into(),
        };
        object.insert((*name).to_owned(), value);
    }
    let mut text = json::compact(&object);
    text.push(b'\n');
    text
}

fn as_logfmt(line: &LogLine) -> Vec<u8> {
    let mut out = format!("ts={} lvl={} msg=", time(line), line.level.word());
    // Messages are quoted always, as upstream does.
    quote(&mut out, &line.message);
    for (name, value) in &line.fields {
        out.push(' ');
        out.push_str(name);
        out.push('=');
        let text = value.to_string();
        let is_plain = !text.is_empty()
            && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"\"=\\".contains(c));
        match is_plain {
            true => out.push_str(&text),
            false => quote(&mut out, &text),
        }
    }
    out.push('\n');
    out.into_bytes()
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() => {
                // Writing to a text cannot fail.
                write!(out, "\\u{:04x}", u32::from(other)).unwrap_or_default();
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use levada_model::Timestamp;

    use super::*;

    #[test]
    fn lines_look_as_upstream_writes_them() {
        let line = LogLine {
            time: Timestamp(1_772_359_200_123_456_789),
            level: LineLevel::Info,
            message: "a \"b\"\n".to_owned(),
            fields: vec![
                ("service", LineValue::Text("kapacitor".to_owned())),
                ("empty", LineValue::Text(String::new())),
                ("text", LineValue::Text("x y\u{1}=".to_owned())),
                ("count", LineValue::UInt(5)),
                ("ok", LineValue::Bool(true)),
            ],
        };
        assert_eq!(
            String::from_utf8(as_logfmt(&line)).unwrap(),
            "ts=2026-03-01T10:00:00.123Z lvl=info msg=\"a \\\"b\\\"\\n\" service=kapacitor empty=\"\" text=\"x y\\u0001=\" count=5 ok=true\n"
        );
        assert_eq!(
            String::from_utf8(as_json(&line)).unwrap(),
            "{\"ts\":\"2026-03-01T10:00:00.123Z\",\"lvl\":\"info\",\"msg\":\"a \\\"b\\\"\\n\",\"service\":\"kapacitor\",\"empty\":\"\",\"text\":\"x y\\u0001=\",\"count\":5,\"ok\":true}\n"
        );
    }

    #[test]
    fn parameters_choose_lines() {
        let read = |text: &str| wanted(&Query::parse(text)).map_err(|error| error.text);
        let of_level = |level, and_above| Some(WantedLevel { level, and_above });
        assert_eq!(read("lvl=info").unwrap().level, of_level(LineLevel::Info, false));
        assert_eq!(read("lvl=INFO%2B").unwrap().level, of_level(LineLevel::Info, true));
        assert_eq!(read("lvl=error+").unwrap().level, of_level(LineLevel::Error, true));
        let fields = read("task=a&node=b&u=me&p=pw").unwrap().fields;
        assert_eq!(fields, [("task".into(), "a".into()), ("node".into(), "b".into())]);
        assert_eq!(
            read("task=a&task=b").unwrap_err(),
            "query params cannot contain duplicate params"
        );
        assert!(read("lvl=loud").unwrap_err().starts_with("invalid log level \"loud\""));
    }
}
