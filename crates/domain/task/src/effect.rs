//! What leaves a task, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use levada_alert::event::Event;
use levada_model::{BatchRef, Point, Str};

/// A side effect of a node.
///
/// - `node` in [`Effects::effect`] names who asks, e.g. `http_post2`.
#[derive(Debug)]
pub enum Effect<'e> {
    /// An alert event, for the topics of the node.
    Alert {
        /// The event.
        event: &'e Arc<Event>,
        /// The named topic, when there is one.
        topic: Option<&'e str>,
        /// Whether the node has handlers, which hear of it through its own topic.
        has_handlers: bool,
    },
    /// A request of httpPost.
    HttpPost(HttpPost),
    /// A point of influxDBOut.
    Write(Write<'e>),
    /// Lines of a log node.
    Log(LogItem<'e>),
    /// A point that goes back to the ingress.
    Loopback {
        /// Where it goes.
        database: &'e str,
        /// Where it goes.
        retention: &'e str,
        /// Name, tags and fields as they are to be written.
        point: &'e Point,
    },
    /// A problem with one item; the item was dealt with as the node's rule says.
    Problem(Problem<'e>),
}

/// A request of httpPost.
#[derive(Clone, Debug)]
pub struct HttpPost {
    /// Where it goes; empty when only the endpoint is named and a dry run does not know it.
    pub url: String,
    /// The configured endpoint, when one is named.
    pub endpoint: Option<String>,
    /// Headers in the order of the script, the endpoint's before.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it may take; the service's default when absent.
    pub timeout: Option<Duration>,
    /// Whether the body of a refusal goes into the error.
    pub captures_response: bool,
    /// Given back with the answer.
    pub token: u64,
}

/// A point of influxDBOut.
///
/// - How points are gathered was said at start, through [`crate::runtime::Services::influxdb_out`]. Of a request that
///   fails later the node hears by [`crate::runtime::Node::answer`], with the number of its points as token.
#[derive(Clone, Copy, Debug)]
pub struct Write<'e> {
    /// The cluster, when one is named.
    pub cluster: &'e str,
    /// The database; empty when unknown.
    pub database: &'e str,
    /// The retention policy; empty is the default one.
    pub retention: &'e str,
    /// The write consistency; empty is the server's.
    pub consistency: &'e str,
    /// The precision; empty is nanoseconds.
    pub precision: &'e str,
    /// Name, tags and fields as they are to be written.
    pub point: &'e Point,
}

/// What a log node prints.
#[derive(Clone, Copy, Debug)]
pub struct LogItem<'e> {
    /// `DEBUG`, `INFO`, `WARN` or `ERROR`.
    pub level: &'e str,
    /// As the script says.
    pub prefix: &'e str,
    /// What is printed.
    pub data: Logged<'e>,
}

/// What a log node prints.
#[derive(Clone, Copy, Debug)]
pub enum Logged<'e> {
    /// A point of a stream and its group.
    Point(&'e Point, &'e Arc<levada_model::Group>),
    /// A batch.
    Batch(BatchRef<'e>),
}

/// A problem with one item.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'e> {
    /// What the node was doing, e.g. `error evaluating expression`.
    pub message: &'e str,
    /// Why it did not work.
    pub cause: &'e str,
    /// More, e.g. `("level", "CRITICAL")`.
    pub context: &'e [(&'e str, &'e str)],
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The server answered.
    Status {
        /// The status code.
        code: u16,
        /// The body, cut to a bound, when it was asked for and the code is not 2xx.
        body: Option<Str>,
    },
    /// There was no answer.
    Failed(Str),
}

/// Where side effects go.
pub trait Effects: Send {
    /// Takes one effect; never blocks.
    ///
    /// - Gives the answer of a request that is answered at once; otherwise it comes to [`crate::runtime::Node::answer`].
    /// - `Err` when a bounded queue is full or the target is gone: the text is reported by the node and counted.
    fn effect(&mut self, node: &NodeName, effect: Effect<'_>) -> Result<Option<Answer>, Str>;
}

/// Who has an effect.
#[derive(Clone, Debug)]
pub struct NodeName {
    /// E.g. `http_post2`.
    pub name: Str,
    /// Its place in the graph, for answers.
    pub index: usize,
}
