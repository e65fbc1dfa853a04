//! Manifests of the original's later samples and of its documentation.

use std::collections::BTreeSet;

use levada_testkit::clickhouse::Clickhouse;
use levada_testkit::process::Folder;
use levada_testkit::scripted::{Answer, Scripted};
use levada_testkit::services;
use serde_json::Value;

use super::super::postgres::Database;
use super::super::scene::LONG;
use super::{ORDERS, POISON, Scene, order};

pub(super) const MANIFESTS: &[&str] = &[
    "clickhouse-to-clickhouse",
    "clickhouse-to-clickhouse-raw",
    "dead-letter-queue",
    "etl-pipeline",
    "kafka-debezium-to-postgres",
    "kafka-raw-to-clickhouse",
    "kafka-router",
    "kafka-to-clickhouse",
    "kafka-to-clickhouse-high-volume",
    "kafka-to-trino-secrets",
    "kafka-to-trino-token",
    "multi-source-aggregation",
    "postgres-once",
    "postgres-to-kafka-select",
    "postgres-to-postgres",
    "postgres-to-postgres-raw",
    "schema-evolution",
];

/// Rows of the tables that are polled.
const EVENTS: usize = 20;

fn tables(database: &Database) {
    let schema = &database.schema;
    database.execute(&format!(
        "CREATE TABLE {schema}.processed (id bigint PRIMARY KEY, currency text, amount numeric, items jsonb, processed_at timestamptz);
         CREATE TABLE {schema}.events (id bigint PRIMARY KEY, status text, secret text, updated_at timestamptz DEFAULT now());
         INSERT INTO {schema}.events SELECT i, 'new', 'x' FROM generate_series(1, {EVENTS}) AS i;
         CREATE TABLE {schema}.readings (id bigint PRIMARY KEY, status text, updated_at timestamptz DEFAULT now());
         INSERT INTO {schema}.readings SELECT i, 'high' FROM generate_series(1001, 1010) AS i;
         CREATE TABLE {schema}.metrics (metric_id text PRIMARY KEY, source_system text, metric_value text, aggregated_at timestamptz);
         CREATE TABLE {schema}.users (id bigint PRIMARY KEY, email text, password text, updated_at timestamptz DEFAULT now());
         INSERT INTO {schema}.users SELECT i, 'user' || i || '@example.com', 'secret' FROM generate_series(1, 10) AS i;
         CREATE TABLE {schema}.customers (id bigint PRIMARY KEY, name text, deleted_at timestamptz);
         CREATE TABLE {schema}.legacy (id bigint PRIMARY KEY, version int, old_data jsonb, created_at timestamptz DEFAULT now(), migrated boolean DEFAULT false);
         INSERT INTO {schema}.legacy (id, version, old_data) SELECT i, 1, jsonb_build_object('items', jsonb_build_array(
           jsonb_build_object('event_id', i * 10, 'event_type', 'a', 'user_id', i),
           jsonb_build_object('event_id', i * 10 + 1, 'event_type', 'b', 'user_id', i),
           jsonb_build_object('event_id', i * 10 + 2))) FROM generate_series(1, 10) AS i"
    ));
}

/// A change event as Debezium's JSON converter writes it, schema left out.
fn change(op: &str, before: Option<(u64, &str)>, after: Option<(u64, &str)>) -> String {
    let row = |row: Option<(u64, &str)>| {
        row.map_or(Value::Null, |(id, name)| serde_json::json!({"id": id, "name": name}))
    };
    serde_json::json!({"payload": {
        "op": op, "before": row(before), "after": row(after),
        "source": {"connector": "postgresql", "table": "customers", "lsn": 1},
    }})
    .to_string()
}

/// Gives tokens to one user of one client.
fn keycloak() -> Scripted {
    Scripted::start(|request, _| {
        let is_asked = request.method == "POST"
            && request.path == "/realms/data/protocol/openid-connect/token"
            && ["client_id=levada", "client_secret=s3cret%20%26%20more", "username=alice"]
                .iter()
                .all(|part| request.body.split('&').any(|found| found == *part))
            && request.body.contains("password=p%26q%2B%3D%20%25");
        match is_asked {
            true => Answer::new(200, r#"{"access_token":"t","expires_in":300}"#),
            false => Answer::new(401, r#"{"error":"invalid_grant"}"#),
        }
    })
}

fn rows(server: &Clickhouse) -> Vec<Value> {
    server.with(|state| state.rows.iter().map(|row| serde_json::from_slice(row).unwrap()).collect())
}

#[test]
fn later_manifests_of_the_original_run() {
    let test = "original-more";
    let topics =
        ["orders", "dead", "changes", "items", "picked", "big", "small", "strange", "nightly"];
    let Some(scene) = Scene::new(test, &topics) else { return };
    let Some(trino) = services::TRINO.address(test) else { return };
    let (database, schema) = (&scene.database, &scene.database.schema);
    tables(database);
    let keycloak = keycloak();
    let polled =
        Clickhouse::start(&[("id", "Int64"), ("name", "String"), ("created_at", "DateTime")]);
    polled.with(|state| {
        state.rows = (1..=30)
            .map(|id| format!("{{\"id\":{id},\"name\":\"n{id}\",\"created_at\":\"2024-01-01T00:00:{id:02}Z\"}}"))
            .map(String::into_bytes)
            .collect();
    });
    let empty = || Clickhouse::start(&[]);
    let [plain, large, raw, copy, clone] = [empty(), empty(), empty(), empty(), empty()];
    let mut servers = vec![
        ("http://127.0.0.1:28080", format!("http://{trino}")),
        ("http://127.0.0.1:28180", keycloak.url()),
    ];
    for (written, server) in [
        ("127.0.0.1:28123", &plain),
        ("127.0.0.1:28124", &large),
        ("127.0.0.1:28125", &raw),
        ("127.0.0.1:28126", &polled),
        ("127.0.0.1:28127", &copy),
        ("127.0.0.1:28128", &clone),
    ] {
        servers.push((written, server.address()));
    }
    scene.topic("orders").send((0..ORDERS).map(order));
    scene.topic("changes").send([
        change("r", None, Some((1, "one"))),
        change("c", None, Some((2, "two"))),
        change("u", Some((1, "one")), Some((1, "uno"))),
        change("c", None, Some((3, "three"))),
        change("d", Some((2, "two")), None),
    ]);
    scene.topic("changes").bury(r#"{"payload":{"id":3}}"#);
    scene.take(MANIFESTS, &servers);
    let mut running = scene.start();

    let orders = ORDERS as usize;
    for (table, rows) in [
        // The filter leaves out the order whose id is 0, and the table refuses one.
        ("processed", orders - 2),
        ("copy", EVENTS),
        ("clone", EVENTS),
        ("customers", 3),
        ("modern", 20),
        ("metrics", orders + 10),
    ] {
        running.until(table, LONG, || scene.count(table) >= rows);
        assert_eq!(scene.count(table), rows, "{table}");
    }
    let large_euros = (0..ORDERS).filter(|id| id % 3 == 0 && *id >= 20).count();
    let small = (0..ORDERS).filter(|id| id % 3 != 1).count() - large_euros;
    for (name, messages) in [
        ("dead", 1),
        ("items", orders),
        ("picked", 10),
        ("big", large_euros),
        ("small", small),
        ("strange", orders - large_euros - small),
        ("nightly", EVENTS),
    ] {
        running.until(name, LONG, || scene.topic(name).read().len() >= messages);
        assert_eq!(scene.topic(name).read().len(), messages, "{name}");
    }
    for (name, server, rows) in [
        ("plain", &plain, orders),
        ("large", &large, orders),
        ("raw", &raw, orders),
        ("copy", &copy, 30),
        ("clone", &clone, 30),
    ] {
        running.until(name, LONG, || server.with(|state| state.rows.len()) >= rows);
    }

    // A newer row has a field that the table has no column for.
    database.execute(&format!(
        "INSERT INTO {schema}.legacy (id, version, old_data) VALUES (99, 2, '{{\"items\":[{{\"event_id\":990,\"event_type\":\"a\",\"user_id\":9,\"channel\":\"web\"}}]}}')"
    ));
    running.until("the table has a new column", LONG, || scene.count("modern") >= 21);
    let channel = format!("SELECT \"Channel\" FROM {schema}.modern WHERE \"EventId\" = 990");
    assert_eq!(database.column(&channel), ["web"]);

    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(LONG).expect_no_panic().expect_code(0);
    let flows: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(flows.len(), MANIFESTS.len() + 1, "a summary of each flow: {ended:#?}");
    for flow in &flows {
        assert_eq!(flow["unfinished"], 0, "{flow}");
        let letters = u64::from(flow["flow"] == "default/dead-letter-queue");
        assert_eq!(flow["deadLettered"], letters, "{flow}");
    }
    for name in ["kafka-to-trino-token", "kafka-to-trino-secrets"] {
        let flow = flows.iter().find(|flow| flow["flow"] == format!("default/{name}")).unwrap();
        assert_eq!(flow["recordsOut"], ORDERS, "{flow}");
    }
    assert!(!keycloak.requests().is_empty());
    look(&scene);

    let ids = |rows: &[Value]| -> BTreeSet<i64> {
        rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    };
    assert_eq!(ids(&rows(&copy)), (1..=30).collect());
    assert_eq!(large.with(|state| state.engine.clone()), "ReplacingMergeTree");
    let offsets: BTreeSet<i64> =
        rows(&raw).iter().map(|row| row["kafka_offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, (0..ORDERS as i64).collect());
    for row in rows(&clone) {
        let data: Value = serde_json::from_str(row["data"].as_str().unwrap()).unwrap();
        assert!(data["name"].as_str().unwrap().starts_with('n'), "{row}");
    }
    again(&scene);
}

/// What the steps made of rows and messages.
fn look(scene: &Scene) {
    let (database, schema) = (&scene.database, &scene.database.schema);
    let letter = &scene.objects("dead")[0];
    assert_eq!(letter["original_message"]["id"], POISON.to_string(), "{letter}");
    assert_eq!(letter["error"]["stage"], "sink", "{letter}");
    let headers = &scene.topic("dead").read()[0].headers;
    assert_eq!(headers["df-error-class"], "invalid_data");
    assert_eq!(headers["df-source-offset"], POISON.to_string());
    for item in scene.objects("items") {
        let keys: Vec<&String> = item.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["id", "sku", "qty", "processed_at"], "{item}");
        assert!(item["sku"].as_str().unwrap().chars().all(|c| c == '*'), "{item}");
    }
    for user in scene.objects("picked") {
        assert!(user.get("password").is_none() && user["exported_at"].is_string(), "{user}");
    }
    let customers = format!(
        "SELECT id || ' ' || name || ' ' || (deleted_at IS NOT NULL) FROM {schema}.customers ORDER BY id"
    );
    assert_eq!(database.column(&customers), ["1 uno false", "2 two true", "3 three true"]);
    let systems = format!(
        "SELECT source_system || ' ' || count(*) FROM {schema}.metrics GROUP BY source_system ORDER BY 1"
    );
    assert_eq!(database.column(&systems), ["audit 10", &format!("shop {ORDERS}")]);
    let modern = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = '{schema}' AND table_name = 'modern'"
    );
    let modern: BTreeSet<String> = database.column(&modern).into_iter().collect();
    let wanted =
        ["Channel", "CreatedAt", "EventId", "EventType", "Id", "MigratedAt", "UserId", "Version"];
    assert_eq!(modern, wanted.map(str::to_owned).into());
    let copied = format!(
        "SELECT count(*) FROM {schema}.copy WHERE status = 'new' AND copied_at IS NOT NULL"
    );
    assert_eq!(database.column(&copied), [EVENTS.to_string()]);
}

/// The flow of a schedule ends by itself, and the next run goes on behind what the last one read.
fn again(scene: &Scene) {
    let Scene { folder, database, .. } = scene;
    let run = |folder: &Folder| {
        let run = ["run", "postgres-once.yaml", "--output", "json", "--data", "data"];
        let ended = folder.start(env!("CARGO_BIN_EXE_levada"), &run).wait(LONG);
        ended.expect_no_panic().expect_code(0).summary()["recordsOut"].as_u64()
    };
    assert_eq!(run(folder), Some(0));
    let schema = &database.schema;
    database.execute(&format!("INSERT INTO {schema}.events VALUES (21, 'late', 'x', now())"));
    assert_eq!(run(folder), Some(1));
}
