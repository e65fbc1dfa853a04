//! Sideload sources over HTTP: JSON objects of `{"<key>": {"<name>": value}}`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use levada_clients::http::{Poster, TlsOptions};
use levada_model::FieldValue;
use serde_json::Value as Json;
use tokio::runtime::Handle;

/// Source: kapacitor reference §5.16.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Ours: tables are held in memory.
const BODY_BYTES_MAX: usize = 64 << 20;

type Tables = BTreeMap<String, BTreeMap<String, FieldValue>>;

/// Fetches sources when a task starts.
pub(super) struct Fetcher {
    client: Poster,
    runtime: Handle,
}

// === impl Fetcher ===

impl Fetcher {
    pub(super) async fn new() -> io::Result<Self> {
        let client = Poster::new(&TlsOptions::default()).await.map_err(io::Error::other)?;
        Ok(Fetcher { client, runtime: Handle::current() })
    }

    /// Gives the tables at an address; who starts a task waits for them.
    pub(super) fn fetch(&self, url: &str) -> Result<Tables, String> {
        let answer = tokio::task::block_in_place(|| {
            self.runtime.block_on(self.client.get(url, TIMEOUT, BODY_BYTES_MAX + 1))
        })
        .map_err(|error| format!("sideload source {url:?}: {error}"))?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("sideload source {url:?} answered {}", answer.status));
        }
        if answer.body.len() > BODY_BYTES_MAX {
            return Err(format!("sideload source {url:?} is larger than {BODY_BYTES_MAX} bytes"));
        }
        tables(&answer.body).map_err(|problem| format!("sideload source {url:?}: {problem}"))
    }
}

fn tables(body: &[u8]) -> Result<Tables, String> {
    let json: Json = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Json::Object(keys) = json else { return Err("wanted an object".to_owned()) };
    let mut tables = Tables::new();
    for (key, names) in keys {
        let Json::Object(names) = names else { return Err(format!("{key}: wanted an object")) };
        let mut table = BTreeMap::new();
        for (name, value) in names {
            let value = match value {
                Json::Bool(flag) => FieldValue::Bool(flag),
                Json::String(text) => FieldValue::Str(text.into()),
                Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(number), _) => FieldValue::Int(number),
                    (None, Some(number)) => FieldValue::Float(number),
                    (None, None) => return Err(format!("{key}.{name}: {number} is out of range")),
                },
                other => {
                    return Err(format!(
                        "{key}.{name}: wanted a boolean, a number or a string, got {other}"
                    ));
                }
            };
            table.insert(name, value);
        }
        tables.insert(key, table);
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_flat_objects() {
        let read = tables(br#"{"host/a":{"limit":5,"ratio":0.5,"name":"x","on":true}}"#);
        let read = read.expect("tables");
        let wanted = [
            ("limit", FieldValue::Int(5)),
            ("name", FieldValue::Str("x".into())),
            ("on", FieldValue::Bool(true)),
            ("ratio", FieldValue::Float(0.5)),
        ];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(read["host/a"], wanted);
        for (body, problem) in [
            ("[]", "wanted an object"),
            (r#"{"a":1}"#, "a: wanted an object"),
            (r#"{"a":{"b":[1]}}"#, "a.b: wanted a boolean, a number or a string, got [1]"),
            ("{", "EOF"),
        ] {
            let error = tables(body.as_bytes()).expect_err(body);
            assert!(error.contains(problem), "{error}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sources_are_fetched_and_refusals_are_told() {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            for (status, body) in [("200 OK", r#"{"a":{"b":1}}"#), ("404 Not Found", "no")] {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut request = [0; 4096];
                assert!(stream.read(&mut request).expect("a request") > 0);
                let head = "Connection: close\r\nContent-Length:";
                let answer = format!("HTTP/1.1 {status}\r\n{head} {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).expect("an answer");
            }
        });
        let fetcher = Fetcher::new().await.expect("a client");
        let url = format!("http://{address}/tables");
        let found = fetcher.fetch(&url).expect("tables");
        assert_eq!(found["a"]["b"], FieldValue::Int(1));
        let refused = fetcher.fetch(&url).expect_err("a refusal");
        assert!(refused.ends_with("answered 404"), "{refused}");
        server.join().expect("the server ends");
    }
}
