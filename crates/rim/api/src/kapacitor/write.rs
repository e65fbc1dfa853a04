//! Points in line protocol. Source: reference (server) §1.4.
//!
//! Differs: a body has a largest size (413); when no task that wants the points has room for them, the answer is 503 with
//! `Retry-After` after a bounded wait. One task that is behind does not keep points from the others: it loses them, counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use levada_codec::compression::{Compression, CompressionError, decompress_all};
use levada_codec::line_protocol::{Limits, Parser, Precision, SharedSeries};
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
        .takes(Body::Points)
        .refuses(refuse),
    Route::new(Method::POST, "/write", |api, request| Box::pin(write(api, request)))
        .takes(Body::Points)
        .refuses(refuse),
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
    /// One per core: parsing needs nothing else, and each parser remembers every series it saw.
    parses: Arc<Semaphore>,
    /// Those that nobody uses: what they know of series makes the next body faster.
    parsers: Mutex<Vec<Parser>>,
    series: SharedSeries,
    ingests: Mutex<Vec<Ingest>>,
}

/// What became of a body.
enum Outcome {
    Taken,
    /// There was no point in it.
    Empty,
    /// There is no room.
    Full,
}

/// How far the thread came that read a body.
enum Parsed {
    /// Its points wait for leave to be written.
    Points(Vec<Point>),
    /// They were written.
    Written(Outcome),
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Points(Arc::new(Inner {
            deps,
            turns: Semaphore::new(WRITERS_MAX),
            parses: Arc::new(Semaphore::new(cores)),
            parsers: Mutex::default(),
            series: SharedSeries::default(),
            ingests: Mutex::default(),
        }))
    }

    /// Does some of the work of a request, off the threads for I/O.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Points) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let own = self.clone();
        let work = self.0.deps.tasks.spawn_thread(TaskKind::Http, "points", move || work(&own));
        work.await.map_err(|_| closed())
    }

    /// Reads a body.
    fn parse(&self, body: &[u8], target: &Target) -> Result<Vec<Point>, String> {
        let mut parser = pop(&self.0.parsers).unwrap_or_else(|| {
            Parser::sharing(Limits::default(), SharedSeries::clone(&self.0.series))
        });
        let ingest = self.ingest();
        let mut points = ingest.buffer();
        push(&self.0.ingests, ingest);
        let Target { database, retention, precision, now } = target;
        let outcome = parser.parse(database, retention, *precision, *now, body, &mut points);
        push(&self.0.parsers, parser);
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
        let mut ingest = self.ingest();
        (self.0.deps.seen)(&points);
        let written = ingest.write(points);
        push(&self.0.ingests, ingest);
        if written.is_refused() { Outcome::Full } else { Outcome::Taken }
    }

    fn ingest(&self) -> Ingest {
        pop(&self.0.ingests).unwrap_or_else(|| self.0.deps.routes.ingest())
    }
}

fn pop<T>(idle: &Mutex<Vec<T>>) -> Option<T> {
    idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn push<T>(idle: &Mutex<Vec<T>>, one: T) {
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(one);
}

async fn write(api: Arc<Api>, request: Request) -> Result<Answer, ApiError> {
    let Some(points) = api.points.clone() else { return Err(ApiError::not_found("Not Found")) };
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
    // Where nobody has to be asked, the points go on from the thread that has read them.
    let goes_on = !api.gate.asks() && !database.is_empty();
    let body = request.body.clone();
    // Bounded by those who have a turn: each reads one body.
    let parse = Arc::clone(&points.0.parses).acquire_owned().await.map_err(|_| closed())?;
    let parsed = points.work(move |points| {
        let unpacked;
        let bytes = match is_gzip {
            true => {
                unpacked = decompress_all(Compression::Gzip, &body, limit).map_err(refused)?;
                &unpacked[..]
            }
            false => &body[..],
        };
        let parsed = points.parse(bytes, &target);
        // Who waits for full queues keeps nobody from reading.
        drop((parse, body));
        Ok(match parsed {
            Ok(parsed) if goes_on => Ok(Parsed::Written(points.write(parsed))),
            other => other.map(Parsed::Points),
        })
    });
    let parsed = parsed.await?;
    let parsed = match parsed {
        Ok(Ok(Parsed::Written(outcome))) => return answer(outcome),
        Ok(Ok(Parsed::Points(parsed))) => parsed,
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
    let outcome = points.work(move |points| points.write(parsed)).await?;
    drop(turn);
    answer(outcome)
}

fn answer(outcome: Outcome) -> Result<Answer, ApiError> {
    match outcome {
        Outcome::Taken => Ok(Answer::empty(StatusCode::NO_CONTENT)),
        Outcome::Empty => Ok(Answer::empty(StatusCode::OK)),
        Outcome::Full => Err(full()),
    }
}

fn full() -> ApiError {
    ApiError::unavailable("the queues of tasks are full, try again later", AGAIN)
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

/// What is wrong with credentials is said as on every other route, on one line.
fn refuse(error: &ApiError) -> Answer {
    match error.is_compact {
        true => error.answer(),
        false => error.finish(plain(error.status, &error.text)),
    }
}

/// Errors of this route are texts, whatever their type says. Source: reference (server) §1.4.
fn plain(status: StatusCode, text: &str) -> Answer {
    Answer::bytes(status, "application/json; charset=utf-8", format!("{text}\n").into_bytes())
}
