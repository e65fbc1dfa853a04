//! The store. Source: reference (server) §1.10.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::{Method, StatusCode};
use levada_tick::lambda::quote;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use super::Link;
use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/storage/backup", |api, _| Box::pin(backup(api))),
    Route::new(Method::GET, "/kapacitor/v1/storage/stores", |_, _| Box::pin(list())),
    Route::new(Method::POST, "/kapacitor/v1/storage/stores/{name}", |api, request| {
        Box::pin(change(api, request))
    })
    .takes(Body::Document),
];

/// What upstream lists, in its order, and the space of documents that it is here.
const STORES: &[(&str, &str)] = &[
    ("tasks", "tasks"),
    ("recordings", "recordings"),
    ("replays", "replays"),
    ("handler-specs", "handlers"),
    ("overrides", crate::config::SPACE),
    ("load", "load"),
];

/// Bytes of a backup that are read at a time.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Serialize)]
struct ListAnswer {
    link: Link,
    storage: Vec<StoreAnswer>,
}

#[derive(Serialize)]
struct StoreAnswer {
    link: Link,
    name: &'static str,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    action: String,
}

/// A copy of the store that goes away with the answer.
struct Copy {
    path: PathBuf,
}

// === impl Copy ===

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a backup was not removed after it was sent");
        }
    }
}

/// Answers with a copy as of one moment; it is sent from a file, since it may be larger than the memory.
async fn backup(api: Arc<Api>) -> Result<Answer, ApiError> {
    let copy = Copy { path: api.work_folder.join(format!("backup-{}.db", Uuid::new_v4())) };
    api.documents.backup(&copy.path).await?;
    let failed =
        |error: std::io::Error| ApiError::internal(format!("cannot read the backup: {error}"));
    let file = tokio::fs::File::open(&copy.path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let chunks = stream::unfold((file, copy), |(mut file, copy)| async {
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(count) => {
                chunk.truncate(count);
                Some((Bytes::from(chunk), (file, copy)))
            }
            // The client sees by `Content-Length` that it does not have all.
            Err(error) => {
                tracing::warn!(%error, "a backup ended early");
                None
            }
        }
    });
    Ok(Answer::stream(StatusCode::OK, "application/octet-stream", chunks)
        .header("content-disposition", "attachment; filename=\"kapacitor.db\"")
        .header("content-length", &length.to_string()))
}

async fn list() -> Result<Answer, ApiError> {
    let link = |name: &str| Link::to(&format!("storage/stores/{name}"));
    let storage = STORES.iter().map(|(name, _)| StoreAnswer { link: link(name), name }).collect();
    Ok(Answer::json(StatusCode::OK, &ListAnswer { link: Link::to("storage/stores"), storage }))
}

/// Rebuilds nothing: documents have no indexes apart from the keys of their table, which the database keeps. What can go wrong is that
/// they cannot be read, which is tried.
async fn change(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let name = request.param("name");
    let Some((_, space)) = STORES.iter().find(|(known, _)| *known == name) else {
        return Err(ApiError::not_found(format!("unknown storage {}", quote(name))));
    };
    let change: Change = request.object("failed to unmarshal storage action ")?;
    if change.action != "rebuild" {
        return Err(ApiError::bad_request(format!("unkown storage action {:?}", change.action)));
    }
    let mut after: Option<String> = None;
    loop {
        const PAGE: usize = 100;
        let range = levada_store::Range { after: after.as_deref(), limit: Some(PAGE), prefix: "" };
        let page = api.documents.list(space, range).await.map_err(|error| {
            ApiError::internal(format!("failed to rebuild {name:?}: {}", ApiError::from(error)))
        })?;
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => break,
        }
    }
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}
