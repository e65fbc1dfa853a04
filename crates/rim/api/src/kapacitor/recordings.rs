//! Recordings. Source: reference (server) §1.7.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use levada_alert::json::write_time;
use levada_model::{ErrorKind, Timestamp, with_causes};
use levada_task::recordings::{
    RecordBatch, RecordQuery, RecordStream, Recording, RecordingType, Recordings, RecordingsError,
    Status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Link, matches};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::list::ListQuery;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::POST, "/kapacitor/v1/recordings/stream", |api, request| {
        Box::pin(stream(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::POST, "/kapacitor/v1/recordings/batch", |api, request| {
        Box::pin(batch(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::POST, "/kapacitor/v1/recordings/query", |api, request| {
        Box::pin(query(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::GET, "/kapacitor/v1/recordings", |api, request| {
        Box::pin(list(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/recordings/{*id}", |api, request| {
        Box::pin(show(api, request))
    }),
    Route::new(Method::DELETE, "/kapacitor/v1/recordings/{*id}", |api, request| {
        Box::pin(delete(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/recordings/", |_, _| Box::pin(no_id())),
    Route::new(Method::DELETE, "/kapacitor/v1/recordings/", |_, _| Box::pin(no_id())),
];

const FIELDS: &[&str] = &["type", "size", "date", "error", "status", "progress"];

/// When a request that met a bound may be sent again.
const LATER: Duration = Duration::from_secs(5);

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamDocument {
    id: String,
    task: String,
    stop: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BatchDocument {
    id: String,
    task: String,
    start: String,
    stop: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QueryDocument {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    query: String,
    cluster: String,
}

#[derive(Serialize)]
struct RecordingAnswer<'a> {
    link: Link,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    date: String,
    error: &'a str,
    status: &'static str,
    progress: f64,
}

/// Gives the service.
pub(super) fn recordings(api: &Api) -> Result<&Recordings, ApiError> {
    let absent = || ApiError::unavailable("recordings are not served by this server", LATER);
    api.recordings.as_ref().ok_or_else(absent)
}

/// Gives the refusal for an error; `context` stands before the text of what does not exist.
pub(super) fn refusal(error: RecordingsError, context: &str) -> ApiError {
    let status = match (&error, error.kind()) {
        (RecordingsError::Store(_), _) => {
            let RecordingsError::Store(error) = error else { return ApiError::internal("store") };
            return error.into();
        }
        // Source: kapacitor answers a name that is taken so.
        (RecordingsError::Exists { .. }, _) => StatusCode::INTERNAL_SERVER_ERROR,
        (_, ErrorKind::Invalid) => StatusCode::BAD_REQUEST,
        (_, ErrorKind::NotFound) => StatusCode::NOT_FOUND,
        (_, ErrorKind::Conflict) => StatusCode::CONFLICT,
        (_, ErrorKind::Busy | ErrorKind::Unavailable) => {
            return ApiError::unavailable(error.to_string(), LATER);
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = with_causes(&error);
    let text = match status {
        StatusCode::NOT_FOUND => format!("{context}{text}"),
        _ => text,
    };
    ApiError::new(status, text)
}

/// Reads a time; empty and Go's zero time are none.
pub(super) fn time(text: &str) -> Result<Option<Timestamp>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|error| ApiError::bad_request(format!("invalid time {text:?}: {error}")))?;
    if time.as_second() == ZERO_SECONDS && time.subsec_nanosecond() == 0 {
        return Ok(None);
    }
    let nanos = time.as_nanosecond();
    let ends = (i128::from(i64::MIN), i128::from(i64::MAX));
    Ok(Some(Timestamp(nanos.clamp(ends.0, ends.1) as i64)))
}

/// 0001-01-01T00:00:00Z, Go's time that is not set.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// Writes a time as Go does.
pub(super) fn time_text(time: Timestamp) -> String {
    let mut text = Vec::with_capacity(32);
    write_time(time, &mut text);
    String::from_utf8_lossy(&text).trim_matches('"').to_owned()
}

fn answer(recording: &Recording) -> RecordingAnswer<'_> {
    RecordingAnswer {
        link: Link::to(&format!("recordings/{}", recording.id)),
        id: &recording.id,
        kind: recording.kind.word(),
        size: recording.size,
        date: time_text(recording.date),
        error: &recording.error,
        status: recording.status.word(),
        progress: recording.progress,
    }
}

fn created(result: Result<Recording, RecordingsError>) -> Result<Answer, ApiError> {
    let recording = result.map_err(|error| refusal(error, ""))?;
    Ok(Answer::json(StatusCode::CREATED, &answer(&recording)))
}

async fn stream(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let StreamDocument { id, task, stop } = request.object("")?;
    // Upstream's zero time: the first point is later.
    let stop = time(&stop)?.unwrap_or(Timestamp(i64::MIN));
    created(recordings(&api)?.record_stream(RecordStream { id, task, stop }).await)
}

async fn batch(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let BatchDocument { id, task, start, stop } = request.object("")?;
    let (start, stop) = (time(&start)?, time(&stop)?);
    created(recordings(&api)?.record_batch(RecordBatch { id, task, start, stop }).await)
}

async fn query(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let QueryDocument { id, kind, query, cluster } = request.object("")?;
    if query.is_empty() {
        return Err(refusal(RecordingsError::NoQuery, ""));
    }
    let kind = RecordingType::from_word(&kind).ok_or_else(|| {
        ApiError::bad_request(format!("invalid type {kind:?}: it must be `stream` or `batch`"))
    })?;
    created(recordings(&api)?.record_query(RecordQuery { id, kind, query, cluster }).await)
}

async fn no_id() -> Result<Answer, ApiError> {
    Err(ApiError::bad_request("must specify recording id on path"))
}

async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let query = ListQuery::read(&request.query, FIELDS)?;
    let all = recordings(&api)?.recordings().await.map_err(|error| refusal(error, ""))?;
    let chosen = all.iter().filter(|item| matches(&query.pattern, &item.id));
    let shown: Vec<Map<String, Value>> = query
        .page
        .of(chosen)
        .filter_map(|item| object(&answer(item)))
        .map(|item| query.select(item))
        .collect();
    Ok(Answer::json(StatusCode::OK, &serde_json::json!({ "recordings": shown })))
}

/// Gives what is shown of an item as an object.
pub(super) fn object(item: &impl Serialize) -> Option<Map<String, Value>> {
    match serde_json::to_value(item) {
        Ok(Value::Object(item)) => Some(item),
        _ => None,
    }
}

/// Source: kapacitor: what is under way is answered with 202.
pub(super) fn status_code(status: Status) -> StatusCode {
    if status == Status::Running { StatusCode::ACCEPTED } else { StatusCode::OK }
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let found = recordings(&api)?.recording(request.param("id")).await;
    // Differs: upstream answers 500 with this text where its API document promises 404.
    let recording = found.map_err(|error| refusal(error, "error finding recording: "))?;
    Ok(Answer::json(status_code(recording.status), &answer(&recording)))
}

async fn delete(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let deleted = recordings(&api)?.recording_delete(request.param("id")).await;
    deleted.map_err(|error| refusal(error, ""))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_go_does() {
        assert_eq!(time("").ok(), Some(None));
        assert_eq!(time("0001-01-01T00:00:00Z").ok(), Some(None));
        assert_eq!(time("1970-01-01T01:00:01.5+01:00").ok(), Some(Some(Timestamp(1_500_000_000))));
        assert_eq!(time("9999-01-01T00:00:00Z").ok(), Some(Some(Timestamp(i64::MAX))));
        assert!(time("yesterday").is_err());
        assert_eq!(time_text(Timestamp(1_500_000_000)), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn refusals_have_the_statuses_of_upstream() {
        let cases = [
            (RecordingsError::Exists { what: "recording" }, 500, "recording already exists"),
            (RecordingsError::NoRecording, 404, "error finding recording: no recording exists"),
            (RecordingsError::NoQuery, 400, "must provide query"),
            (RecordingsError::Closing, 503, "the server is shutting down"),
        ];
        for (error, status, text) in cases {
            let refused = refusal(error, "error finding recording: ");
            assert_eq!((refused.status.as_u16(), &*refused.text), (status, text));
        }
    }
}
