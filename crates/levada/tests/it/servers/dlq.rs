//! Dead letters in a topic or a table are listed and replayed from there.

use levada_testkit::process::{Ended, Folder};
use serde_json::Value;

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::{LONG, flow, holds, run};

struct Scene {
    folder: Folder,
    topic: Topic,
    letters: Topic,
    database: Database,
}

impl Scene {
    /// A flow of which three of a hundred records fail: two at a step, one at the table.
    fn new(test: &str) -> Option<Self> {
        let scene = Scene {
            folder: Folder::new(),
            topic: Topic::new(test, 1)?,
            letters: Topic::new(&format!("{test}-dead"), 2)?,
            database: Database::new(test)?,
        };
        let schema = &scene.database.schema;
        let columns = "(id bigint PRIMARY KEY, n text, name varchar(3))";
        scene.database.execute(&format!("CREATE TABLE {schema}.t {columns}"));
        scene.topic.send((0..100).map(|id| match id {
            10 | 60 => format!("{{\"id\":{id},\"n\":\"{id}e\",\"name\":\"n\"}}"),
            30 => format!("{{\"id\":{id},\"n\":\"{id}\",\"name\":\"long name\"}}"),
            _ => format!("{{\"id\":{id},\"n\":\"{id}\",\"name\":\"n\"}}"),
        }));
        scene.write("int64");
        run(&scene.folder, None).expect_code(0);
        assert_eq!(scene.rows(), 97);
        assert_eq!(scene.letters.read().len(), 3);
        Some(scene)
    }

    /// Writes the flow with this type for `n`, before the cast to text.
    fn write(&self, cast: &str) {
        flow(
            &self.folder,
            &self.topic.name,
            &format!(
                "source: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {1}, stopAtEnd: true}}}}
transformations:
  - {{type: cast, cast: {{spec: {{n: {cast}}}}}}}
  - {{type: cast, cast: {{spec: {{n: string}}}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{2}\", table: {3}.t, upsertMode: true, conflictKey: id}}}}
errors: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {4}}}}}
",
                self.topic.brokers, self.topic.name, self.database.url, self.database.schema, self.letters.name
            ),
        );
    }

    fn rows(&self) -> u64 {
        self.database.count("t")
    }

    fn dlq(&self, arguments: &[&str]) -> Ended {
        let all = [&["dlq"], arguments, &["--flow", "flow.yaml", "--data", "data"]].concat();
        self.folder.start(env!("CARGO_BIN_EXE_levada"), &all).wait(LONG).expect_no_panic()
    }

    /// Replays, and gives how many letters were taken.
    fn replay(&self, more: &[&str]) -> usize {
        let ended = self.dlq(&[&["replay"], more].concat()).expect_code(0);
        let said = ended.stderr.lines().find_map(|line| line.strip_prefix("replaying "));
        let said = said.unwrap_or_else(|| panic!("{ended:#?}"));
        said.split(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn letters_of_a_topic_are_replayed_once() {
    let Some(scene) = Scene::new("replay-topic") else { return };
    let listed = scene.dlq(&["list", "--output", "json"]).expect_code(0);
    let lines: Vec<Value> =
        listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{listed:#?}");

    // Only some are mended: the others are left, and nothing of them is passed over.
    scene.write("string");
    assert_eq!(scene.replay(&["--class", "transformation_error"]), 2);
    assert_eq!(scene.rows(), 99);
    let schema = &scene.database.schema;
    scene.database.execute(&format!("ALTER TABLE {schema}.t ALTER COLUMN name TYPE text"));
    // Those behind the one that was left come again, and no others.
    let again = scene.replay(&[]);
    assert!((1..=3).contains(&again), "{again} were replayed");
    holds(&scene.database.ids("t"), 0..100);
    assert_eq!(scene.letters.read().len(), 3, "none failed again");

    assert_eq!(scene.replay(&[]), 0, "all were replayed");
    assert_eq!(scene.replay(&["--from-start"]), 3);
    holds(&scene.database.ids("t"), 0..100);
    let listed = scene.dlq(&["list", "--output", "json"]).expect_code(0);
    assert_eq!(listed.stdout.lines().count(), 3, "a list shows all of them: {listed:#?}");
}

#[test]
fn letters_of_a_topic_that_fail_again_and_again_are_left_alone() {
    let Some(scene) = Scene::new("replay-guard") else { return };
    for round in 1..=2 {
        assert_eq!(scene.replay(&["--attempts-max", "2"]), 3, "round {round}");
        assert_eq!(scene.letters.read().len(), 3 + 3 * round);
    }
    let ended = scene.dlq(&["replay", "--attempts-max", "2"]).expect_code(0);
    assert!(ended.stderr.contains("3 were replayed too often already"), "{ended:#?}");
    assert_eq!(scene.letters.read().len(), 9);
    let replays = |letter: &super::kafka::Arrived| {
        let letter: Value = serde_json::from_slice(letter.payload.as_deref().unwrap()).unwrap();
        letter["error"]["metadata"]["dlq_replays"].as_u64().unwrap_or(0)
    };
    let mut found: Vec<u64> = scene.letters.read().iter().map(replays).collect();
    found.sort_unstable();
    assert_eq!(found, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
}

/// Whatever the table of the letters looks like.
#[test]
fn letters_of_a_table_are_listed_and_replayed() {
    let Some(topic) = Topic::new("replay-table", 1) else { return };
    let Some(database) = Database::new("replay-table") else { return };
    topic.send((0..100).map(|id| match id {
        10 => format!("{{\"id\":{id},\"price\":1.50,\"name\":\"long name\"}}"),
        20 => "no json".to_owned(),
        _ => format!("{{\"id\":{id},\"price\":1.50,\"name\":\"n\"}}"),
    }));
    let (schema, url) = (&database.schema, &database.url);
    let columns = "(id bigint PRIMARY KEY, price numeric, name varchar(3))";
    database.execute(&format!(
        "CREATE TABLE {schema}.text (error text, original_message text, original_message_base64 text)"
    ));
    let levada = env!("CARGO_BIN_EXE_levada");
    for (letters, more) in [
        ("made", "autoCreateTable: true"),
        ("raw", "autoCreateTable: true, rawMode: true"),
        ("text", ""),
    ] {
        database.execute(&format!(
            "DROP TABLE IF EXISTS {schema}.t; CREATE TABLE {schema}.t {columns}"
        ));
        let folder = Folder::new();
        let comma = if more.is_empty() { "" } else { ", " };
        flow(
            &folder,
            // The database keeps how far a flow of this name has read.
            &format!("{}-{letters}", topic.name),
            &format!(
                "source: {{type: kafka, kafka: {{brokers: [\"{}\"], topic: {}, consumerGroup: {letters}-{1}, stopAtEnd: true}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{url}\", table: {schema}.t, upsertMode: true, conflictKey: id}}}}
errors: {{type: postgresql, postgresql: {{connectionString: \"{url}\", table: {schema}.{letters}{comma}{more}}}}}
",
                topic.brokers, topic.name
            ),
        );
        let ran = run(&folder, None).expect_code(0);
        assert!(ran.stdout.contains("\"recordsOut\":98"), "{letters}: {ran:#?}");
        let good = (0..100).filter(|id| ![10, 20].contains(id));
        holds(&database.ids("t"), good);

        let list = ["dlq", "list", "--flow", "flow.yaml", "--data", "data"];
        let listed = folder.start(levada, &list).wait(LONG).expect_code(0);
        assert!(listed.stderr.contains("2 dead letters"), "{letters}: {listed:#?}");
        database.execute(&format!("ALTER TABLE {schema}.t ALTER COLUMN name TYPE text"));
        let replay = ["dlq", "replay", "--flow", "flow.yaml", "--data", "data"];
        let replayed = folder.start(levada, &replay).wait(LONG).expect_code(0);
        assert!(replayed.stderr.contains("replaying 2 dead letters"), "{letters}: {replayed:#?}");
        assert!(replayed.stderr.contains("1 dead-lettered"), "no JSON: {letters}: {replayed:#?}");
        holds(&database.ids("t"), (0..100).filter(|&id| id != 20));
        let price = database.column(&format!("SELECT price FROM {schema}.t WHERE id = 10"));
        assert_eq!(price, ["1.50"], "{letters}");
    }
}

#[test]
fn what_has_no_topic_says_so() {
    let folder = Folder::new();
    let levada = env!("CARGO_BIN_EXE_levada");
    let sink = "sink: {type: stdout, stdout: {}}";
    let dlq = ["dlq", "replay", "--flow", "flow.yaml"];
    let source = "source: {type: stdin, stdin: {}}";
    flow(&folder, "none", &format!("{source}\n{sink}\n"));
    let ended = folder.start(levada, &dlq).wait(LONG).expect_code(1);
    assert!(ended.stderr.contains("the flow has no error sink; name files"), "{ended:#?}");
    let errors = "errors: {type: file, file: {path: dead.ndjson}}";
    flow(&folder, "file", &format!("{source}\n{sink}\n{errors}\n"));
    let ended = folder.start(levada, &dlq).wait(LONG).expect_code(1);
    assert!(ended.stderr.contains("the error sink of the flow is `file`"), "{ended:#?}");
    let errors = "errors: {type: kafka, kafka: {brokers: [\"127.0.0.1:1\"], topic: dead}}";
    flow(&folder, "away", &format!("{source}\n{sink}\n{errors}\n"));
    let ended = folder.start(levada, &dlq).wait(LONG).expect_code(3);
    assert!(ended.stderr.contains("topic `dead`: cannot connect"), "{ended:#?}");
}
