//! Links `InfluxDB` anew. Source: reference (server) §1.3, §3.4.

use std::sync::Arc;

use hyper::{Method, StatusCode};

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::router::Route;

pub(super) const ROUTES: &[Route] =
    &[Route::new(Method::POST, "/kapacitor/v1/subscriptions", |api, _| Box::pin(relink(api)))];

async fn relink(api: Arc<Api>) -> Result<Answer, ApiError> {
    if let Some(subscriptions) = &api.subscriptions {
        subscriptions.relink().await.map_err(ApiError::internal)?;
    }
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
