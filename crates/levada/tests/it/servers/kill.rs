//! Kill -9 between servers: nothing is lost, and nothing is there twice where that is promised.

use std::collections::BTreeMap;
use std::time::Duration;

use levada_testkit::process::Folder;
use levada_testkit::seeded::Random;

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::{flow, holds, records, run, start};

/// Gives how many kills a test makes: `LEVADA_KILL_ROUNDS`, or few.
fn rounds(few: u64) -> u64 {
    std::env::var("LEVADA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// Records that one round adds.
const ROUND_RECORDS: u64 = 1000;

/// A flow between servers, and how it is looked at.
struct Scene<'a> {
    name: &'a str,
    /// Adds records with these ids to the source.
    feed: &'a dyn Fn(std::ops::Range<u64>),
    /// How often each id arrived.
    arrived: &'a dyn Fn() -> BTreeMap<u64, u64>,
    is_exactly_once: bool,
}

impl Scene<'_> {
    /// Kills at every named place, then there and at random moments by turns, and looks at what arrived.
    fn prove(&self, folder: &Folder, places: &[&str], few: u64) {
        let (mut next, mut kills, mut missed) = (0, 0, Vec::new());
        let mut feed = || {
            (self.feed)(next..next + ROUND_RECORDS);
            next += ROUND_RECORDS;
            next
        };
        for place in places {
            for passes in [1, 2] {
                feed();
                match run(folder, Some((place, passes))).code {
                    None => kills += 1,
                    Some(0) if passes == 1 => missed.push(*place),
                    Some(0) => {}
                    Some(code) => panic!("ended with {code} at `{place}`"),
                }
            }
        }
        let mut random = Random::new(7);
        for round in 0..rounds(few) {
            feed();
            // In turn at one of the places, the first or a later time, and at any moment.
            let ended = if round % 2 == 0 {
                let place = places[(round / 2) as usize % places.len()];
                let passes = u32::try_from(random.below(6)).unwrap() + 1;
                let ended = run(folder, Some((place, passes)));
                assert!(matches!(ended.code, None | Some(0)), "at `{place}`: {ended:#?}");
                ended
            } else {
                let delay = Duration::from_millis(random.below(900));
                start(folder, None).kill_after(delay).expect_no_panic()
            };
            kills += u64::from(ended.code.is_none());
        }
        let total = feed();
        let ended = run(folder, None).expect_code(0);
        let promised = if self.is_exactly_once { "exactly-once" } else { "at-least-once" };
        assert_eq!(ended.summary()["guarantee"], promised, "{ended:#?}");
        let twice = holds(&(self.arrived)(), 0..total);
        eprintln!("{}: {kills} kills, {total} records, {twice} arrived twice", self.name);
        assert!(missed.is_empty(), "never reached: {missed:?}");
        if self.is_exactly_once {
            assert_eq!(twice, 0, "exactly once was promised");
        }
    }
}

const PLACES: [&str; 6] = [
    "source.read",
    "transform.done",
    "sink.before-write",
    "sink.written",
    "commit.synced",
    "commit.stored",
];

const PLACES_EXACTLY_ONCE: [&str; 5] = [
    "source.read",
    "transform.done",
    "transaction.prepared",
    "transaction.committed",
    "commit.stored",
];

#[test]
fn kafka_to_postgresql() {
    let Some(topic) = Topic::new("kill-pg", 3) else { return };
    let Some(database) = Database::new("kill-pg") else { return };
    for is_exactly_once in [true, false] {
        let table = if is_exactly_once { "once" } else { "least" };
        database.execute(&format!(
            "CREATE TABLE {}.{table} (id bigint, name text, price numeric, kind text)",
            database.schema
        ));
        let folder = Folder::new();
        flow(
            &folder,
            &format!("{}-{table}", topic.name),
            &format!(
                "delivery: {}
checkpointSaveInterval: 20ms
source: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}, stopAtEnd: true, groupInstanceId: one}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{}\", table: {}.{table}, batchSize: 300}}}}
",
                if is_exactly_once { "exactlyOnce" } else { "atLeastOnce" },
                topic.brokers,
                topic.name,
                database.url,
                database.schema
            ),
        );
        // The second flow reads the topic from its start, so ids go on where the first stopped.
        let before = if is_exactly_once { 0 } else { database.ids("once").len() as u64 };
        let scene = Scene {
            name: &format!("Kafka to PostgreSQL, {table}"),
            feed: &|ids| topic.send(records(before + ids.start..before + ids.end)),
            arrived: &|| {
                let ids = database.ids(table);
                let of = |(id, times): (u64, u64)| id.checked_sub(before).map(|id| (id, times));
                ids.into_iter().filter_map(of).collect()
            },
            is_exactly_once,
        };
        let places: &[&str] = if is_exactly_once { &PLACES_EXACTLY_ONCE } else { &PLACES };
        scene.prove(&folder, places, 4);
    }
}

#[test]
fn kafka_to_kafka() {
    let Some(source) = Topic::new("kill-from", 3) else { return };
    let Some(sink) = Topic::new("kill-to", 2) else { return };
    let folder = Folder::new();
    flow(
        &folder,
        &source.name,
        &format!(
            "delivery: exactlyOnce
checkpointSaveInterval: 20ms
source: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {1}, stopAtEnd: true, groupInstanceId: one}}}}
sink: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {2}}}}}
",
            source.brokers, source.name, sink.name
        ),
    );
    let scene = Scene {
        name: "Kafka to Kafka",
        feed: &|ids| source.send(records(ids)),
        arrived: &|| sink.ids(),
        is_exactly_once: true,
    };
    scene.prove(&folder, &PLACES_EXACTLY_ONCE, 4);
}

#[test]
fn files_to_postgresql() {
    let Some(database) = Database::new("kill-files") else { return };
    database.execute(&format!("CREATE TABLE {}.t (id bigint, kind text)", database.schema));
    let folder = Folder::new();
    flow(
        &folder,
        "files",
        &format!(
            "checkpointSaveInterval: 20ms
source: {{type: file, file: {{paths: [in/*]}}}}
transformations:
  - {{type: select, select: {{fields: [id, kind]}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{}\", table: {}.t, batchSize: 300}}}}
",
            database.url, database.schema
        ),
    );
    let scene = Scene {
        name: "files to PostgreSQL",
        feed: &|ids| {
            let text: String = records(ids.clone()).map(|line| line + "\n").collect();
            folder.write(&format!("in/{:09}", ids.start), text);
        },
        arrived: &|| database.ids("t"),
        is_exactly_once: true,
    };
    scene.prove(&folder, &PLACES_EXACTLY_ONCE, 6);
}

#[test]
fn postgresql_to_kafka() {
    let Some(database) = Database::new("kill-poll") else { return };
    let Some(topic) = Topic::new("kill-poll", 2) else { return };
    let schema = &database.schema;
    database.execute(&format!(
        "CREATE TABLE {schema}.t (id bigint PRIMARY KEY, name text, updated_at timestamptz DEFAULT now())"
    ));
    let folder = Folder::new();
    flow(
        &folder,
        &topic.name,
        &format!(
            "checkpointSaveInterval: 20ms
source: {{type: postgresql, postgresql: {{connectionString: \"{}\", table: {schema}.t, stopAtEnd: true}}}}
sink: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}}}}}
",
            database.url, topic.brokers, topic.name
        ),
    );
    let scene = Scene {
        name: "PostgreSQL to Kafka",
        feed: &|ids| {
            let (from, to) = (ids.start, ids.end);
            database.execute(&format!(
                "INSERT INTO {schema}.t (id, name) SELECT i, 'n' || i FROM generate_series({from}, {to} - 1) AS i"
            ));
        },
        arrived: &|| topic.ids(),
        is_exactly_once: false,
    };
    scene.prove(&folder, &PLACES, 4);
}
