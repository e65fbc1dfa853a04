//! Requests of tests, with the time that they took.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::started::Started;

/// How long anything may take, whatever else the server is busy with.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// An answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) took: Duration,
}

/// A client of a server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Asked {
    /// Checks the status and the time.
    #[track_caller]
    pub(crate) fn within(self, most: Duration, status: u16, what: &str) -> Self {
        assert_eq!(self.status, status, "{what}: {self:?}");
        assert!(self.took < most, "{what} took {:?}", self.took);
        self
    }

    /// Gives the text as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Client {
    /// Makes one with connections of its own.
    pub(crate) fn new(server: &Started) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        Client { http, url: server.url.clone() }
    }

    /// Asks.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Asked {
        self.send(self.http.request(method, format!("{}{path}", self.url)).body(body)).await
    }

    /// Asks with a body that says that it is packed.
    pub(crate) async fn ask_gzip(&self, path: &str, body: Vec<u8>) -> Asked {
        let request = self.http.post(format!("{}{path}", self.url));
        self.send(request.header("content-encoding", "gzip").body(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Asked {
        let began = Instant::now();
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let retry_after =
            answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let text = answer.text().await.unwrap();
        Asked { status, text, retry_after, took: began.elapsed() }
    }

    /// Asks for a path.
    pub(crate) async fn get(&self, path: &str) -> Asked {
        self.ask(Method::GET, path, "").await
    }

    /// Makes a task that listens to `d.r` and runs.
    pub(crate) async fn task(&self, id: &str, script: &str) -> Asked {
        self.task_of(id, "d", script).await
    }

    /// Makes a task that listens to retention policy `r` of a database and runs.
    pub(crate) async fn task_of(&self, id: &str, database: &str, script: &str) -> Asked {
        let dbrps = json!([{"db": database, "rp": "r"}]);
        let task = json!({"id": id, "status": "enabled", "script": script, "dbrps": dbrps});
        self.ask(Method::POST, "/kapacitor/v1/tasks", task.to_string()).await
    }

    /// Writes points of `d.r`.
    pub(crate) async fn write(&self, lines: impl Into<reqwest::Body>) -> Asked {
        self.ask(Method::POST, "/kapacitor/v1/write?db=d&rp=r", lines).await
    }
}
