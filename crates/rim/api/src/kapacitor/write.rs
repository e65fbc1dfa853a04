//! Points in line protocol. Source: reference (server) §1.4.
//!
//! Differs: a body has a largest size (413); when no task that wants the points has room for them, the answer is 503 with
//! `Retry-After` after a bounded wait. One task that is behind does not keep points from the others: it loses them, counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use levada_codec::compression::{Compression, CompressionError, decompress_all};
use levada_codec::line_protocol::{Limits, Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use levada_runtime::{TaskKind, Tasks};
use levada_task::engine::{Ingest, Routes};
use tokio::sync::Semaphore;

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;
use crate::router::{Body, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::POST, "/kapacitor/v1/write", |api, request| Box::pin(write(api, request)))
        .takes(Body::Points),
    Route::new(Method::POST, "/write", |api, request| Box::pin(write(api, request)))
        .takes(Body::Points),
];

/// When points may come again for which there was no room.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a request waits for one of the writers.
const TURN_PATIENCE: Duration = Duration::from_millis(500);
/// Requests that are read at a time. Each may wait for full queues for half a second, and holds no I/O thread meanwhile.
const WRITERS_MAX: usize = 64;

/// Where points come in; cheap to clone.
#[derive(Clone)]
pub struct Points(Arc<Inner>);

/// Looks at points as they come in.
pub type Seen = Arc<dyn Fn(&[Point]) + Send + Sync>;

/// What points that come in meet.
pub struct PointsDeps {
    /// The tasks that may want them.
    pub routes: Routes,
    /// The retention policy of those that have none.
    pub retention: Str,
    /// Who spawns.
    pub tasks: Tasks,
    /// Counts them.
    pub seen: Seen,
}

struct Inner {
    deps: PointsDeps,
    turns: Semaphore,
    /// Writers that nobody uses: what they know of series makes the next body faster.
    idle: Mutex<Vec<Writer>>,
}

struct Writer {
    parser: Parser,
    ingest: Ingest,
}

/// What became of a body.
enum Outcome {
    Taken,
    /// There was no point in it.
    Empty,
    /// There is no room.
    Full,
}

/// What a request says about its points.
struct Target {
    database: Str,
    retention: Str,
    precision: Precision,
    now: Timestamp,
}

// === impl Points ===

impl std::fmt::Debug for Points {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Points").finish_non_exhaustive()
    }
}

impl Points {
    /// Makes the way in.
    pub fn new(deps: PointsDeps) -> Self {
        Points(Arc::new(Inner { deps, turns: Semaphore::new(WRITERS_MAX), idle: Mutex::default() }))
    }

    fn take(&self) -> Writer {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Writer {
            parser: Parser::new(Limits::default()),
            ingest: self.0.deps.routes.ingest(),
        })
    }

    fn give_back(&self, writer: Writer) {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(writer);
    }

    /// Reads a body; what it holds is handed over by the second step, when it is known where it goes.
    fn parse(&self, body: &[u8], target: &Target) -> Result<Vec<Point>, String> {
        let mut writer = self.take();
        let mut points = Vec::new();
        let Target { database, retention, precision, now } = target;
        let outcome = writer.parser.parse(database, retention, *precision, *now, body, &mut points);
        self.give_back(writer);
        if outcome.refused == 0 {
            return Ok(points);
        }
        let lines = outcome.problems.iter();
        let lines: Vec<String> = lines
            .map(|problem| format!("unable to parse '{}': {}", problem.excerpt, problem.refusal))
            .collect();
        Err(lines.join("\n"))
    }

    fn write(&self, points: Vec<Point>) -> Outcome {
        if points.is_empty() {
            return Outcome::Empty;
        }
        let mut writer = self.take();
        (self.0.deps.seen)(&points);
        let written = writer.ingest.write(points);
        self.give_back(writer);
        if written.is_refused() { Outcome::Full } else { Outcome::Taken }
    }
}

async fn write(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let Some(points) = api.points.clone() else { return Err(ApiError::not_found("Not Found")) };
    let full = || ApiError::unavailable("the queues of tasks are full, try again later", AGAIN);
    // Bounded by the clock: whoever has a turn is done after the patience of full queues.
    let turn = tokio::select! {
        turn = points.0.turns.acquire() => turn.map_err(|_| closed())?,
        () = api.clock.sleep(TURN_PATIENCE) => return Err(full()),
    };
    let query = &request.query;
    let word = query.text("precision");
    let precision = match word {
        // Source: InfluxDB: these units and no others; anything else counts as nanoseconds.
        "u" | "ms" | "s" | "m" | "h" => word.parse().unwrap_or_default(),
        _ => Precision::Nanoseconds,
    };
    let retention = match query.text("rp") {
        "" => Str::clone(&points.0.deps.retention),
        retention => retention.into(),
    };
    let database = query.text("db").to_owned();
    let target =
        Target { database: (&*database).into(), retention, precision, now: api.clock.now() };
    let (limit, is_gzip) = (api.limits.points_bytes, request.is_gzip());
    let (own, body) = (points.clone(), request.body.clone());
    let parsed = points
        .0
        .deps
        .tasks
        .spawn_thread(TaskKind::Http, "points", move || {
            let unpacked;
            let body = match is_gzip {
                true => {
                    unpacked = decompress_all(Compression::Gzip, &body, limit).map_err(refused)?;
                    &unpacked[..]
                }
                false => &body[..],
            };
            Ok(own.parse(body, &target))
        })
        .await
        .map_err(|_| closed())?;
    let parsed = match parsed {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(text)) => return Ok(plain(StatusCode::BAD_REQUEST, &text)),
        Err((status, text)) => return Ok(plain(status, &text)),
    };
    if parsed.is_empty() {
        return Ok(Answer::empty(StatusCode::OK));
    }
    // What is wrong with a line is said before this; the original reads first.
    if database.is_empty() {
        return Ok(plain(StatusCode::BAD_REQUEST, "database is required"));
    }
    if let Err(text) = api.gate.may_write(request.user.as_deref(), &database).await {
        return Ok(plain(StatusCode::UNAUTHORIZED, &text));
    }
    let own = points.clone();
    let outcome = points
        .0
        .deps
        .tasks
        .spawn_thread(TaskKind::Http, "points", move || own.write(parsed))
        .await
        .map_err(|_| closed())?;
    drop(turn);
    match outcome {
        Outcome::Taken => Ok(Answer::empty(StatusCode::NO_CONTENT)),
        Outcome::Empty => Ok(Answer::empty(StatusCode::OK)),
        Outcome::Full => Err(full()),
    }
}

fn refused(error: CompressionError) -> (StatusCode, String) {
    let status = match error {
        CompressionError::ExpansionLimit { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, error.to_string())
}

fn closed() -> ApiError {
    ApiError::internal("TaskMaster is closed")
}

/// Errors of this route are texts, whatever their type says. Source: reference (server) §1.4.
fn plain(status: StatusCode, text: &str) -> Answer {
    Answer::bytes(status, "application/json; charset=utf-8", format!("{text}\n").into_bytes())
}
