//! Tokens and quotas, and how the original refuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use levada_gateway::tenants::{Over, Stranger};
use serde::Serialize;

use super::GatewayApi;
use crate::answer::Answer;
use crate::api::{Api, Visit};
use crate::error::ApiError;
use crate::request::{Query, header_text};
use crate::router::Access;

/// Source: dataway reference §9.1.
#[derive(Serialize)]
struct Envelope<'a> {
    error_code: &'a str,
    message: &'a str,
}

/// The code of a token that is missing or wrong. Source: dataway reference §9.2.
const TOKEN_NOT_FOUND: &str = "kodo.tokenNotFound";

/// Whose privilege a user needs where there are no tenants: agents write points, and ask how to.
const POINTS: &str = "/write";

/// Finds the tenant of a request before its body is read.
///
/// - Errors: 401 without a token, 403 with a wrong one; without tenants those of the gate for whoever writes points.
pub(crate) async fn admit(api: &Api, visit: Visit<'_>) -> Result<Option<String>, ApiError> {
    let Some(gateway) = api.gateway.as_ref().filter(|gateway| gateway.tenants.asks()) else {
        let asked = Visit { access: Access::Privilege, path: POINTS, ..visit };
        let user = api.gate.admit(asked).await?;
        // Strangers do not even hear whether there is a gateway.
        gateway(api)?;
        return Ok(user);
    };
    match gateway.tenants.find(&token_of(visit.query, visit.headers)) {
        Ok(name) => Ok(Some(name.to_owned())),
        Err(Stranger::NoToken) => {
            Err(ApiError::new(StatusCode::UNAUTHORIZED, "token missing").code(TOKEN_NOT_FOUND))
        }
        Err(Stranger::WrongToken) => {
            Err(ApiError::new(StatusCode::FORBIDDEN, "token not found").code(TOKEN_NOT_FOUND))
        }
    }
}

/// Gives the gateway.
pub(super) fn gateway(api: &Api) -> Result<&std::sync::Arc<GatewayApi>, ApiError> {
    // Source: dataway reference §1.2: the text of an agent without a Dataway.
    let text = "dataway not set: set `gateway.urls`";
    let missing =
        || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("datakit.datawayNotSet");
    api.gateway.as_ref().ok_or_else(missing)
}

/// Gives the token of a request, empty without one: `token` of the query, a header, or the password of clients of InfluxDB
/// and Prometheus.
pub(super) fn token_of(query: &Query, headers: &HeaderMap) -> String {
    let texts = [query.get("token"), query.get("p"), header_text(headers, "x-token")];
    if let Some(token) = texts.into_iter().flatten().find(|token| !token.is_empty()) {
        return token.to_owned();
    }
    let value = header_text(headers, AUTHORIZATION).unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or_default();
    let token = token.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "token" | "bearer" => token.to_owned(),
        "basic" => password_of(token).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Gives the password of `user:password` in base64.
fn password_of(encoded: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// Gives the refusal of a tenant that brings too much.
pub(super) fn over(over: &Over) -> ApiError {
    let text = format!("reach max API limit: more than {} {} per second", over.limit, over.what);
    let seconds = over.after.as_secs() + u64::from(over.after.subsec_nanos() > 0);
    ApiError {
        retry_after: Some(over.after),
        headers: vec![
            ("x-ratelimit-limit", over.limit.to_string()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", seconds.to_string()),
        ],
        ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, text).code("datakit.reachMaxAPILimit")
    }
}

/// Answers as the original does.
pub(super) fn refuse(error: &ApiError) -> Answer {
    let envelope = Envelope { error_code: code_of(error), message: &error.text };
    error.finish(Answer::compact(error.status, &envelope))
}

/// Gives the code of an error in the envelope.
pub(super) fn code_of(error: &ApiError) -> &'static str {
    match (error.code, error.status) {
        ("", StatusCode::PAYLOAD_TOO_LARGE) => "datakit.bodyTooLarge",
        ("", StatusCode::REQUEST_TIMEOUT) => "datakit.readBodyTimeout",
        ("", StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => TOKEN_NOT_FOUND,
        ("", StatusCode::NOT_FOUND) => "datakit.notFound",
        ("", StatusCode::BAD_REQUEST) => "datakit.badRequest",
        ("", _) => "datakit.internal",
        (code, _) => code,
    }
}
