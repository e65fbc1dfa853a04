#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::statement::Frame;
use super::*;
use crate::trino::sql::TableName;

const PLAIN: Style = Style { is_raw: false, prefix: None, is_strict: false, conflict_key: None };

fn table() -> TableName {
    let name = |name: &str| name.to_owned();
    TableName { catalog: name("iceberg"), schema: name("s"), table: name("t") }
}

fn layout(columns: &[(&str, &str)], style: &Style) -> Layout {
    let column = |(name, ty): &(&str, &str)| Column::new((*name).into(), (*ty).into());
    Layout::new(columns.iter().map(column).collect(), style).unwrap()
}

fn batch_of(records: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    for record in records {
        batch.push(record.as_bytes(), 0, 0);
    }
    batch
}

fn push_all(layout: &Layout, style: &Style, batch: &RecordBatch) -> (Rows, Vec<String>) {
    let mut rows = Rows::default();
    let mut problems = Vec::new();
    for index in 0..batch.len() {
        if let Err(error) = rows.push(layout, style, batch, index) {
            problems.push(error.message);
        }
    }
    (rows, problems)
}

fn literals(rows: &Rows) -> Vec<String> {
    let text = |row: &Row| String::from_utf8(rows.text[row.start..row.end].to_vec()).unwrap();
    rows.rows.iter().map(text).collect()
}

#[test]
fn fields_find_their_columns() {
    let layout = layout(&[("id", "bigint"), ("username", "varchar")], &PLAIN);
    let batch = batch_of(&[
        r#"{"userName":"a","id":1}"#,
        r#"{"ID":1,"id":2,"Id":3}"#,
        r#"{"id":1,"id":2}"#,
        r#"{"id":4,"other":1,"more":2}"#,
        r#"{"other":1}"#,
        "[1]",
        "x",
        r#"{"id":"x"}"#,
    ]);
    let (rows, problems) = push_all(&layout, &PLAIN, &batch);
    assert_eq!(literals(&rows), ["1,'a'", "2,NULL", "2,NULL", "4,NULL"]);
    assert_eq!(rows.ignored, ["Id", "other", "more"]);
    assert_eq!(rows.ignored_count, 5);
    assert_eq!(problems[0], "no field has the name of a column");
    assert_eq!(problems[1], "the record is array and no object, so it has no columns");
    assert!(problems[2].starts_with("the record is not JSON"), "{}", problems[2]);
    assert_eq!(problems[3], "column `id`: `x` is no bigint without loss");
}

#[test]
fn strict_tables_refuse_unknown_fields() {
    let style = Style { is_strict: true, ..PLAIN };
    let layout = layout(&[("id", "bigint")], &style);
    let (rows, problems) =
        push_all(&layout, &style, &batch_of(&["{\"id\":1}", "{\"id\":1,\"x\":2}"]));
    assert_eq!(literals(&rows), ["1"]);
    assert_eq!(problems, ["no column has the name of field `x`"]);
}

#[test]
fn edited_records_are_written_as_edited() {
    let layout = layout(&[("id", "bigint"), ("a", "varchar")], &PLAIN);
    let mut batch = batch_of(&["{\"id\":1,\"a\":\"secret\"}"]);
    let root = batch.document(0).unwrap();
    let node = batch.tree.member(&batch.text, root, b"a").unwrap();
    let before = batch.records[0].start;
    batch.text.extend_from_slice(b"{\"id\":2,\"a\":{\"x\":1}}");
    let end = batch.text.len() as u32;
    let start = end - 20;
    assert!(before < start && batch.tree.kind(node) == NodeKind::String);
    let other = batch.tree.parse(&batch.text, start, end).unwrap();
    batch.set_root(0, other);
    let (rows, problems) = push_all(&layout, &PLAIN, &batch);
    assert_eq!((literals(&rows), problems), (vec!["2,'{\"x\":1}'".to_owned()], vec![]));
}

#[test]
fn the_last_row_of_a_key_counts_and_deletes_need_only_the_key() {
    let style = Style { conflict_key: Some("id".into()), ..PLAIN };
    let layout = layout(&[("id", "bigint"), ("a", "varchar")], &style);
    let mut batch = batch_of(&[
        r#"{"id":1,"a":"x"}"#,
        r#"{"id":2,"a":"y"}"#,
        r#"{"id":"1","a":"z"}"#,
        r#"{"a":"z"}"#,
        r#"{"id":2,"a":"old"}"#,
    ]);
    batch.meta_mut(4).set("operation", "delete".into());
    let (mut rows, problems) = push_all(&layout, &style, &batch);
    rows.replace_earlier();
    assert_eq!(literals(&rows), ["1,'x'", "2,'y'", "1,'z'", "2,NULL"]);
    let replaced: Vec<_> = rows.rows.iter().map(|row| row.replaced_by).collect();
    assert_eq!(replaced, [Some(2), Some(3), None, None]);
    assert_eq!(problems, ["column `id`: no value, and upsertMode finds rows by it"]);
    let frame = Frame::new(&table(), &layout, true);
    let mut sql = Vec::new();
    frame.begin(&mut sql);
    for row in rows.rows.iter().filter(|row| row.replaced_by.is_none()) {
        frame.push(&mut sql, &rows.text[row.start..row.end], row.is_delete);
    }
    frame.end(&mut sql);
    assert_eq!(
        String::from_utf8(sql).unwrap(),
        "MERGE INTO \"iceberg\".\"s\".\"t\" AS t USING (VALUES (1,'z',false),(2,NULL,true)) AS s \
         (\"id\",\"a\",levada_delete) ON t.\"id\" = s.\"id\" WHEN MATCHED AND s.levada_delete THEN DELETE \
         WHEN MATCHED THEN UPDATE SET \"a\" = s.\"a\" WHEN NOT MATCHED AND NOT s.levada_delete \
         THEN INSERT (\"id\",\"a\") VALUES (s.\"id\",s.\"a\")"
    );
}

#[test]
fn a_merge_without_deletes_is_short() {
    let style = Style { conflict_key: Some("id".into()), ..PLAIN };
    let layout = layout(&[("id", "bigint")], &style);
    let frame = Frame::new(&table(), &layout, false);
    let mut sql = Vec::new();
    frame.begin(&mut sql);
    frame.push(&mut sql, b"1", false);
    frame.end(&mut sql);
    assert_eq!(
        String::from_utf8(sql).unwrap(),
        "MERGE INTO \"iceberg\".\"s\".\"t\" AS t USING (VALUES (1)) AS s (\"id\") ON t.\"id\" = s.\"id\" \
         WHEN NOT MATCHED THEN INSERT (\"id\") VALUES (s.\"id\")"
    );
}

#[test]
fn raw_records_have_data_and_metadata() {
    let style = Style { is_raw: true, ..PLAIN };
    let columns = [("_metadata", "varchar"), ("data", "varchar"), ("created_at", "date")];
    let layout = layout(&columns, &style);
    let mut batch = batch_of(&[
        "{\"a\": \"it's\"}",
        "plain",
        r#"{"value":{"x":1},"_metadata":{"k":"v"}}"#,
        r#"{"value":1,"_metadata":{},"more":1}"#,
        "bad",
    ]);
    batch.meta_mut(0).set("topic", "t".into());
    let last = batch.records[4].start as usize;
    batch.text[last] = 0xff;
    let (rows, problems) = push_all(&layout, &style, &batch);
    assert_eq!(
        literals(&rows),
        [
            "'{\"a\": \"it''s\"}','{\"topic\":\"t\"}'",
            "'plain','{}'",
            "'{\"x\":1}','{\"k\":\"v\"}'",
            "'{\"value\":1,\"_metadata\":{},\"more\":1}','{}'",
        ]
    );
    assert_eq!(problems, ["column `data`: bytes that are no UTF-8 text"]);
    let missing = Layout::new(vec![Column::new("data".into(), "varchar".into())], &style);
    assert_eq!(missing.err().as_deref(), Some("_metadata"));
}

#[test]
fn metadata_can_have_columns_of_its_own() {
    let style = Style { is_raw: true, prefix: Some("kafka_".into()), ..PLAIN };
    let columns = [
        ("data", "json"),
        ("kafka_offset", "bigint"),
        ("id", "bigint"),
        ("kafka_topic", "varchar"),
    ];
    let layout = layout(&columns, &style);
    let mut batch = batch_of(&["{\"a\":1}", "[]", "no json"]);
    batch.meta_mut(0).set("topic", "t".into());
    batch.meta_mut(0).set("offset", Value::Int(7));
    batch.meta_mut(0).set("strange", Value::Int(7));
    let (rows, problems) = push_all(&layout, &style, &batch);
    assert_eq!(literals(&rows), ["JSON '{\"a\":1}',7,'t'", "JSON '[]',NULL,NULL"]);
    assert_eq!(rows.ignored, ["strange"]);
    assert!(problems[0].starts_with("column `data`: no JSON"), "{}", problems[0]);
}

#[test]
fn metadata_never_takes_the_place_of_the_body() {
    let style = Style { is_raw: true, prefix: Some(String::new()), ..PLAIN };
    let table = layout(&[("data", "varchar"), ("k", "varchar")], &style);
    let batch = batch_of(&[r#"{"value":1,"_metadata":{"Data":2,"k":"v"}}"#]);
    let (rows, problems) = push_all(&table, &style, &batch);
    assert_eq!((literals(&rows), problems), (vec!["'1','v'".to_owned()], Vec::new()));
    assert_eq!((rows.ignored, rows.ignored_count), (vec!["Data".to_owned()], 1));
    let strict = Style { is_strict: true, ..style };
    let (rows, problems) = push_all(&table, &strict, &batch);
    assert!(rows.rows.is_empty() && problems[0].contains("`Data` would be written to the column"));
}
