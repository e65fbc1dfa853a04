//! The manifests of `examples/original`, side by side in one process, against real servers.

use std::path::Path;

use levada_testkit::process::{Folder, Running};
use levada_testkit::services;
use serde_json::Value;

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::LONG;

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

/// The manifests with names of this test: topics, tables and flows of other runs are not met.
fn manifests(folder: &Folder, database: &Database, topics: &[(&str, &Topic)], trino: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/original");
    let own = format!("t{}", std::process::id());
    let kafka = &topics[0].1.brokers;
    let (host, port) = kafka.rsplit_once(':').unwrap();
    let sasl = format!("{host}:{}", port.parse::<u16>().unwrap() + 2);
    for file in std::fs::read_dir(examples).unwrap() {
        let file = file.unwrap();
        let mut text = std::fs::read_to_string(file.path()).unwrap();
        for (name, topic) in topics {
            text = text.replace(&format!("topic: demo-{name}"), &format!("topic: {}", topic.name));
        }
        text = text
            .replace("127.0.0.1:29094", &sasl)
            .replace("127.0.0.1:29092", kafka)
            .replace("http://127.0.0.1:28080", &format!("http://{trino}"))
            .replace("postgres://postgres@127.0.0.1:25432/postgres", &database.url)
            .replace("table: demo_orders", &format!("table: {own}_orders"))
            .replace("table: demo_", &format!("table: {}.", database.schema))
            .replace("consumerGroup: demo-", &format!("consumerGroup: {own}-"));
        assert!(!text.contains("demo"), "{:?}: {text}", file.file_name());
        folder.write(file.file_name().to_str().unwrap(), text);
    }
}

fn start(folder: &Folder) -> Running {
    let mut arguments: Vec<String> = vec!["run".into()];
    let mut files: Vec<_> = std::fs::read_dir(folder.path(""))
        .unwrap()
        .filter_map(|file| file.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    files.sort();
    arguments.extend(files);
    let more = ["--output", "json", "--data", "data", "--set", "flow.retry-max=1s"];
    arguments.extend(more.map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    folder.start(env!("CARGO_BIN_EXE_levada"), &arguments)
}

#[test]
fn manifests_of_the_original_run() {
    let test = "original";
    let names = ["orders", "failed", "new", "paid", "sent", "other", "dollar", "rest", "users"];
    let topics: Vec<Topic> =
        names.iter().filter_map(|name| Topic::new(&format!("{test}-{name}"), 1)).collect();
    let (Some(database), Some(trino)) = (Database::new(test), services::TRINO.address(test)) else {
        return;
    };
    if topics.len() < names.len() {
        return;
    }
    let topics: Vec<(&str, &Topic)> = names.iter().copied().zip(&topics).collect();
    let topic = |name: &str| topics.iter().find(|(known, _)| *known == name).unwrap().1;
    let schema = &database.schema;
    database.execute(&format!(
        "CREATE TABLE {schema}.strict (id bigint PRIMARY KEY, currency text, amount numeric, items jsonb);
         CREATE TABLE {schema}.events (id bigint PRIMARY KEY, status text, updated_at timestamptz DEFAULT now());
         INSERT INTO {schema}.events SELECT i, (ARRAY['new','paid','sent','lost'])[i % 4 + 1] FROM generate_series(1, 20) AS i;
         CREATE TABLE {schema}.users (id bigint PRIMARY KEY, email text, password text, active boolean, updated_at timestamptz DEFAULT now());
         INSERT INTO {schema}.users SELECT i, 'user' || i || '@example.com', 'secret', i % 2 = 0 FROM generate_series(1, 10) AS i"
    ));
    topic("orders").send((0..ORDERS).map(order));
    let folder = Folder::new();
    manifests(&folder, &database, &topics, &trino);
    let mut running = start(&folder);

    let count = |table: &str| -> usize {
        let exists =
            database.column(&format!("SELECT to_regclass('{schema}.{table}') IS NOT NULL"));
        if exists != ["true"] {
            return 0;
        }
        database.column(&format!("SELECT 1 FROM {schema}.{table}")).len()
    };
    let orders = ORDERS as usize;
    for (table, rows) in [
        ("strict", orders - 1),
        ("resources", orders),
        ("items", 2 * orders),
        ("raw", orders),
        ("euro", orders.div_ceil(3)),
    ] {
        running.until(table, LONG, || count(table) >= rows);
        assert_eq!(count(table), rows, "{table}");
    }
    for (name, messages) in
        [("failed", 1), ("new", 5), ("paid", 5), ("sent", 5), ("other", 5), ("users", 5)]
    {
        running.until(name, LONG, || topic(name).read().len() >= messages);
    }
    for table in ["minimal", "secrets"] {
        running.until(table, LONG, || count(table) >= orders - 1);
    }
    running.until("dollars", LONG, || topic("dollar").read().len() >= 13);
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(LONG).expect_no_panic().expect_code(0);

    let letter: Value =
        serde_json::from_slice(topic("failed").read()[0].payload.as_deref().unwrap()).unwrap();
    assert_eq!(letter["original_message"]["id"], POISON.to_string());
    assert_eq!(letter["error"]["class"], "invalid_data", "{letter}");
    for user in topic("users").read() {
        let user: Value = serde_json::from_slice(user.payload.as_deref().unwrap()).unwrap();
        assert_eq!(user.get("password"), None, "{user}");
        let masked = user["email"].as_str().unwrap();
        assert!(masked.chars().all(|c| c == '*') && masked.len() > 5, "{user}");
    }
    let offsets = database
        .column(&format!("SELECT kafka_offset FROM {schema}.raw ORDER BY kafka_offset::int"));
    assert_eq!(offsets.len(), orders);
    let flows: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let to_trino = flows.iter().find(|flow| flow["flow"] == "default/kafka-to-trino").unwrap();
    let done = ["recordsOut", "deadLettered", "unfinished"].map(|name| to_trino[name].as_u64());
    assert_eq!(done.iter().flatten().sum::<u64>(), ORDERS, "{to_trino}");
}
