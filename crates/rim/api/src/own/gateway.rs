//! How the gateway is: destinations, queues, rules, and what receivers refused for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::{Method, StatusCode};
use levada_gateway::deliver::EndpointState;
use levada_gateway::gateway::Outlet;
use levada_gateway::wal::{Counts, DeadLetter, DeadLetterError, DropReason, QueueStatus, Receipt};
use levada_model::{ErrorKind, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::gateway::GatewayApi;
use crate::request::Request;
use crate::router::Route;

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/api/v1/gateway/status", |api, _| Box::pin(status(api))),
    Route::new(Method::GET, "/api/v1/gateway/queues", |api, _| Box::pin(queues(api))),
    Route::new(Method::GET, "/api/v1/gateway/queues/{name}", |api, request| {
        Box::pin(queue(api, request))
    }),
    Route::new(Method::GET, "/api/v1/gateway/dead-letters", |api, request| {
        Box::pin(letters(api, request))
    }),
    Route::new(Method::GET, "/api/v1/gateway/dead-letters/{queue}/{number}", |api, request| {
        Box::pin(letter(api, request))
    }),
    Route::new(
        Method::POST,
        "/api/v1/gateway/dead-letters/{queue}/{number}/replay",
        |api, request| Box::pin(replay(api, request)),
    ),
    Route::new(Method::DELETE, "/api/v1/gateway/dead-letters/{queue}/{number}", |api, request| {
        Box::pin(discard(api, request))
    }),
];

/// Letters of one answer.
const PAGE: usize = 1_000;

#[derive(Serialize)]
struct Endpoint {
    endpoint: String,
    state: &'static str,
}

fn gateway(api: &Api) -> Result<&Arc<GatewayApi>, ApiError> {
    let text = "there is no gateway: set `gateway.urls` or `gateway.destination`";
    api.gateway.as_ref().ok_or_else(|| ApiError::not_found(text))
}

/// Gives what came in, what became of it, and whether the sums agree.
async fn status(api: Arc<Api>) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let stats = gateway.gateway.stats();
    let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let rules = gateway.gateway.rules();
    let hits = rules.hits();
    let sinkers: Vec<Value> = rules
        .spec()
        .sinkers
        .iter()
        .enumerate()
        .map(|(at, sinker)| json!({"name": sinker.name, "points": hits.sinker(at)}))
        .collect();
    let drops = rules.spec().drop_filters.iter().enumerate();
    let filters: Vec<Value> = drops
        .flat_map(|(list, (category, filters))| {
            filters.iter().enumerate().map(move |(at, filter)| {
                json!({"category": category.name(), "filter": filter, "points": hits.drops(list, at)})
            })
        })
        .collect();
    let reload = gateway.gateway.last_reload();
    let is_balanced = gateway.gateway.outlets().iter().all(|one| one.queue.counts().is_balanced());
    let answer = json!({
        "received": {
            "bodies": of(&stats.bodies), "refused_bodies": of(&stats.refused_bodies),
            "points": of(&stats.received), "filtered": of(&stats.filtered),
            "no_field": of(&stats.no_field), "nowhere": of(&stats.nowhere),
            "routed": of(&stats.routed), "warnings": of(&stats.warnings),
        },
        "rules": {
            "sinkers": sinkers, "filters": filters, "filter_source": rules.spec().drop_source.name(),
            "unmatched": hits.unmatched(),
            "reloads": of(&stats.reloads), "reload_errors": of(&stats.reload_errors),
            "last_reload": reload.as_ref().map(|reload| rfc3339(reload.at)),
            "last_error": reload.and_then(|reload| reload.error),
        },
        "balanced": is_balanced,
        "destinations": all(&api, gateway),
    });
    Ok(Answer::json(StatusCode::OK, &answer))
}

async fn queues(api: Arc<Api>) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    Ok(Answer::json(StatusCode::OK, &json!({"queues": all(&api, gateway)})))
}

async fn queue(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let outlet = outlet(gateway, request.param("name"))?;
    Ok(Answer::json(StatusCode::OK, &one(&api, gateway, &outlet)))
}

async fn letters(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let wanted = request.query.text("queue");
    if !wanted.is_empty() {
        outlet(gateway, wanted)?;
    }
    let after: u64 = match request.query.text("after") {
        "" => 0,
        text => {
            text.parse().map_err(|_| ApiError::bad_request(format!("invalid after {text:?}")))?
        }
    };
    let mut list = Vec::new();
    let mut is_more = false;
    for outlet in &*gateway.gateway.outlets() {
        if !wanted.is_empty() && outlet.name != wanted {
            continue;
        }
        let letters = outlet.queue.dead_letters();
        for letter in letters.iter().filter(|letter| letter.sequence > after || after == 0) {
            if list.len() == PAGE {
                is_more = true;
                break;
            }
            list.push(shown(&outlet.name, letter));
        }
    }
    Ok(Answer::json(StatusCode::OK, &json!({"dead_letters": list, "more": is_more})))
}

async fn letter(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (gateway, number) = (gateway(&api)?, number(&request)?);
    let outlet = outlet(gateway, request.param("queue"))?;
    let letters = outlet.queue.dead_letters();
    let found = letters.iter().find(|letter| letter.sequence == number);
    let missing = || ApiError::not_found(format!("there is no dead letter {number}"));
    Ok(Answer::json(StatusCode::OK, &shown(&outlet.name, found.ok_or_else(missing)?)))
}

async fn replay(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (gateway, number) = (gateway(&api)?, number(&request)?);
    let outlet = outlet(gateway, request.param("queue"))?;
    match outlet.queue.dead_letter_replay(number).await.map_err(|error| refused(&error))? {
        Receipt::Kept { .. } => Ok(Answer::json(StatusCode::OK, &json!({"replayed": number}))),
        Receipt::Dropped(reason) => {
            let text = format!("dead letter {number} was dropped: {}", reason.name());
            Err(ApiError::new(StatusCode::CONFLICT, text))
        }
    }
}

async fn discard(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (gateway, number) = (gateway(&api)?, number(&request)?);
    let outlet = outlet(gateway, request.param("queue"))?;
    outlet.queue.dead_letter_drop(number).await.map_err(|error| refused(&error))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn number(request: &Request) -> Result<u64, ApiError> {
    let text = request.param("number");
    text.parse()
        .map_err(|_| ApiError::bad_request(format!("{text:?} is no number of a dead letter")))
}

fn outlet(gateway: &GatewayApi, name: &str) -> Result<Outlet, ApiError> {
    let outlets = gateway.gateway.outlets();
    outlets.iter().find(|outlet| outlet.name == name).cloned().ok_or_else(|| {
        let known: Vec<&str> = outlets.iter().map(|outlet| &*outlet.name).collect();
        ApiError::not_found(format!("there is no queue {name:?}; there are: {}", known.join(", ")))
    })
}

fn refused(error: &DeadLetterError) -> ApiError {
    let status = match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Busy | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TooLarge => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    ApiError::new(status, format!("{error}{}", cause.unwrap_or_default()))
}

fn all(api: &Api, gateway: &GatewayApi) -> Vec<Value> {
    gateway.gateway.outlets().iter().map(|outlet| one(api, gateway, outlet)).collect()
}

/// Gives where the points of a queue are, and how its endpoints are.
fn one(api: &Api, gateway: &GatewayApi, outlet: &Outlet) -> Value {
    let status = outlet.queue.status();
    let sender = gateway.senders.find(&outlet.name);
    let now = api.clock.monotonic();
    let endpoints: Vec<Endpoint> = sender
        .as_ref()
        .map(|sender| sender.group().states(now))
        .unwrap_or_default()
        .into_iter()
        .map(|(endpoint, state)| Endpoint { endpoint, state: word(state) })
        .collect();
    let sent = sender.as_ref().map(|sender| sender.stats());
    let of = |read: fn(&levada_gateway::deliver::SendStats) -> &AtomicU64| {
        sent.map_or(0, |stats| read(stats).load(Ordering::Relaxed))
    };
    let QueueStatus { counts, queued_records, queued_bytes, segments, dead_letters, .. } = status;
    let Counts { accepted, delivered, dead_lettered, queued, .. } = counts;
    json!({
        "name": outlet.name, "leaving": gateway.gateway.is_leaving(&outlet.name),
        "accepted": accepted, "delivered": delivered, "dropped": dropped(&counts),
        "dropped_total": counts.dropped_total(), "dead_lettered": dead_lettered, "queued": queued,
        "balanced": counts.is_balanced(),
        "queued_bodies": queued_records, "queued_bytes": queued_bytes, "segments": segments,
        "dead_letters": dead_letters, "stalled": status.is_stalled,
        "in_flight": of(|stats| &stats.in_flight), "requests": of(|stats| &stats.requests),
        "retries": of(|stats| &stats.retries), "splits": of(|stats| &stats.splits),
        "beyond_usage_since": of(|stats| &stats.beyond_usage_since),
        "endpoints": endpoints,
    })
}

/// Gives the points given up, by reason.
fn dropped(counts: &Counts) -> Map<String, Value> {
    let all = DropReason::ALL.into_iter();
    all.filter(|reason| counts.dropped_for(*reason) > 0)
        .map(|reason| (reason.name().to_owned(), json!(counts.dropped_for(reason))))
        .collect()
}

fn word(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Up => "up",
        EndpointState::Resting => "resting",
        EndpointState::Open => "open",
        EndpointState::Paused => "paused",
        EndpointState::Probing => "probing",
    }
}

fn shown(queue: &str, letter: &DeadLetter) -> Value {
    json!({
        "queue": queue, "number": letter.sequence, "at": rfc3339(letter.at),
        "category": letter.category.name(), "points": letter.points, "bytes": letter.bytes,
        "attempts": letter.attempts, "reason": letter.reason,
    })
}

fn rfc3339(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or_default();
    time.to_string()
}
