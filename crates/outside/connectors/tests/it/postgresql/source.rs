//! What the source makes of rows.

use std::time::Duration;

use levada_connectors::Source;
use levada_model::{ErrorClass, Position, RecordBatch, Str, Value};
use serde_json::json;

use super::Database;

type Positions = Vec<(Str, Position)>;

/// Reads until `count` records came; gives their payloads and the last position.
async fn read(source: &mut dyn Source, count: usize) -> (Vec<String>, Positions) {
    let (mut payloads, mut positions) = (Vec::new(), Vec::new());
    let mut batch = RecordBatch::new();
    while payloads.len() < count {
        batch.clear();
        let next = tokio::time::timeout(Duration::from_secs(20), source.next(&mut batch));
        assert!(next.await.expect("rows come").unwrap());
        for index in 0..batch.len() {
            payloads.push(String::from_utf8(batch.payload(index).into_owned()).unwrap());
        }
        let origin = &batch.origins[0];
        positions = vec![(origin.partition.clone(), origin.position.clone())];
    }
    assert_eq!(payloads.len(), count, "{payloads:?}");
    (payloads, positions)
}

/// Checks that nothing comes within two polls.
async fn is_idle(source: &mut dyn Source) {
    let mut batch = RecordBatch::new();
    let next = tokio::time::timeout(Duration::from_millis(2300), source.next(&mut batch));
    if next.await.is_ok() {
        let payloads: Vec<_> = (0..batch.len())
            .map(|i| String::from_utf8_lossy(&batch.payload(i)).into_owned())
            .collect();
        panic!("{payloads:?}");
    }
}

#[tokio::test]
async fn rows_become_objects() {
    let Some(mut database) = Database::new("rows_become_objects").await else { return };
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, n numeric, j jsonb, by bytea, ts timestamp, tz timestamptz, \
             a int[], tx text, u uuid, created_at timestamptz, updated_at timestamptz); \
             INSERT INTO t VALUES (1, 1234567890123456789012345678901234567890.0000000001, '{\"a\":1.50}', \
             decode(repeat('00ff', 60), 'hex'), '2026-01-02 03:04:05.5', '2026-01-02 03:04:05+02', '{1,NULL}', \
             E'q\" \\n', 'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11', '2026-01-01', NULL), \
             (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-01', '2026-01-02')",
        )
        .await;
    let mut source = database.source(json!({}));
    source.open(&[]).await.unwrap();
    let mut batch = RecordBatch::new();
    assert!(source.next(&mut batch).await.unwrap());
    let bytes = "AP8A".to_owned() + &"/wD/AP8A".repeat(19) + "/wD/";
    let first = String::from_utf8(batch.payload(0).into_owned()).unwrap();
    let read: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(read["n"].to_string(), "1234567890123456789012345678901234567890.0000000001");
    assert_eq!(read["j"].to_string(), "{\"a\":1.50}");
    assert_eq!(read["by"].as_str().unwrap()[..4], bytes[..4]);
    assert!(!read["by"].as_str().unwrap().contains('\n'));
    assert_eq!(read["ts"], "2026-01-02T03:04:05.5+00:00");
    assert_eq!(read["tz"], "2026-01-02T01:04:05+00:00");
    assert_eq!(read["a"], json!([1, null]));
    assert_eq!(read["tx"], "q\" \n");
    let meta = batch.meta(0).unwrap();
    assert_eq!(meta.get("table"), Some(&"t".into()));
    assert_eq!(meta.get("id"), Some(&Value::Int(1)));
    assert_eq!(meta.get("operation"), Some(&"insert".into()));
    assert_eq!(batch.meta(1).unwrap().get("operation"), Some(&"update".into()));

    // What was read is written back as it was.
    database.run("CREATE TABLE copy (LIKE t INCLUDING ALL)").await;
    let mut sink = database.sink(json!({"table": "copy"}));
    assert_eq!(super::write(&mut *sink, &batch).await, []);
    assert_eq!(
        database.text("SELECT count(*)::text FROM (TABLE t EXCEPT TABLE copy) d").await,
        "0"
    );
    database.drop_schema().await;
}

#[tokio::test]
async fn changes_come_once_and_late_ones_too() {
    let Some(mut database) = Database::new("late").await else { return };
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, v int, updated_at timestamptz DEFAULT now())")
        .await;
    let mut source = database.source(json!({"overlap": "30s"}));
    source.open(&[]).await.unwrap();
    is_idle(&mut *source).await;
    // A transaction that began earlier commits later.
    let mut late = database.another().await;
    sqlx::raw_sql("BEGIN; INSERT INTO t (id, v) VALUES (1, 1)").execute(&mut late).await.unwrap();
    database.run("INSERT INTO t (id, v) VALUES (2, 1), (3, 1)").await;
    let (rows, first) = read(&mut *source, 2).await;
    assert!(rows[0].starts_with("{\"id\":2,") && rows[1].starts_with("{\"id\":3,"), "{rows:?}");
    sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
    let (rows, second) = read(&mut *source, 1).await;
    assert!(rows[0].starts_with("{\"id\":1,"), "{rows:?}");
    is_idle(&mut *source).await;
    // A new process: the late row is known or not, as the position says.
    let mut again = database.source(json!({"overlap": "30s"}));
    again.open(&second).await.unwrap();
    is_idle(&mut *again).await;
    again.open(&first).await.unwrap();
    let (rows, _) = read(&mut *again, 1).await;
    assert!(rows[0].starts_with("{\"id\":1,"), "{rows:?}");
    // An update comes again.
    database.run("UPDATE t SET v = 2, updated_at = now() WHERE id = 2").await;
    let (rows, _) = read(&mut *source, 1).await;
    assert!(rows[0].starts_with("{\"id\":2,\"v\":2"), "{rows:?}");
    is_idle(&mut *source).await;
    database.drop_schema().await;
}

#[tokio::test]
async fn late_keys_come_too() {
    let Some(mut database) = Database::new("late_keys").await else { return };
    database.run("CREATE TABLE t (id bigserial PRIMARY KEY, v int)").await;
    let mut source = database.source(json!({}));
    source.open(&[]).await.unwrap();
    let mut late = database.another().await;
    sqlx::raw_sql("BEGIN; INSERT INTO t (v) VALUES (1)").execute(&mut late).await.unwrap();
    database.run("INSERT INTO t (v) VALUES (2)").await;
    assert_eq!(read(&mut *source, 1).await.0, ["{\"id\":2,\"v\":2}"]);
    sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
    assert_eq!(read(&mut *source, 1).await.0, ["{\"id\":1,\"v\":1}"]);
    is_idle(&mut *source).await;
    database.drop_schema().await;
}

#[tokio::test]
async fn lag_is_how_many_rows_are_behind() {
    let Some(mut database) = Database::new("lag_is_how_many_rows_are_behind").await else { return };
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz DEFAULT now()); \
             INSERT INTO t SELECT i FROM generate_series(1, 500) AS i",
        )
        .await;
    let mut source = database.source(json!({"pollInterval": 1}));
    source.open(&[]).await.unwrap();
    assert_eq!(source.lag(), None, "nobody knows before the first poll");
    let (mut batch, mut read) = (RecordBatch::new(), 0);
    while read < 500 {
        batch.clear();
        assert!(source.next(&mut batch).await.unwrap());
        read += batch.len() as u64;
        assert_eq!(source.lag(), Some(500 - read));
    }
    // Those of the window that were handed out are not counted again.
    database.run("INSERT INTO t SELECT i FROM generate_series(501, 700) AS i").await;
    batch.clear();
    assert!(source.next(&mut batch).await.unwrap());
    let behind = 200 - batch.len() as u64;
    assert_eq!(source.lag(), Some(behind));
    read_rest(&mut *source, behind as usize).await;
    assert_eq!(source.lag(), Some(0));
}

async fn read_rest(source: &mut dyn Source, count: usize) {
    if count > 0 {
        read(source, count).await;
    }
}

#[tokio::test]
async fn polls_can_be_limited() {
    let Some(mut database) = Database::new("limited").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)").await;
    database.run("INSERT INTO t SELECT n, '2026-01-01' FROM generate_series(1, 7) n").await;
    for overlap in ["0s", "5s"] {
        let mut source = database.source(json!({"readBatchSize": 3, "overlap": overlap}));
        source.open(&[]).await.unwrap();
        let mut sizes = Vec::new();
        while sizes.iter().sum::<usize>() < 7 {
            let mut batch = RecordBatch::new();
            source.next(&mut batch).await.unwrap();
            sizes.push(batch.len());
        }
        assert_eq!(sizes, [3, 3, 1]);
    }
    database.drop_schema().await;
}

#[tokio::test]
async fn a_query_is_read_whole_without_a_change_column() {
    let Some(mut database) = Database::new("query").await else { return };
    database.run("CREATE TABLE t (id int, b bytea); INSERT INTO t VALUES (1, 'x'), (2, 'y')").await;
    let mut source = database.source(json!({"query": "SELECT id AS n, b FROM t ORDER BY id; "}));
    source.open(&[("t".into(), Position::Null)]).await.unwrap();
    for _ in 0..2 {
        let (rows, positions) = read(&mut *source, 2).await;
        assert_eq!(rows, ["{\"n\":1,\"b\":\"eA==\"}", "{\"n\":2,\"b\":\"eQ==\"}"]);
        assert_eq!(positions[0].1, Position::Null);
    }
    database.drop_schema().await;
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let Some(mut database) = Database::new("named").await else { return };
    database.run("CREATE TABLE t (a int)").await;
    for (settings, text) in [
        (json!({"table": "none"}), "the table \"none\" does not exist"),
        (json!({}), "orderByColumn: there is no column `id`"),
        (json!({"orderByColumn": "a", "changeTrackingColumn": "b"}), "there is no column `b`"),
        (json!({"query": "SELECT nope"}), "column \"nope\" does not exist"),
    ] {
        let error = database.source(settings).open(&[]).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.class.is_transient());
    }
    let mut source = database.source(json!({"connectionString": "host=127.0.0.1 port=1 user=x"}));
    assert_eq!(source.open(&[]).await.unwrap_err().class, ErrorClass::ConnectionError);
    let mut source = database.source(json!({"table": "made", "autoCreateTable": true}));
    source.open(&[]).await.unwrap();
    is_idle(&mut *source).await;
    database.run("INSERT INTO made (data) VALUES ('{}')").await;
    read(&mut *source, 1).await;
    database.drop_schema().await;
}

#[tokio::test]
async fn a_source_can_end_when_nothing_new_is_there() {
    let Some(mut database) = Database::new("stop_at_end").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz DEFAULT now())").await;
    database.run("INSERT INTO t (id) SELECT n FROM generate_series(1, 7) n").await;
    let mut batch = RecordBatch::new();
    for settings in [
        json!({"stopAtEnd": true, "pollInterval": 3600}),
        json!({"stopAtEnd": true, "pollInterval": 3600, "readBatchSize": 3, "overlap": "0s"}),
        // Rows of the window are met again by each poll; they are not new.
        json!({"stopAtEnd": true, "pollInterval": 3600, "readBatchSize": 3, "overlap": "1h"}),
    ] {
        let mut source = database.source(settings);
        source.open(&[]).await.unwrap();
        let (_, positions) = read(&mut *source, 7).await;
        assert!(!source.next(&mut batch).await.unwrap());
        assert!(!source.next(&mut batch).await.unwrap());
        source.open(&positions).await.unwrap();
        assert!(!source.next(&mut batch).await.unwrap());
        database.run("UPDATE t SET updated_at = now() WHERE id = 4").await;
        source.open(&positions).await.unwrap();
        assert_eq!(read(&mut *source, 1).await.0.len(), 1);
        assert!(!source.next(&mut batch).await.unwrap());
    }
    // What has no position is read once.
    let mut source = database.source(json!({"stopAtEnd": true, "query": "SELECT id AS n FROM t"}));
    source.open(&[]).await.unwrap();
    read(&mut *source, 7).await;
    assert!(!source.next(&mut batch).await.unwrap());
    assert!(batch.is_empty());
    database.drop_schema().await;
}
