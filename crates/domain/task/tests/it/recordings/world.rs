//! The service with an ingress, an InfluxDB of its own and a clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use levada_alert::event::Event;
use levada_alert::handlers::HandlerDeps;
use levada_alert::topics::{
    Handler, HandlerError, HandlerSetup, Topics, TopicsDeps, TopicsSettings,
};
use levada_clients::ClientError;
use levada_clients::http::{Post, PostAnswer, PostRequest};
use levada_clients::influxdb::{Clusters, FluxQuery, InfluxDb, Query, WriteTarget};
use levada_codec::line_protocol::{Limits, Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use levada_runtime::{Clock, Tasks, VirtualClock};
use levada_store::{Documents, MemoryDocuments};
use levada_task::definition::{DefineOptions, define};
use levada_task::dry_run::Unconfigured;
use levada_task::engine::queries::QuerySettings;
use levada_task::engine::requests::RequestLimits;
use levada_task::engine::writer::WriterLimits;
use levada_task::engine::{Ingest, Routes, SideSettings, TaskOptions, TopicAlerts};
use levada_task::recording::files;
use levada_task::recording::points::PointReader;
use levada_task::recordings::{
    Recording, Recordings, RecordingsDeps, RecordingsError, RecordingsSettings, Replay, SourceTask,
    Status, TaskSource,
};
use levada_task::runtime::Services;
use levada_task::runtime::services::{Alerts, Endpoint, ServerInfo, SideloadSource};
use levada_task::udf::{Agent, UdfConfig, UdfLimits, Udfs};

/// 2026-03-01T00:00:00Z
pub(crate) const NOW: i64 = 1_772_323_200;

pub(crate) struct World {
    pub(crate) recordings: Recordings,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) influx: Arc<Fake>,
    pub(crate) post: Arc<Fake>,
    pub(crate) topics: Topics,
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    pub(crate) documents: Arc<MemoryDocuments>,
    pub(crate) deps: RecordingsDeps,
    pub(crate) ingest: Ingest,
}

/// An InfluxDB and a receiver of requests: keeps what it was asked, gives answers in turn.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) answers: Mutex<VecDeque<String>>,
    /// Never answers.
    pub(crate) hangs: bool,
}

struct Scripts(BTreeMap<String, String>, Udfs);

struct Heard(Arc<Mutex<Vec<String>>>);

struct Around(TopicAlerts);

// === impl World ===

impl World {
    pub(crate) async fn new(scripts: &[(&str, &str)]) -> Self {
        Self::with(scripts, |_| {}).await
    }

    pub(crate) async fn with(
        scripts: &[(&str, &str)],
        change: impl FnOnce(&mut RecordingsSettings),
    ) -> Self {
        Self::around(scripts, Fake::default(), change).await
    }

    pub(crate) async fn around(
        scripts: &[(&str, &str)],
        influx: Fake,
        change: impl FnOnce(&mut RecordingsSettings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = VirtualClock::new(Timestamp(NOW * 1_000_000_000));
        let spawner = Tasks::new();
        let runtime = tokio::runtime::Handle::current();
        let (influx, post) = (Arc::new(influx), Arc::new(Fake::default()));
        let topics = Topics::new(
            TopicsSettings::default(),
            TopicsDeps {
                tasks: spawner.clone(),
                runtime: runtime.clone(),
                clock: clock.clone(),
                store: None,
                silencer: None,
            },
        );
        let heard = Arc::new(Mutex::new(Vec::new()));
        let handler = HandlerSetup::new("heard", Arc::new(Heard(Arc::clone(&heard))));
        topics.handler_add("out", handler).unwrap();
        let alerts = TopicAlerts::new("main".into(), topics.clone(), HandlerDeps::default());
        let client = Arc::clone(&influx) as Arc<dyn InfluxDb>;
        let clusters = Clusters::new("main", [("main".to_owned(), client)]);
        let routes = Routes::default();
        let documents = Arc::new(MemoryDocuments::default());
        let scripts =
            scripts.iter().map(|(id, script)| ((*id).to_owned(), (*script).to_owned())).collect();
        let udfs = functions(folder.path(), &scripts).await;
        let sides = SideSettings {
            clusters: clusters.clone(),
            post: Arc::clone(&post) as Arc<dyn Post>,
            clock: clock.clone(),
            tasks: spawner.clone(),
            runtime,
            writers: WriterLimits::default(),
            requests: RequestLimits::default(),
            queries: QuerySettings::default(),
            udfs: udfs.clone(),
        };
        let deps = RecordingsDeps {
            documents: Arc::clone(&documents) as Arc<dyn Documents>,
            tasks: Arc::new(Scripts(scripts, udfs)),
            routes: routes.clone(),
            clusters,
            queries: QuerySettings::default(),
            clock: clock.clone(),
            spawner,
            services: Arc::new(Around(alerts.clone())),
            live: Some((alerts, sides)),
            zone: jiff::tz::TimeZone::UTC,
        };
        let mut settings = RecordingsSettings::of(folder.path());
        change(&mut settings);
        let recordings = Recordings::open(deps.clone(), settings).await.unwrap();
        let ingest = routes.ingest();
        World { recordings, folder, clock, influx, post, topics, heard, documents, deps, ingest }
    }

    /// Writes line protocol to `db.rp`; times are seconds.
    pub(crate) fn write(&mut self, lines: &str) {
        self.ingest.write(points(lines));
    }

    pub(crate) async fn ended(&self, id: &str) -> Recording {
        for _ in 0..2_000 {
            let recording = self.recordings.recording(id).await.unwrap();
            if recording.status != Status::Running && self.recordings.running() == 0 {
                return recording;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("the recording {id} does not end");
    }

    pub(crate) async fn replayed(&self, id: &str) -> Replay {
        for _ in 0..2_000 {
            let replay = self.recordings.replay(id).await.unwrap();
            if replay.status != Status::Running && self.recordings.running() == 0 {
                return replay;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("the replay {id} does not end");
    }

    /// The lines of what a replay would have done.
    pub(crate) async fn effects(&self, id: &str) -> Vec<serde_json::Value> {
        let path = self.recordings.replay_effects(id).await.unwrap().expect("captured");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The points of a recording, as `name time`, times in seconds.
    pub(crate) fn recorded(&self, id: &str) -> Vec<String> {
        let file = files::open(&self.folder.path().join(format!("{id}.srpl"))).unwrap().remove(0);
        let (mut reader, mut points) = (PointReader::new(file), Vec::new());
        let mut parser = Parser::new(Limits::default());
        while reader.next(&mut parser, Precision::Nanoseconds, &mut points).unwrap() {}
        let text = |point: &Point| {
            let series = &point.series;
            let seconds = point.time.0 / 1_000_000_000;
            format!("{}.{} {} {seconds}", series.database, series.retention, series.name)
        };
        points.iter().map(text).collect()
    }

    /// Puts a recording of points into the folder, and opens it again.
    pub(crate) async fn put(&mut self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
        self.reopen().await.unwrap();
    }

    pub(crate) async fn reopen(&mut self) -> Result<(), RecordingsError> {
        let settings = RecordingsSettings::of(self.folder.path());
        self.recordings = Recordings::open(self.deps.clone(), settings).await?;
        Ok(())
    }

    /// Waits until no unfinished file is left; who writes one hears a little later that it is not wanted.
    pub(crate) async fn cleared(&self) {
        for _ in 0..1_000 {
            if self.partial_files() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("unfinished files are left");
    }

    pub(crate) fn partial_files(&self) -> usize {
        std::fs::read_dir(self.folder.path().join(".partial")).unwrap().count()
    }
}

/// Gives the function `copy` when a script calls it.
async fn functions(folder: &std::path::Path, scripts: &BTreeMap<String, String>) -> Udfs {
    if !scripts.values().any(|script| script.contains("@copy")) {
        return Udfs::default();
    }
    let socket = folder.join("copy.sock");
    levada_testkit::udf::listen(&socket, "copy");
    let agent = Agent::Socket(socket);
    // Few, so that a replay has to wait for it.
    let limits = UdfLimits { queue_points: 2, ..UdfLimits::default() };
    let config = UdfConfig { agent, timeout: Duration::from_secs(10), limits };
    let udfs = Udfs::new([("copy".to_owned(), config)].into());
    let clock: Arc<dyn Clock> = levada_runtime::SystemClock::new();
    assert_eq!(udfs.ask_missing(&clock, &Tasks::new()).await, ["copy"]);
    udfs
}

pub(crate) fn seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

pub(crate) fn points(lines: &str) -> Vec<Point> {
    let (database, retention) = (Str::from("db"), Str::from("rp"));
    let (mut parser, mut points) = (Parser::new(Limits::default()), Vec::new());
    let (precision, now) = (Precision::Seconds, Timestamp(0));
    parser.parse(&database, &retention, precision, now, lines.as_bytes(), &mut points);
    points
}

// === impl Fake ===

impl Fake {
    pub(crate) fn answering(answers: &[&str]) -> Self {
        let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
        Fake { answers: Mutex::new(answers), ..Fake::default() }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn ask(&self, text: String) -> String {
        self.asked.lock().unwrap().push(text);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.answers.lock().unwrap().pop_front().unwrap_or_default()
    }
}

#[async_trait]
impl InfluxDb for Fake {
    async fn ping(&self) -> Result<String, ClientError> {
        Ok("1.8".to_owned())
    }

    async fn query(&self, query: &Query) -> Result<String, ClientError> {
        Ok(self.ask(query.text.clone()).await)
    }

    async fn flux(&self, query: &FluxQuery) -> Result<String, ClientError> {
        Ok(self.ask(format!("{} {}", query.now.0 / 1_000_000_000, query.text)).await)
    }

    async fn write(&self, target: &WriteTarget, lines: Bytes) -> Result<(), ClientError> {
        let lines = String::from_utf8_lossy(&lines).into_owned();
        self.ask(format!("write {} {lines}", target.database)).await;
        Ok(())
    }

    async fn create_database(&self, _: &str, _: &str) -> Result<(), ClientError> {
        Ok(())
    }
}

#[async_trait]
impl Post for Fake {
    async fn post(&self, request: PostRequest) -> Result<PostAnswer, ClientError> {
        self.ask(request.url.clone()).await;
        Ok(PostAnswer { status: 200, body: Vec::new() })
    }
}

// === impl Scripts ===

#[async_trait]
impl TaskSource for Scripts {
    async fn task(&self, id: &str) -> Result<Option<SourceTask>, String> {
        let Some(script) = self.0.get(id) else { return Ok(None) };
        let options = DefineOptions { udfs: self.1.clone(), ..DefineOptions::default() };
        let definition = define(script, &options).map_err(|error| error.to_string())?;
        let dbrps =
            ["db", "levada recordings"].map(|database| (database.into(), "rp".into())).into();
        let options = TaskOptions { dbrps, ..TaskOptions::default() };
        Ok(Some(SourceTask { definition: Arc::new(definition), options }))
    }
}

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.0.lock().unwrap().push(event.message.to_string());
        Ok(())
    }
}

// === impl Around ===

impl Services for Around {
    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        Unconfigured::default().endpoint(name)
    }

    fn influxdb(&self, _cluster: &str) -> Result<(), String> {
        Ok(())
    }

    fn sideload(&self, source: &str) -> Result<SideloadSource, String> {
        Err(format!("no source {source}"))
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        Arc::new(self.0.clone())
    }

    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }
}

/// Puts the clock forward.
pub(crate) fn pass(clock: &VirtualClock, seconds: u64) -> Timestamp {
    clock.advance(Duration::from_secs(seconds));
    clock.now()
}
