//! `publish`: sends events on to other topics.

use std::sync::Arc;

use async_trait::async_trait;
use levada_model::Str;

use super::deps::HandlerDeps;
use super::kind::{Kind, Place, Rule, StartError, Trouble};
use super::spec::HandlerSpec;
use crate::event::{Event, HOPS_MAX};
use crate::topics::{Handler, HandlerError, WeakTopics};

pub(super) static KIND: Kind = Kind {
    option_kind: "publish",
    summary: "sends events on to other topics",
    rules: &[Rule::texts("topics", "topics").at(Place::Options)],
    check,
    ..Kind::starting(start)
};

struct Publish {
    topics: WeakTopics,
    names: Vec<Str>,
}

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    match spec.texts("topics").is_empty() {
        true => Err(Trouble::define("publish topics must not be empty")),
        false => Ok(()),
    }
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let Some(topics) = deps.topics.clone() else {
        return Err(Trouble::enable("there are no topics to publish to").into());
    };
    let names = spec.texts("topics").into_iter().cloned().collect();
    Ok(Arc::new(Publish { topics, names }))
}

#[async_trait]
impl Handler for Publish {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        // Differs: upstream goes around a circle of topics forever.
        if event.hops >= HOPS_MAX {
            return Err(HandlerError::new(format!(
                "event was published {HOPS_MAX} times; the topics form a circle"
            )));
        }
        let Some(topics) = self.topics.upgrade() else { return Ok(()) };
        let mut lost = None;
        for name in &self.names {
            topics.room(name).await;
            let event = Event { hops: event.hops + 1, ..event.clone() };
            lost = topics.publish(name, event.clone()).error_text(&event.id).or(lost);
        }
        lost.map_or(Ok(()), |text| Err(HandlerError::new(text)))
    }
}
