//! Sources that make their records themselves, and the sink that forgets them.

use async_trait::async_trait;
use levada_connectors::{Sink, Source};
use levada_testkit::conformance::{sink, source};
use levada_testkit::{build, sink_suite, source_suite};
use serde_json::json;
use tempfile::TempDir;

source_suite!(generator, Generator { rate: None });
source_suite!(generator_paced, Generator { rate: Some(30_000) });
source_suite!(host_metrics, HostMetrics);
sink_suite!(blackhole, Blackhole);

/// Why nothing of these applies.
const ALONE: Result<(), &str> = Err("it makes its records itself");

struct Generator {
    rate: Option<u64>,
}

struct GeneratorScene {
    count: usize,
    rate: Option<u64>,
}

#[async_trait]
impl source::SourceHarness for Generator {
    fn name(&self) -> String {
        "generator source".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Ok(()),
            resumes: Ok(()),
            has_poison: ALONE,
            disconnects: ALONE,
            holds_back: ALONE,
            ahead_max: 0,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        Box::new(GeneratorScene { count: plan.records * 3, rate: self.rate })
    }
}

#[async_trait]
impl source::SourceScene for GeneratorScene {
    async fn source(&mut self) -> Box<dyn Source> {
        let mut settings =
            json!({"count": self.count, "seed": 7, "template": "{\"id\":{{index}}}"});
        if let Some(rate) = self.rate {
            settings["rate"] = rate.into();
        }
        build::source("generator", &settings, std::path::Path::new("."))
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some((0..self.count).map(|id| format!("{{\"id\":{id}}}").into_bytes()).collect())
    }
}

struct HostMetrics;

struct Host {
    root: TempDir,
}

#[async_trait]
impl source::SourceHarness for HostMetrics {
    fn name(&self) -> String {
        "hostMetrics source".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Ok(()),
            resumes: Err("the past cannot be measured again"),
            has_poison: ALONE,
            disconnects: ALONE,
            holds_back: ALONE,
            ahead_max: 0,
        }
    }

    async fn scene(&self, _: source::Plan) -> Box<dyn source::SourceScene> {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        std::fs::create_dir(&proc).unwrap();
        std::fs::write(proc.join("loadavg"), "0.50 0.40 0.30 1/234 5678\n").unwrap();
        std::fs::write(proc.join("uptime"), "1234.56 2345.67\n").unwrap();
        Box::new(Host { root })
    }
}

#[async_trait]
impl source::SourceScene for Host {
    async fn source(&mut self) -> Box<dyn Source> {
        let settings = json!({
            "root": self.root.path(), "interval": "20ms", "count": 5, "collectors": ["load", "uptime"],
        });
        build::source("hostMetrics", &settings, self.root.path())
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        // The time of a sample is in its record.
        None
    }
}

struct Blackhole;

struct Hole;

#[async_trait]
impl sink::SinkHarness for Blackhole {
    fn name(&self) -> String {
        "blackhole sink".into()
    }

    fn abilities(&self) -> sink::Abilities {
        let gone = Err("it forgets what it is given");
        sink::Abilities {
            reads_back: gone,
            has_poison: gone,
            disconnects: gone,
            slows: gone,
            ahead_max: 0,
            restarts: gone,
            is_idempotent: false,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        Box::new(Hole)
    }
}

#[async_trait]
impl sink::SinkScene for Hole {
    async fn sink(&mut self) -> Box<dyn Sink> {
        build::sink("blackhole", &json!({}), std::path::Path::new(".")).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
