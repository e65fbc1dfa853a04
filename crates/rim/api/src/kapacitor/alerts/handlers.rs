//! Topic handlers.

use std::sync::Arc;

use hyper::StatusCode;
use levada_alert::service::{Definition, DefinitionError};
use levada_model::with_causes;
use levada_tick::lambda::quote;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::Link;
use super::{asked, patch as json_patch, pattern};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;

#[derive(Serialize)]
struct HandlerAnswer<'a> {
    link: Link,
    id: &'a str,
    kind: &'a str,
    /// As they were stored, in the order of their keys; `null` when there are none.
    options: Option<Value>,
    #[serde(rename = "match")]
    matcher: &'a str,
}

#[derive(Serialize)]
struct HandlersAnswer<'a> {
    link: Link,
    topic: &'a str,
    handlers: Vec<HandlerAnswer<'a>>,
}

fn answer(definition: &Definition) -> HandlerAnswer<'_> {
    let Definition { id, topic, kind, options, matcher } = definition;
    HandlerAnswer {
        link: Link::to(&format!("alerts/topics/{topic}/handlers/{id}")),
        id,
        kind,
        options: (!options.is_empty()).then(|| sorted(&Value::Object(options.clone()))),
        matcher,
    }
}

/// Gives a value whose objects have their keys in order, as Go writes maps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries.into_iter().map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(entries.collect::<Map<String, Value>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("unknown handler: {}", quote(id)))
}

/// Gives the answer to a definition that was not taken.
fn refused(action: &str, error: &DefinitionError) -> ApiError {
    match error {
        DefinitionError::Topic(_) | DefinitionError::Id(_) | DefinitionError::NoKind => {
            ApiError::bad_request(format!("invalid handler spec: {error}"))
        }
        DefinitionError::Unknown(id) => unknown(id),
        DefinitionError::Refused(text) => ApiError::bad_request(text),
        other => ApiError::internal(format!("failed to {action} handler: {}", with_causes(other))),
    }
}

/// Refuses a change of a handler that is not there before its body is looked at.
fn known(api: &Api, topic: &str, id: &str) -> Result<(), ApiError> {
    api.alerts.handler(topic, id).map(drop).ok_or_else(|| unknown(id))
}

pub(super) async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let topic = request.param("topic");
    let pattern = pattern(&request)?;
    let mut handlers = api.alerts.handler_list(topic);
    handlers.retain(|handler| pattern.matches(&handler.definition.id));
    let link = asked(&format!("alerts/topics/{topic}/handlers"), &request);
    let handlers = handlers.iter().map(|handler| answer(&handler.definition)).collect();
    Ok(Answer::json(StatusCode::OK, &HandlersAnswer { link, topic, handlers }))
}

pub(super) async fn create(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let definition: Definition = request.object("invalid handler json: ")?;
    let definition = Definition { topic: request.param("topic").to_owned(), ..definition };
    let created = api.alerts.handler_create(definition.clone()).await;
    created.map_err(|error| refused("create", &error))?;
    Ok(Answer::json(StatusCode::OK, &answer(&definition)))
}

pub(super) async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (topic, id) = (request.param("topic"), request.param("id"));
    let handler = api.alerts.handler(topic, id).ok_or_else(|| unknown(id))?;
    Ok(Answer::json(StatusCode::OK, &answer(&handler.definition)))
}

pub(super) async fn replace(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (topic, id) = (request.param("topic"), request.param("id"));
    known(&api, topic, id)?;
    let mut new: Definition = request.object("failed to unmarshal JSON: ")?;
    // Both may be left out: the path has them.
    if new.topic.is_empty() {
        new.topic = topic.to_owned();
    }
    if new.id.is_empty() {
        new.id = id.to_owned();
    }
    let updated = api.alerts.handler_update(topic, id, |_| Ok(new)).await;
    let updated = updated.map_err(|error| refused("update", &error))?;
    Ok(Answer::json(StatusCode::OK, &answer(&updated)))
}

pub(super) async fn patch(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (topic, id) = (request.param("topic"), request.param("id"));
    known(&api, topic, id)?;
    let operations: Vec<json_patch::Operation> = request.json("invalid patch json: ")?;
    let change = |old: &Definition| {
        let failed = |text: String| format!("failed to apply patch: {text}");
        let mut value = serde_json::to_value(old).map_err(|error| failed(error.to_string()))?;
        json_patch::apply(&mut value, &operations).map_err(failed)?;
        serde_json::from_value(value).map_err(|error| failed(error.to_string()))
    };
    let updated = api.alerts.handler_update(topic, id, change).await;
    let updated = updated.map_err(|error| refused("update", &error))?;
    Ok(Answer::json(StatusCode::OK, &answer(&updated)))
}

pub(super) async fn delete(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let (topic, id) = (request.param("topic"), request.param("id"));
    let deleted = api.alerts.handler_delete(topic, id).await;
    deleted.map_err(|error| refused("delete", &error))?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
