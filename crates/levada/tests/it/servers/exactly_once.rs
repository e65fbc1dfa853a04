//! What exactly once and dead letters mean together, and where it is refused.

use levada_testkit::process::Folder;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::{flow, holds, records, run};

#[test]
fn one_bad_row_of_a_hundred_is_a_dead_letter_and_the_others_are_there_once() {
    let Some(topic) = Topic::new("poison", 1) else { return };
    let Some(letters) = Topic::new("poison-dlq", 1) else { return };
    let Some(database) = Database::new("poison") else { return };
    database.execute(&format!("CREATE TABLE {}.t (id bigint, name text)", database.schema));
    topic.send((0..100).map(|id| match id {
        42 => "{\"id\":\"not a number\",\"name\":\"x\"}".to_owned(),
        _ => format!("{{\"id\":{id},\"name\":\"n\"}}"),
    }));
    let folder = Folder::new();
    flow(
        &folder,
        &topic.name,
        &format!(
            "source: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {1}, stopAtEnd: true}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{2}\", table: {3}.t, batchSize: 1000}}}}
errors: {{type: kafka, kafka: {{brokers: [\"{0}\"], topic: {4}}}}}
",
            topic.brokers, topic.name, database.url, database.schema, letters.name
        ),
    );
    let ended = run(&folder, None).expect_code(0);
    let summary = ended.summary();
    assert_eq!(summary["guarantee"], "exactly-once", "{ended:#?}");
    let counts = ["recordsIn", "recordsOut", "deadLettered"].map(|name| summary[name].as_u64());
    assert_eq!(counts, [Some(100), Some(99), Some(1)], "{ended:#?}");
    holds(&database.ids("t"), (0..100).filter(|id| *id != 42));
    let letters = letters.read();
    assert_eq!(letters.len(), 1);
    let headers = &letters[0].headers;
    assert_eq!(
        headers.get("df-error-class").map(String::as_str),
        Some("invalid_data"),
        "{headers:?}"
    );
    assert_eq!(headers.get("df-error-stage").map(String::as_str), Some("sink"), "{headers:?}");
    assert_eq!(headers.get("df-source-offset").map(String::as_str), Some("42"), "{headers:?}");
    // The position is behind the bad row too: nothing is read again.
    let again = run(&folder, None).expect_code(0);
    assert_eq!(again.summary()["recordsIn"], 0, "{again:#?}");
}

#[test]
fn a_sink_that_may_not_keep_positions_is_written_at_least_once() {
    let Some(database) = Database::new("denied") else { return };
    let schema = &database.schema;
    database.execute(&format!(
        "CREATE TABLE {schema}.t (id bigint, name text, price numeric, kind text);
         DROP ROLE IF EXISTS writer_{schema}; CREATE ROLE writer_{schema} LOGIN;
         GRANT USAGE ON SCHEMA {schema} TO writer_{schema};
         GRANT INSERT, SELECT ON {schema}.t TO writer_{schema}"
    ));
    let url = database.url.replace("postgres@", &format!("writer_{schema}@"));
    let folder = Folder::new();
    folder.write("in.ndjson", records(0..50).map(|line| line + "\n").collect::<String>());
    let spec = |delivery: &str| {
        format!(
            "delivery: {delivery}
source: {{type: file, file: {{paths: [in.ndjson]}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{url}\", table: {schema}.t, batchSize: 100}}}}
"
        )
    };
    flow(&folder, "denied", &spec("exactlyOnce"));
    let refused = run(&folder, None).expect_code(3);
    assert!(refused.stderr.contains("positions"), "{refused:#?}");
    flow(&folder, "denied", &spec("auto"));
    let ended = run(&folder, None).expect_code(0);
    assert_eq!(ended.summary()["guarantee"], "at-least-once", "{ended:#?}");
    holds(&database.ids("t"), 0..50);
    database.execute(&format!("DROP OWNED BY writer_{schema}; DROP ROLE writer_{schema}"));
}

#[test]
fn a_flow_from_the_start_forgets_what_the_sink_keeps() {
    let Some(database) = Database::new("again") else { return };
    let schema = &database.schema;
    database.execute(&format!(
        "CREATE TABLE {schema}.t (id bigint, name text, price numeric, kind text)"
    ));
    let folder = Folder::new();
    folder.write("in.ndjson", records(0..50).map(|line| line + "\n").collect::<String>());
    flow(
        &folder,
        "again",
        &format!(
            "source: {{type: file, file: {{paths: [in.ndjson]}}}}
sink: {{type: postgresql, postgresql: {{connectionString: \"{}\", table: {schema}.t, batchSize: 100}}}}
",
            database.url
        ),
    );
    let times = |times: u64| {
        let ids = database.ids("t");
        assert!(ids.len() == 50 && ids.values().all(|found| *found == times), "{ids:?}");
    };
    run(&folder, None).expect_code(0);
    // The local checkpoint is gone: the sink knows better.
    std::fs::remove_dir_all(folder.path("data")).unwrap();
    assert_eq!(run(&folder, None).expect_code(0).summary()["recordsIn"], 0);
    times(1);
    let levada = env!("CARGO_BIN_EXE_levada");
    let reset = ["positions", "reset", "flow.yaml", "--output", "json", "--data", "data"];
    let reset = folder.start(levada, &reset).wait(super::scene::LONG).expect_code(0);
    assert!(reset.stdout.contains(r#""places":["sink","checkpoint"]"#), "{reset:#?}");
    run(&folder, None).expect_code(0);
    times(2);
}

#[test]
fn a_broker_that_refuses_transactions_is_written_at_least_once() {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["in", "out"] {
        cluster.create_topic(topic, 1, 1).unwrap();
    }
    let brokers = cluster.bootstrap_servers();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    for line in records(0..20) {
        producer.send(BaseRecord::<str, str>::to("in").payload(&line)).unwrap();
    }
    producer.flush(std::time::Duration::from_secs(10)).unwrap();
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused]);
    let folder = Folder::new();
    flow(
        &folder,
        "refused",
        &format!(
            "source: {{type: kafka, kafka: {{brokers: [\"{brokers}\"], topic: in, stopAtEnd: true}}}}
sink: {{type: kafka, kafka: {{brokers: [\"{brokers}\"], topic: out}}}}
"
        ),
    );
    let summary = run(&folder, None).expect_code(0).summary();
    assert_eq!(summary["guarantee"], "at-least-once", "{summary}");
    assert_eq!(summary["recordsOut"], 20, "{summary}");
    // The source keeps the group's offsets itself.
    std::fs::remove_dir_all(folder.path("data")).unwrap();
    assert_eq!(run(&folder, None).expect_code(0).summary()["recordsIn"], 0);
}
