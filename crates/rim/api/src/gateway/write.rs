//! `POST /v1/write/:category`. Source: dataway reference §9.2.

use std::sync::Arc;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use levada_codec::points::Unit;
use levada_gateway::ingest::{Format, Write};
use levada_model::Category;

use super::admit::{gateway, over, refuse};
use super::echo::{self, Echo};
use super::take::{coding, refused, take};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::{Request, header_text};
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] =
    &[Route::new(Method::POST, "/v1/write/{category}", |api, request| {
        Box::pin(write(api, request))
    })
    .token()
    .takes(Body::Gateway)
    .refuses(refuse)];

async fn write(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    let category = match Category::of_path(&request.path) {
        // Dial tests bring the URL that they go to; nobody asks for it.
        None | Some(Category::Unknown | Category::DynamicDataway) => {
            let text = format!("invalid URL {:?}", request.path);
            return Err(ApiError::bad_request(text).code("datakit.invalidCategory"));
        }
        Some(category) => category,
    };
    let query = &request.query;
    let header = |name| header_text(&request.headers, name);
    let packed = query.get("encoding").filter(|name| !name.is_empty());
    let packed = packed.or_else(|| header(CONTENT_ENCODING.as_str())).unwrap_or_default();
    let index = query.get("storage_index").filter(|_| category == Category::Logging);
    let write = Write {
        coding: coding(packed)?,
        format: format(header(CONTENT_TYPE.as_str()).unwrap_or_default()),
        unit: Unit::of_parameter(query.get("precision").filter(|name| !name.is_empty())),
        is_strict: is_true(query.get("strict")),
        global_tags: header("x-global-tags").map(Into::into),
        storage_index: index.or_else(|| header("x-storage-index-name")).map(Into::into),
        ..Write::lines(category, request.body.clone(), api.clock.now())
    };
    let echo = Echo::of(query);
    let echoed = match echo {
        Some(echo) => {
            let write = write.clone();
            Some(on_thread(&api, move || echo::echo(&write, echo)).await?)
        }
        None => None,
    };
    if is_true(query.get("dry")) {
        gateway
            .tenants
            .admit(request.user.as_deref().unwrap_or_default(), request.body.len())
            .map_err(|more| over(&more))?;
        let own = Arc::clone(gateway);
        on_thread(&api, move || own.gateway.check(&write).map_err(|e| refused(&e))).await?;
    } else {
        let input = query.get("input").filter(|input| !input.is_empty());
        let mut name = format!("v1-write.{}", input.unwrap_or_else(|| category.name()));
        if let Some(index) = index {
            name.push('.');
            name.push_str(index);
        }
        take(gateway, &request, write, &name).await?;
    }
    Ok(echoed.unwrap_or_else(|| Answer::empty(StatusCode::OK)))
}

async fn on_thread<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let tasks = gateway(api)?.tasks.clone();
    let done = tasks.spawn_thread(levada_runtime::TaskKind::Gateway, "body", work).await;
    done.unwrap_or_else(|_| Err(ApiError::internal("the body could not be read")))
}

/// Source: dataway reference §9.2: what is not known is line protocol.
fn format(content_type: &str) -> Format {
    let has = |word: &str| content_type.to_ascii_lowercase().contains(word);
    if has("application/json") || has("application/pbjson") {
        Format::Json
    } else if has("application/protobuf") {
        Format::Protobuf
    } else {
        Format::Lines
    }
}

/// Any value that is not empty is true, also `false`.
fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}
