//! What the sink makes of records.

use levada_connectors::Outcomes;
use levada_model::ErrorClass;
use serde_json::json;

use super::{Database, batch, batch_with, write, write_all};

#[tokio::test]
async fn every_type_keeps_its_value() {
    let Some(mut database) = Database::new("every_type_keeps_its_value").await else { return };
    database
        .run(
            "CREATE TYPE mood AS ENUM ('good', 'so so'); \
             CREATE DOMAIN positive AS int CHECK (VALUE > 0); \
             CREATE TABLE t (id bigint PRIMARY KEY, s smallint, i int, n numeric, d double precision, \
             b boolean, j jsonb, js json, ts timestamp, tz timestamptz, da date, ti time, iv interval, \
             u uuid, by bytea, tx text, vc varchar(5), ch char(3), ia int[], ta text[], ja jsonb[], \
             m mood, p positive, ip inet)",
        )
        .await;
    let payload = r#"{"id":9223372036854775807,"s":-32768,"i":1e3,
        "n":1234567890123456789012345678901234567890.0000000001,"d":0.1,"b":true,
        "j":{"a":[1.50,"x"],"n":null},"js":"text","ts":"2026-01-02T03:04:05.678901+02:00",
        "tz":1770460200123,"da":"2026-02-07","ti":"10:30:00.5","iv":"1 day 02:00:00",
        "u":"A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11","by":"AAEC/w==",
        "tx":"tab\t nl\n cr\r bs\\ \"q\" 'q' \u00e9 \ud83d\ude00 \\N","vc":"abcde","ch":"a",
        "ia":[1,null,-3],"ta":["a\"b","c\\d","NULL",null,"{}"],"ja":[{"k":"v"},[1]],
        "m":"so so","p":7,"ip":"10.0.0.1/8"}"#;
    let expected = "9223372036854775807|-32768|1000|\
        1234567890123456789012345678901234567890.0000000001|0.1|true|\
        {\"a\": [1.50, \"x\"], \"n\": null}|\"text\"|2026-01-02 01:04:05.678901|\
        2026-02-07 10:30:00.123+00|2026-02-07|10:30:00.5|1 day 02:00:00|\
        a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|\\x000102ff|\
        tab\t nl\n cr\r bs\\ \"q\" 'q' é 😀 \\N|abcde|a  |{1,NULL,-3}|\
        {\"a\\\"b\",\"c\\\\d\",\"NULL\",NULL,\"{}\"}|{\"{\\\"k\\\": \\\"v\\\"}\",[1]}|so so|7|10.0.0.1/8";
    let shown = "SELECT concat_ws('|', id, s, i, n, d, b::text, j, js, ts, tz, da, ti, iv, u, by, tx, vc, \
        rpad(ch::text, 3), ia, ta, ja, m, p, ip) FROM t";
    for settings in [json!({}), json!({"upsertMode": true})] {
        let mut sink = database.sink(settings.clone());
        assert_eq!(write_all(&mut *sink, &[payload]).await, []);
        assert_eq!(database.text(shown).await, expected, "{settings}");
        database.run("TRUNCATE t").await;
    }
    database.drop_schema().await;
}

#[tokio::test]
async fn bad_rows_are_rejected_and_the_others_land() {
    let Some(mut database) = Database::new("bad_rows").await else { return };
    database
        .run("CREATE TABLE t (id bigint PRIMARY KEY, v int NOT NULL CHECK (v < 1000), vc varchar(3), j jsonb)")
        .await;
    let bad = [
        (r#"{"id":1000,"v":"x","vc":"a","j":1}"#, ErrorClass::InvalidData),
        (r#"{"id":1001,"v":null,"vc":"a","j":1}"#, ErrorClass::ConstraintViolation),
        (r#"{"id":1002,"v":5000,"vc":"a","j":1}"#, ErrorClass::ConstraintViolation),
        (r#"{"id":1003,"v":1,"vc":"long","j":1}"#, ErrorClass::InvalidData),
        (r#"{"id":99999999999999999999,"v":1,"vc":"a","j":1}"#, ErrorClass::InvalidData),
        (r#"{"id":1004,"v":1,"vc":"a\u0000","j":1}"#, ErrorClass::InvalidData),
        (r#"{"id":1005,"v":1,"vc":"a","j":{"a":"\u0000"}}"#, ErrorClass::InvalidData),
        (r#"{"id":1006,"v":1.5,"vc":"a","j":1}"#, ErrorClass::InvalidData),
        (r#"{"id":1007,"v":1,"other":1}"#, ErrorClass::InvalidData),
        ("{}", ErrorClass::InvalidData),
        ("[1]", ErrorClass::InvalidData),
        ("null", ErrorClass::InvalidData),
        ("", ErrorClass::InvalidData),
        ("not json", ErrorClass::InvalidData),
    ];
    for settings in [json!({}), json!({"upsertMode": true})] {
        let mut sink = database.sink(settings);
        for (poison, class) in &bad {
            for at in [0, 42, 99] {
                database.run("TRUNCATE t").await;
                let payloads: Vec<String> = (0..100)
                    .map(|id| format!(r#"{{"id":{id},"v":{id},"vc":"a","j":{{"n":{id}}}}}"#))
                    .collect();
                let mut payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
                payloads[at] = poison;
                let rejected = write_all(&mut *sink, &payloads).await;
                assert_eq!(rejected.len(), 1, "{poison}: {rejected:?}");
                assert_eq!((rejected[0].0, rejected[0].1.class), (at, *class), "{poison}");
                assert_eq!(database.text("SELECT count(*)::text FROM t").await, "99", "{poison}");
            }
        }
        // Nothing but bad rows.
        database.run("TRUNCATE t").await;
        let payloads = vec![bad[0].0; 300];
        assert_eq!(write_all(&mut *sink, &payloads).await.len(), 300);
        assert_eq!(database.text("SELECT count(*)::text FROM t").await, "0");
    }
    database.drop_schema().await;
}

#[tokio::test]
async fn columns_that_are_not_named_get_their_default() {
    let Some(mut database) = Database::new("defaults").await else { return };
    database.run("CREATE TABLE t (id serial PRIMARY KEY, a int DEFAULT 7, b text)").await;
    let mut sink = database.sink(json!({}));
    let payloads = [
        r#"{"id":10,"a":1,"b":"x"}"#,
        r#"{"b":"y"}"#,
        r#"{"b":"x","a":2,"id":11}"#,
        r#"{"id":12,"b":null,"b":"last"}"#,
        r#"{"a":null,"id":13}"#,
    ];
    assert_eq!(write_all(&mut *sink, &payloads).await, []);
    let rows = database.texts(
        "SELECT concat_ws(',', id, coalesce(a::text, '-'), coalesce(b, '-')) FROM t ORDER BY id",
    );
    assert_eq!(rows.await, ["1,7,y", "10,1,x", "11,2,x", "12,7,last", "13,-,-"]);
    database.drop_schema().await;
}

#[tokio::test]
async fn a_repeated_row_is_delivered_and_another_one_rejected() {
    let Some(mut database) = Database::new("repeated").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, a numeric(10,2), j json)").await;
    let mut sink = database.sink(json!({}));
    let first = r#"{"id":1,"a":1.005,"j":{"x" : 1}}"#;
    assert_eq!(write_all(&mut *sink, &[first, r#"{"id":2,"a":2,"j":[]}"#]).await, []);
    let rejected = write_all(
        &mut *sink,
        &[
            first,
            r#"{"id":3,"a":3,"j":[]}"#,
            r#"{"id":2,"a":9,"j":[]}"#,
            r#"{"id":3,"a":4,"j":[]}"#,
        ],
    )
    .await;
    let rejected: Vec<_> = rejected.iter().map(|(index, error)| (*index, error.class)).collect();
    let class = ErrorClass::ConstraintViolation;
    assert_eq!(rejected, [(2, class), (3, class)]);
    let rows = database.texts("SELECT id || ' ' || a FROM t ORDER BY id").await;
    assert_eq!(rows, ["1 1.01", "2 2.00", "3 3.00"]);
    database.drop_schema().await;
}

#[tokio::test]
async fn upserts_keep_the_last_row_of_a_key() {
    let Some(mut database) = Database::new("upserts").await else { return };
    database.run("CREATE TABLE t (a int, b text, v int, w int, PRIMARY KEY (a, b))").await;
    let mut sink = database.sink(json!({"upsertMode": true, "conflictKey": "a, b"}));
    let payloads = [
        r#"{"a":1,"b":"x","v":1}"#,
        r#"{"a":1,"b":"x","v":2}"#,
        r#"{"a":1,"b":"y","v":3}"#,
        r#"{"a":1,"b":"x","w":5}"#,
        r#"{"a":1,"b":"x","v":4}"#,
        r#"{"a":"01","b":"y","v":6}"#,
        r#"{"a":2,"b":"z"}"#,
    ];
    let shown = "SELECT concat_ws(',', a, b, coalesce(v::text, '-'), coalesce(w::text, '-')) FROM t ORDER BY a, b";
    for _ in 0..2 {
        assert_eq!(write_all(&mut *sink, &payloads).await, []);
        assert_eq!(database.texts(shown).await, ["1,x,4,5", "1,y,6,-", "2,z,-,-"]);
    }
    database.drop_schema().await;
}

#[tokio::test]
async fn only_newer_rows_update() {
    let Some(mut database) = Database::new("newer").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, v text, at timestamptz)").await;
    let mut sink = database.sink(json!({
        "upsertMode": true, "upsertStrategy": "ifNewer", "upsertVersionColumn": "at",
    }));
    let payloads = [
        r#"{"id":1,"v":"old","at":"2026-01-01T00:00:00Z"}"#,
        r#"{"id":1,"v":"new","at":"2026-01-03T00:00:00Z"}"#,
        r#"{"id":1,"v":"middle","at":"2026-01-02T22:00:00-01:00"}"#,
        r#"{"id":2,"v":"x"}"#,
    ];
    let rejected = write_all(&mut *sink, &payloads).await;
    assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [3]);
    assert_eq!(database.texts("SELECT v FROM t").await, ["new"]);
    write_all(&mut *sink, &[r#"{"id":1,"v":"older","at":"2026-01-02T00:00:00Z"}"#]).await;
    assert_eq!(database.texts("SELECT v FROM t").await, ["new"]);
    write_all(&mut *sink, &[r#"{"id":1,"v":"newest","at":"2026-01-04T00:00:00Z"}"#]).await;
    assert_eq!(database.texts("SELECT v FROM t").await, ["newest"]);
    database.drop_schema().await;
}

#[tokio::test]
async fn deletes_keep_their_place_among_writes() {
    let Some(mut database) = Database::new("deletes").await else { return };
    let records = [
        (r#"{"id":1,"v":"a"}"#, None),
        (r#"{"id":2,"v":"a"}"#, None),
        (r#"{"id":1}"#, Some("delete")),
        (r#"{"id":2,"v":"b"}"#, Some("update")),
        (r#"{"id":3}"#, Some("delete")),
        (r#"{"id":3,"v":"c"}"#, Some("insert")),
        (r#"{"v":"c"}"#, Some("delete")),
    ];
    database.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let mut sink = database.sink(json!({"upsertMode": true}));
    let rejected = write(&mut *sink, &batch_with(records.into_iter())).await;
    assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [6]);
    let shown = "SELECT concat_ws(' ', id, v) FROM t ORDER BY id";
    assert_eq!(database.texts(shown).await, ["2 b", "3 c"]);

    database.run("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text, gone timestamp)").await;
    let mut sink = database.sink(json!({"upsertMode": true, "softDeleteColumn": "gone"}));
    write(&mut *sink, &batch_with(records.into_iter())).await;
    let shown = "SELECT concat_ws(' ', id, v, (gone IS NOT NULL)::text) FROM t ORDER BY id";
    assert_eq!(database.texts(shown).await, ["1 a true", "2 b false", "3 c false"]);
    write_all(&mut *sink, &[r#"{"id":1,"v":"back"}"#]).await;
    assert_eq!(database.texts(shown).await, ["1 back false", "2 b false", "3 c false"]);
    database.drop_schema().await;
}

#[tokio::test]
async fn unknown_keys_follow_the_setting() {
    let Some(mut database) = Database::new("unknown").await else { return };
    database.run("CREATE TABLE t (id int, n int)").await;
    let payloads = [
        r#"{"id":1,"n":1}"#,
        r#"{"id":2,"n":3000000000,"new":"text","b":true}"#,
        r#"{"id":3,"n":1.25,"num":1,"obj":{"a":1},"none":null}"#,
        r#"{"id":4,"n":5,"num":1.5}"#,
        r#"{"extra":1}"#,
    ];
    let mut sink = database.sink(json!({}));
    let rejected = write_all(&mut *sink, &payloads).await;
    assert_eq!(rejected.len(), 4);
    assert!(
        rejected[1].1.message.contains("no column `num`")
            || rejected[1].1.message.contains("fraction")
    );
    assert!(rejected[3].1.message.contains("no column `extra`"), "{:?}", rejected[3]);

    let mut sink = database.sink(json!({"schemaChange": "ignore"}));
    database.run("TRUNCATE t").await;
    let rejected = write_all(&mut *sink, &payloads[3..]).await;
    assert_eq!(rejected.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
    assert_eq!(database.texts("SELECT id || ' ' || n FROM t").await, ["4 5"]);

    let mut sink = database.sink(json!({"schemaChange": "evolve"}));
    database.run("TRUNCATE t").await;
    assert_eq!(write_all(&mut *sink, &payloads).await, []);
    let types = "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
        WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum";
    let expected = [
        "id integer",
        "n numeric",
        "new text",
        "b boolean",
        "num numeric",
        "obj jsonb",
        "extra bigint",
    ];
    assert_eq!(database.texts(types).await, expected);
    let rows = database
        .texts("SELECT concat_ws(' ', id, n, new, b::text, num, obj, extra) FROM t ORDER BY id");
    let expected = ["1 1", "2 3000000000 text true", "3 1.25 1 {\"a\": 1}", "4 5 1.5", "1"];
    assert_eq!(rows.await, expected);
    // A number for a text column is kept as its text; nothing is narrowed or changed.
    assert_eq!(
        write_all(&mut *sink, &[r#"{"id":5,"new":12,"extra":99999999999999999999}"#]).await,
        []
    );
    assert_eq!(
        database.texts("SELECT extra::text FROM t WHERE id = 5").await,
        ["99999999999999999999"]
    );
    // Each change is kept, with its reason.
    let history = database
        .texts(
            "SELECT concat_ws(' | ', pipeline, table_name, change, reason) FROM _dataflow_schema_changes \
             WHERE at > now() - interval '1 hour' AND (change ~ '\"(b|n)\"' OR change ~ 'NUMERIC$') \
             ORDER BY at, change",
        )
        .await;
    let table = format!("\"{}\".\"t\"", database.schema);
    let flow = history[0].split(" | ").next().unwrap().to_owned();
    let expected = [
        (
            "ADD COLUMN IF NOT EXISTS \"b\" BOOLEAN",
            "records have the key `b`, and the table had no such column",
        ),
        (
            "ADD COLUMN IF NOT EXISTS \"num\" NUMERIC",
            "records have the key `num`, and the table had no such column",
        ),
        ("ALTER COLUMN \"n\" TYPE NUMERIC", "a number did not fit the type integer"),
        ("ALTER COLUMN \"extra\" TYPE NUMERIC", "a number did not fit the type bigint"),
    ];
    let expected =
        expected.map(|(change, reason)| format!("{flow} | {table} | {change} | {reason}"));
    assert_eq!(history, expected);
    database.drop_schema().await;
}

#[tokio::test]
async fn a_table_is_changed_without_a_history_where_none_may_be_kept() {
    let Some(mut database) = Database::new("no_history").await else { return };
    let (schema, role) = (database.schema.clone(), format!("{}_role", database.schema));
    database
        .run(&format!(
            "CREATE TABLE t (id int); CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}; \
             ALTER TABLE t OWNER TO {role}"
        ))
        .await;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let settings = json!({"connectionString": url, "schemaChange": "evolve"});
    let mut sink = database.sink(settings);
    assert_eq!(write_all(&mut *sink, &[r#"{"id":1,"a":1}"#]).await, []);
    assert_eq!(write_all(&mut *sink, &[r#"{"id":2,"b":1}"#]).await, []);
    assert_eq!(database.text("SELECT count(a)::text || count(b) FROM t").await, "11");
    let missing = "SELECT (to_regclass('_dataflow_schema_changes') IS NULL)::text";
    assert_eq!(database.text(missing).await, "true");
    drop(sink);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    database.drop_schema().await;
}

#[tokio::test]
async fn names_cannot_break_out() {
    let Some(mut database) = Database::new("names").await else { return };
    database.run("CREATE TABLE victim (id int)").await;
    let table = "t\"; DROP TABLE victim; --";
    let hostile = r#"a\"); DROP TABLE victim; --"#;
    for (settings, count) in [
        (json!({"table": table, "autoCreateTable": true}), "1"),
        (json!({"table": table, "schemaChange": "evolve"}), "2"),
        (json!({"table": table, "schemaChange": "evolve", "upsertMode": true}), "3"),
    ] {
        // A quote inside the name needs the quoted form; as it is, the name is refused or taken whole.
        let mut sink = database.sink(settings);
        let payload =
            format!(r#"{{"id":{count},"{hostile}":1,"x'); --":"'); DROP TABLE victim; --"}}"#);
        assert_eq!(write_all(&mut *sink, &[&payload]).await, []);
        let text = "SELECT count(*)::text FROM \"t\"\"; DROP TABLE victim; --\"";
        assert_eq!(database.text(text).await, count);
    }
    assert_eq!(database.text("SELECT count(*)::text FROM victim").await, "0");
    let mut sink = database.sink(json!({"table": "victim"}));
    let rejected = write_all(&mut *sink, &[&format!(r#"{{"id":1,"{hostile}":1}}"#)]).await;
    assert_eq!(rejected.len(), 1);
    database.drop_schema().await;
}

#[tokio::test]
async fn tables_are_made_of_samples() {
    let Some(mut database) = Database::new("samples").await else { return };
    let schema = database.schema.clone();
    let mut sink =
        database.sink(json!({"autoCreateTable": true, "table": format!("{schema}.made")}));
    sink.open().await.unwrap();
    let payloads = [
        r#"{"id":1,"n":1,"f":1,"s":null,"o":{"a":1},"b":true,"mix":1}"#,
        r#"{"id":2,"n":2,"f":1.5,"s":"x","o":[],"b":null,"mix":"a"}"#,
    ];
    assert_eq!(write_all(&mut *sink, &payloads).await, []);
    let types = "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
        WHERE attrelid = 'made'::regclass AND attnum > 0 ORDER BY attnum";
    let expected =
        ["id bigint", "n bigint", "f numeric", "s text", "o jsonb", "b boolean", "mix jsonb"];
    assert_eq!(database.texts(types).await, expected);
    assert_eq!(
        database.text("SELECT string_agg(mix::text, ' ' ORDER BY id) FROM made").await,
        "1 \"a\""
    );

    // Several processes at once.
    let mut sinks: Vec<_> =
        (0..4).map(|_| database.sink(json!({"autoCreateTable": true, "table": "race"}))).collect();
    let batches: Vec<_> = (0..4).map(|id| batch(&[&format!(r#"{{"id":{id}}}"#)])).collect();
    let writes = sinks.iter_mut().zip(&batches).map(|(sink, batch)| async move {
        sink.open().await.unwrap();
        let mut outcomes = Outcomes::default();
        sink.write(batch, &mut outcomes).await.unwrap();
    });
    futures_util::future::join_all(writes).await;
    assert_eq!(database.text("SELECT count(*)::text FROM race").await, "4");

    let error = database.sink(json!({"table": "missing"})).open().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the table \"missing\" does not exist; create it, or set autoCreateTable to true"
    );
    database.drop_schema().await;
}

#[tokio::test]
async fn documents_go_whole_into_data() {
    let Some(mut database) = Database::new("documents").await else { return };
    database.run("CREATE TABLE t (id serial PRIMARY KEY, data jsonb NOT NULL, created_at timestamp DEFAULT now())").await;
    let mut sink = database.sink(json!({}));
    assert_eq!(write_all(&mut *sink, &[r#"{"data":1,"x":1.50}"#, r#"{"id":7}"#]).await, []);
    let shown = "SELECT id || ' ' || data::text FROM t ORDER BY id";
    assert_eq!(database.texts(shown).await, ["1 {\"x\": 1.50, \"data\": 1}", "2 {\"id\": 7}"]);
    let mut sink = database.sink(json!({"upsertMode": true}));
    assert_eq!(write_all(&mut *sink, &[r#"{"id":2,"v":1}"#, r#"{"id":2,"v":2}"#]).await, []);
    assert_eq!(database.texts(shown).await[1], "2 {\"v\": 2, \"id\": 2}");
    database.drop_schema().await;
}

#[tokio::test]
async fn raw_mode_keeps_value_and_metadata() {
    let Some(mut database) = Database::new("raw").await else { return };
    let mut sink = database.sink(json!({"rawMode": true, "autoCreateTable": true}));
    let records = [
        (r#"{"a":1.0}"#, Some("insert")),
        (r#"{"value":[1,null],"_metadata":{"k":"v"}}"#, Some("insert")),
        ("null", None),
        (r#"{"value":1,"_metadata":1}"#, Some("delete")),
    ];
    assert_eq!(write(&mut *sink, &batch_with(records.into_iter())).await, []);
    let shown = "SELECT data::text || ' ' || _metadata::text FROM t ORDER BY id";
    let expected = [
        r#"{"a": 1.0} {"operation": "insert"}"#,
        r#"[1, null] {"k": "v"}"#,
        "null {}",
        r#"{"value": 1, "_metadata": 1} {"operation": "delete"}"#,
    ];
    assert_eq!(database.texts(shown).await, expected);

    let mut sink = database.sink(json!({
        "table": "flat", "rawMode": true, "autoCreateTable": true, "flattenMetadataColumns": true,
        "flattenMetadataColumnsPrefix": "kafka_",
    }));
    let payloads = [
        r#"{"value":{"a":1},"_metadata":{"offset":1,"timestamp":"2026-02-07T10:30:00Z","topic":"t"}}"#,
        r#"{"value":2,"_metadata":{"offset":2}}"#,
    ];
    assert_eq!(write_all(&mut *sink, &payloads).await, []);
    let shown = "SELECT concat_ws(' ', data, kafka_offset, kafka_topic, kafka_timestamp AT TIME ZONE 'UTC') FROM flat ORDER BY id";
    assert_eq!(database.texts(shown).await, ["{\"a\": 1} 1 t 2026-02-07 10:30:00", "2 2"]);
    database.drop_schema().await;
}

#[tokio::test]
async fn metadata_never_takes_the_place_of_the_body() {
    let Some(mut database) = Database::new("raw_collision").await else { return };
    let payloads =
        [r#"{"value":1,"_metadata":{"data":2,"k":"v"}}"#, r#"{"value":3,"_metadata":{"k":"w"}}"#];
    for (schema_change, rows) in [("strict", 1), ("evolve", 1), ("ignore", 2)] {
        let mut sink = database.sink(json!({
            "rawMode": true, "autoCreateTable": true, "flattenMetadataColumns": true,
            "schemaChange": schema_change,
        }));
        let rejected = write_all(&mut *sink, &payloads).await;
        assert_eq!(rejected.len(), 2 - rows);
        if let Some((index, error)) = rejected.first() {
            assert_eq!(*index, 0);
            assert!(error.message.contains("`data`, which holds the record"), "{error:?}");
        }
        let shown = database.texts("SELECT data::text || k FROM t ORDER BY id").await;
        assert_eq!(shown, ["1v", "3w"][2 - rows..]);
        database.run("DROP TABLE t").await;
    }
    database.drop_schema().await;
}

#[tokio::test]
async fn a_table_that_changes_is_read_again() {
    let Some(mut database) = Database::new("changes").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    for settings in [json!({}), json!({"upsertMode": true})] {
        let mut sink = database.sink(settings);
        assert_eq!(write_all(&mut *sink, &[r#"{"id":1,"v":1}"#]).await, []);
        database.run("DROP TABLE t; CREATE TABLE t (v text, id bigint PRIMARY KEY)").await;
        assert_eq!(write_all(&mut *sink, &[r#"{"id":1,"v":2}"#]).await, []);
        database.run("ALTER TABLE t DROP COLUMN v").await;
        let rejected = write_all(&mut *sink, &[r#"{"id":2,"v":3}"#, r#"{"id":3}"#]).await;
        assert_eq!(rejected.len(), 1);
        assert_eq!(database.texts("SELECT id::text FROM t ORDER BY id").await, ["1", "3"]);
        database.run("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    }
    database.drop_schema().await;
}

#[tokio::test]
async fn a_killed_connection_is_a_passing_error() {
    let Some(mut database) = Database::new("killed").await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    let mut sink = database.sink(json!({}));
    assert_eq!(write_all(&mut *sink, &[r#"{"id":1,"v":1}"#]).await, []);
    database.terminate().await;
    let mut outcomes = Outcomes::default();
    let error = sink.write(&batch(&[r#"{"id":2,"v":1}"#]), &mut outcomes).await.unwrap_err();
    assert!(error.class.is_transient(), "{error}");
    assert_eq!(outcomes.resolved(), 0);
    assert_eq!(write_all(&mut *sink, &[r#"{"id":2,"v":1}"#]).await, []);
    assert_eq!(database.text("SELECT count(*)::text FROM t").await, "2");
    // In the middle of a statement that waits for a lock.
    database.run("BEGIN; LOCK TABLE t").await;
    let waiting = batch(&[r#"{"id":3,"v":1}"#]);
    let mut outcomes = Outcomes::default();
    let (result, ()) = tokio::join!(sink.write(&waiting, &mut outcomes), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        database.terminate().await;
    });
    assert!(result.unwrap_err().class.is_transient());
    database.run("ROLLBACK").await;
    database.drop_schema().await;
}

#[tokio::test]
async fn errors_of_the_connection_are_told_apart() {
    let Some(mut database) = Database::new("connection").await else { return };
    database.run("CREATE TABLE t (id int)").await;
    let address = database.address.clone();
    for (url, class) in [
        ("postgres://postgres@127.0.0.1:1/postgres".to_owned(), ErrorClass::ConnectionError),
        (format!("postgres://nobody@{address}/postgres"), ErrorClass::AuthError),
        (format!("postgres://postgres@{address}/no_such_database"), ErrorClass::Unknown),
    ] {
        let mut sink = database.sink(json!({"connectionString": url}));
        let error = sink.open().await.unwrap_err();
        assert_eq!(error.class, class, "{url}: {error}");
    }
    let (host, port) = address.split_once(':').unwrap();
    let pairs = format!(
        "host={host} port={port} user=postgres dbname=postgres sslmode=prefer search_path={}",
        database.schema
    );
    let mut sink = database.sink(json!({"connectionString": pairs}));
    sink.open().await.unwrap();
    assert_eq!(write_all(&mut *sink, &[r#"{"id":1}"#]).await, []);
    database.drop_schema().await;
}

#[tokio::test]
async fn deferred_keys_are_checked_by_row() {
    let Some(mut database) = Database::new("deferred").await else { return };
    database
        .run(
            "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 99); \
             CREATE TABLE t (id int, p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let mut sink = database.sink(json!({}));
    let payloads: Vec<String> = (0..100)
        .map(|id| format!(r#"{{"id":{id},"p":{}}}"#, if id == 42 { 1000 } else { id }))
        .collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let rejected = write_all(&mut *sink, &payloads).await;
    assert_eq!(rejected.len(), 1);
    assert_eq!((rejected[0].0, rejected[0].1.class), (42, ErrorClass::ConstraintViolation));
    assert_eq!(database.text("SELECT count(*)::text FROM t").await, "99");
    database.drop_schema().await;
}

#[tokio::test]
async fn many_rows_are_copied_and_bad_ones_found() {
    let Some(mut database) = Database::new("many").await else { return };
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL, j jsonb, ts timestamptz)")
        .await;
    let mut sink = database.sink(json!({}));
    let good = |id: usize| {
        let v = r#"tab\t nl\n bs\\ \\N \\."#;
        format!(r#"{{"id":{id},"v":"{v}","j":{{"a\\b":[{id},"\n"]}},"ts":{id}}}"#)
    };
    let payloads: Vec<String> = (0..9000)
        .map(|id| match id {
            0 | 4500 | 8999 => format!(r#"{{"id":"x{id}","v":"","j":1,"ts":1}}"#),
            42 => r#"{"id":42,"v":null,"j":1,"ts":1}"#.to_owned(),
            43 => good(41),
            44 => r#"{"id":41,"v":"other","j":1,"ts":1}"#.to_owned(),
            id => good(id),
        })
        .collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let check = "SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE v = E'tab\t nl\n bs\\\\ \\\\N \\\\.'), \
        count(*) FILTER (WHERE j = jsonb_build_object('a\\b', jsonb_build_array(id, E'\n')) \
        AND ts = to_timestamp(id))) FROM t";
    for _ in 0..2 {
        let rejected = write_all(&mut *sink, &payloads).await;
        let mut rejected: Vec<_> = rejected.iter().map(|(index, _)| *index).collect();
        rejected.sort_unstable();
        assert_eq!(rejected, [0, 42, 44, 4500, 8999]);
        assert_eq!(database.text(check).await, "8994 8994 8994");
    }
    // Into an empty table without bad rows, in one piece.
    database.run("TRUNCATE t").await;
    assert_eq!(write_all(&mut *sink, &payloads[45..4500]).await, []);
    assert_eq!(database.text(check).await, "4455 4455 4455");
    database.drop_schema().await;
}
