//! A fake server, and writing to a sink, for the tests of several sinks.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use levada_codec::compression::{Compression as Codec, decompress_all};
use levada_model::RecordBatch;
use levada_runtime::TaskKind;
use tokio::net::TcpListener;

use crate::sources::testing::context;
use crate::traits::{Outcomes, Sink, SinkError};

/// What a fake server got: the head, and the body unpacked.
pub(crate) struct Got {
    /// Method, address, headers.
    pub(crate) head: axum::http::request::Parts,
    /// The body.
    pub(crate) body: String,
}

/// A server that answers with what the test says, one answer per request; 200 when none is left.
#[derive(Clone)]
pub(crate) struct Fake {
    /// `http://ADDRESS`.
    pub(crate) base: String,
    /// The same with the path `/in`.
    pub(crate) url: String,
    /// The requests, in order.
    pub(crate) got: Arc<Mutex<Vec<Got>>>,
}

impl Fake {
    /// Starts it.
    pub(crate) async fn start(answers: Vec<Response>) -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let requests = got.clone();
        let handler = move |request: Request| {
            let (requests, answers) = (requests.clone(), answers.clone());
            async move {
                let (head, body) = request.into_parts();
                let body: Bytes = axum::body::to_bytes(body, 1 << 26).await.unwrap();
                let encoding = head.headers.get("content-encoding");
                let codec = encoding.map_or(Codec::None, |value| {
                    Codec::from_content_encoding(value.to_str().unwrap()).unwrap()
                });
                let body = decompress_all(codec, &body, 1 << 26).unwrap();
                let body = String::from_utf8(body).unwrap();
                requests.lock().unwrap().push(Got { head, body });
                answers.lock().unwrap().next().unwrap_or_else(|| "ok".into_response())
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = async move { axum::serve(listener, Router::new().fallback(handler)).await };
        drop(context().tasks.spawn(TaskKind::Http, "fake", server));
        Fake { url: format!("{base}/in"), base, got }
    }

    /// Gives the bodies.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|got| got.body.clone()).collect()
    }
}

/// Makes a batch of payloads.
pub(crate) fn batch(payloads: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 1.into());
    for payload in payloads {
        batch.push(payload.as_bytes(), origin, 0);
    }
    batch
}

/// Writes payloads once.
pub(crate) async fn write(
    sink: &mut dyn Sink,
    payloads: &[&str],
) -> (Result<(), SinkError>, Outcomes) {
    let mut outcomes = Outcomes::default();
    let result = sink.write(&batch(payloads), &mut outcomes).await;
    (result, outcomes)
}

/// Makes an answer.
pub(crate) fn status(status: u16, body: &'static str) -> Response {
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}
