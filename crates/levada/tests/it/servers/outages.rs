//! Servers of a test's own that are killed, stopped and started again under a flow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use levada_testkit::instance::Instance;
use levada_testkit::process::{Ended, Folder, Running};
use levada_testkit::services;

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::{LONG, Over, flow, holds, plays, seldom, start, stop};

const ERRORS: &str = "errors: {type: file, file: {path: dead.ndjson}}";

/// The tables, and what is promised of them.
const TABLES: [(&str, &str, &str); 2] =
    [("once", "exactlyOnce", "exactly-once"), ("least", "atLeastOnce", "at-least-once")];

/// Starts flows from the topic into both tables of the database, each in its folder.
fn start_both(topic: &Topic, database: &Database, folders: &[Folder; 2]) -> [Running; 2] {
    let mut tables = TABLES.iter();
    folders.each_ref().map(|folder| {
        let (table, delivery, _) = tables.next().unwrap();
        database.make_table(table);
        let spec = format!(
            "delivery: {delivery}
checkpointSaveInterval: 50ms
source: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}, sessionTimeout: 6s}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{}?connect_timeout=3\", table: {}.{table}, batchSize: 300}}}}
{ERRORS}
",
            topic.brokers, topic.name, database.url, database.schema
        );
        flow(folder, &format!("{}-{table}", topic.name), &spec);
        start(folder, None)
    })
}

/// Stops a flow that went through an outage, and checks what it counted.
fn finish(running: Running, promise: &str) -> Ended {
    let ended = stop(running);
    let summary = ended.summary();
    assert_eq!(summary["guarantee"], promise, "{ended:#?}");
    assert_eq!(summary["deadLettered"], 0, "{ended:#?}");
    eprintln!("{promise}: {summary}");
    ended
}

/// Kills the server, then stops it for a time, each time under load.
fn disturb(server: &Instance) {
    for _ in 0..plays(1) {
        thread::sleep(Duration::from_secs(1));
        server.kill();
        thread::sleep(Duration::from_millis(500));
        server.restart();
        thread::sleep(Duration::from_secs(2));
        server.stop();
        thread::sleep(Duration::from_secs(2));
        server.restart();
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn postgresql_is_killed_and_stopped() {
    let test = "outage-pg";
    let Some(topic) = Topic::new(test, 3) else { return };
    let settings = [("PG_FSYNC", "on")];
    let Some(server) = Instance::start(services::POSTGRES, &settings, test) else { return };
    let database = Database::at(&server.address(), test);
    let folders = [Folder::new(), Folder::new()];
    let is_over = AtomicBool::new(false);
    let running = start_both(&topic, &database, &folders);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| topic.send_until(&is_over));
        let _over = Over(&is_over);
        disturb(&server);
        is_over.store(true, Ordering::Release);
        sender.join().unwrap()
    });
    database.connect_again();
    for (mut running, (table, _, promise)) in running.into_iter().zip(TABLES) {
        running.until("everything arrived", LONG, || seldom(|| database.count(table)) >= sent);
        let ended = finish(running, promise);
        assert!(ended.summary()["retries"].as_u64() > Some(0), "it never tried again: {ended:#?}");
        let twice = holds(&database.ids(table), 0..sent);
        eprintln!("{test}, {table}: {sent} records, {twice} arrived twice");
        if table == "once" {
            assert_eq!(twice, 0, "exactly once was promised");
        }
    }
}

/// A file is followed into a topic, and the topic goes into the database, while the broker goes away.
#[test]
fn kafka_is_killed_and_stopped() {
    let test = "outage-kafka";
    let Some(database) = Database::new(test) else { return };
    let Some(server) = Instance::start(services::KAFKA, &[], test) else { return };
    let topic = Topic::at(server.address(), test, 3);
    let file = Folder::new();
    flow(
        &file,
        test,
        &format!(
            "checkpointSaveInterval: 50ms
source: {{type: file, file: {{paths: [in.ndjson], follow: true, pollInterval: 10ms}}}}
sink: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}}}}}
{ERRORS}
",
            topic.brokers, topic.name
        ),
    );
    file.write("in.ndjson", "");
    let folders = [Folder::new(), Folder::new()];
    let is_over = AtomicBool::new(false);
    let running = start_both(&topic, &database, &folders);
    let from_file = start(&file, None);
    let sent = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut next = 0;
            while !is_over.load(Ordering::Acquire) {
                let lines = super::scene::records(next..next + 100).map(|line| line + "\n");
                file.append("in.ndjson", lines.collect::<String>());
                next += 100;
                thread::sleep(Duration::from_millis(50));
            }
            next
        });
        let _over = Over(&is_over);
        disturb(&server);
        is_over.store(true, Ordering::Release);
        writer.join().unwrap()
    });
    let mut from_file = from_file;
    from_file.until("the topic is full", LONG, || seldom(|| topic.ids().len() as u64) >= sent);
    // The client repeats by itself what the flow then need not.
    finish(from_file, "at-least-once");
    let in_topic = topic.ids();
    let twice = holds(&in_topic, 0..sent);
    eprintln!("{test}, file to topic: {sent} records, {twice} arrived twice");
    let total: u64 = in_topic.values().sum();
    for (mut running, (table, _, promise)) in running.into_iter().zip(TABLES) {
        let count = || seldom(|| database.ids(table).values().sum::<u64>());
        running.until("everything arrived", LONG, || count() >= total);
        finish(running, promise);
        let arrived = database.ids(table);
        holds(&arrived, 0..sent);
        match table {
            // What is in the topic twice is two records.
            "once" => assert!(arrived == in_topic, "exactly once was promised"),
            _ => assert!(in_topic.iter().all(|(id, times)| arrived[id] >= *times)),
        }
    }
}

/// A flow between topics of a broker that is killed under it: transactions that were open are undone, and the others
/// stay.
#[test]
fn a_killed_broker_doubles_nothing_between_topics() {
    let test = "outage-topics";
    let Some(server) = Instance::start(services::KAFKA, &[], test) else { return };
    let topic = Topic::at(server.address(), "outage-from", 3);
    let target = Topic::at(server.address(), "outage-to", 2);
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
            topic.brokers, topic.name, target.name
        ),
    );
    let is_over = AtomicBool::new(false);
    let mut running = start(&folder, None);
    let arrived = || seldom(|| target.ids().len() as u64);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| topic.send_until(&is_over));
        let _over = Over(&is_over);
        running.until("records arrive", LONG, || arrived() > 0);
        disturb(&server);
        is_over.store(true, Ordering::Release);
        sender.join().unwrap()
    });
    running.until("everything arrived", LONG, || arrived() >= sent);
    let ended = finish(running, "exactly-once");
    let (in_topic, in_target) = (topic.ids(), target.ids());
    holds(&in_target, 0..sent);
    eprintln!("{test}: {sent} records, {}", ended.summary());
    assert!(in_target == in_topic, "exactly once was promised: {ended:#?}");
}
