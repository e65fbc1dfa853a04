//! Several processes run one flow: members come and go, and one is killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use levada_testkit::process::{Folder, Running};
use levada_testkit::proxy::{Link, Proxy};
use rustix::process::Signal;

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::{LONG, Over, flow, holds, plays, records, seldom, start, start_with, stop};

/// How often a member may throw away what is under way, per change of the group.
///
/// One change costs a member a restart, when partitions go or when they come, and another when what it read in between
/// is refused.
const RESTARTS_MAX: usize = 2;

/// Changes of the group in [`play`]: three members come, one is killed, one goes and comes again.
const CHANGES: usize = 6;

const RESTART: &str = "the flow starts again from what is stored";

/// Runs three members of the flow `spec` while records are sent, kills one and starts another again; gives how many
/// records were sent.
///
/// `arrived` tells how many different ones are there.
fn play(topic: &Topic, spec: &str, promise: &str, arrived: &dyn Fn() -> u64) -> u64 {
    let folders = [Folder::new(), Folder::new(), Folder::new()];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| topic.send_until(&is_over));
        let _over = Over(&is_over);
        let [mut first, stopped, mut stays] = folders.each_ref().map(|folder| {
            flow(folder, &topic.name, spec);
            start(folder, None)
        });
        first.until("records arrive", LONG, || arrived() > 500);
        let pause = || thread::sleep(Duration::from_millis(1500));
        pause();
        kill(first);
        for _ in 1..plays(1) {
            let once_more = start(&folders[0], None);
            pause();
            kill(once_more);
        }
        pause();
        calm("the one that stops", &stop(stopped).stderr);
        pause();
        let again = start(&folders[1], None);
        let before = arrived();
        stays.until("the group goes on", LONG, || arrived() > before + 500);
        // The killed member is missed by then, and the partitions are shared anew.
        thread::sleep(Duration::from_secs(7));
        is_over.store(true, Ordering::Release);
        let sent = sender.join().unwrap();
        stays.until("everything arrived", LONG, || arrived() >= sent);
        for (who, member) in [("the one that stays", stays), ("the one that comes", again)] {
            finish(who, member, promise);
        }
        sent
    })
}

fn kill(member: Running) {
    member.signal(Signal::KILL);
    let ended = member.wait(LONG).expect_no_panic();
    assert_eq!(ended.code, None, "{ended:#?}");
}

fn finish(who: &str, member: Running, promise: &str) {
    let ended = stop(member);
    let summary = ended.summary();
    assert_eq!(summary["guarantee"], promise, "{who}: {ended:#?}");
    assert_eq!(summary["deadLettered"], 0, "{who}: {ended:#?}");
    assert!(summary["recordsOut"].as_u64() > Some(0), "{who} had no part: {ended:#?}");
    calm(who, &ended.stderr);
}

/// Checks that a member does not start again and again.
fn calm(who: &str, stderr: &str) {
    let restarts = stderr.matches(RESTART).count();
    eprintln!("{who}: {restarts} restarts");
    let most = RESTARTS_MAX * (CHANGES + 2 * plays(1) as usize);
    assert!(restarts <= most, "{who} started {restarts} times again: {stderr}");
}

fn source(topic: &Topic) -> String {
    let (brokers, name) = (&topic.brokers, &topic.name);
    format!(
        "source: {{type: kafka, kafka: {{brokers: [\"{brokers}\"], topic: {name}, sessionTimeout: 6s}}}}"
    )
}

fn to_postgresql(test: &str, delivery: &str, promise: &str) -> Option<u64> {
    let topic = Topic::new(test, 6)?;
    let database = Database::new(test)?;
    database.make_table("t");
    let spec = format!(
        "delivery: {delivery}
checkpointSaveInterval: 50ms
{}
sink: {{type: postgresql, postgresql: {{connectionString: \"{}\", table: {}.t, batchSize: 300}}}}
",
        source(&topic),
        database.url,
        database.schema
    );
    let sent = play(&topic, &spec, promise, &|| seldom(|| database.count("t")));
    let twice = holds(&database.ids("t"), 0..sent);
    eprintln!("{test}: {sent} records, {twice} arrived twice");
    Some(twice)
}

#[test]
fn members_of_a_flow_to_postgresql_write_everything_once() {
    if let Some(twice) = to_postgresql("group-once", "auto", "exactly-once") {
        assert_eq!(twice, 0, "exactly once was promised");
    }
}

#[test]
fn members_of_a_flow_to_postgresql_lose_nothing() {
    to_postgresql("group-least", "atLeastOnce", "at-least-once");
}

#[test]
fn members_of_a_flow_between_topics_write_everything_once() {
    let Some(topic) = Topic::new("group-from", 6) else { return };
    let Some(target) = Topic::new("group-to", 3) else { return };
    let spec = format!(
        "checkpointSaveInterval: 50ms
{}
sink: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}}}}}
",
        source(&topic),
        target.brokers,
        target.name
    );
    let sent = play(&topic, &spec, "exactly-once", &|| seldom(|| target.ids().len() as u64));
    assert_eq!(holds(&target.ids(), 0..sent), 0, "exactly once was promised");
}

/// Partitions that went to another member while a slow sink kept them paused are read on when they come back.
#[test]
fn partitions_that_went_while_the_sink_was_slow_come_back() {
    let test = "group-slow";
    let Some(topic) = Topic::new(test, 6) else { return };
    let Some(database) = Database::new(test) else { return };
    let server = Proxy::start(database.url.split(['@', '/']).nth(3).unwrap());
    for (table, delivery) in [("least", "atLeastOnce"), ("once", "exactlyOnce")] {
        database.make_table(table);
        let spec = format!(
            "delivery: {delivery}
checkpointSaveInterval: 50ms
{}
sink: {{type: postgresql, postgresql: {{connectionString: \"postgres://postgres@{}/postgres\", table: {}.{table}, batchSize: 300}}}}
",
            source(&topic),
            server.address(),
            database.schema
        );
        let folders = [Folder::new(), Folder::new()];
        let small = ["--set", "flow.queue-records=400", "--set", "flow.window-records=1000"];
        let begin = |folder: &Folder| {
            flow(folder, &format!("{}-{table}", topic.name), &spec);
            start_with(folder, None, &small)
        };
        let before = if table == "least" { 0 } else { 9000 };
        topic.send(records(before..before + 4000));
        let arrived = || seldom(|| database.count(table));
        let mut stays = begin(&folders[0]);
        stays.until("the first arrived", LONG, || arrived() >= before + 4000);
        server.set(Link::Hold);
        topic.send(records(before + 4000..before + 8000));
        // Long enough that the source pauses its partitions.
        thread::sleep(Duration::from_millis(2500));
        let goes = begin(&folders[1]);
        thread::sleep(Duration::from_secs(4));
        server.set(Link::Forward);
        thread::sleep(Duration::from_secs(1));
        stop(goes);
        topic.send(records(before + 8000..before + 9000));
        stays.until("everything arrived", LONG, || arrived() >= before + 9000);
        let ended = stop(stays);
        let twice = holds(&database.ids(table), 0..before + 9000);
        assert!(table == "least" || twice == 0, "exactly once was promised: {ended:#?}");
    }
}
