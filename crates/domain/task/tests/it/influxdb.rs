//! Whole tasks against a real InfluxDB 1.x.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use bytes::Bytes;
use levada_alert::handlers::HandlerDeps;
use levada_alert::topics::{Topics, TopicsDeps, TopicsSettings};
use levada_clients::http::{Poster, TlsOptions};
use levada_clients::influxdb::{
    Client, Clusters, Config, InfluxDb, Query, WriteTarget, quote_identifier,
};
use levada_model::{Str, Timestamp};
use levada_runtime::{Tasks, VirtualClock};
use levada_task::actor::Actor;
use levada_task::definition::{DefineOptions, define};
use levada_task::engine::effects::LiveEffects;
use levada_task::engine::queries::QuerySettings;
use levada_task::engine::requests::RequestLimits;
use levada_task::engine::writer::{WriterLimits, WriterStatistics};
use levada_task::engine::{
    Cell, Inbox, Input, Overflow, Queue, Routes, SideSettings, Sides, Slice, TopicAlerts, Workers,
};
use levada_task::pipeline::start::StartOptions;
use levada_task::runtime::Services;
use levada_task::runtime::context::{Compat, Limits};
use levada_task::runtime::services::{Alerts, Endpoint, ServerInfo, SideloadSource};
use levada_task::udf::Udfs;
use levada_testkit::services;
use levada_tick::lambda::Env;

const SECOND: Duration = Duration::from_secs(1);
/// The time at which the tasks of these tests start.
const START: Timestamp = Timestamp(90_000_000_000);

/// What is around the tasks of these tests: topics.
struct Around(TopicAlerts);

struct Bench {
    client: Arc<dyn InfluxDb>,
    database: String,
    settings: SideSettings,
    clock: Arc<VirtualClock>,
    workers: Arc<Workers>,
    alerts: TopicAlerts,
}

struct Running {
    cell: Arc<Cell>,
    sides: Arc<Sides>,
}

struct ToCell(std::sync::Weak<Cell>);

// === impl Bench ===

impl Bench {
    /// Makes an empty database of the test's own.
    async fn new(test: &str, queries: QuerySettings) -> Option<Self> {
        let address = services::INFLUXDB.address(test)?;
        let tasks = Tasks::new();
        let config = Config::of(format!("http://{address}"));
        let client: Arc<dyn InfluxDb> = Arc::new(Client::new(&config, &tasks).await.unwrap());
        let database = format!("levada task {test}");
        let quoted = quote_identifier(&database);
        let text = format!("DROP DATABASE {quoted}");
        client.query(&Query { text, ..Query::default() }).await.unwrap();
        client.create_database(&database, "rp").await.unwrap();
        let clock = VirtualClock::new(START);
        let workers = Workers::start(2, clock.clone(), &tasks);
        let runtime = tokio::runtime::Handle::current();
        let topics = TopicsDeps {
            tasks: tasks.clone(),
            runtime: runtime.clone(),
            clock: clock.clone(),
            store: None,
            silencer: None,
        };
        let topics = Topics::new(TopicsSettings::default(), topics);
        let settings = SideSettings {
            clusters: Clusters::new("main", [("main".to_owned(), client.clone())]),
            post: Arc::new(Poster::new(&TlsOptions::default()).await.unwrap()),
            clock: clock.clone(),
            tasks,
            runtime,
            writers: WriterLimits::default(),
            requests: RequestLimits::default(),
            queries,
            udfs: Udfs::default(),
        };
        let alerts = TopicAlerts::new("main".into(), topics, HandlerDeps::default());
        Some(Bench { client, database, settings, clock, workers, alerts })
    }

    fn dbrps(&self) -> Vec<(Str, Str)> {
        vec![(self.database.as_str().into(), "rp".into())]
    }

    /// Starts a script; `$DB` in it is the database of the test.
    fn start(&self, script: &str) -> Result<Running, String> {
        let script = script.replace("$DB", &self.database);
        let definition = define(&script, &DefineOptions::default()).unwrap();
        let sides = Arc::new(Sides::new(&self.settings));
        let hops = Arc::new(AtomicU8::new(0));
        let effects = LiveEffects::new(
            "t".into(),
            self.alerts.clone(),
            &Routes::default(),
            hops.clone(),
            Some(sides.requests.clone()),
            Some(sides.writers.clone()),
        );
        let around = Around(self.alerts.clone());
        let services = sides.services(&around);
        let dbrps = self.dbrps();
        let options = StartOptions {
            task: "t".into(),
            dbrps: &dbrps,
            services: &services,
            limits: &Limits::default(),
            compat: Compat::default(),
            seed: 1,
        };
        let env = Env { now: START, zone: jiff::tz::TimeZone::UTC };
        let actor = Actor::start(&definition.pipeline, &options, Box::new(effects), env, START)?;
        let queue = Queue::new(10_000, Overflow::DropNewest);
        let failed = Box::new(|cell: &Cell| panic!("the task {} failed", cell.id));
        let cell = Cell::new("t".into(), actor, None, queue, hops, &self.workers, failed);
        sides.attach(Box::new(ToCell(Arc::downgrade(&cell))));
        let plans = definition.pipeline.query_plans(false);
        sides.start_queries(&"t".into(), plans, &dbrps)?;
        Ok(Running { cell, sides })
    }

    async fn write(&self, lines: &'static str) {
        let target = WriteTarget {
            database: self.database.clone(),
            retention: "rp".into(),
            precision: "s".into(),
            consistency: String::new(),
        };
        self.client.write(&target, Bytes::from(lines)).await.unwrap();
    }

    /// Gives the part of an answer that holds columns and values.
    async fn ask(&self, text: &str) -> String {
        let (text, database) = (text.to_owned(), self.database.clone());
        let query = Query { text, database, ..Query::default() };
        let answer = self.client.query(&query).await.unwrap();
        match answer.find("\"columns\"") {
            Some(at) => answer[at..].trim_end_matches(['\n', ']', '}']).to_owned(),
            None => String::new(),
        }
    }
}

impl Drop for Bench {
    /// The threads would keep the runtime of the test.
    fn drop(&mut self) {
        self.workers.stop();
    }
}

// === impl Running ===

impl Running {
    /// Gives everything that can run the time to do so, until a condition holds.
    async fn until(&self, what: &str, condition: impl Fn(&Running) -> bool) {
        for _ in 0..2_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{what}: not in time");
    }

    fn place(&self, name: &str) -> usize {
        self.cell.with_actor(|actor| {
            let mut slots = actor.graph().slots().iter();
            slots.position(|slot| *slot.name.name == *name).unwrap()
        })
    }

    fn writer(&self, name: &str) -> WriterStatistics {
        self.sides.writers.statistics(self.place(name)).unwrap()
    }

    fn answered(&self, name: &str) -> u64 {
        let place = self.place(name);
        self.sides.with_queries(|queries| queries.statistics(place).unwrap().answered).unwrap()
    }

    async fn stop(self) {
        self.sides.close_queries();
        self.until("the queue is empty", |running| running.cell.is_drained()).await;
        self.cell.with_actor(|actor| actor.finish()).unwrap();
        self.sides.close(10 * SECOND);
        self.until("the end", |running| running.sides.is_done()).await;
    }
}

impl Inbox for ToCell {
    fn push(&self, input: Input) -> bool {
        self.0.upgrade().is_some_and(|cell| cell.give(input))
    }

    fn is_open(&self) -> bool {
        self.0.upgrade().is_some_and(|cell| cell.queue.is_open())
    }
}

impl Services for Around {
    fn endpoint(&self, _name: &str) -> Option<Endpoint> {
        None
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

const HEAD: &str = "\"columns\":";

#[tokio::test]
async fn a_batch_task_asks_aligned_ranges_and_writes_what_it_computed() {
    let Some(bench) = Bench::new("task influxdb batch", QuerySettings::default()).await else {
        return;
    };
    bench.write("m,host=a v=1 60\nm,host=a v=3 75\nm,host=b v=10 119\nm,host=a v=99 120").await;
    let script = "
        batch
            |query('SELECT mean(v) AS v, count(v) AS n FROM \"$DB\".rp.m WHERE host = \\'a\\' OR host = \\'b\\'')
                .period(1m).every(1m).align().groupBy(time(30s), 'host').fill(0)
            |eval(lambda: \"v\" * 2.0).as('v').keep('v', 'n')
            |influxDBOut().database('$DB').retentionPolicy('rp').measurement('out').tag('from', 'task')
                .precision('s')";
    let running = bench.start(script).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.clock.advance(30 * SECOND);
    running.until("an answer", |running| running.answered("query1") == 1).await;
    running.until("points", |running| running.writer("influxdb_out3").points_held == 4).await;
    // Nothing is written before the flush interval; the end of the task writes it.
    assert_eq!(bench.ask("SELECT * FROM out").await, "");
    running.stop().await;
    assert_eq!(
        bench.ask("SELECT host, n, v, \"from\" FROM rp.out").await,
        format!(
            "{HEAD}[\"time\",\"host\",\"n\",\"v\",\"from\"],\"values\":[{}",
            concat!(
                r#"["1970-01-01T00:01:00Z","a",2,4,"task"],["1970-01-01T00:01:00Z","b",0,0,"task"],"#,
                r#"["1970-01-01T00:01:30Z","a",0,0,"task"],["1970-01-01T00:01:30Z","b",1,20,"task""#
            )
        )
    );
    // Counts are floats, as upstream has it.
    assert!(bench.ask("SHOW FIELD KEYS FROM rp.out").await.contains(r#"["n","float"]"#));
}

#[tokio::test]
async fn integers_stay_integers_where_that_is_asked_for() {
    let queries = QuerySettings { keep_integers: true, ..QuerySettings::default() };
    let Some(bench) = Bench::new("task influxdb integers", queries).await else { return };
    bench.write("m v=7i 70").await;
    let script = "
        batch
            |query('SELECT v FROM \"$DB\".rp.m').period(1m).cron('* * * * *')
            |influxDBOut().database('$DB').retentionPolicy('rp').measurement('out').buffer(1)";
    let running = bench.start(script).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.clock.advance(30 * SECOND);
    running.until("a point", |running| running.writer("influxdb_out2").points_written == 1).await;
    assert!(bench.ask("SHOW FIELD KEYS FROM rp.out").await.contains(r#"["v","integer""#));
    running.stop().await;
}

#[tokio::test]
async fn a_stream_task_writes_to_a_database_that_it_makes() {
    let Some(bench) = Bench::new("task influxdb stream", QuerySettings::default()).await else {
        return;
    };
    let made = format!("{} made", bench.database);
    let drop = format!("DROP DATABASE {}", quote_identifier(&made));
    bench.client.query(&Query { text: drop, ..Query::default() }).await.unwrap();
    let script = "
        stream
            |from().measurement('m')
            |influxDBOut().database('$DB made').retentionPolicy('own').create().buffer(3)
                .flushInterval(5s)";
    let running = bench.start(script).unwrap();
    let points = points(&bench.database, "m,host=a v=1i,s=\"x y\" 1\nm v=2i 2\nm v=3i 3\nm v=4i 4");
    assert!(running.cell.give(Input::Points(Slice::all(points))));
    running.until("three", |running| running.writer("influxdb_out2").points_written == 3).await;
    bench.clock.advance(5 * SECOND);
    running.until("four", |running| running.writer("influxdb_out2").points_written == 4).await;
    let text = format!("SELECT count(v) FROM {}.own.m", quote_identifier(&made));
    assert!(bench.ask(&text).await.ends_with(",4"), "{}", bench.ask(&text).await);
    running.stop().await;
}

#[tokio::test]
async fn points_that_the_server_refuses_are_told_to_the_node() {
    let Some(bench) = Bench::new("task influxdb refused", QuerySettings::default()).await else {
        return;
    };
    bench.write("out v=\"text\" 1").await;
    let script = "
        stream
            |from().measurement('m')
            |influxDBOut().database('$DB').retentionPolicy('rp').measurement('out').buffer(3)";
    let running = bench.start(script).unwrap();
    let points = points(&bench.database, "m v=1 2\nm w=1 3\nm v=3 4");
    assert!(running.cell.give(Input::Points(Slice::all(points))));
    running.until("an end", |running| running.writer("influxdb_out2").write_errors == 1).await;
    let statistics = running.writer("influxdb_out2");
    assert_eq!((statistics.points_written, statistics.points_lost), (1, 2));
    let of_node = |name: &str| {
        running.cell.with_actor(|actor| {
            let slots = actor.graph().slots();
            let slot = slots.iter().find(|slot| *slot.name.name == *"influxdb_out2").unwrap();
            let statistics = slot.node.statistics();
            statistics.iter().find(|(known, _)| *known == name).unwrap().1
        })
    };
    running.until("the node heard", |_| of_node("write_errors") == 1).await;
    assert_eq!(of_node("points_written"), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_batch_task_reads_only_what_it_may() {
    let Some(bench) = Bench::new("task influxdb allowed", QuerySettings::default()).await else {
        return;
    };
    let error = bench.start("batch|query('SELECT v FROM other.rp.m').every(1m)").err().unwrap();
    assert_eq!(error, r#"batch query is not allowed to request data from "other"."rp""#);
    let script = "batch|query('SELECT v FROM \"$DB\".rp.m').every(1m).cluster('x')";
    let error = bench.start(script).err().unwrap();
    assert_eq!(error, "failed to get InfluxDB client: no such InfluxDB config x");
    let script = "stream|from()|influxDBOut().cluster('x')";
    let error = bench.start(script).err().unwrap();
    assert_eq!(error, "failed to get InfluxDB client: no such InfluxDB config x");
}

/// Reads lines with times in seconds.
fn points(database: &str, lines: &str) -> Vec<levada_model::Point> {
    use levada_codec::line_protocol::{Limits as LineLimits, Parser, Precision};
    let mut parser = Parser::new(LineLimits::default());
    let mut points = Vec::new();
    let (database, retention): (Str, Str) = (database.into(), "rp".into());
    let lines = lines.as_bytes();
    let outcome =
        parser.parse(&database, &retention, Precision::Seconds, Timestamp(0), lines, &mut points);
    assert_eq!(outcome.refused, 0);
    points
}
