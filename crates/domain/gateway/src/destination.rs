//! Destinations, from what the settings say to queues that are sent.
//!
//! | spread | queues | a point goes to |
//! |---|---|---|
//! | failover, weighted | one | one endpoint of those that work |
//! | broadcast | one for each endpoint | every endpoint, once (B6) |
//! | hash | one for each endpoint | the endpoint that its tag value belongs to |

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use levada_clients::ClientError;
use levada_clients::dataway::EndpointError;
use levada_clients::http::TlsOptions;
use levada_clients::net::Net;
use levada_runtime::{Clock, Tasks};
use thiserror::Error;

pub use self::change::{Changes, Destinations, Plan, Unit};
use crate::deliver::{Member, SendPolicy, Sender, Watch};
use crate::egress::{Insiders, Kind, OpenReceiverError, Tools};
use crate::gateway::{Outlet, Places};
use crate::ingest::{Encoder, Form};
use crate::rules::Target;
use crate::wal::{OpenError, QueueSettings};

mod change;

/// How the endpoints of a destination share its points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// The first that works, by priority.
    #[default]
    Failover,
    /// In proportion to their weights.
    Weighted,
    /// All of them.
    Broadcast,
    /// By the value of a tag.
    Hash {
        /// Its key.
        key: String,
    },
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSpec {
    /// Its URL, with the token in the query.
    pub url: String,
    /// The token when the URL has none; empty for none.
    pub token: String,
    /// A proxy, empty for none.
    pub proxy: String,
    /// TLS.
    pub tls: TlsOptions,
    /// Its share.
    pub weight: u32,
    /// Lower is asked earlier.
    pub priority: u32,
    /// How long a request may take (B15).
    pub timeout: Duration,
    /// `User-Agent`; empty for the usual one.
    pub user_agent: String,
}

/// A destination.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationSpec {
    /// Its name: letters, digits, `-`, `_` and `.`, for it is a folder as well.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How endpoints share.
    pub spread: Spread,
    /// At least one, or none for a kind without URLs.
    pub endpoints: Vec<EndpointSpec>,
    /// How it wants its bodies.
    pub form: Form,
    /// How hard and how fast.
    pub policy: SendPolicy,
    /// How it queues.
    pub queue: QueueSettings,
}

/// Destinations that are open.
#[derive(Default)]
pub struct Opened {
    /// Where records can be put; the place is the [`DestinationId`].
    pub outlets: Vec<Outlet>,
    /// Who sends them; each is to be run.
    pub senders: Vec<Arc<Sender>>,
    /// What the name of a destination stands for in rules.
    pub targets: BTreeMap<String, Target>,
}

/// What all destinations share.
#[derive(Clone)]
pub struct Shared<'a> {
    /// The folder of the queues.
    pub dir: &'a Path,
    /// Compresses and splits.
    pub encoder: Arc<Encoder>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Runs what queues need.
    pub tasks: &'a Tasks,
    /// Hears of every attempt.
    pub watch: Option<Arc<dyn Watch>>,
    /// Names and connections.
    pub net: Net,
    /// Knows what is in this process.
    pub insiders: Option<Arc<dyn Insiders>>,
}

/// Why a destination cannot be opened; nothing of it is.
#[derive(Debug, Error)]
pub enum DestinationError {
    /// A name that is no folder, or that another has.
    #[error("destination `{name}`: {problem}")]
    Invalid {
        /// The name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A URL that is none.
    #[error("destination `{name}`: endpoints[{at}].url")]
    Endpoint {
        /// The name.
        name: String,
        /// Which endpoint.
        at: usize,
        /// What is wrong.
        #[source]
        source: EndpointError,
    },
    /// A client that cannot be made.
    #[error("destination `{name}`: endpoints[{at}]")]
    Client {
        /// The name.
        name: String,
        /// Which endpoint.
        at: usize,
        /// What is wrong.
        #[source]
        source: ClientError,
    },
    /// A producer that cannot be made.
    #[error("destination `{name}`")]
    Producer {
        /// The name.
        name: String,
        /// What is wrong.
        #[source]
        source: levada_connectors::ProducerError,
    },
    /// A queue that cannot be opened.
    #[error(transparent)]
    Queue(#[from] OpenError),
}

/// Opens destinations: makes clients, opens queues; sends nothing yet.
pub async fn open(
    specs: &[DestinationSpec],
    shared: &Shared<'_>,
) -> Result<Opened, DestinationError> {
    let none = Destinations::default();
    let (all, _) = none.plan(specs, shared).await?.open(shared).await?;
    let Places { slots, targets, .. } = all.places();
    Ok(Opened {
        outlets: slots.into_iter().flatten().collect(),
        senders: all.units().map(|unit| Arc::clone(&unit.sender)).collect(),
        targets,
    })
}

fn check(specs: &[DestinationSpec]) -> Result<(), DestinationError> {
    let is_name = |name: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !name.is_empty() && name.len() <= 100 && name.bytes().all(is_part) && !name.starts_with('.')
    };
    for (at, spec) in specs.iter().enumerate() {
        let problem = if !is_name(&spec.name) {
            "the name is to be made of up to 100 letters, digits, `-`, `_` and `.`"
        } else if specs[..at].iter().any(|other| other.name == spec.name) {
            "the name is there twice"
        } else if spec.endpoints.is_empty() && spec.kind.has_urls() {
            "it has no endpoint"
        } else if !spec.endpoints.is_empty() && !spec.kind.has_urls() {
            "a destination of its kind has no endpoints"
        } else {
            continue;
        };
        return Err(DestinationError::Invalid { name: spec.name.clone(), problem });
    }
    Ok(())
}

/// Makes the clients of a destination.
async fn members(
    spec: &DestinationSpec,
    shared: &Shared<'_>,
) -> Result<Vec<Member>, DestinationError> {
    let alone = [EndpointSpec::default()];
    let endpoints = if spec.kind.has_urls() { &spec.endpoints[..] } else { &alone };
    let mut members = Vec::new();
    for (at, endpoint) in endpoints.iter().enumerate() {
        members.push(member(spec, at, endpoint, shared).await?);
    }
    Ok(members)
}

async fn member(
    spec: &DestinationSpec,
    at: usize,
    endpoint: &EndpointSpec,
    shared: &Shared<'_>,
) -> Result<Member, DestinationError> {
    let Shared { encoder, clock, tasks, net, insiders, .. } = shared;
    let tools = Tools { encoder, clock, tasks, net, insiders: insiders.as_deref() };
    let name = spec.name.clone();
    let receiver = spec.kind.receiver(endpoint, &tools).await.map_err(|error| match error {
        OpenReceiverError::Endpoint(source) => DestinationError::Endpoint { name, at, source },
        OpenReceiverError::Client(source) => DestinationError::Client { name, at, source },
        OpenReceiverError::Producer(source) => DestinationError::Producer { name, source },
        OpenReceiverError::Alone => {
            let problem = "this process has neither flows nor tasks";
            DestinationError::Invalid { name, problem }
        }
    })?;
    Ok(Member { receiver, weight: endpoint.weight, priority: endpoint.priority })
}

/// Gives scheme, host and port as a part of the name of a folder.
fn folder_of(label: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    label.chars().map(|c| if is_part(c) { c } else { '_' }).take(150).collect()
}

impl Default for EndpointSpec {
    fn default() -> Self {
        EndpointSpec {
            url: String::new(),
            token: String::new(),
            proxy: String::new(),
            tls: TlsOptions::default(),
            weight: 1,
            priority: 0,
            timeout: Duration::from_secs(30),
            user_agent: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
