//! A server, spoken to so directly that nothing between touches the bytes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

/// A server without authentication.
pub(crate) struct Server {
    pub(crate) address: String,
}

impl Server {
    /// Writes a body; gives the error text of the server, if there is one.
    pub(crate) fn write(&self, database: &str, precision: &str, body: &[u8]) -> Option<String> {
        let path = format!("/write?db={database}&precision={precision}");
        let (status, answer) = self.post(&path, body);
        match status {
            204 => None,
            400 => {
                let answer: Value = serde_json::from_slice(&answer).unwrap();
                Some(answer["error"].as_str().unwrap().to_owned())
            }
            _ => panic!("{status}: {}", String::from_utf8_lossy(&answer)),
        }
    }

    /// Runs statements; gives the series of each.
    pub(crate) fn query(&self, database: &str, statements: &str) -> Vec<Vec<Value>> {
        let mut query = format!("epoch=ns&db={database}&q=");
        for byte in statements.bytes() {
            query += &format!("%{byte:02x}");
        }
        let (status, answer) = self.post("/query", query.as_bytes());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let results = answer["results"].as_array().unwrap();
        let series = |result: &Value| {
            assert!(result.get("error").is_none(), "{statements}: {result}");
            result["series"].as_array().cloned().unwrap_or_default()
        };
        results.iter().map(series).collect()
    }

    /// Sends a request of HTTP/1.0, whose answer ends with the connection.
    fn post(&self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer.split_off(end + 4))
    }
}
