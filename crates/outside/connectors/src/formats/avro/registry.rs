//! The client of a schema registry with Confluent's API.
//!
//! Schemas never change under their number, so they are kept, within bounds; what the registry does
//! not know is remembered for a while, so that bad records do not become requests.
//!
//! - `GET {url}/schemas/ids/{id}`, and for references to other schemas
//!   `GET {url}/subjects/{subject}/versions/{version}`, as deep as they go.
//! - A number that is not known is an error of the record; a registry that cannot answer now is not.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use levada_model::{ErrorClass, RecordError};
use levada_runtime::Clock;
use levada_settings::Secret;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;

use super::AvroError;
use super::schema::Schema;
use crate::blocks::{SchemaRegistry, Tls};
use crate::context::BuildContext;
use crate::http_client::{self, HttpError};
use crate::spec::BuildError;

/// Source: dataflow-operator.md §3.1.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer at most. Ours: the largest schemas in use are some hundred kilobytes.
pub(crate) const SCHEMA_BYTES_MAX: usize = 4 << 20;

/// Schemas and their texts that are kept. Ours: a topic has a handful.
const KEPT_MAX: usize = 1000;
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Other schemas that one schema refers to at most, also through others. Ours.
const REFERENCES_MAX: usize = 500;

/// How long an unknown number is believed to be unknown, at first and at most. Ours.
const UNKNOWN_FIRST: Duration = Duration::from_secs(1);
const UNKNOWN_LONGEST: Duration = Duration::from_secs(300);

/// Asks for schemas by number and keeps them.
pub(crate) struct Registry {
    url: Url,
    /// The address for messages.
    target: String,
    basic: Option<(String, Secret<String>)>,
    tls: Option<Tls>,
    clock: Arc<dyn Clock>,
    client: Option<Client>,
    kept: HashMap<u32, Kept>,
    kept_bytes: usize,
    /// Counts look-ups; tells which schema was used longest ago.
    uses: u64,
}

struct Kept {
    state: State,
    bytes: usize,
    used: u64,
}

enum State {
    Known(Box<Schema>),
    /// Records with this number cannot be decoded.
    Refused(RecordError),
    /// The same for now: the registry is asked again after a time.
    Unknown {
        error: RecordError,
        until: Duration,
        wait: Duration,
    },
}

/// Why a schema is not to be had.
enum Refusal {
    /// The registry will not change its mind.
    Final(String),
    /// Somebody may still register it.
    Unknown(String),
    /// The registry cannot be asked now, or may not be.
    Failed(HttpError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    schema_type: Option<String>,
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Hash)]
struct Reference {
    #[serde(default)]
    subject: String,
    #[serde(default)]
    version: i64,
}

#[derive(Deserialize)]
struct Problem {
    error_code: u32,
    #[serde(default)]
    message: String,
}

/// A schema with what it refers to, as the registry gave them.
struct Texts {
    schema: String,
    /// Every other schema once.
    references: Vec<String>,
}

// === impl Registry ===

impl Registry {
    /// Makes the client of a registry; connects to nothing.
    pub(crate) fn new(block: &SchemaRegistry, ctx: &BuildContext) -> Result<Self, BuildError> {
        let invalid = |text: &str| BuildError::Invalid(format!("schemaRegistry.url {text}"));
        let url = Url::parse(block.url.trim()).map_err(|_| invalid("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("must begin with http:// or https://"));
        }
        let basic = block.basic_auth.as_ref();
        let basic = basic.filter(|basic| {
            // Source: dataflow-operator.md §1.4, sent only when both values are there.
            !basic.username.is_empty() && !basic.password.expose().is_empty()
        });
        Ok(Registry {
            target: http_client::shown_url(&url),
            url,
            basic: basic.map(|basic| (basic.username.clone(), basic.password.clone())),
            tls: block.tls.clone(),
            clock: ctx.clock.clone(),
            client: None,
            kept: HashMap::new(),
            kept_bytes: 0,
            uses: 0,
        })
    }

    /// Makes the connection anew, with certificates as they are now; what is known stays known.
    pub(crate) async fn open(&mut self, ctx: &BuildContext) -> Result<(), HttpError> {
        self.client = Some(http_client::client(self.tls.as_ref(), &ctx.base_dir).await?);
        Ok(())
    }

    /// Gives a schema, or why its records cannot be decoded; nothing when the registry must be asked.
    #[inline]
    pub(crate) fn known(&mut self, id: u32) -> Option<Result<&Schema, &RecordError>> {
        self.uses += 1;
        let kept = self.kept.get_mut(&id)?;
        kept.used = self.uses;
        match &kept.state {
            State::Known(schema) => Some(Ok(schema)),
            State::Refused(error) => Some(Err(error)),
            State::Unknown { error, until, .. } => {
                (self.clock.monotonic() < *until).then_some(Err(error))
            }
        }
    }

    /// Asks the registry, so that the number is known afterwards, for good or bad.
    ///
    /// Cancel-safe: nothing is kept before everything is there.
    pub(crate) async fn ask(&mut self, id: u32) -> Result<(), AvroError> {
        let (state, bytes) = match self.texts(id).await {
            Ok(texts) => {
                let bytes = texts.references.iter().map(String::len).sum::<usize>();
                let bytes = bytes + texts.schema.len();
                match Schema::parse_with(&texts.schema, &texts.references) {
                    Ok(schema) => {
                        let references = texts.references.len();
                        tracing::info!(id, references, "an Avro schema was read from the registry");
                        (State::Known(Box::new(schema)), bytes)
                    }
                    Err(error) => (State::Refused(self.refused(id, &error.to_string())), 0),
                }
            }
            Err(Refusal::Final(text)) => (State::Refused(self.refused(id, &text)), 0),
            Err(Refusal::Unknown(text)) => {
                let wait = match self.kept.get(&id).map(|kept| &kept.state) {
                    Some(State::Unknown { wait, .. }) => (*wait * 2).min(UNKNOWN_LONGEST),
                    _ => UNKNOWN_FIRST,
                };
                let error = self.refused(id, &text);
                (State::Unknown { error, until: self.clock.monotonic() + wait, wait }, 0)
            }
            Err(Refusal::Failed(error)) => return Err(AvroError::Source(error.into())),
        };
        self.keep(id, state, bytes);
        Ok(())
    }

    fn refused(&self, id: u32, why: &str) -> RecordError {
        RecordError::invalid(format!("schema {id} of `{}`: {why}", self.target))
    }

    fn keep(&mut self, id: u32, state: State, bytes: usize) {
        self.forget(id);
        while !self.kept.is_empty()
            && (self.kept.len() >= KEPT_MAX || self.kept_bytes + bytes > KEPT_BYTES_MAX)
        {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(&id, _)| id);
            oldest.into_iter().for_each(|id| self.forget(id));
        }
        self.kept_bytes += bytes;
        self.kept.insert(id, Kept { state, bytes, used: self.uses });
    }

    fn forget(&mut self, id: u32) {
        if let Some(kept) = self.kept.remove(&id) {
            self.kept_bytes -= kept.bytes;
        }
    }

    /// Gives a schema and everything it refers to.
    async fn texts(&self, id: u32) -> Result<Texts, Refusal> {
        let id = id.to_string();
        let answer = self.get(&["schemas", "ids", &id]).await?;
        let mut references = Vec::new();
        let mut seen: HashSet<Reference> = HashSet::new();
        let mut open = answer.references.unwrap_or_default();
        let mut bytes = answer.schema.len();
        while let Some(reference) = open.pop() {
            // Also ends a circle.
            if !seen.insert(reference.clone()) {
                continue;
            }
            let Reference { subject, version } = &reference;
            if subject.is_empty() || matches!(subject.as_str(), "." | "..") {
                return Err(Refusal::Final(format!("it refers to a subject `{subject}`")));
            }
            let path = ["subjects", subject, "versions", &version.to_string()];
            let other = self.get(&path).await?;
            bytes += other.schema.len();
            if seen.len() > REFERENCES_MAX || bytes > SCHEMA_BYTES_MAX {
                let text = format!(
                    "it refers to more than {REFERENCES_MAX} schemas or {SCHEMA_BYTES_MAX} bytes"
                );
                return Err(Refusal::Final(text));
            }
            references.push(other.schema);
            open.extend(other.references.unwrap_or_default());
        }
        Ok(Texts { schema: answer.schema, references })
    }

    /// Asks for one schema.
    async fn get(&self, path: &[&str]) -> Result<Answer, Refusal> {
        let (status, body) = self.request(path).await.map_err(Refusal::Failed)?;
        let Some(body) = body else {
            let text = format!("its text is longer than {SCHEMA_BYTES_MAX} bytes");
            return Err(Refusal::Final(text));
        };
        if status == 404
            && let Ok(problem) = serde_json::from_slice::<Problem>(&body)
            && (40400..40500).contains(&problem.error_code)
        {
            return Err(Refusal::Unknown(http_client::shown(problem.message.as_bytes())));
        }
        if status != 200 {
            let mut message = format!("`{}` answered {status}", self.target);
            if status == 404 {
                message.push_str("; is this the address of a schema registry?");
            }
            let shown = http_client::shown(&body);
            if !shown.is_empty() {
                message.push_str(&format!(": {shown}"));
            }
            let class = http_client::class_of_status(status);
            return Err(Refusal::Failed(HttpError::new(class, message)));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
            let text = format!("`{}` does not answer like a schema registry", self.target);
            Refusal::Failed(HttpError::new(ErrorClass::InvalidData, text))
        })?;
        match answer.schema_type.as_deref() {
            None | Some("" | "AVRO") => Ok(answer),
            Some(other) => {
                let text =
                    format!("it is of type {} and not AVRO", http_client::shown(other.as_bytes()));
                Err(Refusal::Final(text))
            }
        }
    }

    async fn request(&self, path: &[&str]) -> Result<(u16, Option<Vec<u8>>), HttpError> {
        let Some(client) = &self.client else {
            return Err(HttpError::new(ErrorClass::Unknown, "the schema registry is not open"));
        };
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request =
            client.get(url).header(ACCEPT, HeaderValue::from_static(MEDIA_TYPE)).timeout(TIMEOUT);
        if let Some((username, password)) = &self.basic {
            request = request.basic_auth(username, Some(password.expose()));
        }
        let response =
            request.send().await.map_err(|error| HttpError::no_answer(&self.target, error))?;
        let status = response.status().as_u16();
        Ok((status, http_client::body(&self.target, response, SCHEMA_BYTES_MAX).await?))
    }
}
