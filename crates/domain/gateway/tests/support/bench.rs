//! A gateway whose senders run, for tests inside and outside of the crate.

use std::sync::Arc;
use std::time::Duration;

use levada_clients::net::Net;
use levada_codec::compression::Compression;
use levada_gateway::deliver::{BreakerPolicy, SendPolicy, Sender};
use levada_gateway::destination::{self, DestinationSpec, EndpointSpec, Shared, Spread};
use levada_gateway::egress::Kind;
use levada_gateway::gateway::Gateway;
use levada_gateway::ingest::{Bounds, Encoder, Form, Write};
use levada_gateway::rules::{RulesSpec, Target};
use levada_gateway::wal::{Counts, Encoding, QueueSettings, Sync};
use levada_model::Category;
use levada_runtime::{BackoffPolicy, Clock, ShutdownHandle, SystemClock, TaskKind, Tasks};

/// A test that waits longer has failed.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(60);
/// How long an endpoint rests.
const MOMENT: Duration = Duration::from_millis(10);
/// How often a test looks.
const LOOK: Duration = Duration::from_millis(5);

/// A gateway, and everything that it is sent with.
pub(crate) struct Bench {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) senders: Vec<Arc<Sender>>,
    pub(crate) tasks: Tasks,
    pub(crate) shutdown: ShutdownHandle,
    pub(crate) running: Vec<tokio::task::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

/// A destination that tries again at once, and does not give up.
pub(crate) fn spec(
    name: &str,
    kind: Kind,
    endpoints: Vec<EndpointSpec>,
    compression: Compression,
) -> DestinationSpec {
    DestinationSpec {
        name: name.into(),
        kind,
        spread: Spread::Failover,
        endpoints,
        form: Form { encoding: Encoding::LineProtocol, compression, has_global_tags: false },
        policy: SendPolicy {
            retry: BackoffPolicy { initial: MOMENT, max: MOMENT, attempts_max: 0 },
            breaker: BreakerPolicy {
                failures: 1_000,
                open: MOMENT,
                open_max: MOMENT,
                pause: MOMENT,
                ..BreakerPolicy::default()
            },
            age_max: None,
            ..SendPolicy::default()
        },
        queue: QueueSettings { sync: Sync::None, ..QueueSettings::default() },
    }
}

// === impl Bench ===

impl Bench {
    /// Starts one destination.
    pub(crate) async fn start(
        kind: Kind,
        endpoints: Vec<EndpointSpec>,
        compression: Compression,
    ) -> Self {
        Self::open(&[spec("d", kind, endpoints, compression)], None).await
    }

    /// Starts destinations; all points go to all of them, unless rules say otherwise.
    pub(crate) async fn open(specs: &[DestinationSpec], rules: Option<RulesSpec>) -> Self {
        let (tasks, dir) = (Tasks::new(), tempfile::tempdir().unwrap());
        let encoder = Arc::new(Encoder::new(Bounds::default(), 7));
        let shared = Shared {
            dir: dir.path(),
            encoder: encoder.clone(),
            clock: SystemClock::new(),
            tasks: &tasks,
            watch: None,
            net: Net::default(),
            insiders: None,
        };
        let opened = destination::open(specs, &shared).await.unwrap();
        let (shutdown, observer) = ShutdownHandle::new();
        let running = opened.senders.iter().map(|sender| {
            let (sender, observer) = (sender.clone(), observer.clone());
            tasks.spawn(TaskKind::Gateway, "sender", async move { sender.run(observer).await })
        });
        let running = running.collect();
        let all = (0..opened.outlets.len() as u16).collect();
        let to_all = || RulesSpec { default: Some(Target::Each(all)), ..RulesSpec::default() };
        let rules = rules.unwrap_or_else(to_all);
        let gateway = Gateway::new(opened.outlets, rules, Bounds::default(), encoder).unwrap();
        let (gateway, senders) = (Arc::new(gateway), opened.senders);
        Bench { gateway, senders, tasks, shutdown, running, _dir: dir }
    }

    /// Writes lines of traces, which may have any field.
    pub(crate) async fn write(&self, body: impl Into<bytes::Bytes>) {
        self.write_as(Category::Tracing, body).await;
    }

    /// Writes lines.
    pub(crate) async fn write_as(&self, category: Category, body: impl Into<bytes::Bytes>) {
        let write = Write::lines(category, body, SystemClock::new().now());
        self.gateway.write(write, &self.tasks).await.unwrap();
    }

    /// Gives the counts of a destination.
    pub(crate) fn counts_of(&self, destination: usize) -> Counts {
        let counts = self.gateway.outlets()[destination].queue.counts();
        assert!(counts.is_balanced(), "{counts:?}");
        counts
    }

    /// Waits until nothing is queued for the first destination.
    pub(crate) async fn drained(&self) -> Counts {
        self.drained_of(0).await
    }

    /// Waits until nothing is queued for a destination.
    pub(crate) async fn drained_of(&self, destination: usize) -> Counts {
        self.until(|| self.counts_of(destination).queued == 0).await;
        self.counts_of(destination)
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, mut holds: impl FnMut() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let waited = tokio::time::timeout(TOO_LONG, waiting).await;
        assert!(waited.is_ok(), "it takes too long: {:?}", self.counts_of(0));
    }

    /// Ends the senders.
    pub(crate) async fn stop(self) {
        self.shutdown.drain();
        for one in self.running {
            one.await.unwrap();
        }
    }
}
