//! Lines to the server, in halves when some of them are refused.

use std::ops::Range;

use async_trait::async_trait;
use levada_model::tree::Tree;
use levada_model::{ErrorClass, RecordBatch, RecordError};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::Spec;
use super::encode::{Encoder, Line};
use crate::context::BuildContext;
use crate::http_client::{
    ANSWER_BYTES_MAX, Answer, Caller, CallerSettings, Credentials as _, Endpoint, TIMEOUT_DEFAULT,
    shown,
};
use crate::spec::BuildError;
use crate::traits::{Outcomes, Sink, SinkError};

/// Writes points.
pub(super) struct InfluxdbSink {
    caller: Caller,
    encoder: Encoder,
    /// The database that may be created.
    create: Option<(Endpoint, String)>,
    /// What requests write to, for messages.
    place: String,
    bytes_max: usize,
    ctx: BuildContext,
    lines: Vec<Line>,
    body: Vec<u8>,
    tree: Tree,
}

// === impl InfluxdbSink ===

impl InfluxdbSink {
    pub(super) fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let base = Endpoint::new(&spec.url).map_err(|text| BuildError::Invalid(text.to_owned()))?;
        let is_v2 = !spec.bucket.is_empty();
        let precision = spec.precision.word(is_v2);
        let (endpoint, place) = if is_v2 {
            let query = [("org", &*spec.org), ("bucket", &*spec.bucket), ("precision", precision)];
            let place = format!("bucket `{}` of `{}`", spec.bucket, spec.org);
            (base.clone().with(&["api", "v2", "write"], &query), place)
        } else {
            let policy = &*spec.retention_policy;
            let query = [("db", &*spec.database), ("rp", policy), ("precision", precision)];
            (base.clone().with(&["write"], &query), format!("database `{}`", spec.database))
        };
        let create = (!is_v2 && spec.create_database).then(|| {
            let name = spec.database.replace('\\', "\\\\").replace('"', "\\\"");
            let statement = format!("CREATE DATABASE \"{name}\"");
            (base.with(&["query"], &[("q", &*statement)]), spec.database.clone())
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let auth = spec.auth.clone().unwrap_or_default();
        if let Some(value) = auth.header().map_err(BuildError::Invalid)? {
            headers.insert(AUTHORIZATION, value);
        }
        let settings = CallerSettings {
            endpoints: vec![endpoint],
            method: Method::POST,
            headers,
            compression: spec.compression.into(),
            tls: spec.tls.clone(),
            timeout: spec.timeout.unwrap_or(TIMEOUT_DEFAULT).get(),
            waits: true,
        };
        Ok(InfluxdbSink {
            caller: Caller::new(settings, ctx),
            encoder: Encoder::new(&spec).map_err(BuildError::Invalid)?,
            create,
            place,
            bytes_max: spec.bytes_max(),
            ctx: ctx.clone(),
            lines: Vec::new(),
            body: Vec::new(),
            tree: Tree::default(),
        })
    }

    /// Gives how many lines from `from` on fit into a request; one at least.
    fn fitting(&self, from: usize) -> usize {
        let most = self.lines[from].start + self.bytes_max;
        let rest = &self.lines[from..];
        rest.iter().take_while(|line| line.end <= most).count().max(1)
    }

    /// Sends lines, in halves when some of them are refused.
    async fn send(
        &mut self,
        lines: Range<usize>,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let mut parts = vec![lines];
        let mut may_create = self.create.is_some();
        while let Some(part) = parts.pop() {
            let bytes = self.lines[part.start].start..self.lines[part.end - 1].end;
            let target = self.caller.target().to_owned();
            let body = self.body[bytes].to_vec();
            let answer = self.caller.send(body, ANSWER_BYTES_MAX).await?;
            if answer.status.is_success() {
                for line in &self.lines[part] {
                    outcomes.delivered(line.record..line.record + 1);
                }
                continue;
            }
            if answer.status.as_u16() == 404 && may_create {
                may_create = false;
                self.create_database().await?;
                parts.push(part);
                continue;
            }
            let reason = self.reason(&answer);
            let error = self.judge(&answer, &target, &reason);
            if !error.is_about_records {
                return Err(error);
            }
            if part.len() == 1 || dropped(&reason) == Some(part.len()) {
                for line in &self.lines[part] {
                    let message = format!("refused by the server: {reason}");
                    outcomes.rejected(line.record, RecordError::invalid(message));
                }
                continue;
            }
            let middle = part.start + part.len() / 2;
            parts.extend([middle..part.end, part.start..middle]);
        }
        Ok(())
    }

    async fn create_database(&mut self) -> Result<(), SinkError> {
        let Some((endpoint, name)) = self.create.clone() else { return Ok(()) };
        let body = Vec::new();
        let answer = self.caller.send_to(Method::POST, &endpoint, body, ANSWER_BYTES_MAX).await?;
        if !answer.status.is_success() {
            return Err(SinkError { is_about_records: false, ..answer.failure(&endpoint.shown) });
        }
        tracing::info!(database = name, "database created");
        Ok(())
    }

    /// Makes the error of an answer that is no success.
    fn judge(&self, answer: &Answer, target: &str, reason: &str) -> SinkError {
        let error = answer.failure(target);
        let place = &self.place;
        let stop = |hint: String| SinkError::new(ErrorClass::Unknown, hint);
        match answer.status.as_u16() {
            404 => stop(format!(
                "`{target}`: there is no {place}, or this user cannot see it: {reason}"
            )),
            // 1.x answers 500 to what no later try can heal.
            500 if reason.starts_with("retention policy not found") => {
                stop(format!("`{target}`: {reason}; see the setting retentionPolicy"))
            }
            _ => error,
        }
    }

    /// Gives what the server says is wrong: `error` of 1.x, `message` of 2.x.
    fn reason(&mut self, answer: &Answer) -> String {
        const REASON_BYTES_MAX: usize = 400;
        let body = &answer.body[..];
        self.tree.clear();
        let text = std::str::from_utf8(body).ok().and_then(|_| {
            let root = self.tree.parse(body, 0, body.len() as u32).ok()?;
            let member = |key: &[u8]| self.tree.member(body, root, key);
            self.tree.string(body, member(b"error").or_else(|| member(b"message"))?)
        });
        let Some(text) = text else { return shown(body) };
        let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.len() > REASON_BYTES_MAX {
            // The number of dropped points stands at the end.
            let end = text.rfind("dropped=").filter(|_| dropped(&text).is_some());
            let tail = end.map_or(String::new(), |end| text[end..].to_owned());
            text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
            text.push('…');
            text.push_str(&tail);
        }
        text
    }
}

/// Gives how many points a server dropped, when it says so.
///
/// Source: InfluxDB 1.x `tsdb.PartialWriteError`; lines that could not be read are not counted.
fn dropped(reason: &str) -> Option<usize> {
    let (_, count) = reason.rsplit_once("dropped=")?;
    count.trim().parse().ok().filter(|&count| count > 0)
}

#[async_trait]
impl Sink for InfluxdbSink {
    async fn open(&mut self) -> Result<(), SinkError> {
        self.caller.open().await
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        if !self.caller.is_open() {
            return Err(SinkError::new(ErrorClass::Unknown, "the sink is not open"));
        }
        let received = match batch.received_at {
            time if time == Default::default() => self.ctx.clock.now(),
            time => time,
        };
        let is_resolved = outcomes.resolved_flags(batch.len());
        self.lines.clear();
        self.body.clear();
        for index in (0..batch.len()).filter(|index| !is_resolved[*index]) {
            let start = self.body.len();
            match self.encoder.push(batch, index, received, &mut self.body) {
                Ok(()) => {
                    self.lines.push(Line { record: index, start, end: self.body.len() });
                }
                Err(error) => outcomes.rejected(index, error),
            }
        }
        let mut from = 0;
        while from < self.lines.len() {
            let to = from + self.fitting(from);
            self.send(from..to, outcomes).await?;
            from = to;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.caller.close();
        Ok(())
    }
}
