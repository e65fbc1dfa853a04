//! What the source asks for, and what it does when an answer breaks off.

use levada_connectors::{Source, SourceError};
use levada_model::{ErrorClass, Position, RecordBatch, Str};
use levada_testkit::build;
use levada_testkit::clickhouse::{Clickhouse, Mode};
use serde_json::{Value, json};

const COLUMNS: &[(&str, &str)] = &[
    ("id", "UInt64"),
    ("created_at", "Nullable(DateTime64(3, 'Europe/Berlin'))"),
    ("price", "Decimal(38, 2)"),
];

fn source(server: &Clickhouse, more: Value) -> Box<dyn Source> {
    let mut settings =
        json!({"connectionString": server.connection(), "table": "orders", "pollInterval": 1});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    build::source("clickhouse", &settings, std::path::Path::new("."))
}

fn row(id: u64, at: &str) -> Vec<u8> {
    format!("{{\"id\":{id},\"created_at\":{at},\"price\":12345678901234567890.10}}").into_bytes()
}

/// Reads until there are so many records, and gives them and the last position.
async fn read(
    source: &mut dyn Source,
    count: usize,
) -> Result<(Vec<String>, Position), SourceError> {
    let mut texts = Vec::new();
    let mut position = Position::Null;
    while texts.len() < count {
        let mut batch = RecordBatch::new();
        assert!(source.next(&mut batch).await?);
        for index in 0..batch.len() {
            texts.push(String::from_utf8(batch.payload(index).into_owned()).unwrap());
        }
        assert_eq!(batch.meta(0).and_then(|meta| meta.get("table")), Some(&"orders".into()));
        position.clone_from(&batch.origins.last().unwrap().position);
    }
    Ok((texts, position))
}

#[tokio::test]
async fn rows_come_in_the_order_of_change_and_key_with_every_digit() {
    let server = Clickhouse::start(COLUMNS);
    let late = "\"2026-02-07T10:30:00.500Z\"";
    server.with(|state| {
        state.rows = vec![
            row(3, late),
            row(9, "null"),
            row(2, late),
            row(7, "\"2026-02-06T10:30:00.000Z\""),
        ];
    });
    let mut source = source(&server, json!({}));
    source.open(&[]).await.unwrap();
    let (texts, position) = read(&mut *source, 3).await.unwrap();
    let ids: Vec<Value> = texts
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [7, 2, 3]);
    assert!(texts[0].contains("12345678901234567890.10"), "{texts:?}");
    assert_eq!(position, json!({"change": "2026-02-07T10:30:00.500Z", "order": 3}));
    assert_eq!(
        server.with(|state| state.statements.clone()),
        ["SELECT * FROM `orders` WHERE `created_at` IS NOT NULL AND `id` IS NOT NULL \
          ORDER BY `created_at`, `id` FORMAT JSONEachRow"]
    );
    // A row that came later, with the same time.
    server.with(|state| state.rows.push(row(4, late)));
    let (texts, _) = read(&mut *source, 1).await.unwrap();
    assert!(texts[0].starts_with("{\"id\":4,"), "{texts:?}");
    assert_eq!(
        server.with(|state| state.statements.last().cloned().unwrap()),
        "SELECT * FROM `orders` WHERE (`created_at`, `id`) > \
         (parseDateTime64BestEffort({change:String}, 9, 'UTC'), {order:UInt64}) AND \
         `created_at` IS NOT NULL AND `id` IS NOT NULL ORDER BY `created_at`, `id` FORMAT JSONEachRow"
    );
    assert_eq!(server.with(|state| state.params.clone()), ["2026-02-07T10:30:00.500Z", "3"]);
}

#[tokio::test]
async fn queries_are_read_behind_the_position_too() {
    let server = Clickhouse::start(COLUMNS);
    server.with(|state| {
        state.rows = (0..5).map(|id| row(id, "\"2026-02-07T10:30:00.000Z\"")).collect()
    });
    let mut source =
        source(&server, json!({"query": " SELECT * FROM x -- all ; ", "readBatchSize": 2}));
    let stored: Vec<(Str, Position)> =
        vec![("orders".into(), json!({"change": "2026-02-07T10:30:00.000Z", "order": 0}))];
    source.open(&stored).await.unwrap();
    let (texts, position) = read(&mut *source, 4).await.unwrap();
    assert_eq!(texts.len(), 4);
    assert_eq!(position["order"], 4);
    let statement = server.with(|state| state.statements[0].clone());
    assert!(
        statement.starts_with("SELECT * FROM (SELECT * FROM x -- all\n) WHERE ("),
        "{statement}"
    );
    assert!(statement.contains(" LIMIT 2 "), "{statement}");
}

#[tokio::test]
async fn a_source_can_end_when_nothing_new_is_there() {
    let server = Clickhouse::start(COLUMNS);
    let at = "\"2026-02-07T10:30:00.000Z\"";
    server.with(|state| state.rows = (0..5).map(|id| row(id, at)).collect());
    for size in [0, 2, 5] {
        let more = json!({"stopAtEnd": true, "readBatchSize": size, "pollInterval": 3600});
        let mut source = source(&server, more);
        source.open(&[]).await.unwrap();
        assert_eq!(read(&mut *source, 5).await.unwrap().0.len(), 5);
        let mut batch = RecordBatch::new();
        assert!(!source.next(&mut batch).await.unwrap());
        assert!(!source.next(&mut batch).await.unwrap() && batch.is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_loses_nothing_and_repeats_nothing() {
    let at = "\"2026-02-07T10:30:00.000Z\"";
    for (mode, class) in [
        (Mode::Breaks(100_000), ErrorClass::ConnectionError),
        (Mode::Breaks(0), ErrorClass::ConnectionError),
        (Mode::FailsLate(241), ErrorClass::Transient),
        (Mode::FailsLate(159), ErrorClass::Timeout),
        (Mode::FailsLate(47), ErrorClass::Unknown),
    ] {
        let server = Clickhouse::start(COLUMNS);
        server.with(|state| state.rows = (0..4000).map(|id| row(id, at)).collect());
        let mut source = source(&server, json!({}));
        source.open(&[]).await.unwrap();
        server.set(mode);
        let mut seen = Vec::new();
        let mut position = None;
        let error = loop {
            let mut batch = RecordBatch::new();
            match source.next(&mut batch).await {
                Ok(_) => {
                    seen.extend((0..batch.len()).map(|index| batch.payload(index).into_owned()));
                    position = batch.origins.last().map(|origin| origin.position.clone());
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.class, class, "{mode:?}: {error}");
        server.set(Mode::Well);
        let stored: Vec<(Str, Position)> =
            position.into_iter().map(|position| ("orders".into(), position)).collect();
        source.open(&stored).await.unwrap();
        let (rest, _) = read(&mut *source, 4000 - seen.len()).await.unwrap();
        seen.extend(rest.into_iter().map(String::into_bytes));
        let expected: Vec<_> = (0..4000).map(|id| row(id, at)).collect();
        assert!(seen == expected, "{mode:?}: {} rows", seen.len());
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said_when_the_source_opens() {
    let server = Clickhouse::start(COLUMNS);
    for (more, expected) in [
        (json!({"orderByColumn": "nope"}), "`orders` has no column `nope`; set orderByColumn"),
        (
            json!({"changeTrackingColumn": "nope"}),
            "`orders` has no column `nope`; set changeTrackingColumn",
        ),
        (json!({"table": "other"}), "`other` does not exist or may not be read"),
        (json!({"query": "SELECT 1", "orderByColumn": "nope"}), "the query has no column `nope`"),
    ] {
        let error = source(&server, more).open(&[]).await.unwrap_err();
        assert!(!error.class.is_transient() && error.message.contains(expected), "{error}");
    }
    let stored: Vec<(Str, Position)> = vec![("orders".into(), json!(7))];
    let error = source(&server, json!({})).open(&stored).await.unwrap_err();
    assert!(error.message.contains("is not one of this source"), "{error}");
    let wrong = json!({"connectionString": server.wrong_connection()});
    let error = source(&server, wrong).open(&[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::AuthError, "{error}");
    server.set(Mode::Cut);
    let error = source(&server, json!({})).open(&[]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::ConnectionError, "{error}");
}
