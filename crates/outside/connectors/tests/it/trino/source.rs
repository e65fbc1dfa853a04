//! The source against the real server.

use std::collections::BTreeSet;

use levada_model::ErrorClass;
use levada_testkit::proxy::Proxy;
use serde_json::{Value, json};

use super::server::{Trino, read, source, with};

/// Opens a source at a position, if there is one.
async fn open_at(settings: &Value, position: Option<&Value>) -> Box<dyn levada_connectors::Source> {
    let mut source = source(settings);
    let partition = format!(
        "{}.{}.{}",
        settings["catalog"].as_str().unwrap(),
        settings["schema"].as_str().unwrap(),
        settings["table"].as_str().unwrap()
    );
    let positions: Vec<_> = position
        .map(|position| (partition.as_str().into(), position.clone()))
        .into_iter()
        .collect();
    source.open(&positions).await.unwrap();
    source
}

fn ids(payloads: &[String]) -> Vec<i64> {
    let id = |payload: &String| {
        let payload: Value = serde_json::from_str(payload).unwrap();
        payload["id"].as_i64().unwrap()
    };
    payloads.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_times_of_change_are_not_lost() {
    let Some(mut trino) = Trino::find("equal_times_of_change_are_not_lost") else { return };
    for ty in ["timestamp(6)", "timestamp(6) with time zone"] {
        let table = trino.table("times");
        trino.run(&format!("CREATE TABLE {table} (id bigint, updated_at {ty})"));
        let zone = if ty.ends_with("zone") { " Europe/Berlin" } else { "" };
        let time = |micros: i32| format!("TIMESTAMP '2024-10-27 02:30:00.{micros:06}{zone}'");
        let row = |id: i32, micros: i32| format!("({id}, {})", time(micros));
        let rows: Vec<String> =
            (0..10).map(|id| row(id, id / 7)).chain(["(100, NULL)".to_owned()]).collect();
        trino.run(&format!("INSERT INTO {table} VALUES {}", rows.join(",")));
        let settings = with(trino.settings(&table), json!({"readBatchSize": 2, "pollInterval": 1}));
        let mut from = open_at(&settings, None).await;
        let (seen, positions, meta) = read(&mut *from, 11).await;
        assert_eq!(ids(&seen), [100, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "{ty}");
        let meta = meta.unwrap();
        for (name, value) in [("catalog", "memory"), ("schema", "default"), ("table", &table)] {
            assert_eq!(meta.get(name), Some(&value.into()));
        }
        // From every position exactly the rest comes.
        let last = positions.last().unwrap();
        assert_eq!(last["order"], "9");
        assert_eq!(last["orderWithoutChange"], "100");
        let mut again = open_at(&settings, Some(&positions[1])).await;
        assert_eq!(ids(&read(&mut *again, 7).await.0), [3, 4, 5, 6, 7, 8, 9]);
        // Rows with the same time, and rows without one, that come later.
        trino.run(&format!("INSERT INTO {table} VALUES {}, (101, NULL), (99, NULL)", row(10, 1)));
        assert_eq!(ids(&read(&mut *from, 2).await.0), [101, 10]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_are_not_parted() {
    let Some(mut trino) = Trino::find("equal_rows_are_not_parted") else { return };
    let table = trino.table("ties");
    trino.run(&format!(
        "CREATE TABLE {table} AS SELECT n AS nr, n / 10 AS \"K'ey\", lpad('x', 20000, 'x') AS pad \
         FROM unnest(sequence(0, 99)) AS t(n)"
    ));
    let settings = with(trino.settings(&table), {
        json!({
            "query": format!("SELECT nr AS id, \"K'ey\" AS k, pad FROM {table} -- all;"),
            "orderByColumn": "K", "readBatchSize": 25, "pollInterval": 1,
        })
    });
    let mut from = open_at(&settings, None).await;
    let (seen, positions, _) = read(&mut *from, 100).await;
    let mut all = ids(&seen);
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    // A batch holds less than ten such rows, so some ended among equal ones.
    assert!(positions.len() > 10, "{} batches", positions.len());
    for position in positions.iter().step_by(3) {
        let mut again = open_at(&settings, Some(position)).await;
        let after = position["order"].as_str().map_or(0, |key| key.parse::<usize>().unwrap() + 1);
        let rest = 100 - after * 10;
        if rest > 0 {
            assert_eq!(read(&mut *again, rest).await.0.len(), rest, "{position}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_keys_are_quoted() {
    let Some(mut trino) = Trino::find("text_keys_are_quoted") else { return };
    let table = trino.table("text");
    trino.run(&format!("CREATE TABLE {table} (id varchar, n bigint)"));
    trino.run(&format!(
        "INSERT INTO {table} VALUES ('a', 1), ('it''s', 2), ('z'' OR ''1''=''1', 3)"
    ));
    let settings = with(trino.settings(&table), json!({"readBatchSize": 1, "pollInterval": 1}));
    let mut from = open_at(&settings, None).await;
    let (seen, positions, _) = read(&mut *from, 3).await;
    assert_eq!(seen[1], "{\"id\":\"it's\",\"n\":2}");
    assert_eq!(positions.last().unwrap(), &json!({"order": "z' OR '1'='1"}));
    trino.run(&format!("INSERT INTO {table} VALUES ('zz', 4)"));
    assert_eq!(read(&mut *from, 1).await.0, ["{\"id\":\"zz\",\"n\":4}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_order_is_read_whole_each_time() {
    let Some(trino) = Trino::find("a_query_without_order_is_read_whole_each_time") else { return };
    let settings = with(trino.settings("nation"), {
        json!({
            "catalog": "tpch", "schema": "tiny", "pollInterval": 1,
            "query": "SELECT count(*) AS n, DECIMAL '1.10' AS d FROM nation",
        })
    });
    let mut from = open_at(&settings, None).await;
    let (seen, positions, _) = read(&mut *from, 2).await;
    assert_eq!(seen, ["{\"n\":25,\"d\":1.10}"; 2]);
    assert_eq!(positions, [Value::Null, Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_can_end_when_nothing_new_is_there() {
    let Some(mut trino) = Trino::find("a_source_can_end") else { return };
    let table = trino.table("end");
    trino.run(&format!("CREATE TABLE {table} (id bigint, v bigint)"));
    trino.run(&format!("INSERT INTO {table} VALUES (1, 1), (2, 2), (3, 3)"));
    let query = format!("SELECT v FROM {table}");
    for more in [json!({}), json!({"readBatchSize": 2}), json!({"query": query})] {
        let settings = with(trino.settings(&table), more);
        let settings = with(settings, json!({"stopAtEnd": true, "pollInterval": 3600}));
        let mut from = open_at(&settings, None).await;
        assert_eq!(read(&mut *from, 3).await.0.len(), 3);
        let mut batch = levada_model::RecordBatch::new();
        assert!(!from.next(&mut batch).await.unwrap() && batch.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_answers_are_read_one_by_one() {
    let Some(trino) = Trino::find("many_answers_are_read_one_by_one") else { return };
    let settings = with(trino.settings("orders"), {
        json!({"catalog": "tpch", "schema": "tiny", "orderByColumn": "orderkey"})
    });
    let mut from = open_at(&settings, None).await;
    let (seen, positions, _) = read(&mut *from, 15_000).await;
    assert_eq!(seen.len(), 15_000);
    assert!(seen[0].starts_with("{\"orderkey\":1,"), "{}", seen[0]);
    let mut again = open_at(&settings, Some(&positions[3])).await;
    let rest = 15_000
        - seen
            .iter()
            .position(|row| {
                row.starts_with(&format!(
                    "{{\"orderkey\":{},",
                    positions[3]["order"].as_str().unwrap()
                ))
            })
            .unwrap()
        - 1;
    assert_eq!(read(&mut *again, rest).await.0[..], seen[15_000 - rest..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said() {
    let Some(mut trino) = Trino::find("what_cannot_be_read_is_said") else { return };
    let table = trino.table("errors");
    trino.run(&format!("CREATE TABLE {table} (id bigint, j json)"));
    let error = |more: Value| {
        let settings = with(trino.settings(&table), more);
        async move { source(&settings).open(&[]).await.unwrap_err() }
    };
    let missing = error(json!({"orderByColumn": "nr"})).await;
    assert_eq!(
        missing.message,
        format!("memory.default.{table} has no column `nr`; set orderByColumn to one that it has")
    );
    let missing = error(json!({"changeTrackingColumn": "x"})).await;
    assert!(missing.message.ends_with("set changeTrackingColumn to one that it has"));
    let unordered = error(json!({"orderByColumn": "j"})).await;
    assert_eq!(unordered.message, "rows cannot be ordered by column `j`");
    let absent = error(json!({"table": "not_there"})).await;
    assert!(absent.message.starts_with("Trino query failed: line 1:15: Table"), "{absent}");
    assert!(absent.message.contains("(Error: TABLE_NOT_FOUND, Code: 46) at line 1, column 15"));
    assert_eq!(absent.class, ErrorClass::InvalidData);
    let broken = error(json!({"query": "SELEC 1"})).await;
    assert!(broken.message.contains("SYNTAX_ERROR"), "{broken}");
    let twice = error(json!({"query": "SELECT 1 AS id, 2 AS id"})).await;
    assert!(twice.message.contains("two columns called `id`"), "{twice}");

    trino.run(&format!("INSERT INTO {table} VALUES (NULL, NULL)"));
    let mut from = source(&trino.settings(&table));
    from.open(&[]).await.unwrap();
    let mut batch = levada_model::RecordBatch::new();
    let error = from.next(&mut batch).await.unwrap_err();
    assert!(error.message.starts_with("column `id` is NULL in a row of "), "{error}");
    let stale = vec![(format!("memory.default.{table}").as_str().into(), json!({"order": "x"}))];
    let error = source(&trino.settings(&table)).open(&stale).await.unwrap_err();
    assert!(error.message.starts_with("the stored position of column `id`: `x`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let Some(trino) = Trino::find("an_answer_that_breaks_off_is_asked_for_again") else { return };
    let proxy = Proxy::start(&trino.address);
    let settings = with(trino.settings("orders"), {
        json!({
            "serverURL": format!("http://{}", proxy.address()),
            "catalog": "tpch", "schema": "tiny", "orderByColumn": "orderkey",
        })
    });
    let mut from = open_at(&settings, None).await;
    // In the middle of rows, which are some megabytes.
    proxy.cut_after(300_000);
    let before = proxy.accepted();
    let (seen, ..) = read(&mut *from, 15_000).await;
    assert!(proxy.accepted() > before, "no connection was cut");
    let keys: BTreeSet<&str> = seen.iter().map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!((seen.len(), keys.len()), (15_000, 15_000), "no row is lost or comes twice");
}
