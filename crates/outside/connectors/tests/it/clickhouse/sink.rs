//! What the sink makes of records, tables and exceptions.

use levada_connectors::{Outcomes, Sink, SinkError};
use levada_model::{ErrorClass, RecordBatch};
use levada_testkit::build;
use levada_testkit::clickhouse::{Clickhouse, Mode};
use serde_json::{Value, json};

const COLUMNS: &[(&str, &str)] = &[("id", "Int64"), ("pad", "Nullable(String)")];

fn sink(server: &Clickhouse, more: Value) -> Box<dyn Sink> {
    let mut settings = json!({"connectionString": server.connection(), "table": "orders"});
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    build::sink("clickhouse", &settings, std::path::Path::new(".")).0
}

fn batch(payloads: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("orders/3".into(), 9.into());
    for (index, payload) in payloads.iter().enumerate() {
        batch.push(payload.as_bytes(), origin, 40 + index as u64);
        let meta = batch.meta_mut(index);
        meta.set("topic", "orders".into());
        meta.set("offset", levada_model::Value::Int(40 + index as i64));
    }
    batch
}

async fn write(sink: &mut dyn Sink, payloads: &[&str]) -> Result<Outcomes, SinkError> {
    let mut outcomes = Outcomes::default();
    sink.write(&batch(payloads), &mut outcomes).await.map(|()| outcomes)
}

fn rows(server: &Clickhouse) -> Vec<String> {
    let text = |row: &Vec<u8>| String::from_utf8(row.clone()).unwrap();
    server.with(|state| state.rows.iter().map(text).collect())
}

#[tokio::test]
async fn values_arrive_as_they_were_written() {
    let server =
        Clickhouse::start(&[("id", "Int64"), ("price", "Decimal(38, 3)"), ("at", "DateTime")]);
    let mut sink = sink(&server, json!({"compression": "gzip"}));
    sink.open().await.unwrap();
    let record = r#"{"id":9223372036854775807,"price":12345678901234567890.120,"at":"2026-02-07T10:30:00Z"}"#;
    let envelope = format!("{{\"value\":{record},\"_metadata\":{{\"topic\":\"t\"}}}}");
    let outcomes = write(&mut *sink, &[record, &envelope, "[1]", "nope", "7"]).await.unwrap();
    assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..2)));
    let rejected: Vec<_> = outcomes
        .rejected_records()
        .iter()
        .map(|(index, error)| (*index, error.class, error.message.clone()))
        .collect();
    assert_eq!(rejected.len(), 3);
    assert!(rejected.iter().all(|(_, class, _)| *class == ErrorClass::InvalidData));
    assert!(rejected[0].2.starts_with("is array and not an object"), "{rejected:?}");
    assert_eq!(rows(&server), [record, record]);
    assert_eq!(server.with(|state| state.compressed), 1);
}

#[tokio::test]
async fn a_repeated_batch_has_the_same_token_and_a_part_of_it_another() {
    let server = Clickhouse::start(COLUMNS);
    server.with(|state| state.looks_at_tokens = true);
    let all = ["{\"id\":1}", "{\"id\":2}", "{\"id\":3}"];
    for _ in 0..2 {
        // A new process.
        let mut sink = sink(&server, json!({}));
        sink.open().await.unwrap();
        write(&mut *sink, &all).await.unwrap();
    }
    assert_eq!(rows(&server), all);
    let mut sink = sink(&server, json!({}));
    sink.open().await.unwrap();
    write(&mut *sink, &all[..2]).await.unwrap();
    // The same places with other records: a topic that was made anew.
    write(&mut *sink, &["{\"id\":7}", "{\"id\":8}", "{\"id\":9}"]).await.unwrap();
    // Records that are resolved already are no part of what is sent.
    let mut outcomes = Outcomes::default();
    outcomes.delivered(0..1);
    sink.write(&batch(&all), &mut outcomes).await.unwrap();
    let tokens = server.with(|state| state.tokens.clone());
    assert_eq!(tokens[0], tokens[1]);
    let different: std::collections::HashSet<_> = tokens.iter().collect();
    assert_eq!(different.len(), 4, "{tokens:?}");
    assert!(tokens[0].contains(":40-42:3:"), "{tokens:?}");
    assert_eq!(rows(&server).len(), 3 + 2 + 3 + 2);
}

#[tokio::test]
async fn tables_are_made_from_the_whole_first_batch() {
    let server = Clickhouse::start(&[]);
    let mut sink = sink(
        &server,
        json!({
            "autoCreateTable": true, "upsertMode": true, "conflictKey": "id",
            "replacingVersionColumn": "version",
        }),
    );
    sink.open().await.unwrap();
    write(
        &mut *sink,
        &[
            r#"{"id":1,"version":1,"a":null}"#,
            r#"{"id":2,"version":2,"a":1.5,"t":"2026-02-07T10:30:00Z"}"#,
        ],
    )
    .await
    .unwrap();
    // Rows without their key would all replace each other.
    let outcomes = write(&mut *sink, &[r#"{"id":3,"version":3}"#, r#"{"id":null}"#, "{}"]).await;
    let outcomes = outcomes.unwrap();
    assert_eq!(outcomes.rejected_records().len(), 2);
    assert!(outcomes.rejected_records()[0].1.message.contains("no `id`"), "{outcomes:?}");
    assert_eq!(
        server.with(|state| state.statements.clone()),
        [
            "CREATE TABLE IF NOT EXISTS `orders` (`id` Int64, `version` Int64, `a` Nullable(Float64), \
          `t` Nullable(DateTime64(3, 'UTC'))) ENGINE = ReplacingMergeTree(`version`) ORDER BY `id`"
        ]
    );
    assert_eq!(rows(&server).len(), 3);
}

#[tokio::test]
async fn records_of_which_no_table_can_be_made_are_at_fault() {
    for (settings, record) in [
        (json!({"autoCreateTable": true}), "{}"),
        (json!({"autoCreateTable": true, "conflictKey": "id"}), "{\"a\":1}"),
    ] {
        let server = Clickhouse::start(&[]);
        let mut sink = sink(&server, settings);
        sink.open().await.unwrap();
        let error = write(&mut *sink, &[record]).await.unwrap_err();
        assert!(error.is_about_records, "{error}");
        write(&mut *sink, &["{\"id\":1}"]).await.unwrap();
        assert_eq!(rows(&server).len(), 1);
    }
}

#[tokio::test]
async fn raw_records_get_a_table_of_their_own() {
    for (more, statement, row) in [
        (
            json!({}),
            "CREATE TABLE IF NOT EXISTS `orders` (`data` String, `_metadata` String, \
             `created_at` DateTime DEFAULT now()) ENGINE = MergeTree() ORDER BY `created_at`",
            r#"{"data":"plain","_metadata":"{\"topic\":\"orders\",\"offset\":40}"}"#,
        ),
        (
            json!({"flattenMetadataColumns": true, "flattenMetadataColumnsPrefix": "kafka_"}),
            "CREATE TABLE IF NOT EXISTS `orders` (`kafka_topic` Nullable(String), \
             `kafka_offset` Nullable(Int64), `data` String, `created_at` DateTime DEFAULT now()) \
             ENGINE = MergeTree() ORDER BY `created_at`",
            r#"{"data":"plain","kafka_topic":"orders","kafka_offset":40}"#,
        ),
    ] {
        let server = Clickhouse::start(&[]);
        let mut settings = json!({"autoCreateTable": true, "rawMode": true});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut sink = sink(&server, settings);
        sink.open().await.unwrap();
        write(&mut *sink, &["plain"]).await.unwrap();
        assert_eq!(server.with(|state| state.statements.clone()), [statement]);
        assert_eq!(rows(&server), [row]);
    }
    // A table of the original, without metadata.
    let server = Clickhouse::start(&[("data", "String"), ("created_at", "DateTime")]);
    let mut sink = sink(&server, json!({"rawMode": true}));
    sink.open().await.unwrap();
    write(&mut *sink, &["{}"]).await.unwrap();
    assert_eq!(rows(&server), [r#"{"data":"{}"}"#]);
}

#[tokio::test]
async fn fields_that_are_no_columns_are_errors_columns_or_nothing() {
    let record = r#"{"id":1,"new":true}"#;
    let server = Clickhouse::start(COLUMNS);
    let mut strict = sink(&server, json!({}));
    strict.open().await.unwrap();
    let error = write(&mut *strict, &[record]).await.unwrap_err();
    assert!(error.is_about_records && error.message.contains("Unknown field found"), "{error}");
    let mut ignoring = sink(&server, json!({"schemaChange": "ignore"}));
    ignoring.open().await.unwrap();
    write(&mut *ignoring, &[record]).await.unwrap();
    assert_eq!(server.with(|state| state.columns.len()), 2);
    let mut evolving = sink(&server, json!({"schemaChange": "evolve"}));
    evolving.open().await.unwrap();
    for _ in 0..2 {
        write(&mut *evolving, &[record]).await.unwrap();
    }
    assert_eq!(
        server.with(|state| state.statements.clone()),
        ["ALTER TABLE `orders` ADD COLUMN IF NOT EXISTS `new` Nullable(Bool)"]
    );
    assert_eq!(rows(&server).len(), 3);
}

#[tokio::test]
async fn exceptions_say_who_is_at_fault() {
    let server = Clickhouse::start(COLUMNS);
    let mut sink = sink(&server, json!({}));
    sink.open().await.unwrap();
    for (mode, class, is_about_records) in [
        (Mode::Fails(252), ErrorClass::Transient, false),
        (Mode::Fails(241), ErrorClass::Transient, false),
        (Mode::Fails(209), ErrorClass::Timeout, false),
        (Mode::Fails(53), ErrorClass::InvalidData, true),
        (Mode::Fails(469), ErrorClass::ConstraintViolation, true),
        (Mode::Fails(516), ErrorClass::AuthError, false),
        (Mode::Fails(62), ErrorClass::Unknown, false),
        (Mode::Away, ErrorClass::Transient, false),
        (Mode::Cut, ErrorClass::ConnectionError, false),
    ] {
        server.set(mode);
        let error = write(&mut *sink, &["{\"id\":1}"]).await.unwrap_err();
        assert_eq!((error.class, error.is_about_records), (class, is_about_records), "{mode:?}");
        assert!(!error.message.contains("s3cr"), "{error}");
    }
    server.set(Mode::Well);
    write(&mut *sink, &["{\"id\":1}"]).await.unwrap();
    assert_eq!(rows(&server).len(), 1);
}

#[tokio::test]
async fn mistakes_in_the_settings_show_when_the_sink_opens() {
    let server = Clickhouse::start(COLUMNS);
    let mut upserting = sink(&server, json!({"upsertMode": true, "conflictKey": "id"}));
    let error = upserting.open().await.unwrap_err();
    assert!(error.message.contains("needs a table of the engine ReplacingMergeTree"), "{error}");
    server.with(|state| state.engine = "ReplicatedReplacingMergeTree".to_owned());
    upserting.open().await.unwrap();
    let settings = json!({"connectionString": server.wrong_connection(), "table": "orders"});
    let mut stranger = build::sink("clickhouse", &settings, std::path::Path::new(".")).0;
    let error = stranger.open().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::AuthError, "{error}");
    server.with(|state| state.columns.clear());
    let mut lost = sink(&server, json!({}));
    lost.open().await.unwrap();
    let error = write(&mut *lost, &["{}"]).await.unwrap_err();
    assert!(!error.class.is_transient() && !error.is_about_records, "{error}");
    assert!(error.message.contains("does not exist"), "{error}");
}
