//! `bench task --http`: what a point costs the server, measured from outside on the release binary.
//!
//! ```text
//! points (computed from their place) ──► POST /write, two connections ──► levada serve ──► log, httpOut, topics
//!                └──► events and values, computed apart (expect) ─────────── compared ◄────────────┘
//! recordings of the same points ──► POST /replays (replay) ──► the same
//! ```
//! - The server has a data folder of its own: an SQLite store, on which topics, outboxes and history are kept.
//! - CPU is the server's user and system time from the first byte to the last effect, as the kernel counts it. Requests come
//!   from this process, whose time is shown apart.
//! - A point, an event or a value that is missing, doubled or wrong ends the bench with an error.

mod expect;
mod points;
mod replay;

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::client::Client;
use super::measure::{self, median};
use super::server::Server;
use super::{Outcome, verdict};
use points::{Points, Usage};

/// One workload, with the figures it is compared with.
struct Workload {
    name: &'static str,
    what: &'static str,
    /// The script; `@LOG@` is the file that its alert writes.
    script: &'static str,
    series: u64,
    measurements: &'static [&'static str],
    usage: Usage,
    input: Input,
    /// What is right.
    check: Check,
    /// CPU seconds per million points of Kapacitor. Source: the definition of the workloads.
    kapacitor: f64,
    /// The same without persisted topics, where that is known.
    kapacitor_in_memory: Option<f64>,
    /// Peak memory stays below this, in millions of bytes.
    memory_goal: Option<f64>,
}

/// How points get to the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// Written over HTTP.
    Writes,
    /// Recorded from writes, which are not measured, then replayed.
    StreamRecording,
    /// Recorded batches in a file, replayed.
    BatchRecording,
}

/// What has to come of the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// All points are counted, and the task gets none of them.
    Routed,
    /// No event.
    Silent,
    /// Every event in the log, in order.
    Log,
    /// Means are served, events reach the topic.
    Means,
    /// Events reach the topic.
    Rises,
    /// Percentiles and deviations are served.
    Spreads,
    /// Events reach the topic.
    LongStates,
}

const SPIKES: &str = "stream|from().measurement('cpu').groupBy('host')|alert().crit(lambda: \"usage\" > 95.0).log('@LOG@')";
const SPIKY_BATCHES: &str = "batch|query('SELECT usage, idle, load FROM \"db\".\"rp\".\"cpu\"').period(10s).every(10s).groupBy('host')|alert().crit(lambda: \"usage\" > 95.0).log('@LOG@')";

const BASE: Workload = Workload {
    name: "",
    what: "",
    script: "",
    series: 1_000,
    measurements: &["cpu"],
    usage: Usage::Even,
    input: Input::Writes,
    check: Check::Silent,
    kapacitor: 0.0,
    kapacitor_in_memory: None,
    memory_goal: None,
};

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "w0",
        what: "parse and route",
        script: "stream|from().measurement('other')|log()",
        check: Check::Routed,
        kapacitor: 2.4,
        ..BASE
    },
    Workload {
        name: "w1n",
        what: "alert, 1,000 series, nothing fires",
        script: "stream|from().measurement('cpu').groupBy('host')|alert().topic('t').crit(lambda: \"usage\" > 1000.0)",
        kapacitor: 6.1,
        ..BASE
    },
    Workload {
        name: "w1",
        what: "alert, log handler, one event per 93 points",
        script: SPIKES,
        usage: Usage::Spikes,
        check: Check::Log,
        kapacitor: 10.1,
        kapacitor_in_memory: Some(6.8),
        ..BASE
    },
    Workload {
        name: "w2",
        what: "groupBy, window 10 s, mean, eval, alert, httpOut",
        script: "stream|from().measurement('cpu')|groupBy('host')|window().period(10s).every(10s)|mean('usage').as('usage')|eval(lambda: \"usage\" / 100.0).as('share').keep()|alert().topic('t').warn(lambda: \"share\" > 0.7).crit(lambda: \"share\" > 0.8)|httpOut('out')",
        check: Check::Means,
        kapacitor: 4.9,
        ..BASE
    },
    Workload {
        name: "w3",
        what: "join of two streams, eval, derivative, alert",
        script: "var a = stream|from().measurement('cpu').groupBy('host') var b = stream|from().measurement('mem').groupBy('host') a|join(b).as('cpu','mem')|eval(lambda: \"cpu.usage\" + \"mem.usage\").as('sum').keep()|derivative('sum').unit(1s).as('rate')|alert().topic('t').crit(lambda: \"rate\" > 150.0)",
        measurements: &["cpu", "mem"],
        check: Check::Rises,
        kapacitor: 8.3,
        ..BASE
    },
    Workload {
        name: "w4",
        what: "window 60 s every 10 s, percentile 95 and stddev, joined",
        script: "var w = stream|from().measurement('cpu').groupBy('host')|window().period(60s).every(10s) var p = w|percentile('usage', 95.0) var s = w|stddev('usage') p|join(s).as('p','s')|httpOut('out')",
        check: Check::Spreads,
        kapacitor: 18.8,
        ..BASE
    },
    Workload {
        name: "w5",
        what: "100,000 series, stateDuration, alert",
        script: "stream|from().measurement('cpu').groupBy('host')|stateDuration(lambda: \"usage\" > 50.0)|alert().topic('t').crit(lambda: \"state_duration\" > 5.0)",
        series: 100_000,
        check: Check::LongStates,
        kapacitor: 20.6,
        memory_goal: Some(200.0),
        ..BASE
    },
    Workload {
        name: "r1",
        what: "replay of a stream recording into the task of w1",
        script: SPIKES,
        usage: Usage::Spikes,
        input: Input::StreamRecording,
        check: Check::Log,
        kapacitor: 6.4,
        ..BASE
    },
    Workload {
        name: "r2",
        what: "replay of a batch recording, batches of 10 points, alert, log handler",
        script: SPIKY_BATCHES,
        usage: Usage::Spikes,
        input: Input::BatchRecording,
        check: Check::Log,
        kapacitor: 6.1,
        ..BASE
    },
];

/// Points of a run.
const POINTS_DEFAULT: u64 = 2_000_000;
/// Connections that points come in by.
const CONNECTIONS: u64 = 2;
/// Source: the goal of all workloads: a tenth of Kapacitor's CPU time.
const SHARE_OF_KAPACITOR: f64 = 0.1;
/// Source: the goals of the server.
const READY_GOAL_MS: f64 = 200.0;
const IDLE_GOAL_MB: f64 = 40.0;
/// How long a server does nothing before its memory is looked at.
const IDLE: Duration = Duration::from_secs(2);
/// Between two looks at the server's counters.
const LOOK: Duration = Duration::from_millis(50);
/// Nothing moves for so long: points or events are lost.
const STILL: Duration = Duration::from_secs(15);
/// After the last effect the server still writes behind: flushes and deletions are part of the cost.
const SETTLE: Duration = Duration::from_millis(1_200);

/// What one run cost.
struct Cost {
    points: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
    /// Of this process, while it sent.
    load_cpu_seconds: f64,
    peak_mb: f64,
    /// What was compared.
    checked: String,
}

/// A run of a workload.
struct Run<'w> {
    workload: &'w Workload,
    points: Points,
    server: Server,
    client: Client,
}

/// Measures all workloads, or the one that is named; a missed goal is printed and is not a failure.
pub(super) fn run(
    levada: &Path,
    folder: &Path,
    only: Option<&str>,
    points: Option<u64>,
    runs: usize,
) -> Result<Outcome> {
    println!("machine: {}", measure::machine());
    let folder = folder.join("http");
    start(levada, &folder, runs)?;
    println!(
        "\n{:<4} {:>9} {:>9} {:>6} {:>9} {:>6} {:>10} {:>6} {:>9}  workload",
        "", "CPU s/M", "goal", "", "Kapacitor", "ratio", "points/s", "MB", "load s/M"
    );
    for workload in WORKLOADS.iter().filter(|w| only.is_none_or(|only| only == w.name)) {
        let mut costs = Vec::with_capacity(runs);
        for run in 1..=runs {
            let cost = once(levada, &folder, workload, points.unwrap_or(POINTS_DEFAULT));
            costs.push(cost.with_context(|| format!("{} run {run}", workload.name))?);
        }
        print(workload, &costs);
    }
    fs::remove_dir_all(&folder).context("cannot remove the folder of the runs")?;
    Ok(Outcome::Good)
}

/// Finds the name of a workload.
pub(super) fn known(name: &str) -> Result<&'static str, String> {
    let names = || WORKLOADS.iter().map(|workload| workload.name);
    names().find(|known| *known == name).ok_or_else(|| {
        let all: Vec<&str> = names().collect();
        format!("unknown workload `{name}`; known: {}", all.join(", "))
    })
}

/// Measures the start of a server with an empty data folder, and what it needs when it has nothing to do.
fn start(levada: &Path, folder: &Path, runs: usize) -> Result<()> {
    let (mut ready, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let server = Server::start(levada, folder, |_| Ok(()))?;
        ready.push(server.ready.as_secs_f64() * 1e3);
        thread::sleep(IDLE);
        idle.push(server.peak_mb()?);
    }
    let (ready, idle) = (median(ready.into_iter()), median(idle.into_iter()));
    println!("ready      {ready:>6.0} ms   goal {READY_GOAL_MS} {}", verdict(ready, READY_GOAL_MS));
    println!("idle, peak {idle:>6.1} MB   goal {IDLE_GOAL_MB} {}", verdict(idle, IDLE_GOAL_MB));
    Ok(())
}

fn once(levada: &Path, folder: &Path, workload: &Workload, points: u64) -> Result<Cost> {
    let points = Points::new(points, workload.series, workload.measurements, workload.usage);
    let server = Server::start(levada, folder, |folder| match workload.input {
        Input::BatchRecording => replay::write_batches(&points, &folder.join("data/replay")),
        _ => Ok(()),
    })?;
    let client = server.client()?;
    let mut run = Run { workload, points, server, client };
    let cost = run.measure();
    cost.with_context(|| format!("the log of the server ends with:\n{}", run.server.log()))
}

// === impl Run ===

impl Run<'_> {
    fn measure(&mut self) -> Result<Cost> {
        self.define()?;
        let mut bodies = Vec::new();
        if self.workload.input != Input::BatchRecording {
            bodies = (0..CONNECTIONS).map(|at| self.points.bodies(at, CONNECTIONS)).collect();
        }
        if self.workload.input == Input::StreamRecording {
            self.record(&bodies)?;
        }
        let (cpu, load_cpu) = (self.server.cpu_seconds()?, measure::own_cpu_seconds()?);
        let began = Instant::now();
        if self.workload.input == Input::Writes {
            self.write(&bodies)?;
        } else {
            self.replay()?;
        }
        let load_cpu_seconds = measure::own_cpu_seconds()? - load_cpu;
        if self.workload.check == Check::Log {
            self.wait_for_log()?;
        }
        let wall_seconds = began.elapsed().as_secs_f64();
        thread::sleep(SETTLE);
        let cpu_seconds = self.server.cpu_seconds()? - cpu;
        let peak_mb = self.server.peak_mb()?;
        let checked = self.check().context("the result is wrong")?;
        let points = self.points.count();
        Ok(Cost { points, wall_seconds, cpu_seconds, load_cpu_seconds, peak_mb, checked })
    }

    fn define(&mut self) -> Result<()> {
        let log = self.log_path();
        let log = log.to_str().context("the target folder's path is not UTF-8")?;
        let script = self.workload.script.replace("@LOG@", log).replace('"', "\\\"");
        let (kind, status) = match self.workload.input {
            Input::Writes => ("stream", "enabled"),
            Input::StreamRecording => ("stream", "disabled"),
            Input::BatchRecording => ("batch", "disabled"),
        };
        let document = format!(
            "{{\"id\":\"task\",\"type\":\"{kind}\",\"dbrps\":[{{\"db\":\"db\",\"rp\":\"rp\"}}],\"script\":\"{script}\",\"status\":\"{status}\"}}"
        );
        self.client.ask("POST", "/kapacitor/v1/tasks", &document)?;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.server.folder().join("alerts.log")
    }

    /// Writes all bodies, and waits until the task has worked on them.
    fn write(&mut self, bodies: &[Vec<String>]) -> Result<()> {
        self.send(bodies, Duration::ZERO)?;
        let wanted = self.points.count();
        self.wait("points", |run| run.progress(), |seen| seen >= wanted)
    }

    /// Writes bodies, those of each connection behind one another with a pause.
    fn send(&self, bodies: &[Vec<String>], pause: Duration) -> Result<()> {
        thread::scope(|scope| {
            let senders: Vec<_> = bodies
                .iter()
                .map(|bodies| scope.spawn(move || self.send_some(bodies, pause)))
                .collect();
            senders.into_iter().try_for_each(|sender| match sender.join() {
                Ok(sent) => sent,
                Err(_) => bail!("a connection panicked"),
            })
        })
    }

    fn send_some(&self, bodies: &[String], pause: Duration) -> Result<()> {
        let mut client = self.server.client()?;
        for body in bodies {
            let path = "/kapacitor/v1/write?db=db&rp=rp&precision=n";
            client.ask("POST", path, body).context("points are refused")?;
            thread::sleep(pause);
        }
        Ok(())
    }

    /// Points that came in, or those that the task has worked on where it gets any.
    fn progress(&mut self) -> Result<u64> {
        let statistics = self.statistics()?;
        if self.workload.check == Check::Routed {
            return Ok(statistics.ingress());
        }
        Ok(statistics.node("stream0", "emitted"))
    }

    fn statistics(&mut self) -> Result<Statistics> {
        Ok(Statistics(self.client.json("/kapacitor/v1/debug/vars")?))
    }

    fn wait_for_log(&mut self) -> Result<()> {
        let wanted = self.events().len() as u64;
        let lines = |run: &mut Self| {
            let log = fs::read(run.log_path()).unwrap_or_default();
            Ok(log.iter().filter(|byte| **byte == b'\n').count() as u64)
        };
        self.wait("events in the log", lines, |seen| seen >= wanted)
    }

    /// Waits until a number is as it should be; an error when it does not move any more.
    fn wait(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<u64>,
        is_done: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let (mut seen, mut moved) = (look(self)?, Instant::now());
        while !is_done(seen) {
            ensure!(moved.elapsed() < STILL, "{what} are missing: only {seen} came");
            thread::sleep(LOOK);
            let now = look(self)?;
            if now != seen {
                (seen, moved) = (now, Instant::now());
            }
        }
        Ok(())
    }

    fn events(&self) -> Vec<expect::Event> {
        match self.workload.input {
            Input::BatchRecording => expect::spiky_batches(&self.points),
            _ => expect::spikes(&self.points),
        }
    }

    /// Compares what came of the points; says what was compared.
    fn check(&mut self) -> Result<String> {
        let statistics = self.statistics()?;
        let wanted = self.points.count();
        if self.workload.input != Input::BatchRecording {
            let ingress = statistics.ingress();
            // The one that ends a recording is more.
            let more = u64::from(self.workload.input == Input::StreamRecording);
            ensure!(ingress == wanted + more, "{ingress} points came in, should be {wanted}");
        }
        let checked = match self.workload.check {
            Check::Routed => {
                let taken = statistics.node("stream0", "emitted");
                ensure!(taken == 0, "the task got {taken} points");
                "no event".to_owned()
            }
            Check::Silent => {
                let seen = statistics.node("alert2", "collected");
                ensure!(seen == wanted, "the alert saw {seen} points, should be {wanted}");
                format!("no event, {}", statistics.topic(0..=0)?)
            }
            Check::Log => {
                let events = self.events();
                expect::log(&self.log_path(), &events)?;
                format!(
                    "each of {} events in the log, in order",
                    super::grouped(events.len() as u64)
                )
            }
            Check::Means => {
                let served = self.client.json("/kapacitor/v1/tasks/task/out")?;
                expect::served_means(&self.points, &served)?;
                let events = statistics.topic(expect::means(&self.points))?;
                format!("the mean of every series' last event, {events}")
            }
            Check::Rises => statistics.topic(expect::rises(&self.points))?,
            Check::Spreads => {
                let served = self.client.json("/kapacitor/v1/tasks/task/out")?;
                expect::served_spreads(&self.points, &served)?;
                "the last percentile and deviation of every series".to_owned()
            }
            Check::LongStates => {
                let events = expect::long_states(&self.points);
                statistics.topic(events..=events)?
            }
        };
        Ok(format!("{} points, {checked}", super::grouped(wanted)))
    }
}

/// What `debug/vars` says.
struct Statistics(String);

// === impl Statistics ===

impl Statistics {
    /// Counts the points that came in.
    fn ingress(&self) -> u64 {
        self.sum(&["\"name\":\"ingress\"", "\"database\":\"db\""], "points_received")
    }

    /// Gives a number of a node of the task.
    fn node(&self, node: &str, key: &str) -> u64 {
        let edge = format!("\"parent\":\"{node}\"");
        let node = format!("\"node\":\"{node}\"");
        self.sum(&["\"name\":\"nodes\"", &node], key)
            .max(self.sum(&["\"name\":\"edges\"", &edge], key))
    }

    /// Checks how many events reached the topic of the scripts.
    fn topic(&self, wanted: RangeInclusive<u64>) -> Result<String> {
        let events = self.sum(&["\"name\":\"topics\"", "\"id\":\"t\""], "collected");
        ensure!(
            wanted.contains(&events),
            "{events} events reached the topic, should be {wanted:?}"
        );
        Ok(format!("{} events", super::grouped(events)))
    }

    fn sum(&self, marks: &[&str], key: &str) -> u64 {
        let all = self.0.split("{\"name\":").map(|one| format!("\"name\":{one}"));
        let ours = all.filter(|one| marks.iter().all(|mark| one.contains(mark)));
        ours.filter_map(|one| super::tasks::number(&one, key)).sum::<f64>() as u64
    }
}

fn print(workload: &Workload, costs: &[Cost]) {
    let Some(first) = costs.first() else { return };
    let millions = first.points as f64 / 1e6;
    let of = |value: fn(&Cost) -> f64| median(costs.iter().map(value));
    let cpu = of(|cost| cost.cpu_seconds) / millions;
    let goal = workload.kapacitor * SHARE_OF_KAPACITOR;
    let memory = of(|cost| cost.peak_mb);
    println!(
        "{:<4} {cpu:>9.2} {goal:>9.2} {:>6} {:>9} {:>6.1} {:>10.0} {memory:>6.0} {:>9.2}  {}",
        workload.name,
        verdict(cpu, goal),
        workload.kapacitor,
        workload.kapacitor / cpu,
        first.points as f64 / of(|cost| cost.wall_seconds),
        of(|cost| cost.load_cpu_seconds) / millions,
        workload.what,
    );
    if let Some(goal) = workload.memory_goal {
        println!("     memory goal {goal} MB {}", verdict(memory, goal));
    }
    if let Some(kapacitor) = workload.kapacitor_in_memory {
        println!(
            "     without persisted topics Kapacitor needs {kapacitor}, {:.1} times ours",
            kapacitor / cpu
        );
    }
    if workload.check == Check::Log {
        println!(
            "     durability: each event is stored before it is sent (SQLite, WAL, fsync per group of events), state and history with it"
        );
    }
    println!("     verified: {}", first.checked);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_found_by_name_and_tags() {
        let statistics = Statistics(
            r#"{"kapacitor":{"a":{"name":"ingress","tags":{"database":"db","measurement":"cpu"},"values":{"points_received":3}},"b":{"name":"ingress","tags":{"database":"db","measurement":"mem"},"values":{"points_received":4}},"c":{"name":"ingress","tags":{"database":"_kapacitor"},"values":{"points_received":9}},"d":{"name":"edges","tags":{"parent":"stream0"},"values":{"collected":7,"emitted":7}},"e":{"name":"topics","tags":{"id":"t"},"values":{"collected":2}}}}"#
                .to_owned(),
        );
        assert_eq!(statistics.ingress(), 7);
        assert_eq!(statistics.node("stream0", "emitted"), 7);
        assert!(statistics.topic(2..=3).is_ok());
        assert!(statistics.topic(3..=3).is_err());
    }

    #[test]
    fn unknown_workloads_list_the_known_ones() {
        assert_eq!(known("r2"), Ok("r2"));
        assert!(known("w9").is_err_and(|text| text.contains("w5, r1, r2")));
    }
}
