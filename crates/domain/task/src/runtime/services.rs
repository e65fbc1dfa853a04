//! What is configured around tasks, as nodes see it when they are made.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_alert::event::Event;
use levada_alert::handlers::{GoTemplates, HandlerDeps, HandlerSpec};
pub use levada_alert::info::ServerInfo;
use levada_alert::inhibit::Inhibitors;
use levada_alert::level::Level;
use levada_model::{FieldValue, Str, Timestamp};

use crate::effect::NodeName;
use crate::udf::{Link, UdfStart};

/// A configured endpoint of httpPost.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Where requests go; a template.
    pub url: String,
    /// Headers sent with each.
    pub headers: Vec<(String, String)>,
    /// The body of httpPost as a template; JSON rows when empty.
    pub row_template: String,
}

/// What an influxDBOut node asks of who takes its points.
#[derive(Clone, Debug)]
pub struct InfluxdbOut {
    /// The task.
    pub task: Str,
    /// The node.
    pub node: NodeName,
    /// The cluster; empty is the default one.
    pub cluster: String,
    /// The database as the script has it.
    pub database: String,
    /// The retention policy as the script has it.
    pub retention: String,
    /// Points of one database, retention policy, consistency and precision that are sent together.
    pub buffer: usize,
    /// How long a point may wait for others.
    pub flush_interval: Duration,
    /// The database is to be created, with the retention policy when there is one.
    pub creates: bool,
}

/// What is configured around tasks.
pub trait Services: Send + Sync {
    /// Gives an endpoint; a dry run knows all names.
    fn endpoint(&self, name: &str) -> Option<Endpoint>;

    /// Says whether an `InfluxDB` cluster is configured: `Err` holds upstream's enable error.
    fn influxdb(&self, cluster: &str) -> Result<(), String>;

    /// Prepares for the points of an influxDBOut node; called when the task starts.
    ///
    /// - Errors: upstream's enable error. That the database cannot be created is none: it is only logged.
    fn influxdb_out(&self, out: &InfluxdbOut) -> Result<(), String> {
        self.influxdb(&out.cluster)
    }

    /// Gives the tables of a sideload source: key → name → value.
    ///
    /// - Errors: upstream's enable error.
    fn sideload(&self, source: &str) -> Result<SideloadSource, String>;

    /// Starts a function that runs outside; called when the task starts.
    ///
    /// - Errors: upstream's enable error. That the function refuses to start fails the task, later.
    fn udf(&self, start: UdfStart<'_>) -> Result<Arc<Link>, String> {
        Err(format!("the function {} runs outside, which is not possible here", start.function))
    }

    /// Gives what alerts need of the world.
    fn alerts(&self) -> Arc<dyn Alerts>;

    /// Gives what is known of this server, for templates.
    fn server(&self) -> ServerInfo;

    /// Gives the settings of deadman.
    fn deadman(&self) -> Deadman {
        Deadman::default()
    }
}

/// What alerts need of the world.
pub trait Alerts: Send + Sync {
    /// Gives the inhibitors that all alerts share.
    fn inhibitors(&self) -> Inhibitors;

    /// Checks the handlers of a node and, where they run, starts them on its own topic, with those that services add to
    /// every alert; says whether there are any.
    ///
    /// - Errors: upstream's enable error.
    fn start_handlers(
        &self,
        task: &str,
        node: &str,
        handlers: &[&HandlerSpec],
    ) -> Result<bool, String>;

    /// Gives the level that the topics know of an event, when it is not OK: the node's own topic before the named one.
    fn restore(
        &self,
        task: &str,
        node: &str,
        has_handlers: bool,
        topic: Option<&str>,
        event: &str,
    ) -> Option<(Level, Timestamp)>;

    /// Notes an event where events are only captured; gives the level that its topic knew before.
    ///
    /// Where topics get the event, they attach that level themselves.
    fn note(
        &self,
        _node: &str,
        _has_handlers: bool,
        _topic: Option<&str>,
        _event: &Event,
    ) -> Option<Level> {
        None
    }
}

/// The most events of a topic whose levels are remembered where alerts are captured; of more, a group's own history
/// counts.
const CAPTURED_MAX: usize = 100_000;

/// Alerts that are captured: handlers are checked and not started; topics only remember levels.
#[derive(Debug, Default)]
pub struct CapturedAlerts {
    inhibitors: Inhibitors,
    /// By topic: that of a node, or a named one.
    levels: Mutex<HashMap<CapturedTopic, CapturedLevels>>,
}

/// By event.
type CapturedLevels = HashMap<Str, (Level, Timestamp)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CapturedTopic {
    OfNode(Str),
    Named(Str),
}

/// Where a sideload node reads.
#[derive(Clone, Debug)]
pub enum SideloadSource {
    /// A folder of files.
    Folder(PathBuf),
    /// Tables that were fetched.
    Tables(BTreeMap<String, BTreeMap<String, FieldValue>>),
}

/// The settings of deadman.
///
/// - Source of the defaults: kapacitor reference §5.20.
#[derive(Clone, Debug, PartialEq)]
pub struct Deadman {
    /// Nanoseconds.
    pub interval: i64,
    /// Points per interval.
    pub threshold: f64,
    /// The id, a template.
    pub id: String,
    /// The message, a template.
    pub message: String,
    /// Every source node gets one.
    pub is_global: bool,
}

// === impl Deadman ===

impl Default for Deadman {
    fn default() -> Self {
        Deadman {
            interval: 10_000_000_000,
            threshold: 0.0,
            id: "{{ .Group }}:NODE_NAME for task '{{ .TaskName }}'".to_owned(),
            message: r#"{{ .ID }} is {{ if eq .Level "OK" }}alive{{ else }}dead{{ end }}: {{ index .Fields "emitted" | printf "%0.3f" }} points/INTERVAL."#.to_owned(),
            is_global: false,
        }
    }
}

// === impl CapturedAlerts ===

impl Alerts for CapturedAlerts {
    fn inhibitors(&self) -> Inhibitors {
        self.inhibitors.clone()
    }

    fn start_handlers(
        &self,
        _task: &str,
        _node: &str,
        handlers: &[&HandlerSpec],
    ) -> Result<bool, String> {
        let deps =
            HandlerDeps { templates: Arc::new(GoTemplates::default()), ..HandlerDeps::default() };
        let checked = handlers.iter().try_for_each(|spec| spec.check(&deps));
        checked.map_err(|trouble| trouble.text)?;
        Ok(!handlers.is_empty())
    }

    fn restore(
        &self,
        _task: &str,
        node: &str,
        has_handlers: bool,
        topic: Option<&str>,
        event: &str,
    ) -> Option<(Level, Timestamp)> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let known = captured_topics(node, has_handlers, topic)
            .find_map(|topic| levels.get(&topic)?.get(event).copied());
        known.filter(|(level, _)| *level != Level::Ok)
    }

    fn note(
        &self,
        node: &str,
        has_handlers: bool,
        topic: Option<&str>,
        event: &Event,
    ) -> Option<Level> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = None;
        for topic in captured_topics(node, has_handlers, topic) {
            let known = levels.entry(topic).or_default();
            let now = (event.level, event.time);
            let has_room = known.len() < CAPTURED_MAX;
            let previous = match known.get_mut(&event.id) {
                Some(state) => Some(std::mem::replace(state, now).0),
                None if has_room => {
                    known.insert(Str::clone(&event.id), now);
                    Some(Level::Ok)
                }
                None => None,
            };
            before = before.or(previous);
        }
        before
    }
}

/// Gives the topics that an event of a node goes to: its own one only when it has handlers.
fn captured_topics(
    node: &str,
    has_handlers: bool,
    topic: Option<&str>,
) -> impl Iterator<Item = CapturedTopic> {
    let own = has_handlers.then(|| CapturedTopic::OfNode(node.into()));
    own.into_iter().chain(topic.map(|topic| CapturedTopic::Named(topic.into())))
}
