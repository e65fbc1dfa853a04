//! `sensu`: reports a check result to Sensu.
//!
//! Source: kapacitor: reference (server) §4.5: the socket of Sensu's client: one JSON text, answered with `ok`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::address_filter::AddressFilter;
use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, Shape, StartError, TestRule};
use super::outgoing::{first, first_list};
use super::payload::{self, Object, list};
use super::render::Text;
use super::spec::{Arg, HandlerSpec};
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 1 << 10;

/// What names of checks are made of. Source: reference (server) §4.5.
const NAME: &str = r"^[\w\.-]+$";

pub(super) static KIND: Kind = Kind {
    method: Some("sensu"),
    option_kind: "sensu",
    summary: "reports a check result to Sensu",
    rules: &[
        Rule::text("source", "source").template(),
        Rule::texts("handlers", "handlers"),
        Rule::new(Shape::Entry, "metadata", "metadata"),
    ],
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "sensu",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("addr", ""),
        OptionRule::text("source", "Kapacitor"),
        OptionRule::new("handlers", OptionDefault::Texts(&[])),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("name", Sample::Text("testName"), Goes::Id),
    Field::new("source", Sample::Setting("source"), Goes::Option("source")),
    Field::new("output", Sample::Text("testOutput"), Goes::Message),
    Field::new("handlers", Sample::Setting("handlers"), Goes::Option("handlers")),
    Field::new("metadata", Sample::NoEntries, Goes::Option("metadata")),
    Field::new("level", Sample::CRITICAL, Goes::Level),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    addr: String,
    source: String,
    handlers: Vec<String>,
}

struct Sensu {
    section: Section,
    source: Text,
    handlers: Vec<String>,
    metadata: Vec<(String, Arg)>,
    filter: AddressFilter,
    timeout: Duration,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let metadata = spec.entries("metadata").into_iter();
    Ok(Arc::new(Sensu {
        section: Section::new(&SECTION, deps),
        source: Text::of(spec, deps, "source")?,
        handlers: spec.owned_texts("handlers"),
        metadata: metadata.map(|(key, value)| (key.to_string(), value.clone())).collect(),
        filter: deps.clients.filter().clone(),
        timeout: deps.request_timeout,
    }))
}

fn is_name(text: &str) -> bool {
    let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.bytes().all(is_taken)
}

fn status(level: Level) -> i64 {
    match level {
        Level::Ok | Level::Info => 0,
        Level::Warning => 1,
        Level::Critical => 2,
    }
}

impl Sensu {
    /// Makes the line; keys are sorted, as Go has it.
    fn line(&self, event: &Event, settings: &Settings) -> Result<Vec<u8>, HandlerError> {
        if !is_name(&event.id) {
            let text = format!("invalid name {:?} for sensu alert. Must match {NAME}", &*event.id);
            return Err(HandlerError::new(text).finally());
        }
        let source = self.source.render(event)?;
        let handlers = first_list(&self.handlers, &settings.handlers);
        let metadata = self.metadata.iter();
        let mut entries: BTreeMap<String, Vec<u8>> =
            metadata.map(|(key, value)| (key.clone(), payload::arg(value))).collect();
        // What clashes with these is left out.
        entries.extend([
            ("handlers".to_owned(), list(handlers.iter().map(|text| payload::text(text)))),
            ("name".to_owned(), payload::text(&event.id)),
            ("output".to_owned(), payload::text(&event.message)),
            ("source".to_owned(), payload::text(first(&source, &settings.source))),
            ("status".to_owned(), status(event.level).to_string().into_bytes()),
        ]);
        let mut line = Object::new().entries(&entries).done();
        line.push(b'\n');
        Ok(line)
    }

    async fn report(&self, event: &Event) -> Result<(), HandlerError> {
        let settings: Settings = self.section.read()?;
        let line = self.line(event, &settings)?;
        if settings.addr.is_empty() {
            return Err(HandlerError::new("no address: `addr` is not set").finally());
        }
        let asked = tokio::time::timeout(self.timeout, self.ask(&settings.addr, &line)).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(HandlerError::new(format!("{}: {error}", settings.addr))),
            Err(_) => {
                let text = format!("{} did not answer within {:?}", settings.addr, self.timeout);
                return Err(HandlerError::new(text));
            }
        };
        match answer.trim() {
            "ok" => Ok(()),
            other => Err(HandlerError::new(format!("sensu answered {other:?}")).finally()),
        }
    }

    /// Sends a line and reads the answer, up to its end or until nothing more can be expected.
    async fn ask(&self, address: &str, line: &[u8]) -> io::Result<String> {
        let addresses = tokio::net::lookup_host(address).await?;
        let addresses = self.filter.keep(addresses).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(&*addresses).await?;
        stream.write_all(line).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        let mut part = stream.take(ANSWER_MAX as u64);
        while part.read_buf(&mut answer).await? > 0 {
            if answer.trim_ascii() == b"ok" {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

#[async_trait]
impl Handler for Sensu {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.report(event).await.map_err(|error| error.during("failed to send event to Sensu"))
    }
}
