//! Rows and positions in one transaction.

use std::path::Path;

use levada_connectors::{Outcomes, Sink, Transactional};
use levada_model::{ErrorClass, Position, Str};
use levada_testkit::build;
use serde_json::json;

use super::{Database, batch};

fn owner(database: &Database) -> Box<dyn Sink> {
    let mut ctx = build::context(Path::new("."));
    ctx.is_exactly_once = true;
    database.sink_in(&ctx, json!({}))
}

fn transactional(sink: &mut Box<dyn Sink>) -> &mut dyn Transactional {
    sink.transactional().unwrap()
}

async fn prepare(sink: &mut Box<dyn Sink>, payloads: &[&str]) -> usize {
    let mut outcomes = Outcomes::default();
    transactional(sink).prepare(&batch(payloads), &mut outcomes).await.unwrap();
    assert_eq!(outcomes.resolved(), payloads.len());
    outcomes.rejected_records().len()
}

fn at(number: u64) -> Vec<(Str, Position)> {
    vec![("p/0".into(), json!({"offset": number})), ("p/1".into(), json!("x"))]
}

const COUNT: &str = "SELECT count(*)::text FROM t";

#[tokio::test]
async fn rows_and_positions_become_visible_together() {
    let Some(mut database) = Database::new("together").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    assert!(database.sink(json!({})).transactional().is_none());
    let mut sink = owner(&database);
    sink.open().await.unwrap();
    assert_eq!(transactional(&mut sink).stored().await.unwrap(), []);
    assert_eq!(prepare(&mut sink, &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":"x"}"#]).await, 1);
    assert_eq!(prepare(&mut sink, &[r#"{"id":3,"v":1}"#, "{}"]).await, 1);
    assert_eq!(database.text(COUNT).await, "0");
    transactional(&mut sink).commit(&at(1)).await.unwrap();
    assert_eq!(database.text(COUNT).await, "2");
    // What is rolled back leaves nothing, positions without records are kept.
    prepare(&mut sink, &[r#"{"id":4,"v":1}"#]).await;
    transactional(&mut sink).rollback().await.unwrap();
    transactional(&mut sink).commit(&at(2)).await.unwrap();
    assert_eq!(database.text(COUNT).await, "2");
    transactional(&mut sink).commit(&[]).await.unwrap();
    drop(sink);

    let mut sink = owner(&database);
    sink.open().await.unwrap();
    let mut stored = transactional(&mut sink).stored().await.unwrap();
    stored.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(stored, at(2));
    database.drop_schema().await;
}

#[tokio::test]
async fn a_former_owner_cannot_commit() {
    let Some(mut database) = Database::new("fenced").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    let mut former = owner(&database);
    former.open().await.unwrap();
    transactional(&mut former).stored().await.unwrap();
    prepare(&mut former, &[r#"{"id":1,"v":1}"#]).await;
    let mut next = owner(&database);
    next.open().await.unwrap();
    transactional(&mut next).stored().await.unwrap();
    prepare(&mut next, &[r#"{"id":2,"v":1}"#]).await;
    transactional(&mut next).commit(&at(1)).await.unwrap();
    let error = transactional(&mut former).commit(&at(9)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::ContextCanceled);
    assert!(error.to_string().contains("another process moved the positions"), "{error}");
    assert_eq!(database.text("SELECT id::text FROM t").await, "2");
    database.drop_schema().await;
}

#[tokio::test]
async fn a_lost_transaction_is_not_taken_for_another() {
    let Some(mut database) = Database::new("lost").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    let mut sink = owner(&database);
    sink.open().await.unwrap();
    transactional(&mut sink).stored().await.unwrap();
    prepare(&mut sink, &[r#"{"id":1,"v":1}"#]).await;
    database.terminate().await;
    let more = batch(&[r#"{"id":2,"v":1}"#]);
    for _ in 0..2 {
        let mut outcomes = Outcomes::default();
        let error = transactional(&mut sink).prepare(&more, &mut outcomes).await.unwrap_err();
        assert!(error.class.is_transient(), "{error}");
    }
    let error = transactional(&mut sink).commit(&at(2)).await.unwrap_err();
    assert!(error.class.is_transient(), "{error}");
    sink.open().await.unwrap();
    assert_eq!(transactional(&mut sink).stored().await.unwrap(), []);
    prepare(&mut sink, &[r#"{"id":1,"v":1}"#, r#"{"id":2,"v":1}"#]).await;
    transactional(&mut sink).commit(&at(2)).await.unwrap();
    assert_eq!(database.text(COUNT).await, "2");
    // A call that is dropped loses the transaction too.
    prepare(&mut sink, &[r#"{"id":3,"v":1}"#]).await;
    for id in 4.. {
        let mut outcomes = Outcomes::default();
        let more = batch(&[&format!(r#"{{"id":{id},"v":1}}"#)]);
        let call = transactional(&mut sink).prepare(&more, &mut outcomes);
        // The server may answer before it is asked again: then once more.
        let is_done = tokio::select! {
            biased;
            result = call => result.is_ok(),
            () = std::future::ready(()) => false,
        };
        if !is_done {
            break;
        }
    }
    assert!(transactional(&mut sink).commit(&at(3)).await.unwrap_err().class.is_transient());
    assert_eq!(database.text(COUNT).await, "2");
    database.drop_schema().await;
}

#[tokio::test]
async fn a_change_of_the_schema_is_undone_with_its_history() {
    let Some(mut database) = Database::new("undone").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut ctx = build::context(Path::new("."));
    ctx.is_exactly_once = true;
    let mut sink = database.sink_in(&ctx, json!({"schemaChange": "evolve"}));
    sink.open().await.unwrap();
    transactional(&mut sink).stored().await.unwrap();
    prepare(&mut sink, &[r#"{"id":1,"v":1}"#]).await;
    transactional(&mut sink).rollback().await.unwrap();
    let missing = "SELECT (to_regclass('_dataflow_schema_changes') IS NULL)::text";
    assert_eq!(database.text(missing).await, "true");
    prepare(&mut sink, &[r#"{"id":1,"v":1}"#]).await;
    prepare(&mut sink, &[r#"{"id":2,"w":1}"#]).await;
    transactional(&mut sink).commit(&at(2)).await.unwrap();
    let changes = database.texts("SELECT change FROM _dataflow_schema_changes ORDER BY 1").await;
    let expected = ["v", "w"].map(|name| format!("ADD COLUMN IF NOT EXISTS \"{name}\" BIGINT"));
    assert_eq!(changes, expected);
    assert_eq!(database.text(COUNT).await, "2");
    database.drop_schema().await;
}

#[tokio::test]
async fn a_role_without_the_right_is_told_so() {
    let Some(mut database) = Database::new("right").await else { return };
    let role = format!("{}_role", database.schema);
    database
        .run(&format!(
            "CREATE TABLE t (id int); CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {} TO {role}; \
             GRANT INSERT, SELECT ON t TO {role}",
            database.schema
        ))
        .await;
    let mut ctx = build::context(Path::new("."));
    ctx.is_exactly_once = true;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let mut sink = database.sink_in(&ctx, json!({"connectionString": url}));
    sink.open().await.unwrap();
    let error = transactional(&mut sink).stored().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::AuthError, "{error}");
    drop(sink);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    database.drop_schema().await;
}
