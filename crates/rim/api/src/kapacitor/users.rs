//! Users. Source: reference (server) §7.4.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Link, matches};
use crate::answer::Answer;
use crate::api::Api;
use crate::auth::{NewUser, Permission, User, UserError, UserKind, Users};
use crate::error::ApiError;
use crate::list::ListQuery;
use crate::request::Request;
use crate::router::{Body, Route};

/// The routes; only there with authentication.
pub const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/users", |api, request| Box::pin(list(api, request))),
    Route::new(Method::POST, "/kapacitor/v1/users", |api, request| Box::pin(create(api, request)))
        .takes(Body::Document),
    Route::new(Method::GET, "/kapacitor/v1/users/{name}", |api, request| {
        Box::pin(show(api, request))
    }),
    Route::new(Method::PATCH, "/kapacitor/v1/users/{name}", |api, request| {
        Box::pin(update(api, request))
    })
    .takes(Body::Document),
    Route::new(Method::DELETE, "/kapacitor/v1/users/{name}", |api, request| {
        Box::pin(delete(api, request))
    }),
];

const FIELDS: &[&str] = &["name", "type", "permissions"];

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct UserDocument {
    name: String,
    password: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    permissions: Option<Vec<String>>,
    databases: Option<Vec<String>>,
}

#[derive(Serialize)]
struct UserAnswer<'a> {
    link: Link,
    name: &'a str,
    #[serde(rename = "type")]
    kind: UserKind,
    permissions: &'a [Permission],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    databases: &'a [String],
}

fn users(api: &Api) -> Result<&Users, ApiError> {
    api.users.as_deref().ok_or_else(|| ApiError::not_found("Not Found"))
}

fn answer(user: &User) -> UserAnswer<'_> {
    UserAnswer {
        link: Link::to(&format!("users/{}", user.name)),
        name: &user.name,
        kind: user.kind,
        permissions: &user.permissions,
        databases: &user.databases,
    }
}

fn read(request: &Request) -> Result<NewUser, ApiError> {
    let document: UserDocument =
        request.object("").map_err(|_| ApiError::bad_request("invalid JSON"))?;
    let invalid = |text: String| ApiError::bad_request(format!("invalid permissions: {text}"));
    let permissions = document.permissions.map(|names| {
        let read = names.iter().map(|name| {
            Permission::parse(name).ok_or_else(|| invalid(format!("unknown permission {name:?}")))
        });
        read.collect::<Result<Vec<_>, _>>()
    });
    let kind = match document.kind.as_deref() {
        None | Some("") => None,
        Some("normal") => Some(UserKind::Normal),
        Some("admin") => Some(UserKind::Admin),
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "unknown user type {other:?}: it must be `normal` or `admin`"
            )));
        }
    };
    Ok(NewUser {
        name: document.name,
        password: document.password,
        kind,
        permissions: permissions.transpose()?,
        databases: document.databases,
    })
}

async fn list(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let mut query = ListQuery::read(&request.query, FIELDS)?;
    if !query.fields.is_empty() {
        // What others have an ID for.
        query.fields.push("name".to_owned());
    }
    let all = users(&api)?.list().await?;
    let chosen = all.iter().filter(|user| matches(&query.pattern, &user.name));
    let mut shown: Vec<Map<String, Value>> = Vec::new();
    for user in query.page.of(chosen) {
        let Ok(Value::Object(item)) = serde_json::to_value(answer(user)) else { continue };
        shown.push(query.select(item));
    }
    Ok(Answer::json(StatusCode::OK, &serde_json::json!({ "users": shown })))
}

async fn create(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let user = users(&api)?.create(read(&request)?).await?;
    Ok(Answer::json(StatusCode::OK, &answer(&user)))
}

async fn show(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let user = users(&api)?.get(request.param("name")).await?.ok_or(UserError::Unknown)?;
    Ok(Answer::json(StatusCode::OK, &answer(&user)))
}

async fn update(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let change = NewUser { name: request.param("name").to_owned(), ..read(&request)? };
    let user = users(&api)?.update(change).await?;
    Ok(Answer::json(StatusCode::OK, &answer(&user)))
}

async fn delete(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    users(&api)?.delete(request.param("name")).await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
