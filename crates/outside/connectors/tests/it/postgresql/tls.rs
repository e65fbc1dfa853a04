//! Connections that are encrypted, and servers that are not believed.

use std::path::Path;

use levada_connectors::{SINKS, Sink, Source};
use levada_model::{ErrorClass, RecordBatch};
use levada_registry::{FieldPath, Node, Report};
use levada_testkit::instance::Instance;
use levada_testkit::{build, services};
use serde_json::json;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

fn sink(url: &str) -> Box<dyn Sink> {
    let settings = json!({"connectionString": url, "table": "t"});
    let entry = SINKS.iter().find(|entry| entry.name == "postgresql").unwrap();
    let mut report = Report::new();
    let spec = (entry.decode)(&Node::from_json(&settings), &FieldPath::field("sink"), &mut report);
    spec.unwrap().build(&build::context(Path::new("."))).unwrap()
}

fn source(url: &str) -> Box<dyn Source> {
    let settings = json!({"connectionString": url, "table": "t", "stopAtEnd": true});
    build::source("postgresql", &settings, Path::new("."))
}

#[tokio::test]
async fn servers_are_verified_as_the_mode_says() {
    let settings = [("PG_TLS", "on")];
    let Some(server) = Instance::start(services::POSTGRES, &settings, "postgresql TLS") else {
        return;
    };
    let address = server.address();
    let port = address.rsplit(':').next().unwrap();
    let mut admin =
        PgConnection::connect(&format!("postgres://postgres@{address}/postgres?sslmode=disable"))
            .await
            .unwrap();
    sqlx::raw_sql(
        "CREATE VIEW encrypted AS SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
         WHERE s.ssl AND a.application_name = 'tls'; CREATE TABLE t (id int PRIMARY KEY)",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let tls = server.state().join("tls");
    let (ca, other) = (tls.join("ca.pem"), tls.join("other-ca.pem"));
    let (ca, other) = (ca.to_str().unwrap(), other.to_str().unwrap());
    let url = |host: &str, mode: &str, root: &str| {
        let root = if root.is_empty() { String::new() } else { format!("&sslrootcert={root}") };
        format!(
            "postgres://postgres@{host}:{port}/postgres?application_name=tls&sslmode={mode}{root}"
        )
    };

    for (id, good) in [
        url("localhost", "verify-full", ca),
        url("127.0.0.1", "verify-ca", ca),
        url("127.0.0.1", "require", ""),
        url("127.0.0.1", "prefer", ""),
        format!(
            "host=localhost port={port} user=postgres dbname=postgres application_name=tls \
             sslmode=verify-full sslrootcert={ca}"
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut sink = sink(&good);
        sink.open().await.unwrap();
        assert_eq!(super::write_all(&mut *sink, &[&format!("{{\"id\":{id}}}")]).await, []);
        let query = sqlx::query_scalar::<_, i64>("SELECT * FROM encrypted");
        assert_eq!(query.fetch_one(&mut admin).await.unwrap(), 1, "{good}");
        sink.close().await.unwrap();
        let mut source = source(&good);
        source.open(&[]).await.unwrap();
        let mut batch = RecordBatch::new();
        assert!(source.next(&mut batch).await.unwrap());
        assert_eq!(batch.len(), id + 1);
        batch.clear();
        assert!(!source.next(&mut batch).await.unwrap());
    }

    for (bad, text) in [
        (url("localhost", "verify-full", other), "certificate"),
        (url("localhost", "verify-ca", other), "certificate"),
        // The certificate is for another name.
        (url("127.0.0.1", "verify-full", ca), "certificate"),
        // Without a CA of its own: those of the system.
        (url("localhost", "verify-full", ""), "certificate"),
        (url("localhost", "verify-full", "/no/such/file"), "/no/such/file"),
    ] {
        let errors = [
            sink(&bad).open().await.map_err(|error| (error.class, error.to_string())),
            source(&bad).open(&[]).await.map_err(|error| (error.class, error.to_string())),
        ];
        for error in errors {
            let (class, message) = error.unwrap_err();
            assert_eq!(class, ErrorClass::AuthError, "{bad}: {message}");
            assert!(message.contains(text), "{bad}: {message}");
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_enough_where_tls_is_required() {
    let Some(address) = services::POSTGRES.address("postgresql TLS is required") else { return };
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!("postgres://postgres@{address}/postgres?sslmode={mode}");
        let errors = [
            sink(&url).open().await.map_err(|error| (error.class, error.to_string())),
            source(&url).open(&[]).await.map_err(|error| (error.class, error.to_string())),
        ];
        for error in errors {
            let (class, message) = error.unwrap_err();
            assert_eq!(class, ErrorClass::AuthError, "{mode}: {message}");
            assert!(message.contains("does not support TLS"), "{mode}: {message}");
        }
    }
}
