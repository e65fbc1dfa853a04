//! What only a centre can do: it is asked, and its answer is given as it is.
//!
//! The centre is the first of `gateway.urls`. The token of a request means something here only, so that of the centre takes
//! its place, in the query and, for queries of data, in the body.
//!
//! Source: dataway reference §9.5.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Method, StatusCode};
use levada_clients::dataway::Forward;
use serde_json::{Value, json};

use super::admit::{code_of, gateway, refuse};
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::{Request, header_text};
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    passed(Method::POST, "/v1/query/raw"),
    passed(Method::POST, "/v1/object/labels"),
    passed(Method::DELETE, "/v1/object/labels"),
    passed(Method::GET, "/v1/env_variable"),
    passed(Method::POST, "/v1/write/remote_job"),
    passed(Method::POST, "/v1/log"),
    passed(Method::POST, "/v1/upload/profiling"),
    passed(Method::POST, "/v1/write/rum/replay"),
    passed(Method::PUT, SOURCE_MAP).refuses(refuse_map),
    passed(Method::DELETE, SOURCE_MAP).refuses(refuse_map),
    passed(Method::GET, "/v1/sourcemap/check").refuses(refuse_map),
];

const SOURCE_MAP: &str = "/v1/sourcemap";

/// Headers that go on, beside those that say what the body is.
const HEADERS: [&str; 3] = ["host-name", "x-global-tags", "x-points"];
/// Where the body holds a token.
const QUERY: &str = "/v1/query/raw";

const fn passed(method: Method, path: &'static str) -> Route {
    Route::new(method, path, |api, request| Box::pin(pass(api, request)))
        .token()
        .takes(Body::Gateway)
        .refuses(refuse)
}

async fn pass(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let gateway = gateway(&api)?;
    gateway
        .tenants
        .admit(request.user.as_deref().unwrap_or_default(), request.body.len())
        .map_err(|more| super::admit::over(&more))?;
    // Source: dataway reference §1.7, the text of an agent.
    let missing = || {
        let text = "no dataway available";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("datakit.noDataway")
    };
    let (client, endpoint) = gateway.centre.as_ref().ok_or_else(missing)?;
    let names = [CONTENT_TYPE.as_str(), CONTENT_ENCODING.as_str()];
    let headers = names
        .iter()
        .chain(&HEADERS)
        .filter_map(|name| Some((*name, header_text(&request.headers, *name)?)));
    let query: Vec<(&str, &str)> =
        request.query.pairs().filter(|(name, _)| *name != "token").collect();
    let body = match request.path == QUERY {
        true => with_token(&request.body, endpoint.token()),
        false => request.body.clone(),
    };
    let forward = Forward {
        method: request.method.as_str(),
        path: &request.path,
        query: &query,
        headers: &headers.collect::<Vec<_>>(),
        body,
    };
    let answered = client.forward(endpoint, forward).await.map_err(|error| {
        ApiError::new(StatusCode::BAD_GATEWAY, format!("the centre did not answer: {error}"))
            .code("datakit.centreFailed")
    })?;
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::BAD_GATEWAY);
    Ok(Answer::bytes(status, &answered.content_type, answered.body.to_vec()))
}

/// Refuses in the envelope of source maps, which is another; who knows the usual one finds that in it as well.
fn refuse_map(error: &ApiError) -> Answer {
    let envelope = json!({
        "content": null, "errorMsg": [error.text], "success": false,
        "error_code": code_of(error), "message": error.text,
    });
    error.finish(Answer::compact(error.status, &envelope))
}

/// Puts another token in the place of that of a document; what is none goes on as it is, for the centre to refuse.
fn with_token(body: &Bytes, token: &str) -> Bytes {
    let Ok(Value::Object(mut document)) = serde_json::from_slice(body) else { return body.clone() };
    if document.contains_key("token") && !token.is_empty() {
        document.insert("token".to_owned(), token.into());
    }
    Value::Object(document).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_document_is_that_of_the_centre() {
        for (body, token, expected) in [
            (r#"{"token":"mine"}"#, "theirs", r#"{"token":"theirs"}"#),
            (r#"{"token":"mine"}"#, "", r#"{"token":"mine"}"#),
            (r#"{"queries":[]}"#, "theirs", r#"{"queries":[]}"#),
            ("bad", "theirs", "bad"),
        ] {
            assert_eq!(with_token(&Bytes::from_static(body.as_bytes()), token), expected, "{body}");
        }
    }
}
