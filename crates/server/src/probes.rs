//! Probes and metrics over HTTP, as the original's processor serves them.
//!
//! `/healthz` answers while the process lives, `/readyz` once every source was opened, `/livez` while the
//! event loop turns, `/metrics` in Prometheus' text form.
//!
//! Source: dataflow-operator.md §5.3. Differs: `/livez` does not fail when a source is idle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use levada_runtime::{Shutdown, TaskKind, Tasks};
use levada_telemetry::metrics::{CONTENT_TYPE, Registry};
use tokio::net::TcpListener;

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    /// The metrics to show.
    pub metrics: Registry,
    /// One per flow: its source was opened.
    pub ready: Vec<Arc<AtomicBool>>,
}

impl Probes {
    /// Serves on `address` until the shutdown drains; gives the bound address.
    ///
    /// Errors: the address cannot be bound.
    pub async fn serve(
        self,
        address: &str,
        tasks: &Tasks,
        mut shutdown: Shutdown,
    ) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        let app = self.router();
        tasks.spawn(TaskKind::Http, "probes", async move {
            let server = axum::serve(listener, app)
                .with_graceful_shutdown(async move { shutdown.aborting().await });
            if let Err(error) = server.await {
                tracing::warn!(%error, "the probes ended");
            }
        });
        Ok(bound)
    }

    fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/livez", get(|| async { "ok" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn ready(State(probes): State<Probes>) -> impl IntoResponse {
    let waiting = probes.ready.iter().filter(|flag| !flag.load(Ordering::Acquire)).count();
    match waiting {
        0 => (StatusCode::OK, "ok".to_owned()),
        _ => (StatusCode::SERVICE_UNAVAILABLE, format!("{waiting} source(s) not opened yet")),
    }
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], probes.metrics.render())
}
