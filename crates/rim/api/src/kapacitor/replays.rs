//! Replays. Source: reference (server) §1.7.
//!
//! - Ours: the member `side-effects` of a request, `captured` (the default) or `performed`, and
//!   `GET replays/ID/effects`, what a replay would have done as a line of JSON each.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::{Method, StatusCode};
use levada_task::recordings::{
    RecordingsError, Replay, ReplayBatch, ReplayClock, ReplayOptions, ReplayQuery, ReplayRecording,
    SideEffects, Status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;

use super::recordings::{object, recordings, refusal, status_code, time, time_text};
use super::{Link, matches};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::list::ListQuery;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::POST, "/kapacitor/v1/replays", |api, request| Box::pin(start(api, request)))
        .takes(Body::Document),
    Route::new(Method::POST, "/kapacitor/v1/replays/batch", |api, request| {
        Box::pin(batch(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::POST, "/kapacitor/v1/replays/query", |api, request| {
        Box::pin(query(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::GET, "/kapacitor/v1/replays", |api, request| Box::pin(list(api, request))),
    Route::new(Method::GET, "/kapacitor/v1/replays/{id}", |api, request| {
        Box::pin(show(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/replays/{id}/effects", |api, request| {
        Box::pin(effects(api, request))
    }),
    Route::new(Method::DELETE, "/kapacitor/v1/replays/{*id}", |api, request| {
        Box::pin(delete(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/replays/", |_, _| Box::pin(no_id())),
    Route::new(Method::DELETE, "/kapacitor/v1/replays/", |_, _| Box::pin(no_id())),
];

const FIELDS: &[&str] =
    &["recording", "task", "recording-time", "clock", "date", "error", "status", "progress"];

/// What is sent at once of what a replay would have done.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Document {
    id: String,
    task: String,
    recording: String,
    recording_time: bool,
    clock: String,
    side_effects: String,
    start: String,
    stop: String,
    query: String,
    cluster: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ReplayAnswer<'a> {
    link: Link,
    id: &'a str,
    task: &'a str,
    recording: &'a str,
    recording_time: bool,
    clock: &'static str,
    date: String,
    error: &'a str,
    status: &'static str,
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
}

/// `null` until the replay has ended well, as Go's maps are.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Stats {
    task_stats: Option<Value>,
    node_stats: Option<Value>,
}

fn answer(replay: &Replay, has_stats: bool) -> ReplayAnswer<'_> {
    // Their keys come sorted, as those of tasks do.
    let part = |name: &str| {
        let mut part = replay.stats.get(name).cloned();
        if let Some(part) = &mut part {
            part.sort_all_objects();
        }
        part
    };
    let stats = Stats { task_stats: part("task-stats"), node_stats: part("node-stats") };
    ReplayAnswer {
        link: Link::to(&format!("replays/{}", replay.id)),
        id: &replay.id,
        task: &replay.task,
        recording: &replay.recording,
        recording_time: replay.recording_time,
        clock: replay.clock.word(),
        date: time_text(replay.date),
        error: &replay.error,
        status: replay.status.word(),
        progress: replay.progress,
        stats: has_stats.then_some(stats),
    }
}

fn options(document: &Document) -> Result<ReplayOptions, ApiError> {
    let clock = ReplayClock::from_word(&document.clock)
        .ok_or_else(|| ApiError::bad_request(format!("invalid clock type {:?}", document.clock)))?;
    let effects = match &*document.side_effects {
        "" | "captured" => SideEffects::Captured,
        "performed" => SideEffects::Performed,
        other => {
            let text =
                format!("invalid side-effects {other:?}: it must be `captured` or `performed`");
            return Err(ApiError::bad_request(text));
        }
    };
    Ok(ReplayOptions {
        id: document.id.clone(),
        task: document.task.clone(),
        recording_time: document.recording_time,
        clock,
        effects,
    })
}

fn created(result: Result<Replay, RecordingsError>) -> Result<Answer, ApiError> {
    let replay = result.map_err(|error| {
        let context = match error {
            RecordingsError::NoTask => "task load: ",
            RecordingsError::NoRecording => "recording not found: ",
            _ => "",
        };
        refusal(error, context)
    })?;
    Ok(Answer::json(StatusCode::CREATED, &answer(&replay, true)))
}

async fn start(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let document: Document = request.object("")?;
    let options = options(&document)?;
    let request = ReplayRecording { options, recording: document.recording };
    created(recordings(&api)?.replay_recording(request).await)
}

async fn batch(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let document: Document = request.object("")?;
    let options = options(&document)?;
    let (start, stop) = (time(&document.start)?, time(&document.stop)?);
    created(recordings(&api)?.replay_batch(ReplayBatch { options, start, stop }).await)
}

async fn query(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let document: Document = request.object("")?;
    let options = options(&document)?;
    let Document { query, cluster, .. } = document;
    created(recordings(&api)?.replay_query(ReplayQuery { options, query, cluster }).await)
}

async fn no_id() -> Result<Answer, ApiError> {
    Err(ApiError::bad_request("must specify replay id on path"))
}

async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let query = ListQuery::read(&request.query, FIELDS)?;
    let all = recordings(&api)?.replays().await.map_err(|error| refusal(error, ""))?;
    let chosen = all.iter().filter(|item| matches(&query.pattern, &item.id));
    let shown: Vec<Map<String, Value>> = query
        .page
        .of(chosen)
        .filter_map(|item| object(&answer(item, false)))
        .map(|item| query.select(item))
        .collect();
    Ok(Answer::json(StatusCode::OK, &serde_json::json!({ "replays": shown })))
}

async fn find(api: &Api, request: &Request) -> Result<Replay, ApiError> {
    let found = recordings(api)?.replay(request.param("id")).await;
    found.map_err(|error| refusal(error, "could not find replay: "))
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let replay = find(&api, &request).await?;
    Ok(Answer::json(status_code(replay.status), &answer(&replay, true)))
}

async fn effects(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let replay = find(&api, &request).await?;
    if replay.status == Status::Running {
        return Ok(Answer::empty(StatusCode::ACCEPTED));
    }
    let found = recordings(&api)?.replay_effects(&replay.id).await;
    let path = found.map_err(|error| refusal(error, ""))?.ok_or_else(|| {
        ApiError::not_found(format!("nothing was captured of replay {:?}", replay.id))
    })?;
    let file = tokio::fs::File::open(&path).await.map_err(|error| {
        ApiError::internal(format!("what was captured cannot be read: {error}"))
    })?;
    let chunks = stream::unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Bytes::from(chunk), file))
            }
            Err(error) => {
                tracing::warn!(%error, "what a replay would have done cannot be read to its end");
                None
            }
        }
    });
    Ok(Answer::stream(StatusCode::OK, "application/x-ndjson", chunks))
}

async fn delete(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let deleted = recordings(&api)?.replay_delete(request.param("id")).await;
    deleted.map_err(|error| refusal(error, ""))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
