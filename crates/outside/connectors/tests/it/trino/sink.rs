//! The sink against the real server.

use levada_connectors::SinkSpec as _;
use levada_model::ErrorClass;
use serde_json::{Value, json};

use super::server::{Trino, batch_of, read, sink, source, with, write, write_all};

const TYPES: &str = "id bigint, i integer, s smallint, t tinyint, d double, r real, \
    n decimal(38,10), b boolean, v varchar, v5 varchar(5), c char(4), x varbinary, da date, ti time(6), \
    tz time(3) with time zone, ts timestamp(9), tsz timestamp(6) with time zone, \
    ds interval day to second, ym interval year to month, u uuid, j json, a array(decimal(5,2)), \
    m map(varchar, timestamp(3)), ro row(x bigint, y array(varchar)), an row(bigint, varchar), \
    ip ipaddress, \"we ird\"\"c\" varchar";

/// Records with a value of every type.
const RECORDS: [&str; 2] = [
    r#"{"id":9223372036854775807,"i":-2147483648,"s":32767,"t":-128,"d":1.5,"r":0.25,"n":123456789012345678901234567.0123456789,"b":true,"v":"it's; -- \"x\" é😀\u0000\n","v5":"ééééé","c":"ab  ","x":"AP8=","da":"2024-02-29","ti":"10:11:12.123456","tz":"10:11:12.123+02:00","ts":"2024-01-01T00:00:00.123456789","tsz":"2024-01-01T00:00:00.123456Z","ds":"-1 02:03:04.567","ym":"-1-2","u":"12151fd2-7586-11e9-8f9e-2a86e4085a59","j":{"a":[1,"it's"]},"a":[1.50,null,-0.01],"m":{"it's":"2024-01-01T00:00:00.000","n":null},"ro":{"x":1,"y":["z",null]},"an":[1,"v'"],"ip":"2001:db8::1","we ird\"c":"'"}"#,
    r#"{"id":2,"i":null,"s":null,"t":null,"d":"NaN","r":"-Infinity","n":-0.0000000001,"b":false,"v":"","v5":null,"c":null,"x":"","da":"-0044-03-15","ti":"00:00:00.000000","tz":"23:59:59.999-11:30","ts":"+12345-01-01T00:00:00.000000000","tsz":"1969-12-31T23:59:59.000001Z","ds":"0 00:00:00.000","ym":"0-0","u":null,"j":"text","a":[],"m":{},"ro":null,"an":[null,null],"ip":"10.0.0.1","we ird\"c":null}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_was() {
    let Some(mut trino) = Trino::find("every_type_comes_back_as_it_was") else { return };
    let (one, two) = (trino.table("types"), trino.table("types"));
    for table in [&one, &two] {
        trino.run(&format!("CREATE TABLE {table} ({TYPES})"));
    }
    let mut to_one = sink(&trino.settings(&one));
    to_one.open().await.unwrap();
    write_all(&mut *to_one, &RECORDS).await;
    let mut from_one = source(&trino.settings(&one));
    from_one.open(&[]).await.unwrap();
    let (mut seen, _, meta) = read(&mut *from_one, 2).await;
    assert_eq!(
        meta.unwrap().get("id"),
        Some(&levada_model::Value::Int(i64::MAX)),
        "the last row has the largest id"
    );
    seen.reverse();
    for (seen, record) in seen.iter().zip(RECORDS) {
        let (seen, record): (Value, Value) =
            (serde_json::from_str(seen).unwrap(), serde_json::from_str(record).unwrap());
        assert_eq!(seen, record);
    }
    // Digits, not only values.
    assert!(seen[0].contains("\"n\":123456789012345678901234567.0123456789,"), "{}", seen[0]);
    // And what was read is written as the same rows.
    let mut to_two = sink(&trino.settings(&two));
    to_two.open().await.unwrap();
    write_all(&mut *to_two, &seen).await;
    let text = |table: &str| trino.texts(&format!("SELECT * FROM {table} ORDER BY id"));
    assert_eq!(text(&two), text(&one));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_value_rejects_one_record() {
    let Some(mut trino) = Trino::find("one_bad_value_rejects_one_record") else { return };
    let table = trino.table("bad");
    trino.run(&format!("CREATE TABLE {table} (id bigint, v varchar(3), d date)"));
    let mut sink = sink(&trino.settings(&table));
    sink.open().await.unwrap();
    let records = [
        "{\"id\":1}",
        "{\"id\":true}",
        "{\"id\":2,\"v\":\"abcd\"}",
        "{\"id\":3,\"d\":\"2023-02-29\"}",
        "null",
        "{\"unknown\":1}",
        "{\"id\":\"4\",\"v\":7,\"unknown\":1}",
    ];
    let (rejected, error) = write(&mut *sink, &batch_of(&records)).await;
    assert!(error.is_none(), "{error:?}");
    let reasons: Vec<String> =
        rejected.iter().map(|(index, reason)| format!("{index}: {reason}")).collect();
    assert_eq!(
        reasons,
        [
            "1: column `id`: boolean, which a column of type bigint cannot take",
            "2: column `v`: text of 4 characters, and varchar(3) holds 3",
            "3: column `d`: `2023-02-29` is no date",
            "4: the record is null and no object, so it has no columns",
            "5: no field has the name of a column",
        ]
    );
    let rows = trino.texts(&format!("SELECT id, v FROM {table} ORDER BY id"));
    assert_eq!(rows, ["[1,null]", "[4,\"7\"]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_values_cannot_break_out() {
    let Some(mut trino) = Trino::find("names_and_values_cannot_break_out") else { return };
    let victim = trino.table("victim");
    trino.run(&format!("CREATE TABLE {victim} (id bigint)"));
    let table = trino.table("in'j; --");
    let column = format!("a'); DROP TABLE {victim}; --");
    trino.run(&format!("CREATE TABLE \"{table}\" (id bigint, v varchar, \"{column}\" varchar)"));
    let mut to = sink(&trino.settings(&table));
    to.open().await.unwrap();
    let values = ["'", "''", "\\'", "'); DROP TABLE x; --", "/*", "\u{2019}", "';\n--"];
    let records: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(id, value)| json!({"id": id, "v": value, column.to_lowercase(): value}).to_string())
        .collect();
    write_all(&mut *to, &records).await;
    let mut from = source(&trino.settings(&table));
    from.open(&[]).await.unwrap();
    let (seen, ..) = read(&mut *from, values.len()).await;
    for (seen, record) in seen.iter().zip(&records) {
        let (seen, record): (Value, Value) =
            (serde_json::from_str(seen).unwrap(), serde_json::from_str(record).unwrap());
        assert_eq!(seen, record);
    }
    assert_eq!(trino.texts(&format!("SELECT count(*) FROM {victim}")), ["[0]"]);
    // A name that is not there is not found, whatever it holds.
    let strange = trino.settings("x' OR '1'='1");
    let error = sink(&strange).open().await.unwrap_err();
    assert_eq!(error.message, "table memory.default.x' OR '1'='1 does not exist or has no columns");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_batches_become_several_statements() {
    let Some(mut trino) = Trino::find("large_batches_become_several_statements") else { return };
    let table = trino.table("large");
    trino.run(&format!("CREATE TABLE {table} (id bigint, v varchar)"));
    let mut sink = sink(&trino.settings(&table));
    sink.open().await.unwrap();
    let mut records: Vec<String> =
        (0..2500).map(|id| json!({"id": id, "v": "é".repeat(500)}).to_string()).collect();
    records.push(json!({"id": 2500, "v": "x".repeat(1_000_000)}).to_string());
    records.push(json!({"id": 2501, "v": "x".repeat(990_000)}).to_string());
    let (rejected, error) = write(&mut *sink, &batch_of(&records)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    assert_eq!(rejected[0].0, 2500);
    assert!(rejected[0].1.contains("query.max-length"), "{}", rejected[0].1);
    let sql = format!("SELECT count(*), count(DISTINCT id), max(length(v)) FROM {table}");
    assert_eq!(trino.texts(&sql), ["[2501,2501,990000]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_is_read_again() {
    let Some(mut trino) = Trino::find("a_table_that_changes_is_read_again") else { return };
    let table = trino.table("changes");
    trino.run(&format!("CREATE TABLE {table} (id bigint, gone varchar)"));
    let mut sink = sink(&trino.settings(&table));
    sink.open().await.unwrap();
    write_all(&mut *sink, &["{\"id\":1,\"gone\":\"x\"}"]).await;
    trino.run(&format!("DROP TABLE {table}"));
    let (_, error) = write(&mut *sink, &batch_of(&["{\"id\":2}"])).await;
    let error = error.unwrap();
    assert_eq!(
        error.message,
        format!("table memory.default.{table} does not exist or has no columns")
    );
    assert!(!error.class.is_transient() && !error.is_about_records);
    trino.run(&format!("CREATE TABLE {table} (id varchar, fresh bigint)"));
    write_all(&mut *sink, &["{\"id\":3,\"fresh\":7}"]).await;
    assert_eq!(trino.texts(&format!("SELECT * FROM {table}")), ["[\"3\",7]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_from_records() {
    let Some(mut trino) = Trino::find("tables_are_made_from_records") else { return };
    let (columns, raw, flat) = (trino.table("auto"), trino.table("auto"), trino.table("auto"));
    let auto = |table: &str, more: Value| {
        with(with(trino.settings(table), json!({"autoCreateTable": true})), more)
    };
    let mut to = sink(&auto(&columns, json!({})));
    to.open().await.unwrap();
    let (rejected, error) = write(&mut *to, &batch_of(&["no json"])).await;
    assert!(error.is_none() && rejected.len() == 1);
    let records = ["{\"id\":1,\"f\":1}", "{\"id\":2,\"f\":1.5,\"Tags\":[1],\"ok\":true}"];
    write_all(&mut *to, &records).await;
    let types = |table: &str| {
        trino.texts(&format!(
            "SELECT column_name, data_type FROM information_schema.columns \
             WHERE table_schema = 'default' AND table_name = '{table}' ORDER BY ordinal_position"
        ))
    };
    assert_eq!(
        types(&columns),
        [
            "[\"id\",\"bigint\"]",
            "[\"f\",\"double\"]",
            "[\"tags\",\"varchar\"]",
            "[\"ok\",\"boolean\"]"
        ]
    );
    assert_eq!(
        trino.texts(&format!("SELECT * FROM {columns} ORDER BY id")),
        ["[1,1.0,null,null]", "[2,1.5,\"[1]\",true]"]
    );

    let mut to = sink(&auto(&raw, json!({"rawMode": true})));
    to.open().await.unwrap();
    let mut batch = batch_of(&["{\"a\": 1}", "plain 'text'"]);
    batch.meta_mut(0).set("topic", "t".into());
    let (rejected, error) = write(&mut *to, &batch).await;
    assert!(error.is_none() && rejected.is_empty(), "{error:?} {rejected:?}");
    assert_eq!(types(&raw), ["[\"data\",\"varchar\"]", "[\"_metadata\",\"varchar\"]"]);
    assert_eq!(
        trino.texts(&format!("SELECT * FROM {raw} ORDER BY data")),
        ["[\"plain 'text'\",\"{}\"]", "[\"{\\\"a\\\": 1}\",\"{\\\"topic\\\":\\\"t\\\"}\"]"]
    );

    let settings = json!({"rawMode": true, "flattenMetadataColumns": true, "flattenMetadataColumnsPrefix": "k_"});
    let mut to = sink(&auto(&flat, settings));
    to.open().await.unwrap();
    let mut batch = batch_of(&["1"]);
    batch.meta_mut(0).set("offset", levada_model::Value::Int(7));
    let (rejected, error) = write(&mut *to, &batch).await;
    assert!(error.is_none() && rejected.is_empty(), "{error:?} {rejected:?}");
    assert_eq!(types(&flat), ["[\"data\",\"varchar\"]", "[\"k_offset\",\"bigint\"]"]);
    assert_eq!(trino.texts(&format!("SELECT * FROM {flat}")), ["[\"1\",7]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_said_in_its_words() {
    let Some(trino) = Trino::find("what_the_server_refuses_is_said_in_its_words") else { return };
    // A catalog that cannot be written.
    let settings = with(trino.settings("nation"), json!({"catalog": "tpch", "schema": "tiny"}));
    let mut to = sink(&settings);
    to.open().await.unwrap();
    let (_, error) = write(&mut *to, &batch_of(&["{\"nationkey\":1}"])).await;
    let error = error.unwrap();
    assert!(error.message.starts_with("Trino query failed: "), "{error}");
    assert!(error.message.contains("(Error: NOT_SUPPORTED, Code: 13)"), "{error}");
    assert!(!error.class.is_transient());
    let mut nowhere = sink(&with(trino.settings("t"), json!({"catalog": "nowhere"})));
    let error = nowhere.open().await.unwrap_err();
    assert!(error.message.contains("nowhere"), "{error}");
    assert!(!error.class.is_transient(), "{:?}", error.class);
    let mut wrong = sink(&with(trino.settings("t"), {
        json!({"serverURL": format!("http://{}/wrong", trino.address)})
    }));
    let error = wrong.open().await.unwrap_err();
    assert!(error.message.starts_with("Trino query failed with status 404: "), "{error}");
    assert!(!error.class.is_transient(), "{:?}", error.class);
    let mut closed = sink(&with(trino.settings("t"), json!({"serverURL": "http://127.0.0.1:1"})));
    assert_eq!(closed.open().await.unwrap_err().class, ErrorClass::ConnectionError);
}

/// Gives the settings for upserts into a table of the catalog that takes `MERGE`.
fn merging(trino: &Trino, table: &str, key: &str) -> Value {
    let more = json!({"catalog": "iceberg", "upsertMode": true, "conflictKey": key});
    with(trino.settings(table), more)
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_insert_replace_and_delete() {
    let Some(mut trino) = Trino::find("upserts_insert_replace_and_delete") else { return };
    let table = trino.table_of("iceberg", "merge");
    trino.run(&format!(
        "CREATE TABLE iceberg.default.{table} (id bigint, a varchar(3), n decimal(5,2))"
    ));
    let rows = || trino.texts(&format!("SELECT * FROM iceberg.default.{table} ORDER BY id"));
    let mut to = sink(&merging(&trino, &table, "id"));
    to.open().await.unwrap();
    write_all(&mut *to, &["{\"id\":1,\"a\":\"x\"}", "{\"id\":2,\"a\":\"y\",\"n\":1}"]).await;
    assert_eq!(rows(), ["[1,\"x\",null]", "[2,\"y\",\"1.00\"]"]);
    // Again: nothing is there twice. Then others, and a column that is NULL in all of them.
    write_all(&mut *to, &["{\"id\":1,\"a\":\"x\"}", "{\"id\":2,\"a\":\"y\",\"n\":1}"]).await;
    assert_eq!(rows().len(), 2);
    write_all(&mut *to, &["{\"id\":3}", "{\"id\":1,\"a\":\"'z\"}", "{\"id\":3,\"a\":null}"]).await;
    assert_eq!(rows(), ["[1,\"'z\",null]", "[2,\"y\",\"1.00\"]", "[3,null,null]"]);
    // Deletes of rows that are there, that are not, and that come back in the same batch.
    let records = [
        "{\"id\":2}",
        "{\"id\":9}",
        "{\"id\":1}",
        "{\"id\":1,\"a\":\"new\"}",
        "{\"id\":4,\"n\":-9.5}",
    ];
    let mut batch = batch_of(&records);
    for index in 0..3 {
        batch.meta_mut(index).set("operation", "delete".into());
    }
    let (rejected, error) = write(&mut *to, &batch).await;
    assert!(error.is_none() && rejected.is_empty(), "{error:?} {rejected:?}");
    assert_eq!(rows(), ["[1,\"new\",null]", "[3,null,null]", "[4,null,\"-9.50\"]"]);
    // What no row can be made of is rejected, and the others are merged.
    let records = ["{\"a\":\"x\"}", "{\"id\":5,\"a\":\"long\"}", "{\"id\":5,\"a\":\"abc\"}"];
    let (rejected, error) = write(&mut *to, &batch_of(&records)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(rows().last().unwrap(), "[5,\"abc\",null]");
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_take_every_type() {
    let Some(mut trino) = Trino::find("upserts_take_every_type") else { return };
    let table = trino.table_of("iceberg", "merge");
    trino.run(&format!("CREATE TABLE iceberg.default.{table} ({TYPES})"));
    let mut to = sink(&merging(&trino, &table, "id"));
    to.open().await.unwrap();
    for _ in 0..2 {
        write_all(&mut *to, &RECORDS).await;
        write_all(&mut *to, &["{\"id\":3}"]).await;
    }
    let mut from = source(&with(trino.settings(&table), json!({"catalog": "iceberg"})));
    from.open(&[]).await.unwrap();
    let (seen, ..) = read(&mut *from, 3).await;
    for (seen, record) in [(&seen[2], RECORDS[0]), (&seen[0], RECORDS[1])] {
        let (seen, record): (Value, Value) =
            (serde_json::from_str(seen).unwrap(), serde_json::from_str(record).unwrap());
        assert_eq!(seen, record);
    }
    assert_eq!(trino.texts(&format!("SELECT count(*) FROM iceberg.default.{table}")), ["[3]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_of_text_keys_and_large_batches() {
    let Some(mut trino) = Trino::find("upserts_of_text_keys_and_large_batches") else { return };
    let table = trino.table_of("iceberg", "merge");
    let mut to = sink(&with(merging(&trino, &table, "Name"), json!({"autoCreateTable": true})));
    to.open().await.unwrap();
    let records = |version: u32| -> Vec<String> {
        let record = |id| json!({"Name": format!("n'{id}"), "v": version, "pad": "x".repeat(4000)});
        (0..300).map(|id| record(id).to_string()).collect()
    };
    write_all(&mut *to, &records(1)).await;
    write_all(&mut *to, &records(2)).await;
    let sql = format!(
        "SELECT count(*), count(DISTINCT name), min(v), max(v) FROM iceberg.default.{table}"
    );
    assert_eq!(trino.texts(&sql), ["[300,300,2,2]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_takes_no_merge_is_said_in_its_words() {
    let Some(mut trino) = Trino::find("a_catalog_that_takes_no_merge_is_said_in_its_words") else {
        return;
    };
    let table = trino.table("merge");
    trino.run(&format!("CREATE TABLE {table} (id bigint, a varchar)"));
    let merge = format!(
        "MERGE INTO \"memory\".\"default\".\"{table}\" AS t USING (VALUES (1,'z')) AS s (\"id\",\"a\") \
         ON t.\"id\" = s.\"id\" WHEN MATCHED THEN UPDATE SET \"a\" = s.\"a\""
    );
    assert_eq!(trino.ask(&merge), Err("NOT_SUPPORTED".to_owned()));
}

#[test]
fn merge_needs_an_iceberg_catalog() {
    let spec = levada_connectors::sinks::trino::Spec {
        server_url: "http://trino:8080".into(),
        catalog: "memory".into(),
        upsert_mode: true,
        conflict_key: "id".into(),
        ..Default::default()
    };
    let error =
        spec.build(&levada_testkit::build::context(std::path::Path::new("."))).err().unwrap();
    assert!(error.to_string().contains("must contain iceberg"), "{error}");
}
