//! The manifests of `examples/original`, side by side in one process, against real servers.
//!
//! Source: dataflow-operator.md §9.2. Not among them: Nessie, Iceberg and change data capture, which are not built in,
//! and `DataFlowCron`, a schedule of the operator; what a schedule starts is `postgres-once`.

mod first;
mod more;

use std::path::Path;

use levada_testkit::process::{Folder, Running};

use super::kafka::Topic;
use super::postgres::Database;

/// Orders, of which one has no number where a strict table wants one.
const ORDERS: u64 = 40;
const POISON: u64 = 7;

fn order(id: u64) -> String {
    let currency = ["EUR", "USD", "GBP"][(id % 3) as usize];
    let number = if id == POISON { format!("\"{id}\"") } else { id.to_string() };
    let amount = if id == POISON { "\"none\"".to_owned() } else { format!("{id}.50") };
    format!(
        "{{\"id\":{number},\"currency\":\"{currency}\",\"amount\":{amount},\"items\":[{{\"sku\":\"a{id}\",\"qty\":1}},{{\"sku\":\"b{id}\",\"qty\":2}}]}}"
    )
}

/// Some manifests and the servers they run against.
struct Scene {
    folder: Folder,
    database: Database,
    topics: Vec<(&'static str, Topic)>,
    /// The start of names that no other run has.
    own: String,
}

// === impl Scene ===

impl Scene {
    /// Makes topics of these names and an empty schema; nothing when a server is not there.
    fn new(test: &str, topics: &[&'static str]) -> Option<Self> {
        let made = |name: &&'static str| Some((*name, Topic::new(&format!("{test}-{name}"), 1)?));
        Some(Scene {
            folder: Folder::new(),
            topics: topics.iter().map(made).collect::<Option<_>>()?,
            database: Database::new(test)?,
            own: format!("t{}_{test}", std::process::id()),
        })
    }

    fn topic(&self, name: &str) -> &Topic {
        &self.topics.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Takes manifests over with names of this test: topics, tables and flows of other runs are not met.
    ///
    /// `servers`: what stands in them, and what is written in its place.
    fn take(&self, manifests: &[&str], servers: &[(&str, String)]) {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/original");
        let Scene { database, own, .. } = self;
        let kafka = &self.topics[0].1.brokers;
        let (host, port) = kafka.rsplit_once(':').unwrap();
        let sasl = format!("{host}:{}", port.parse::<u16>().unwrap() + 2);
        for name in manifests {
            let file = format!("{name}.yaml");
            let mut text = std::fs::read_to_string(examples.join(&file)).unwrap();
            for (name, topic) in &self.topics {
                let written = format!("topic: demo-{name}");
                text = text.replace(&written, &format!("topic: {}", topic.name));
            }
            for (written, own) in servers {
                text = text.replace(written, own);
            }
            text = text
                .replace("127.0.0.1:29094", &sasl)
                .replace("127.0.0.1:29092", kafka)
                .replace("postgres://postgres@127.0.0.1:25432/postgres", &database.url)
                .replace("table: demo_orders", &format!("table: {own}_orders"))
                .replace("table: demo_", &format!("table: {}.", database.schema))
                .replace("FROM demo_", &format!("FROM {}.", database.schema))
                .replace("consumerGroup: demo-", &format!("consumerGroup: {own}-"));
            assert!(!text.contains("demo"), "{name}: {text}");
            self.folder.write(&file, text);
        }
    }

    fn start(&self) -> Running {
        let mut arguments: Vec<String> = vec!["run".into()];
        let mut files: Vec<_> = std::fs::read_dir(self.folder.path(""))
            .unwrap()
            .filter_map(|file| file.unwrap().file_name().into_string().ok())
            .filter(|name| name.ends_with(".yaml"))
            .collect();
        files.sort();
        arguments.extend(files);
        let more = ["--output", "json", "--data", "data", "--set", "flow.retry-max=1s"];
        arguments.extend(more.map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.folder.start(env!("CARGO_BIN_EXE_levada"), &arguments)
    }

    /// Gives how many rows a table has; none when there is no table.
    fn count(&self, table: &str) -> usize {
        let schema = &self.database.schema;
        let exists = format!("SELECT to_regclass('{schema}.{table}') IS NOT NULL");
        if self.database.column(&exists) != ["true"] {
            return 0;
        }
        self.database.column(&format!("SELECT 1 FROM {schema}.{table}")).len()
    }

    /// Gives the objects that are in a topic.
    fn objects(&self, topic: &str) -> Vec<serde_json::Value> {
        let read = self.topic(topic).read();
        let payload = |arrived: &super::kafka::Arrived| arrived.payload.clone().unwrap_or_default();
        read.iter().map(|arrived| serde_json::from_slice(&payload(arrived)).unwrap()).collect()
    }
}

#[test]
fn every_example_is_run() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/original");
    let mut there: Vec<String> = std::fs::read_dir(examples)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .map(|name| name.trim_end_matches(".yaml").to_owned())
        .collect();
    there.sort();
    let mut run = [first::MANIFESTS, more::MANIFESTS].concat();
    run.sort_unstable();
    assert_eq!(run, there);
}
