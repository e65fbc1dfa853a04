//! A task master with its threads, for tests: events are recorded, and nodes can be made to panic or to hang.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_alert::event::Event;
use levada_alert::handlers::{HandlerDeps, HandlerSpec};
use levada_alert::inhibit::Inhibitors;
use levada_alert::level::Level;
use levada_alert::services::MemoryServices;
use levada_alert::topics::{
    Handler, HandlerError, HandlerSetup, Topics, TopicsDeps, TopicsSettings,
};
use levada_clients::http::{Poster, TlsOptions};
use levada_clients::influxdb::Clusters;
use levada_codec::line_protocol::{Limits as ParserLimits, Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use levada_runtime::{Clock, SystemClock, Tasks, VirtualClock};
use levada_task::definition::{DefineOptions, Definition, define};
use levada_task::engine::queries::QuerySettings;
use levada_task::engine::requests::RequestLimits;
use levada_task::engine::writer::WriterLimits;
use levada_task::engine::{
    Ingest, Master, MasterDeps, MemoryStateStore, SideSettings, TaskOptions, TopicAlerts, Workers,
};
use levada_task::runtime::Services;
use levada_task::runtime::services::{Alerts, Endpoint, ServerInfo, SideloadSource};
use levada_task::service::{ServiceDeps, TaskService};
use levada_task::udf::Udfs;

/// The topic whose events are recorded.
pub(crate) const TOPIC: &str = "out";

/// An event as it was heard: its message, its level, the time of its point, and when it was heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) id: String,
    pub(crate) level: Level,
    pub(crate) time: Timestamp,
    pub(crate) at: Duration,
}

pub(crate) struct World {
    pub(crate) master: Master,
    pub(crate) workers: Arc<Workers>,
    /// Settings of the services of handlers.
    pub(crate) services: Arc<MemoryServices>,
    real: Arc<SystemClock>,
    heard: Arc<Mutex<Vec<Heard>>>,
    odd: Arc<Odd>,
    parser: Parser,
    ingest: Ingest,
    runtime: Option<tokio::runtime::Runtime>,
    define: DefineOptions,
    tasks: Tasks,
}

/// Alerts that panic for the event `panic` and hang for the event `hang`, where a node asks what a topic knows.
struct Odd {
    inner: TopicAlerts,
    hang: Mutex<Duration>,
    hanging: AtomicUsize,
}

struct Recorder {
    heard: Arc<Mutex<Vec<Heard>>>,
    real: Arc<SystemClock>,
}

struct TestServices(Arc<Odd>);

// === impl World ===

impl World {
    /// On the clock of the machine.
    pub(crate) fn start() -> Self {
        let clock = SystemClock::new();
        Self::on(clock, 2)
    }

    /// On a clock that the test moves.
    pub(crate) fn virtual_from(seconds: i64) -> (Self, Arc<VirtualClock>) {
        let clock = VirtualClock::new(Timestamp(seconds * 1_000_000_000));
        (Self::on(Arc::clone(&clock) as Arc<dyn Clock>, 2), clock)
    }

    /// On the clock of the machine, with functions that run outside.
    pub(crate) fn with_functions(udfs: Udfs, store: Arc<MemoryStateStore>) -> Self {
        let clock = SystemClock::new();
        Self::build(clock, 2, store, Some(udfs))
    }

    pub(crate) fn on(clock: Arc<dyn Clock>, threads: usize) -> Self {
        Self::build(clock, threads, Arc::default(), None)
    }

    fn build(
        clock: Arc<dyn Clock>,
        threads: usize,
        store: Arc<MemoryStateStore>,
        udfs: Option<Udfs>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let tasks = Tasks::new();
        let real = SystemClock::new();
        let topics = Topics::new(
            TopicsSettings { buffer_length: 1_000_000, ..TopicsSettings::default() },
            TopicsDeps {
                tasks: tasks.clone(),
                runtime: runtime.handle().clone(),
                clock: Arc::clone(&clock),
                store: None,
                silencer: None,
            },
        );
        let heard = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder { heard: Arc::clone(&heard), real: Arc::clone(&real) };
        topics.handler_add(TOPIC, HandlerSetup::new("recorder", Arc::new(recorder))).unwrap();
        let services = Arc::new(MemoryServices::default());
        let deps = HandlerDeps {
            topics: Some(topics.downgrade()),
            services: Arc::clone(&services) as _,
            ..HandlerDeps::default()
        };
        let alerts = TopicAlerts::new("main".into(), topics, deps);
        let odd = Arc::new(Odd {
            inner: alerts.clone(),
            hang: Mutex::new(Duration::ZERO),
            hanging: AtomicUsize::new(0),
        });
        let workers = Workers::start(threads, Arc::clone(&clock), &tasks);
        let define = DefineOptions { udfs: udfs.clone().unwrap_or_default(), ..Default::default() };
        let sides = udfs.map(|udfs| {
            let trust = TlsOptions::default();
            let poster = Poster::new(&trust);
            SideSettings {
                clusters: Clusters::default(),
                post: Arc::new(runtime.block_on(poster).unwrap()),
                clock: Arc::clone(&clock),
                tasks: tasks.clone(),
                runtime: runtime.handle().clone(),
                writers: WriterLimits::default(),
                requests: RequestLimits::default(),
                queries: QuerySettings::default(),
                udfs,
            }
        });
        let master = Master::new(MasterDeps {
            workers: Arc::clone(&workers),
            alerts,
            services: Arc::new(TestServices(Arc::clone(&odd))),
            store: Some(store),
            sides,
            zone: jiff::tz::TimeZone::UTC,
        });
        let ingest = master.routes().ingest();
        let parser = Parser::new(ParserLimits::default());
        drop(_inside);
        let runtime = Some(runtime);
        World {
            master,
            workers,
            services,
            real,
            heard,
            odd,
            parser,
            ingest,
            runtime,
            define,
            tasks,
        }
    }

    /// Starts a task on `db.rp` and `db.other`.
    pub(crate) fn run(&self, id: &str, script: &str) {
        self.run_with(id, script, TaskOptions::default());
    }

    pub(crate) fn run_with(&self, id: &str, script: &str, options: TaskOptions) {
        let dbrps = vec![("db".into(), "rp".into())];
        let options = TaskOptions { dbrps, ..options };
        self.master.start(id, self.defined(script), options).unwrap();
    }

    /// Understands a script with the functions of this world.
    pub(crate) fn defined(&self, script: &str) -> Arc<Definition> {
        let definition = define(script, &self.define);
        Arc::new(definition.unwrap_or_else(|error| panic!("{script}: {error}")))
    }

    /// Asks the functions what they are, and lets scripts know.
    pub(crate) fn ask(&self) -> Vec<String> {
        let clock = Arc::clone(self.workers.clock());
        self.block_on(self.define.udfs.ask_missing(&clock, &self.tasks))
    }

    /// Writes line protocol with times in seconds.
    pub(crate) fn write(&mut self, lines: &str) -> levada_task::engine::Written {
        let points = self.points(lines);
        self.ingest.write(points)
    }

    pub(crate) fn points(&mut self, lines: &str) -> Vec<Point> {
        let mut points = Vec::new();
        let (database, retention) = (Str::from("db"), Str::from("rp"));
        let outcome = self.parser.parse(
            &database,
            &retention,
            Precision::Seconds,
            Timestamp(0),
            lines.as_bytes(),
            &mut points,
        );
        assert!(outcome.problems.is_empty(), "{lines}: {:?}", outcome.problems);
        points
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// IDs of what was heard so far.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.id).collect()
    }

    /// Real time.
    pub(crate) fn real(&self) -> Duration {
        self.real.monotonic()
    }

    /// Waits for something, at most ten seconds of real time.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, mut is_there: impl FnMut(&Self) -> bool) {
        let until = self.real() + Duration::from_secs(10);
        while !is_there(self) {
            assert!(self.real() < until, "waited in vain: {what}; heard {:?}", self.ids());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until everything written was worked on and every event was heard.
    #[track_caller]
    pub(crate) fn settle(&self) {
        self.wait("everything is worked on", |world| world.master.is_drained());
        let mut before = usize::MAX;
        // Handlers are on other threads.
        self.wait("no more events", |world| {
            let now = world.heard.lock().unwrap().len();
            let is_same = now == before;
            before = now;
            std::thread::sleep(Duration::from_millis(15));
            is_same
        });
    }

    /// How long a node hangs at the event `hang`.
    pub(crate) fn hang_for(&self, time: Duration) {
        *self.odd.hang.lock().unwrap() = time;
    }

    /// Nodes that hang now.
    pub(crate) fn hanging(&self) -> usize {
        self.odd.hanging.load(Ordering::SeqCst)
    }

    /// Keeps tasks in `documents` and runs them here.
    pub(crate) fn service(&self, documents: Arc<dyn levada_store::Documents>) -> TaskService {
        TaskService::new(ServiceDeps {
            documents,
            master: self.master.clone(),
            clock: Arc::clone(self.workers.clock()),
            tasks: Tasks::new(),
            options: TaskOptions::default(),
            define: DefineOptions::default(),
        })
    }

    /// Waits for something that is asynchronous.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().unwrap().block_on(future)
    }

    pub(crate) fn stop(&self, id: &str) -> bool {
        self.master.stop(id, Duration::from_secs(5))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.workers.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(100));
        }
    }
}

pub(crate) fn defined(script: &str) -> Arc<Definition> {
    let definition = define(script, &DefineOptions::default());
    Arc::new(definition.unwrap_or_else(|error| panic!("{script}: {error}")))
}

/// A task that tells of each point of a measurement by its tag `n`.
pub(crate) fn teller(measurement: &str) -> String {
    format!(
        "stream|from().measurement('{measurement}')|alert().id('{{{{ index .Tags \"n\" }}}}').message('{{{{ .ID }}}}').crit(lambda: TRUE).topic('{TOPIC}')"
    )
}

// === impl Recorder ===

#[async_trait::async_trait]
impl Handler for Recorder {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.heard.lock().unwrap().push(Heard {
            id: event.message.to_string(),
            level: event.level,
            time: event.time,
            at: self.real.monotonic(),
        });
        Ok(())
    }
}

// === impl Odd ===

impl Alerts for Odd {
    fn inhibitors(&self) -> Inhibitors {
        self.inner.inhibitors()
    }

    fn start_handlers(
        &self,
        task: &str,
        node: &str,
        handlers: &[&HandlerSpec],
    ) -> Result<bool, String> {
        self.inner.start_handlers(task, node, handlers)
    }

    fn restore(
        &self,
        task: &str,
        node: &str,
        has_handlers: bool,
        topic: Option<&str>,
        event: &str,
    ) -> Option<(Level, Timestamp)> {
        assert_ne!(event, "panic", "a node that panics");
        if event == "hang" {
            let time = *self.hang.lock().unwrap();
            self.hanging.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(time);
            self.hanging.fetch_sub(1, Ordering::SeqCst);
        }
        self.inner.restore(task, node, has_handlers, topic, event)
    }
}

// === impl TestServices ===

impl Services for TestServices {
    fn endpoint(&self, _name: &str) -> Option<Endpoint> {
        None
    }

    fn influxdb(&self, cluster: &str) -> Result<(), String> {
        Err(format!("no cluster {cluster}"))
    }

    fn sideload(&self, source: &str) -> Result<SideloadSource, String> {
        Err(format!("no source {source}"))
    }

    fn alerts(&self) -> Arc<dyn Alerts> {
        Arc::clone(&self.0) as Arc<dyn Alerts>
    }

    fn server(&self) -> ServerInfo {
        ServerInfo::default()
    }
}

/// Counts by key.
pub(crate) fn counts<T: std::hash::Hash + Eq>(
    items: impl IntoIterator<Item = T>,
) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}
