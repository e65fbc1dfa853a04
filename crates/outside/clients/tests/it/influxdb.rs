//! Against a real InfluxDB 1.x.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use levada_clients::influxdb::{Client, Config, InfluxDb, Query, WriteTarget, dropped_points};
use levada_model::ErrorKind;
use levada_runtime::Tasks;
use levada_testkit::services;

async fn client(test: &str, config: Config) -> Option<Client> {
    let address = services::INFLUXDB.address(test)?;
    let config = Config { urls: vec![format!("http://{address}")], ..config };
    Some(Client::new(&config, &Tasks::new()).await.unwrap())
}

fn query(database: &str, text: &str) -> Query {
    Query { text: text.into(), database: database.into(), ..Query::default() }
}

fn target(database: &str) -> WriteTarget {
    WriteTarget { database: database.into(), ..WriteTarget::default() }
}

/// Makes a database of this test's own.
async fn database(client: &Client, name: &str, retention: &str) -> String {
    let name = format!("levada clients {name}, 'quoted'");
    let quoted = levada_clients::influxdb::quote_identifier(&name);
    client.query(&query("", &format!("DROP DATABASE {quoted}"))).await.unwrap();
    client.create_database(&name, retention).await.unwrap();
    name
}

#[tokio::test]
async fn what_is_written_is_read() {
    for compress in [true, false] {
        let config = Config { compress, ..Config::default() };
        let Some(client) = client("clients influxdb round trip", config).await else { return };
        assert!(client.ping().await.unwrap().starts_with("1."));
        let name = database(&client, "trip", "r p").await;
        // Twice is once.
        client.create_database(&name, "r p").await.unwrap();
        let place = WriteTarget { retention: "r p".into(), precision: "s".into(), ..target(&name) };
        client.write(&place, Bytes::from_static(b"m,t=a f=1.5 60\nm,t=a f=2 120\n")).await.unwrap();
        let text = "SELECT f FROM m WHERE t = $t";
        let mut one = query(&name, text);
        one.parameters.insert("t".into(), "a".into());
        let answer = client.query(&one).await.unwrap();
        assert_eq!(
            answer.trim(),
            r#"{"results":[{"statement_id":0,"series":[{"name":"m","columns":["time","f"],"values":[["1970-01-01T00:01:00Z",1.5],["1970-01-01T00:02:00Z",2]]}]}]}"#
        );
        let millis = Query { epoch: "ms".into(), ..one };
        assert!(client.query(&millis).await.unwrap().contains("[[60000,1.5],[120000,2]]"));
    }
}

#[tokio::test]
async fn refusals_of_the_server_have_their_kinds() {
    let Some(client) = client("clients influxdb refusals", Config::default()).await else { return };
    let name = database(&client, "refusals", "").await;
    let line = Bytes::from_static(b"m f=1 1\n");
    let error = client.write(&target("no such database"), line.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let no_policy = WriteTarget { retention: "nothing".into(), ..target(&name) };
    let error = client.write(&no_policy, line.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    client.write(&target(&name), line).await.unwrap();
    let mixed = Bytes::from_static(b"m f=\"text\" 2\nm f=2 3\n");
    let error = client.write(&target(&name), mixed).await.unwrap_err();
    assert_eq!((error.kind(), dropped_points(&error)), (ErrorKind::Invalid, Some(1)), "{error}");
    let counted = client.query(&query(&name, "SELECT count(f) FROM m")).await.unwrap();
    assert!(counted.contains(",2]]"), "{counted}");
    let error = client.query(&query(&name, "SELECT")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("error parsing query"), "{error}");
}

#[tokio::test]
async fn large_answers_come_compressed_and_whole() {
    let Some(client) = client("clients influxdb large answers", Config::default()).await else {
        return;
    };
    let name = database(&client, "large", "").await;
    let lines: String = (0..20_000).map(|at| format!("m f={at} {at}\n")).collect();
    client.write(&target(&name), Bytes::from(lines)).await.unwrap();
    let answer = client.query(&query(&name, "SELECT f FROM m")).await.unwrap();
    assert_eq!(answer.matches("1970-01-01T").count(), 20_000);
}
