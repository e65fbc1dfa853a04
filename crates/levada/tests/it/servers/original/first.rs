//! Manifests of the original's first samples.

use levada_testkit::services;
use serde_json::Value;

use super::super::scene::LONG;
use super::{ORDERS, POISON, Scene, order};

pub(super) const MANIFESTS: &[&str] = &[
    "flatten-example",
    "kafka-to-postgres",
    "kafka-to-postgres-raw",
    "kafka-to-postgres-secrets",
    "kafka-to-postgres-with-errors",
    "kafka-to-postgres-with-resources",
    "kafka-to-trino",
    "postgres-to-kafka-router",
    "router-example",
    "secure-pipeline",
];

#[test]
fn manifests_of_the_original_run() {
    let test = "original";
    let topics = ["orders", "failed", "new", "paid", "sent", "other", "dollar", "rest", "users"];
    let Some(scene) = Scene::new(test, &topics) else { return };
    let Some(trino) = services::TRINO.address(test) else { return };
    let (database, schema) = (&scene.database, &scene.database.schema);
    database.execute(&format!(
        "CREATE TABLE {schema}.strict (id bigint PRIMARY KEY, currency text, amount numeric, items jsonb);
         CREATE TABLE {schema}.events (id bigint PRIMARY KEY, status text, updated_at timestamptz DEFAULT now());
         INSERT INTO {schema}.events SELECT i, (ARRAY['new','paid','sent','lost'])[i % 4 + 1] FROM generate_series(1, 20) AS i;
         CREATE TABLE {schema}.users (id bigint PRIMARY KEY, email text, password text, active boolean, updated_at timestamptz DEFAULT now());
         INSERT INTO {schema}.users SELECT i, 'user' || i || '@example.com', 'secret', i % 2 = 0 FROM generate_series(1, 10) AS i"
    ));
    scene.topic("orders").send((0..ORDERS).map(order));
    scene.take(MANIFESTS, &[("http://127.0.0.1:28080", format!("http://{trino}"))]);
    let mut running = scene.start();

    let orders = ORDERS as usize;
    for (table, rows) in [
        ("strict", orders - 1),
        ("resources", orders),
        ("items", 2 * orders),
        ("raw", orders),
        ("euro", orders.div_ceil(3)),
    ] {
        running.until(table, LONG, || scene.count(table) >= rows);
        assert_eq!(scene.count(table), rows, "{table}");
    }
    for (name, messages) in
        [("failed", 1), ("new", 5), ("paid", 5), ("sent", 5), ("other", 5), ("users", 5)]
    {
        running.until(name, LONG, || scene.topic(name).read().len() >= messages);
    }
    for table in ["minimal", "secrets"] {
        running.until(table, LONG, || scene.count(table) >= orders - 1);
    }
    running.until("dollars", LONG, || scene.topic("dollar").read().len() >= 13);
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(LONG).expect_no_panic().expect_code(0);

    let letter = &scene.objects("failed")[0];
    assert_eq!(letter["original_message"]["id"], POISON.to_string());
    assert_eq!(letter["error"]["class"], "invalid_data", "{letter}");
    for user in scene.objects("users") {
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
