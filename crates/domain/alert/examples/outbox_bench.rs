//! What an event costs on its way from a task to a log file: state, outbox and history in SQLite.
//!
//! `outbox_bench [EVENTS [POINTS]]` publishes events of one point each, or of batches of so many, and prints one JSON line:
//! events, CPU seconds of the whole process for them.
#![expect(clippy::print_stdout, reason = "a program")]

use std::sync::Arc;
use std::time::Duration;

use levada_alert::event::{Details, Event, EventData};
use levada_alert::handlers::{Arg, HandlerDeps, HandlerSpec, by_method};
use levada_alert::level::Level;
use levada_alert::service::{AlertService, ServiceDeps, ServiceSettings};
use levada_alert::topics::{HandlerSetup, OutboxSettings, Topics, TopicsSettings};
use levada_model::{Batch, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp};
use levada_runtime::{SystemClock, Tasks};
use levada_testkit::process::own_cpu_seconds;

// As in the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const TOPIC: &str = "main:task:alert3";
const SERIES: usize = 1_000;

fn main() {
    let mut arguments = std::env::args().skip(1).map_while(|text| text.parse::<usize>().ok());
    let events = arguments.next().unwrap_or(20_000);
    let points = arguments.next().unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("levada.db").display());
    let log = folder.path().join("alerts.log");
    let service = runtime.block_on(service(&store, &log.display().to_string()));
    let made: Vec<Event> = (0..events).map(|number| event(number, points)).collect();
    let before = own_cpu_seconds();
    let topics = service.topics().clone();
    std::thread::spawn(move || publish(&topics, made)).join().expect("all is published");
    while service.topics().stats().outbox.waiting > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    runtime.block_on(service.shut_down(Duration::from_secs(10)));
    let cpu = own_cpu_seconds() - before;
    let lines = std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    println!(
        "{}",
        serde_json::json!({
            "events": events,
            "lines": lines,
            "points_of_each": points,
            "cpu_seconds": cpu,
            "cpu_microseconds_per_event": cpu / events as f64 * 1e6,
        })
    );
}

async fn service(store: &str, log: &str) -> AlertService {
    let tasks = Tasks::new();
    let documents = levada_store::open_documents(store, &tasks).await.expect("a store");
    let topics =
        TopicsSettings { outbox: Some(OutboxSettings::default()), ..TopicsSettings::default() };
    let settings = ServiceSettings { topics, ..ServiceSettings::default() };
    let deps = ServiceDeps {
        tasks,
        runtime: tokio::runtime::Handle::current(),
        clock: SystemClock::new(),
        documents,
        handlers: HandlerDeps::default(),
    };
    let service = AlertService::open(settings, deps).await.expect("the service");
    let kind = by_method("log").expect("a kind of handlers");
    let spec = HandlerSpec::from_call(kind, vec![Arg::from(log)]).expect("a handler");
    let handler = spec.start(&HandlerDeps::default()).expect("a handler");
    let added = service.topics().handler_add(TOPIC, HandlerSetup::new("log0", handler));
    added.expect("a handler of the topic");
    service
}

fn publish(topics: &Topics, events: Vec<Event>) {
    for event in events {
        topics.wait_for_room(TOPIC);
        topics.publish(TOPIC, event);
    }
}

fn event(number: usize, points: usize) -> Event {
    let host = Str::from(format!("host-{:06}", number % SERIES).as_str());
    let key = GroupKey {
        name: None,
        dimensions: [Str::from("host")].into(),
        values: [Str::clone(&host)].into(),
    };
    let group = Str::from(key.text().as_str());
    let tags = vec![(Str::from("host"), host)];
    let series = Series::new("db".into(), "rp".into(), "cpu".into(), tags);
    let shape = Shape::new(["usage", "idle", "load"].map(Str::from).into());
    let point = |at: usize| Point {
        series: Arc::clone(&series),
        shape: Arc::clone(&shape),
        values: [99.0, at as f64 / 7.0, 1.25].map(FieldValue::Float).into_iter().collect(),
        time: Timestamp(1_700_000_000_000_000_000 + (number / SERIES + at) as i64 * 1_000_000_000),
    };
    let is_alert = (number / SERIES).is_multiple_of(2);
    let time = point(0).time;
    let data = match points {
        0 | 1 => EventData::Point(Arc::new(point(0))),
        _ => {
            let id = Str::clone(&group);
            let group = Arc::new(Group { slot: 0, key, id });
            let points = (0..points).map(point).collect();
            EventData::Batch(Arc::new(Batch { name: "cpu".into(), group, time, points }), 0)
        }
    };
    let level = if is_alert { Level::Critical } else { Level::Ok };
    let id = format!("cpu:{group}");
    Event {
        message: format!("{id} is {level}").into(),
        id: id.as_str().into(),
        // As long as the default is.
        details: Details::lazy(move || "&#34;Name&#34;:&#34;cpu&#34;,".repeat(20)),
        time,
        duration: 0,
        level,
        previous_level: Level::Ok,
        is_recoverable: true,
        task: "task".into(),
        category: "".into(),
        group,
        data,
        hops: 0,
    }
}
