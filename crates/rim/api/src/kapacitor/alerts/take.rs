//! Takes states of events that another server knew, for `levada import`. Ours: the original has no such route.

use std::sync::Arc;

use hyper::StatusCode;
use levada_alert::Level;
use levada_alert::topics::{EventState, TakeError};
use levada_model::{Str, Timestamp};
use levada_settings::Duration;
use serde::Deserialize;

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;

/// States per request. Ours: what one transaction takes at once.
const EVENTS_MAX: usize = 1_000;

/// As the list of a topic's events has them; what else is there, such as links, says nothing new.
#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    state: State,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: String,
    time: String,
    /// Go's text, e.g. `5m0s`.
    duration: String,
    level: String,
}

/// Checks all states before any of them is taken.
pub(super) async fn events(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let topic = request.param("topic");
    let Events { events } = request.object("invalid events json: ")?;
    if events.len() > EVENTS_MAX {
        let text =
            format!("{} events are too many: at most {EVENTS_MAX} per request", events.len());
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let states = events.into_iter().enumerate().map(|(place, Event { id, state })| {
        let invalid =
            |text: String| ApiError::bad_request(format!("invalid event: events[{place}].{text}"));
        if id.is_empty() {
            return Err(invalid("id must not be empty".to_owned()));
        }
        let state = state.read().map_err(|text| invalid(format!("state.{text}")))?;
        Ok((Str::from(id), state))
    });
    let states: Vec<(Str, EventState)> = states.collect::<Result<_, ApiError>>()?;
    let taken = api.alerts.topics().states_take(topic, states).await;
    taken.map_err(|error| refused(topic, &error))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

fn refused(topic: &str, error: &TakeError) -> ApiError {
    let text = format!("failed to store events of topic {topic:?}: {error}");
    match error {
        TakeError::NoRoom { .. } => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text),
        TakeError::Store => ApiError::internal(text),
    }
}

// === impl State ===

impl State {
    /// - Errors: what is wrong, behind the name of the field.
    fn read(self) -> Result<EventState, String> {
        let level: Level = self.level.parse().map_err(|error| format!("level: {error}"))?;
        Ok(EventState {
            level,
            message: self.message.into(),
            details: Str::from(self.details).into(),
            time: time(&self.time)?,
            duration: duration(&self.duration)?,
        })
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let invalid = || format!("time: {text:?} is not a time; write 2026-03-01T10:00:00Z");
    let parsed: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
    i64::try_from(parsed.as_nanosecond()).map(Timestamp).map_err(|_| invalid())
}

/// Reads nanoseconds; they are below zero where times of points ran backwards.
fn duration(text: &str) -> Result<i64, String> {
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let size: Duration = size.parse().map_err(|error| format!("duration: {error}"))?;
    i64::try_from(size.get().as_nanos())
        .map(|nanos| sign * nanos)
        .map_err(|error| error.to_string())
}
