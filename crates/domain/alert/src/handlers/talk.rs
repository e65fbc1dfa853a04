//! `talk`: posts to Talk.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, handler, url};
use super::payload::Object;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("talk"),
    option_kind: "talk",
    summary: "posts to Talk",
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "talk",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        // Whoever knows the address of a web hook may post.
        OptionRule::text("url", "").secret(),
        OptionRule::text("author_name", ""),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("title", Sample::Text("testTitle"), Goes::Id),
    Field::new("text", Sample::Text("test talk text"), Goes::Message),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    url: String,
    author_name: String,
}

struct Talk {
    section: Section,
}

fn start(_spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    Ok(handler(Talk { section: Section::new(&SECTION, deps) }, deps))
}

impl HttpService for Talk {
    const NAME: &'static str = "Talk";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let body = Object::new()
            .text("authorName", &settings.author_name)
            .text("text", &event.message)
            .text("title", &event.id);
        Ok(Outgoing::json(url(&settings.url, &[])?, body.done()))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect_success(Self::NAME)
    }
}
