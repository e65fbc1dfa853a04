//! Silences and the history of alerts.
//!
//! Times are RFC 3339; a silence may end `duration` after its start instead of at `end`.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use levada_alert::Level;
use levada_alert::service::{
    HistoryFilter, HistoryLine, NewSilence, Silence, SilenceError, SilenceMatcher,
};
use levada_model::{ErrorKind, Timestamp};
use levada_tick::syntax::parse_duration;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/api/v1/silences", |api, request| {
        Box::pin(silence_list(api, request))
    }),
    Route::new(Method::POST, "/api/v1/silences", |api, request| {
        Box::pin(silence_create(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::GET, "/api/v1/silences/{id}", |api, request| {
        Box::pin(silence_show(api, request))
    }),
    Route::new(Method::DELETE, "/api/v1/silences/{id}", |api, request| {
        Box::pin(silence_expire(api, request))
    }),
    Route::new(Method::GET, "/api/v1/alerts/history", |api, request| {
        Box::pin(history(api, request))
    }),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceDocument {
    matchers: Vec<String>,
    start: Option<String>,
    end: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    author: String,
    #[serde(default)]
    comment: String,
}

#[derive(Serialize)]
struct SilenceAnswer<'a> {
    id: &'a str,
    /// `pending`, `active` or `expired`.
    state: &'static str,
    matchers: &'a [SilenceMatcher],
    start: String,
    end: String,
    author: &'a str,
    comment: &'a str,
    created: String,
    /// Events since the server started.
    silenced: u64,
}

#[derive(Serialize)]
struct SilencesAnswer<'a> {
    silences: Vec<SilenceAnswer<'a>>,
}

#[derive(Serialize)]
struct HistoryAnswer<'a> {
    transitions: Vec<LineAnswer<'a>>,
    /// To be passed as `after`; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct LineAnswer<'a> {
    at: String,
    topic: &'a str,
    id: &'a str,
    task: &'a str,
    level: Level,
    previous: Level,
    message: &'a str,
    time: String,
    duration: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

fn refused(error: &SilenceError) -> ApiError {
    match error.kind() {
        ErrorKind::NotFound => ApiError::not_found(error.to_string()),
        ErrorKind::Invalid | ErrorKind::TooLarge => ApiError::bad_request(error.to_string()),
        _ => ApiError::internal(error.to_string()),
    }
}

fn time(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    let invalid = || {
        ApiError::bad_request(format!(
            "`{name}` {text:?} is not a time; write 2026-03-01T10:00:00Z"
        ))
    };
    let parsed: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
    i64::try_from(parsed.as_nanosecond()).map(Timestamp).map_err(|_| invalid())
}

fn answer<'a>((silence, silenced): &'a (Silence, u64), now: Timestamp) -> SilenceAnswer<'a> {
    SilenceAnswer {
        id: &silence.id,
        state: silence.phase(now).as_str(),
        matchers: &silence.matchers,
        start: Timestamp(silence.start).to_string(),
        end: Timestamp(silence.end).to_string(),
        author: &silence.author,
        comment: &silence.comment,
        created: Timestamp(silence.created).to_string(),
        silenced: *silenced,
    }
}

fn line_answer(line: &HistoryLine) -> LineAnswer<'_> {
    LineAnswer {
        at: Timestamp(line.at).to_string(),
        topic: &line.topic,
        id: &line.id,
        task: &line.task,
        level: line.level,
        previous: line.previous,
        message: &line.message,
        time: Timestamp(line.time).to_string(),
        duration: line.duration,
        silence: line.silence.as_deref(),
        stale: line.stale,
    }
}

/// Reads what is asked for; all problems with matchers at once.
fn read(document: SilenceDocument, api: &Api) -> Result<NewSilence, ApiError> {
    let (mut matchers, mut problems) = (Vec::new(), Vec::new());
    for (place, text) in document.matchers.iter().enumerate() {
        match text.parse::<SilenceMatcher>() {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => problems.push(format!("matchers[{place}]: {error}")),
        }
    }
    if !problems.is_empty() {
        return Err(ApiError::bad_request(problems.join("; ")));
    }
    let start = document.start.as_deref().map(|text| time("start", text)).transpose()?;
    let end = match (document.end.as_deref(), document.duration.as_deref()) {
        (Some(text), None) => time("end", text)?,
        (None, Some(text)) => {
            let length = parse_duration(text)
                .map_err(|error| ApiError::bad_request(format!("`duration`: {error}")))?;
            let from = start.unwrap_or_else(|| api.clock.now());
            Timestamp(from.0.saturating_add(length))
        }
        _ => return Err(ApiError::bad_request("a silence needs either `end` or `duration`")),
    };
    let SilenceDocument { author, comment, .. } = document;
    Ok(NewSilence { matchers, start, end, author, comment })
}

async fn silence_list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (all, now) = (api.alerts.silences().list(), api.clock.now());
    let state = request.query.text("state");
    if !["", "pending", "active", "expired"].contains(&state) {
        let text = format!("unknown state {state:?}; known: pending, active, expired");
        return Err(ApiError::bad_request(text));
    }
    let silences = all.iter().map(|silence| answer(silence, now));
    let silences = silences.filter(|silence| state.is_empty() || silence.state == state);
    Ok(Answer::json(StatusCode::OK, &SilencesAnswer { silences: silences.collect() }))
}

async fn silence_create(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let mut document: SilenceDocument = request.object("invalid silence: ")?;
    if document.author.is_empty() {
        document.author = request.user.clone().unwrap_or_default();
    }
    let new = read(document, &api)?;
    let created = api.alerts.silences().create(new).await;
    let created = created.map_err(|error| refused(&error))?;
    Ok(Answer::json(StatusCode::CREATED, &answer(&(created, 0), api.clock.now())))
}

async fn silence_show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let id = request.param("id");
    let unknown = || refused(&SilenceError::Unknown(id.to_owned()));
    let silence = api.alerts.silences().get(id).ok_or_else(unknown)?;
    Ok(Answer::json(StatusCode::OK, &answer(&silence, api.clock.now())))
}

async fn silence_expire(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let expired = api.alerts.silences().expire(request.param("id")).await;
    expired.map_err(|error| refused(&error))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

async fn history(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let query = &request.query;
    let text = |name: &str| query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let at = |name: &str| query.get(name).map(|text| time(name, text)).transpose();
    let level: Result<Level, _> = query.text("min-level").parse();
    let limit = query.get("limit").map_or(Ok(100), str::parse);
    let filter = HistoryFilter {
        topic: text("topic"),
        id: text("id"),
        task: text("task"),
        min_level: level.map_err(|error| ApiError::bad_request(error.to_string()))?,
        since: at("since")?,
        until: at("until")?,
        after: text("after"),
        limit: limit.map_err(|_| ApiError::bad_request("`limit` is not a number"))?,
    };
    let page = api.alerts.history().page(&filter).await?;
    let answer = HistoryAnswer {
        transitions: page.lines.iter().map(line_answer).collect(),
        next: page.next.as_deref(),
    };
    Ok(Answer::json(StatusCode::OK, &answer))
}
