//! Alerts of running tasks: handlers on topics, levels that topics remember.

use std::sync::Arc;

use levada_alert::handlers::{HandlerDeps, HandlerSpec, global_handlers, state_changes};
use levada_alert::inhibit::Inhibitors;
use levada_alert::level::Level;
use levada_alert::topics::{HandlerSetup, Topics};
use levada_model::{Str, Timestamp};

use crate::runtime::services::Alerts;

/// The topics of a task master, as its alerts use them; cheap to clone.
#[derive(Clone)]
pub struct TopicAlerts {
    master: Str,
    topics: Topics,
    inhibitors: Inhibitors,
    deps: HandlerDeps,
}

// === impl TopicAlerts ===

impl TopicAlerts {
    /// Makes the alerts of a task master, e.g. `main`.
    pub fn new(master: Str, topics: Topics, deps: HandlerDeps) -> Self {
        TopicAlerts { master, topics, inhibitors: Inhibitors::new(), deps }
    }

    /// Gives the same for another task master, such as a replay: topics of nodes are its own, everything else is shared.
    #[must_use]
    pub fn of_master(&self, master: Str) -> Self {
        TopicAlerts { master, ..self.clone() }
    }

    /// Gives the topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Gives the topic of a node's own handlers, e.g. `main:cpu:alert2`.
    pub fn anonymous(&self, task: &str, node: &str) -> String {
        format!("{}:{task}:{node}", self.master)
    }
}

impl Alerts for TopicAlerts {
    fn inhibitors(&self) -> Inhibitors {
        self.inhibitors.clone()
    }

    fn start_handlers(
        &self,
        task: &str,
        node: &str,
        handlers: &[&HandlerSpec],
    ) -> Result<bool, String> {
        let of_services = global_handlers(handlers, &self.deps);
        let mut handlers = handlers.to_vec();
        handlers.extend(&of_services);
        if handlers.is_empty() {
            return Ok(false);
        }
        let topic = self.anonymous(task, node);
        let deps = HandlerDeps { topic: topic.as_str().into(), ..self.deps.clone() };
        let mut made = Vec::with_capacity(handlers.len());
        for (index, spec) in handlers.iter().enumerate() {
            let handler = spec.start(&deps).map_err(|error| error.to_string())?;
            let setup = HandlerSetup::new(format!("{}{index}", spec.kind.name()), handler);
            made.push(HandlerSetup { matcher: state_changes(spec.kind, &deps), ..setup });
        }
        // What an earlier run of the task left is ended only when the new handlers are known to be right.
        drop(self.topics.close(&topic));
        self.topics.open(&topic);
        for setup in made {
            self.topics.handler_add(&topic, setup).map_err(|error| error.to_string())?;
        }
        Ok(true)
    }

    fn restore(
        &self,
        task: &str,
        node: &str,
        has_handlers: bool,
        topic: Option<&str>,
        event: &str,
    ) -> Option<(Level, Timestamp)> {
        let anonymous = self.anonymous(task, node);
        let own = has_handlers.then_some(&*anonymous);
        let state = self.topics.event_state_sync(own, topic, event)?;
        (state.level != Level::Ok).then_some((state.level, state.time))
    }
}

/// Gives the alerts as services hand them out.
pub fn shared(alerts: &TopicAlerts) -> Arc<dyn Alerts> {
    Arc::new(alerts.clone())
}
