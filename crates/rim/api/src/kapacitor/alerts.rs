//! Alert topics, their events and their handlers. Source: reference (server) §1.8.
//!
//! Differs: events of an unknown topic are 404 and not 500, and come sorted; IDs with a slash are reached (`%2F`); handlers that
//! do not exist are 404 for `PUT` and `PATCH`, too; deleting a topic keeps its handlers.

mod handlers;
mod patch;
mod take;

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use levada_alert::Level;
use levada_alert::topics::{EventEntry, TopicStatus};
use levada_pattern::Glob;
use levada_template::go::duration;
use levada_tick::lambda::quote;
use serde::Serialize;

use super::Link;
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

/// The routes.
/// How long an answer waits for what it shows to be stored.
const SHOW_PATIENCE: Duration = Duration::from_millis(500);

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/alerts/topics", |api, request| {
        Box::pin(topic_list(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/alerts/topics/{topic}", |api, request| {
        Box::pin(topic_show(api, request))
    }),
    Route::new(Method::DELETE, "/kapacitor/v1/alerts/topics/{topic}", |api, request| {
        Box::pin(topic_delete(api, request))
    }),
    Route::new(Method::GET, "/kapacitor/v1/alerts/topics/{topic}/events", |api, request| {
        Box::pin(event_list(api, request))
    }),
    Route::new(
        Method::GET,
        "/kapacitor/v1/alerts/topics/{topic}/events/{*event}",
        |api, request| Box::pin(event_show(api, request)),
    ),
    Route::new(
        Method::POST,
        "/kapacitor/v1preview/alerts/topics/{topic}/events",
        |api, request| Box::pin(take::events(api, request)),
    )
    .takes(Body::Document),
    Route::new(Method::GET, "/kapacitor/v1/alerts/topics/{topic}/handlers", |api, request| {
        Box::pin(handlers::list(api, request))
    }),
    Route::new(Method::POST, "/kapacitor/v1/alerts/topics/{topic}/handlers", |api, request| {
        Box::pin(handlers::create(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::GET, "/kapacitor/v1/alerts/topics/{topic}/handlers/{id}", |api, request| {
        Box::pin(handlers::show(api, request))
    }),
    Route::new(Method::PUT, "/kapacitor/v1/alerts/topics/{topic}/handlers/{id}", |api, request| {
        Box::pin(handlers::replace(api, request))
    })
    .takes(Body::Document),
    Route::new(
        Method::PATCH,
        "/kapacitor/v1/alerts/topics/{topic}/handlers/{id}",
        |api, request| Box::pin(handlers::patch(api, request)),
    )
    .takes(Body::Document),
    Route::new(
        Method::DELETE,
        "/kapacitor/v1/alerts/topics/{topic}/handlers/{id}",
        |api, request| Box::pin(handlers::delete(api, request)),
    ),
];

#[derive(Serialize)]
struct TopicAnswer<'a> {
    link: Link,
    id: &'a str,
    level: &'static str,
    collected: u64,
    #[serde(rename = "events-link")]
    events_link: Link,
    #[serde(rename = "handlers-link")]
    handlers_link: Link,
}

#[derive(Serialize)]
struct TopicsAnswer<'a> {
    link: Link,
    topics: Vec<TopicAnswer<'a>>,
}

#[derive(Serialize)]
struct EventAnswer {
    link: Link,
    id: String,
    state: StateAnswer,
}

#[derive(Serialize)]
struct StateAnswer {
    message: String,
    details: String,
    time: String,
    /// Go's text, e.g. `5m0s`.
    duration: String,
    level: &'static str,
}

#[derive(Serialize)]
struct EventsAnswer<'a> {
    link: Link,
    topic: &'a str,
    events: Vec<EventAnswer>,
}

/// Gives the link that repeats what was asked for.
fn asked(path: &str, request: &Request) -> Link {
    match request.query.raw() {
        "" => Link::to(path),
        query => Link::to(&format!("{path}?{query}")),
    }
}

fn min_level(request: &Request) -> Result<Level, ApiError> {
    let level: Result<Level, _> = request.query.text("min-level").parse();
    level.map_err(|error| ApiError::bad_request(error.to_string()))
}

fn pattern(request: &Request) -> Result<Glob, ApiError> {
    let text = request.query.text("pattern");
    Glob::parse(text).map_err(|error| ApiError::bad_request(format!("invalid pattern: {error}")))
}

fn unknown_topic(topic: &str) -> ApiError {
    ApiError::not_found(format!("unknown topic: {}", quote(topic)))
}

fn topic_answer(status: &TopicStatus) -> TopicAnswer<'_> {
    let path = format!("alerts/topics/{}", status.id);
    TopicAnswer {
        link: Link::to(&path),
        id: &status.id,
        level: status.level.as_str(),
        collected: status.collected,
        events_link: Link::called("events", &format!("{path}/events")),
        handlers_link: Link::called("handlers", &format!("{path}/handlers")),
    }
}

fn event_answer(topic: &str, entry: &EventEntry) -> EventAnswer {
    let state = &entry.state;
    EventAnswer {
        link: Link::to(&format!("alerts/topics/{topic}/events/{}", entry.id)),
        id: entry.id.to_string(),
        state: StateAnswer {
            message: state.message.to_string(),
            details: state.details.text().to_string(),
            time: state.time.to_string(),
            duration: duration::text(state.duration),
            level: state.level.as_str(),
        },
    }
}

async fn topic_list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (level, pattern) = (min_level(&request)?, pattern(&request)?);
    let topics = api.alerts.topics().list(level, |id| pattern.matches(id));
    let link = asked("alerts/topics", &request);
    let topics = topics.iter().map(topic_answer).collect();
    Ok(Answer::json(StatusCode::OK, &TopicsAnswer { link, topics }))
}

async fn topic_show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let topic = request.param("topic");
    let status = api.alerts.topics().status(topic).ok_or_else(|| unknown_topic(topic))?;
    until_stored(&api).await;
    Ok(Answer::json(StatusCode::OK, &topic_answer(&status)))
}

/// Waits until what was read of a topic is stored: what was shown once is not forgotten by a crash. A store that is away
/// does not keep people from looking.
async fn until_stored(api: &Api) {
    tokio::select! {
        _ = api.alerts.topics().flush() => {}
        () = api.clock.sleep(SHOW_PATIENCE) => {}
    }
}

async fn topic_delete(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let topic = request.param("topic");
    api.alerts.topics().forget(topic);
    if !api.alerts.topics().flush().await {
        let text = format!("failed to delete topic {}: the store failed", quote(topic));
        return Err(ApiError::internal(text));
    }
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

async fn event_list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let topic = request.param("topic");
    let level = min_level(&request)?;
    let page = api.alerts.topics().events(topic, level, 0, usize::MAX);
    let failed = || {
        ApiError::not_found(format!("failed to get topic events: unknown topic {}", quote(topic)))
    };
    let page = page.map_err(|_| failed())?;
    until_stored(&api).await;
    let answer = EventsAnswer {
        link: asked(&format!("alerts/topics/{topic}/events"), &request),
        topic,
        events: page.events.iter().map(|entry| event_answer(topic, entry)).collect(),
    };
    Ok(Answer::json(StatusCode::OK, &answer))
}

async fn event_show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (topic, id) = (request.param("topic"), request.param("event"));
    let topics = api.alerts.topics();
    let state = topics.status(topic).and_then(|_| topics.event_state(topic, id));
    let unknown =
        || ApiError::not_found(format!("unknown event {} in topic {}", quote(id), quote(topic)));
    let state = state.ok_or_else(unknown)?;
    until_stored(&api).await;
    let entry = EventEntry { id: id.into(), state, is_stale: false };
    Ok(Answer::json(StatusCode::OK, &event_answer(topic, &entry)))
}
