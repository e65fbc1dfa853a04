//! Stopping while a server is away: in time, with success, and what is unfinished is read again.

use std::thread;
use std::time::{Duration, Instant};

use levada_testkit::kafka;
use levada_testkit::process::{Ended, Folder};
use levada_testkit::proxy::{Link, Proxy};

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::{LONG, flow, holds, records, seldom, start_with, stop};

/// How long finishing may take, as the flow is told.
const DRAIN: [&str; 2] = ["--set", "runtime.drain-timeout=2s"];

/// The drain, five seconds for stages that are aborted, three to leave the group, and what a busy machine takes.
const STOP_MAX: Duration = Duration::from_secs(13);

/// Ways to be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nothing listens.
    Gone,
    /// Nothing answers.
    Silent,
}

const WAYS: [Way; 2] = [Way::Gone, Way::Silent];

/// Plays one scene: some records arrive, the server goes, more records come, the flow is stopped, and the
/// next one brings the rest.
fn play(
    topic: &Topic,
    spec: &str,
    is_away: &dyn Fn(bool),
    arrived: &dyn Fn() -> u64,
) -> [Ended; 2] {
    let folder = Folder::new();
    flow(&folder, &topic.name, &format!("checkpointSaveInterval: 50ms\n{spec}"));
    topic.send(records(0..500));
    let mut running = start_with(&folder, None, &DRAIN);
    running.until("the first arrived", LONG, || seldom(arrived) >= 500);
    is_away(true);
    topic.send(records(500..1000));
    thread::sleep(Duration::from_millis(700));
    let asked = Instant::now();
    let first = stop(running);
    let took = asked.elapsed();
    eprintln!("{}: stopped within {took:?}", topic.name);
    assert!(took < STOP_MAX, "{took:?}: {first:#?}");
    assert_eq!(first.summary()["deadLettered"], 0, "{first:#?}");
    is_away(false);
    let mut running = start_with(&folder, None, &DRAIN);
    running.until("everything arrived", LONG, || seldom(arrived) >= 1000);
    [first, stop(running)]
}

fn source(topic: &Topic, brokers: &str) -> String {
    let name = &topic.name;
    format!(
        "source: {{type: kafka, kafka: {{brokers: [\"{brokers}\"], topic: {name}, sessionTimeout: 6s}}}}"
    )
}

fn before_database(way: Way, delivery: &str) {
    let test = format!("away-pg-{way:?}-{delivery}").to_lowercase();
    let Some(topic) = Topic::new(&test, 2) else { return };
    let Some(database) = Database::new(&test) else { return };
    database.make_table("t");
    let server = Proxy::start(database.url.split(['@', '/']).nth(3).unwrap());
    let spec = format!(
        "delivery: {delivery}
{}
sink: {{type: postgresql, postgresql: {{connectionString: \"postgres://postgres@{}/postgres\", table: {}.t, batchSize: 300}}}}
",
        source(&topic, &topic.brokers),
        server.address(),
        database.schema
    );
    let is_away = |is_away: bool| far(&server, way, is_away);
    let ended = play(&topic, &spec, &is_away, &|| database.count("t"));
    let twice = holds(&database.ids("t"), 0..1000);
    if delivery == "exactlyOnce" {
        assert_eq!(twice, 0, "exactly once was promised: {ended:#?}");
    }
}

/// A route's database is away, that of the main sink is not.
fn before_route(way: Way) {
    let test = format!("away-route-{way:?}").to_lowercase();
    let Some(topic) = Topic::new(&test, 2) else { return };
    let Some(database) = Database::new(&test) else { return };
    database.make_table("main");
    database.make_table("route");
    let server = Proxy::start(database.url.split(['@', '/']).nth(3).unwrap());
    let (url, schema) = (&database.url, &database.schema);
    let spec = format!(
        "{}
transformations:
  - type: router
    router:
      routes:
        - name: even
          condition: \"$.kind == '0'\"
          sink: {{type: postgresql, postgresql: {{connectionString: \"postgres://postgres@{}/postgres\", table: {schema}.route, batchSize: 300}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{url}\", table: {schema}.main, batchSize: 300}}}}
",
        source(&topic, &topic.brokers),
        server.address(),
    );
    let is_away = |is_away: bool| far(&server, way, is_away);
    play(&topic, &spec, &is_away, &|| database.count("main") + database.count("route"));
    holds(&database.ids("route"), (0..1000).filter(|id| id % 5 == 0));
    holds(&database.ids("main"), (0..1000).filter(|id| id % 5 != 0));
}

fn far(server: &Proxy, way: Way, is_away: bool) {
    match (is_away, way) {
        (false, _) => server.set(Link::Forward),
        (true, Way::Silent) => server.set(Link::Hold),
        (true, Way::Gone) => {
            server.set(Link::Refuse);
            server.cut();
        }
    }
}

fn between_topics(way: Way, is_source_away: bool, delivery: &str) {
    let what = if is_source_away { "source" } else { "sink" };
    let test = format!("away-{what}-{way:?}-{delivery}").to_lowercase();
    let Some(topic) = Topic::new(&test, 2) else { return };
    let Some(target) = Topic::new(&format!("{test}-to"), 2) else { return };
    let broker = kafka::Proxy::start(&topic.brokers);
    let proxied = broker.address();
    // Exactly once has one cluster, so both go through the proxy.
    let is_one = delivery == "exactlyOnce";
    let of = |is_away: bool| if is_away || is_one { &proxied } else { &topic.brokers };
    let spec = format!(
        "delivery: {delivery}
{}
sink: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}}}}}
",
        source(&topic, of(is_source_away)),
        of(!is_source_away),
        target.name
    );
    let is_away = |is_away: bool| match (is_away, way) {
        (false, _) => broker.restore(),
        (true, Way::Silent) => broker.hold(),
        (true, Way::Gone) => broker.cut(),
    };
    let ended = play(&topic, &spec, &is_away, &|| target.ids().len() as u64);
    let twice = holds(&target.ids(), 0..1000);
    if is_one {
        assert_eq!(twice, 0, "exactly once was promised: {ended:#?}");
    }
}

#[test]
fn a_database_that_is_away_does_not_hold_a_stop_up() {
    thread::scope(|scope| {
        for way in WAYS {
            for delivery in ["exactlyOnce", "atLeastOnce"] {
                scope.spawn(move || before_database(way, delivery));
            }
            scope.spawn(move || before_route(way));
        }
    });
}

#[test]
fn a_broker_that_is_away_does_not_hold_a_stop_up() {
    thread::scope(|scope| {
        for way in WAYS {
            scope.spawn(move || between_topics(way, true, "atLeastOnce"));
            scope.spawn(move || between_topics(way, false, "atLeastOnce"));
            scope.spawn(move || between_topics(way, true, "exactlyOnce"));
        }
    });
}
