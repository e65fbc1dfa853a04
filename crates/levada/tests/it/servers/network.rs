//! Networks that cut, delay and swallow what passes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use levada_testkit::http::request;
use levada_testkit::process::{Folder, Running};
use levada_testkit::proxy::{Link, Proxy};
use levada_testkit::seeded::Random;
use levada_testkit::{kafka, services};
use serde_json::{Value, json};

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::{LONG, Over, flow, holds, plays, seldom, start, stop};

const ERRORS: &str = "errors: {type: file, file: {path: dead.ndjson}}";

/// How long connections are cut at random moments.
const CUTTING: Duration = Duration::from_secs(5);

/// Longer than a statement and a connection attempt may take.
const SWALLOWING: Duration = Duration::from_secs(5);

/// Makes the network bad in every way while `flow` runs.
fn disturb(random: &mut Random, database: &Proxy, broker: Option<&kafka::Proxy>) {
    let wait = |millis: u64| thread::sleep(Duration::from_millis(millis));
    for _ in 0..plays(1) {
        let until = Instant::now() + CUTTING;
        while Instant::now() < until {
            wait(random.below(150));
            match (random.below(4), broker) {
                (0, Some(broker)) => {
                    broker.cut();
                    wait(random.below(100));
                    broker.restore();
                }
                (1, _) => {
                    let bytes = u32::try_from(random.below(200)).unwrap();
                    database.cut_after(bytes);
                }
                (2, _) => database.refuse_next(2),
                _ => database.cut(),
            }
        }
        database.set(Link::Delay(Duration::from_millis(20)));
        wait(2000);
        database.set(Link::Hold);
        if let Some(broker) = broker {
            wait(1000);
            broker.hold();
        }
        thread::sleep(SWALLOWING);
        database.set(Link::Forward);
        if let Some(broker) = broker {
            broker.restore();
        }
        wait(1000);
    }
}

/// Makes the network before a broker bad: cuts it at random moments, then swallows what passes.
fn disturb_broker(random: &mut Random, broker: &kafka::Proxy) {
    let wait = |millis: u64| thread::sleep(Duration::from_millis(millis));
    for _ in 0..plays(1) {
        let until = Instant::now() + CUTTING;
        while Instant::now() < until {
            wait(random.below(600));
            broker.cut();
            wait(random.below(100));
            broker.restore();
        }
        wait(2000);
        broker.hold();
        thread::sleep(SWALLOWING);
        broker.restore();
        wait(1000);
    }
}

fn finish(running: Running, promise: &str) {
    let ended = stop(running);
    let summary = ended.summary();
    assert_eq!(summary["guarantee"], promise, "{ended:#?}");
    assert_eq!(summary["deadLettered"], 0, "{ended:#?}");
    assert!(summary["retries"].as_u64() > Some(0), "it never tried again: {ended:#?}");
    eprintln!("{promise}: {summary}");
}

#[test]
fn a_bad_network_between_kafka_and_postgresql_loses_and_doubles_nothing() {
    let Some(topic) = Topic::new("network-pg", 3) else { return };
    let Some(database) = Database::new("network-pg") else { return };
    database.make_table("t");
    let broker = kafka::Proxy::start(&topic.brokers);
    let server = Proxy::start(database.url.split(['@', '/']).nth(3).unwrap());
    let folder = Folder::new();
    flow(
        &folder,
        &topic.name,
        &format!(
            "delivery: exactlyOnce
checkpointSaveInterval: 50ms
source: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}, sessionTimeout: 6s}}}}
sink:
  type: postgresql
  postgresql:
    connectionString: \"postgres://postgres@{}/postgres?connect_timeout=2\"
    table: {}.t
    batchSize: 300
    statementTimeout: 2s
{ERRORS}
",
            broker.address(),
            topic.name,
            server.address(),
            database.schema
        ),
    );
    let is_over = AtomicBool::new(false);
    let mut running = start(&folder, None);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| topic.send_until(&is_over));
        let _over = Over(&is_over);
        running.until("records arrive", LONG, || server.accepted() > 0);
        disturb(&mut Random::new(5), &server, Some(&broker));
        is_over.store(true, Ordering::Release);
        sender.join().unwrap()
    });
    running.until("everything arrived", LONG, || seldom(|| database.count("t")) >= sent);
    finish(running, "exactly-once");
    let twice = holds(&database.ids("t"), 0..sent);
    eprintln!("network: {sent} records, {twice} arrived twice, {} connections", server.accepted());
    assert_eq!(twice, 0, "exactly once was promised");
}

#[test]
fn a_bad_network_between_topics_loses_and_doubles_nothing() {
    let Some(topic) = Topic::new("network-from", 3) else { return };
    let Some(target) = Topic::new("network-to", 3) else { return };
    let broker = kafka::Proxy::start(&topic.brokers);
    let folder = Folder::new();
    flow(
        &folder,
        &topic.name,
        &format!(
            "delivery: exactlyOnce
checkpointSaveInterval: 50ms
source: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {1}, sessionTimeout: 6s}}}}
sink: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {2}}}}}
{ERRORS}
",
            broker.address(),
            topic.name,
            target.name
        ),
    );
    let is_over = AtomicBool::new(false);
    let mut running = start(&folder, None);
    let arrived = || seldom(|| target.ids().len() as u64);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| topic.send_until(&is_over));
        let _over = Over(&is_over);
        running.until("records arrive", LONG, || arrived() > 0);
        disturb_broker(&mut Random::new(8), &broker);
        is_over.store(true, Ordering::Release);
        sender.join().unwrap()
    });
    running.until("everything arrived", LONG, || arrived() >= sent);
    let ended = stop(running);
    let summary = ended.summary();
    assert_eq!(summary["guarantee"], "exactly-once", "{ended:#?}");
    assert_eq!(summary["deadLettered"], 0, "{ended:#?}");
    let twice = holds(&target.ids(), 0..sent);
    eprintln!("between topics: {sent} records, {twice} arrived twice, {summary}");
    assert_eq!(twice, 0, "exactly once was promised: {ended:#?}");
}

#[test]
fn a_bad_network_before_opensearch_loses_nothing() {
    let test = "network-search";
    let Some(topic) = Topic::new(test, 3) else { return };
    let Some(address) = services::OPENSEARCH.address(test) else { return };
    let ask = |method: &str, path: &str, body: &str| {
        let headers = [("Content-Type", "application/json")];
        let (status, body) = request(&address, method, path, &headers, body.as_bytes()).unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let index = topic.name.as_str();
    let body = json!({
        "settings": {"number_of_shards": 1, "number_of_replicas": 0},
        "mappings": {"dynamic": false, "properties": {"id": {"type": "long"}}},
    });
    assert_eq!(ask("PUT", &format!("/{index}"), &body.to_string()).0, 200);
    let server = Proxy::start(&address);
    let folder = Folder::new();
    flow(
        &folder,
        index,
        &format!(
            "checkpointSaveInterval: 50ms
source: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {index}}}}}
sink: {{type: elasticsearch, elasticsearch: {{urls: [\"http://{}\"], index: {index}, id: id, batchSize: 300, timeout: 2s, linger: 20ms}}}}
{ERRORS}
",
            topic.brokers,
            server.address()
        ),
    );
    let is_over = AtomicBool::new(false);
    let mut running = start(&folder, None);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| topic.send_until(&is_over));
        let _over = Over(&is_over);
        running.until("records arrive", LONG, || server.accepted() > 0);
        disturb(&mut Random::new(6), &server, None);
        is_over.store(true, Ordering::Release);
        sender.join().unwrap()
    });
    let count = || {
        ask("POST", &format!("/{index}/_refresh"), "");
        ask("GET", &format!("/{index}/_count"), "").1["count"].as_u64().unwrap()
    };
    running.until("everything arrived", LONG, || seldom(count) >= sent);
    finish(running, "at-least-once");
    // The id of a document is that of its record, so a count says it all; what is there twice is replaced.
    let query = json!({"query": {"range": {"id": {"gte": 0, "lt": sent}}}});
    let known = ask("POST", &format!("/{index}/_count"), &query.to_string()).1["count"].as_u64();
    assert_eq!((known, count()), (Some(sent), sent), "other documents than those that were sent");
    ask("DELETE", &format!("/{index}"), "");
}
