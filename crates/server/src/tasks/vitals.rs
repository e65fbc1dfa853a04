//! What this server knows of its own work: statistics for `debug/vars` and for the points of `_kapacitor`.
//!
//! Source: reference (server) §2.3, §7.5, §7.6.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use levada_alert::level::Level;
use levada_api::kapacitor::Seen;
use levada_api::{Counts, Identity, Statistic, Subscriptions as _, Vitals};
use levada_model::{FieldValue, Point, Series, Shape, Str, Timestamp};
use levada_runtime::{Clock, TaskKind, Tasks};
use levada_task::pipeline::TaskType;
use levada_task::service::TaskService;
use serde_json::{Map, Value};
use smallvec::SmallVec;
use tokio::runtime::Handle;

use super::{MASTER, TaskHost};
use crate::influxdb::InfluxDbs;
use crate::inputs::{Inputs, UdpStatistics};

/// Measurements whose points are counted; others are counted together. Ours: names come from outside.
pub(super) const MEASUREMENTS_MAX: usize = 10_000;

/// Measurements of one write that are counted before the lock is taken; most writes have fewer than the first number.
const FOUND_FIRST: usize = 8;
const FOUND_MAX: usize = 64;

/// The measurement of points past [`MEASUREMENTS_MAX`].
const OTHER: &str = "other";

/// Counts points as they come in; cheap to clone.
#[derive(Clone, Default)]
pub struct Ingress(Arc<Mutex<BTreeMap<Source, u64>>>);

/// Database, retention policy, measurement.
type Source = (Str, Str, Str);

/// What this server knows of its own work.
pub(crate) struct TaskVitals {
    tasks: TaskHost,
    kept: Option<TaskService>,
    spawned: Tasks,
    clock: Arc<dyn Clock>,
    started: Duration,
    entries: OnceLock<Entries>,
    load_errors: OnceLock<LoadErrors>,
}

/// Counts what was wrong with files of the load directory.
type LoadErrors = Box<dyn Fn() -> u64 + Send + Sync>;

/// Where points come from by themselves.
struct Entries {
    inputs: Arc<Inputs>,
    influxdb: Arc<InfluxDbs>,
}

/// How self-monitoring writes points.
pub(crate) struct Monitoring {
    /// How often.
    pub(crate) every: Duration,
    /// Where to.
    pub(crate) database: Str,
    /// Where to.
    pub(crate) retention: Str,
    /// Who writes them.
    pub(crate) identity: Identity,
}

// === impl Ingress ===

impl Ingress {
    /// Counts points that came in.
    pub fn count(&self, points: &[Point]) {
        // Measurements may take turns point by point: they are counted here first, so that the lock is held for a moment.
        let mut found: SmallVec<[(&Series, u64); FOUND_FIRST]> = SmallVec::new();
        let mut at = 0;
        for point in points {
            let series = &*point.series;
            if found.get(at).is_none_or(|(known, _)| !are_alike(known, series)) {
                at = found.iter().position(|(known, _)| are_alike(known, series)).unwrap_or_else(
                    || {
                        if found.len() >= FOUND_MAX {
                            self.add(&found);
                            found.clear();
                        }
                        found.push((series, 0));
                        found.len() - 1
                    },
                );
            }
            found[at].1 += 1;
        }
        self.add(&found);
    }

    fn add(&self, found: &[(&Series, u64)]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (series, count) in found {
            let mut source =
                (series.database.clone(), series.retention.clone(), series.name.clone());
            if counts.len() >= MEASUREMENTS_MAX && !counts.contains_key(&source) {
                source = ("".into(), "".into(), OTHER.into());
            }
            *counts.entry(source).or_default() += count;
        }
    }

    /// Gives what counts points that came in elsewhere.
    pub fn counter(&self) -> Seen {
        let own = self.clone();
        Arc::new(move |points| own.count(points))
    }

    fn statistics(&self) -> Vec<Statistic> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let statistic = |((database, retention, measurement), count): (&Source, &u64)| Statistic {
            name: "ingress",
            tags: BTreeMap::from([
                ("task_master", MASTER.to_owned()),
                ("database", database.to_string()),
                ("retention_policy", retention.to_string()),
                ("measurement", measurement.to_string()),
            ]),
            values: values(&[("points_received", *count)]),
        };
        counts.iter().map(statistic).collect()
    }
}

/// Says whether points of two series are counted together.
fn are_alike(one: &Series, other: &Series) -> bool {
    one.id == other.id
        || (&one.name, &one.database, &one.retention)
            == (&other.name, &other.database, &other.retention)
}

// === impl TaskVitals ===

impl TaskVitals {
    /// - `kept`: the tasks that are kept; without it only those that run are known.
    pub(crate) fn new(
        tasks: TaskHost,
        kept: Option<TaskService>,
        spawned: Tasks,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let started = clock.monotonic();
        TaskVitals {
            tasks,
            kept,
            spawned,
            clock,
            started,
            entries: OnceLock::new(),
            load_errors: OnceLock::new(),
        }
    }

    /// Adds where points come from by themselves.
    pub(crate) fn add_entries(&self, inputs: Arc<Inputs>, influxdb: Arc<InfluxDbs>) {
        if self.entries.set(Entries { inputs, influxdb }).is_err() {
            tracing::debug!("the entries of points were known already");
        }
    }

    /// Adds the load directory: who counts what was wrong with it.
    pub(crate) fn add_load(&self, errors: impl Fn() -> u64 + Send + Sync + 'static) {
        if self.load_errors.set(Box::new(errors)).is_err() {
            tracing::debug!("the load directory was known already");
        }
    }

    /// Writes points about this server, every so often.
    pub(crate) fn monitor(self: &Arc<Self>, monitoring: Monitoring) {
        let own = Arc::clone(self);
        self.spawned.spawn(TaskKind::Task, "self-monitoring", async move {
            loop {
                own.clock.sleep(monitoring.every).await;
                let written = tokio::task::block_in_place(|| own.write(&monitoring));
                if written.dropped > 0 {
                    tracing::warn!(
                        service = "stats",
                        dropped = written.dropped,
                        "points about this server were dropped"
                    );
                }
            }
        });
    }

    fn write(&self, monitoring: &Monitoring) -> levada_task::engine::Written {
        let points = self.points(monitoring, self.clock.now());
        self.tasks.ingress.count(&points);
        self.tasks.master.routes().ingest().write(points)
    }

    fn points(&self, monitoring: &Monitoring, now: Timestamp) -> Vec<Point> {
        let identity = &monitoring.identity;
        let mut statistics = self.statistics();
        for statistic in &mut statistics {
            statistic.tags.insert("cluster_id", identity.cluster_id.clone());
            statistic.tags.insert("server_id", identity.server_id.clone());
            statistic.tags.insert("host", identity.host.clone());
        }
        let counts = self.counts();
        let mut own = values(&[
            ("num_tasks", counts.tasks),
            ("num_enabled_tasks", counts.enabled_tasks),
            ("num_subscriptions", counts.subscriptions),
        ]);
        let uptime = self.clock.monotonic().saturating_sub(self.started);
        own.insert("uptime".to_owned(), uptime.as_secs_f64().into());
        // Source: reference (server) §7.5: these two have no tags.
        for (name, values) in [("kapacitor", own), ("runtime", self.memory())] {
            statistics.push(Statistic { name, tags: BTreeMap::new(), values });
        }
        statistics
            .into_iter()
            .filter(|statistic| !statistic.values.is_empty())
            .map(|statistic| point(statistic, monitoring, now))
            .collect()
    }
}

fn point(statistic: Statistic, monitoring: &Monitoring, time: Timestamp) -> Point {
    let tags = statistic.tags.into_iter().filter(|(_, value)| !value.is_empty());
    let tags = tags.map(|(name, value)| (Str::from(name), Str::from(value))).collect();
    let mut fields: Vec<(Str, FieldValue)> = statistic
        .values
        .into_iter()
        .filter_map(|(name, value)| {
            let value = match value {
                Value::Number(number) => match number.as_i64() {
                    Some(number) => FieldValue::Int(number),
                    None => FieldValue::Float(number.as_f64()?),
                },
                Value::String(text) => FieldValue::Str(text.into()),
                Value::Bool(value) => FieldValue::Bool(value),
                _ => return None,
            };
            Some((Str::from(name), value))
        })
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    let names: Box<[Str]> = fields.iter().map(|(name, _)| name.clone()).collect();
    let (database, retention) = (monitoring.database.clone(), monitoring.retention.clone());
    Point {
        series: Series::new(database, retention, statistic.name.into(), tags),
        shape: Shape::new(names),
        values: fields.into_iter().map(|(_, value)| value).collect(),
        time,
    }
}

impl Vitals for TaskVitals {
    fn counts(&self) -> Counts {
        let kept = self.kept.as_ref().map(|kept| Handle::current().block_on(kept.counts()));
        let (tasks, enabled_tasks) = match kept {
            Some(Ok(counts)) => counts,
            Some(Err(error)) => {
                tracing::warn!(service = "stats", %error, "tasks cannot be counted");
                (0, 0)
            }
            // Those of `levada run`.
            None => {
                let running = self.tasks.master.ids().len() as u64;
                (running, running)
            }
        };
        let subscriptions = self.entries.get().map_or(0, |entries| entries.influxdb.count() as u64);
        Counts { tasks, enabled_tasks, subscriptions }
    }

    fn statistics(&self) -> Vec<Statistic> {
        let master = &self.tasks.master;
        let mut all = Vec::new();
        for id in master.ids() {
            let Some((definition, status)) = master.definition(&id).zip(master.status(&id)) else {
                continue;
            };
            let pipeline = &definition.pipeline;
            let task_type = match pipeline.task_type() {
                TaskType::Stream => "stream",
                TaskType::Batch => "batch",
            };
            let number = |node: &str, key: &str| status.nodes.get(node)?.get(key)?.as_u64();
            for (index, node) in pipeline.nodes() {
                let name = pipeline.name(index);
                if let Some(Value::Object(values)) = status.nodes.get(&*name) {
                    let tags = BTreeMap::from([
                        ("task", id.to_string()),
                        ("node", name.to_string()),
                        ("type", task_type.to_owned()),
                        ("kind", node.spec.desc().to_owned()),
                    ]);
                    all.push(Statistic { name: "nodes", tags, values: values.clone() });
                }
                for child in &node.children {
                    let (child_name, child) = (pipeline.name(*child), pipeline.node(*child));
                    // A node gives all its children the same.
                    let crossed = match child.parents.len() {
                        1 => number(&child_name, "collected"),
                        _ => number(&name, "emitted").map(|all| all / node.children.len() as u64),
                    };
                    let Some(crossed) = crossed else { continue };
                    let tags = BTreeMap::from([
                        ("task", id.to_string()),
                        ("parent", name.to_string()),
                        ("child", child_name.to_string()),
                        ("type", node.provides.name().to_owned()),
                    ]);
                    let values = values(&[("collected", crossed), ("emitted", crossed)]);
                    all.push(Statistic { name: "edges", tags, values });
                }
            }
        }
        all.extend(self.tasks.ingress.statistics());
        if let Some(Entries { inputs, influxdb }) = self.entries.get() {
            for UdpStatistics { bind, fields } in
                inputs.udp_statistics().into_iter().chain(influxdb.udp_statistics())
            {
                let tags = BTreeMap::from([("bind", bind)]);
                all.push(Statistic { name: "udp", tags, values: values(&fields) });
            }
        }
        if let Some(errors) = self.load_errors.get() {
            let values = values(&[("errors", errors())]);
            all.push(Statistic { name: "load", tags: BTreeMap::new(), values });
        }
        for topic in self.tasks.topics.list(Level::Ok, |_| true) {
            let tags = BTreeMap::from([("id", topic.id.to_string())]);
            let values = values(&[("collected", topic.collected)]);
            all.push(Statistic { name: "topics", tags, values });
        }
        all
    }

    fn memory(&self) -> Map<String, Value> {
        let (total, resident) = memory_of_process().unwrap_or_default();
        let running = self.spawned.running().len() as u64;
        // Source: reference (server) §7.5: names of Go; what has no meaning here is 0.
        values(&[
            ("Alloc", resident),
            ("TotalAlloc", 0),
            ("Sys", total),
            ("Lookups", 0),
            ("Mallocs", 0),
            ("Frees", 0),
            ("HeapAlloc", resident),
            ("HeapSys", total),
            ("HeapIdle", 0),
            ("HeapInUse", resident),
            ("HeapReleased", 0),
            ("HeapObjects", 0),
            ("PauseTotalNs", 0),
            ("NumGC", 0),
            ("NumGoroutine", running),
        ])
    }

    fn reload_sources(&self) -> Result<(), String> {
        let problems = self.tasks.master.reload();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }
}

impl fmt::Debug for TaskVitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskVitals")
    }
}

fn values(pairs: &[(&str, u64)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

/// Gives the bytes that the process has reserved and those in memory; nothing where the system does not say.
fn memory_of_process() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().map(str::parse::<u64>);
    let page = rustix::param::page_size() as u64;
    Some((pages.next()?.ok()?.saturating_mul(page), pages.next()?.ok()?.saturating_mul(page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(measurement: &str, count: usize) -> Vec<Point> {
        let series = Series::new("d".into(), "r".into(), measurement.into(), Vec::new());
        let point = || Point {
            series: Arc::clone(&series),
            shape: Shape::new(Box::new([])),
            values: Default::default(),
            time: Timestamp(0),
        };
        (0..count).map(|_| point()).collect()
    }

    #[test]
    fn points_are_counted_by_measurement_up_to_a_bound() {
        let ingress = Ingress::default();
        ingress.count(&points("cpu", 3));
        ingress.count(&[points("cpu", 1), points("mem", 2), points("cpu", 1)].concat());
        let counted: Vec<(String, Value)> = ingress
            .statistics()
            .into_iter()
            .map(|one| (one.tags["measurement"].clone(), one.values["points_received"].clone()))
            .collect();
        assert_eq!(counted, [("cpu".to_owned(), 5.into()), ("mem".to_owned(), 2.into())]);
        // In one write there are more than are counted at once.
        let write = (2..MEASUREMENTS_MAX + 5).map(|number| points(&format!("m{number}"), 1));
        ingress.count(&write.flatten().collect::<Vec<_>>());
        let all = ingress.statistics();
        assert_eq!(all.len(), MEASUREMENTS_MAX + 1);
        let other = all.iter().find(|one| one.tags["measurement"] == OTHER).expect("the rest");
        assert_eq!(other.values["points_received"], 5);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn points_about_the_server_reach_tasks_and_are_counted() {
        const SCRIPT: &str = "dbrp \"_kapacitor\".\"autogen\"\nvar data = stream|from().measurement('kapacitor')\ndata|eval(lambda: \"num_tasks\" * 2).as('twice')|log()\ndata|log()\n";
        let host = crate::flows::Host::without_store(levada_settings::Settings::default());
        let tasks = TaskHost::start(&host, false, None).await.expect("tasks start");
        let options = levada_task::definition::DefineOptions::default();
        let definition = levada_task::definition::define(SCRIPT, &options).expect("a definition");
        let job = super::super::TaskJob { id: "own".to_owned(), definition: Arc::new(definition) };
        tasks.run(job).expect("it starts");
        let vitals =
            TaskVitals::new(tasks.clone(), None, host.tasks.clone(), Arc::clone(&host.clock));
        let name = |text: &str| text.to_owned();
        let monitoring = Monitoring {
            every: Duration::from_secs(10),
            database: "_kapacitor".into(),
            retention: "autogen".into(),
            identity: Identity {
                kapacitor_version: name("1"),
                version: name("1"),
                host: name("h"),
                cluster_id: name("c"),
                server_id: name("s"),
            },
        };
        for _ in 0..2 {
            let written = tokio::task::block_in_place(|| vitals.write(&monitoring));
            assert_eq!(written.delivered, 1, "{written:?}");
        }
        tasks.drain(Duration::from_secs(10)).await;
        let all = tokio::task::block_in_place(|| vitals.statistics());
        let find = |kind: &str, tag: (&'static str, &str), key: &str| {
            let found = all.iter().find(|one| one.name == kind && one.tags[tag.0] == tag.1);
            found.map(|one| one.values[key].clone())
        };
        assert_eq!(find("nodes", ("node", "from1"), "collected"), Some(2.into()));
        assert_eq!(find("nodes", ("node", "from1"), "emitted"), Some(4.into()));
        assert_eq!(find("edges", ("child", "eval2"), "collected"), Some(2.into()));
        assert_eq!(
            find("ingress", ("measurement", "kapacitor"), "points_received"),
            Some(2.into())
        );
        let points = tokio::task::block_in_place(|| vitals.points(&monitoring, Timestamp(7)));
        let point = |wanted: &str| points.iter().find(|point| *point.series.name == *wanted);
        assert!(point("kapacitor").expect("one").series.values.is_empty());
        let nodes = point("nodes").expect("one");
        let keys: Vec<&str> = nodes.series.keys.names.iter().map(|key| &**key).collect();
        assert_eq!(keys, ["cluster_id", "host", "kind", "node", "server_id", "task", "type"]);
        assert_eq!(nodes.time, Timestamp(7));
        tasks.stop().await;
    }

    #[test]
    fn the_process_has_memory() {
        let (total, resident) = memory_of_process().expect("Linux says it");
        assert!(total > resident && resident > 0);
    }
}
