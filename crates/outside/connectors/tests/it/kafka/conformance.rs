//! Both against the suite that every connector must pass, through a proxy that can be cut and held.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use levada_connectors::{Sink, Source};
use levada_testkit::build;
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::kafka::Proxy;
use serde_json::json;

use super::support::{broker, produce_payloads, stored_payloads, topic, unique};

/// How long a broker is away.
const AWAY: Duration = Duration::from_millis(500);

macro_rules! cases {
    ($module:ident, $suite:ident, $harness:expr, [$($case:ident),* $(,)?]) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let Some(broker) = super::broker(stringify!($case)) else { return };
                    let harness = $harness(broker);
                    levada_testkit::conformance::$suite::$case(&harness).await;
                }
            )*
        }
    };
}

cases!(
    of_source,
    source,
    super::KafkaSource,
    [
        hands_out_everything,
        reports_poison,
        goes_on_from_every_position,
        survives_dropped_calls,
        survives_a_broken_connection,
        holds_back_who_sends,
    ]
);

cases!(
    of_sink,
    sink,
    super::KafkaSink,
    [
        delivers_everything,
        rejects_poison,
        survives_a_target_that_is_away,
        waits_for_a_slow_target,
        keeps_its_promise_on_duplicates,
        keeps_what_was_synced,
        survives_dropped_writes,
    ]
);

// === The source ===

struct KafkaSource(String);

struct Records {
    proxy: Arc<Proxy>,
    topic: String,
    all: Vec<Vec<u8>>,
}

#[async_trait]
impl source::SourceHarness for KafkaSource {
    fn name(&self) -> String {
        "kafka source".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Err("a topic has no end"),
            resumes: Ok(()),
            has_poison: Err("a payload without a format is a record whatever it holds"),
            disconnects: Ok(()),
            holds_back: Err("the brokers keep what is not read"),
            ahead_max: 0,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        let topic = topic("source", 1).await;
        let all = payloads(plan.records, plan.bytes);
        produce_payloads(&topic, 0, &all);
        Box::new(Records { proxy: Arc::new(Proxy::start(&self.0)), topic, all })
    }
}

#[async_trait]
impl source::SourceScene for Records {
    async fn source(&mut self) -> Box<dyn Source> {
        // Nobody commits here, so a group of its own stands for a process that starts anew.
        let settings = json!({
            "brokers": [self.proxy.address()], "topic": self.topic,
            "consumerGroup": unique("group"),
        });
        build::source("kafka", &settings, Path::new("."))
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.all.clone())
    }

    async fn disconnect(&mut self) {
        self.proxy.cut();
        let proxy = self.proxy.clone();
        thread::spawn(move || {
            thread::sleep(AWAY);
            proxy.restore();
        });
    }
}

// === The sink ===

struct KafkaSink(String);

struct Target {
    proxy: Proxy,
    topic: String,
}

#[async_trait]
impl sink::SinkHarness for KafkaSink {
    fn name(&self) -> String {
        "kafka sink".into()
    }

    fn abilities(&self) -> sink::Abilities {
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Ok(()),
            disconnects: Ok(()),
            slows: Ok(()),
            // A write ends when it is answered.
            ahead_max: 0,
            restarts: Ok(()),
            is_idempotent: false,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        Box::new(Target { proxy: Proxy::start(&self.0), topic: topic("sink", 1).await })
    }
}

#[async_trait]
impl sink::SinkScene for Target {
    async fn sink(&mut self) -> Box<dyn Sink> {
        let settings = json!({
            "brokers": [self.proxy.address()], "topic": self.topic, "deliveryTimeout": "2s",
        });
        build::sink("kafka", &settings, Path::new(".")).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        stored_payloads(&self.topic)
    }

    async fn set(&mut self, target: sink::Target) {
        match target {
            sink::Target::Well => self.proxy.restore(),
            sink::Target::Away => self.proxy.cut(),
            sink::Target::Slow => self.proxy.hold(),
        }
    }

    fn poison(&self) -> Vec<u8> {
        vec![b'x'; 1_100_000]
    }
}
