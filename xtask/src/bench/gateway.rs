//! `bench gateway`: what a point costs that is taken, kept on the disk, compressed and delivered.
//!
//! ```text
//! lines (computed) ──► POST /v1/write/metric, 8 connections ──► levada serve ──► gzip ──► receiver (a black hole that counts)
//!     └── away during the load, back afterwards; sync = interval, always, none; 100 sinkers ──┘
//! ```
//! - CPU is the server's user and system time over load and drain. Bodies are made before; those that send and receive are
//!   this process, whose time is shown apart.
//! - While points go through, and at the end, `/metrics` is scraped: for each destination, accepted = delivered + dropped +
//!   dead-lettered + queued.
//! - A point that is missing, doubled, changed or in the wrong place ends the bench with an error.

mod lines;
mod receiver;
mod sums;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::client::Client;
use super::measure::{self, median};
use super::server::Server;
use super::{Outcome, grouped, verdict};
use receiver::Receiver;
use sums::Sums;

/// Bodies of a run. Source: the definition of the workload.
const BODIES_DEFAULT: u64 = 2_000;
/// Most bodies: they are all in memory, 650 kB each.
const BODIES_MAX: u64 = 10_000;
/// Runs of which the median is taken.
const RUNS_DEFAULT: usize = 3;
/// Connections that bodies come in by. Source: the definition of the workload.
const CONNECTIONS: usize = 8;
/// Sinkers, and the hosts that each of them wants. Source: the definition of the workload.
const SINKERS: u64 = 100;
/// Destinations that they share.
const DESTINATIONS: u64 = 4;
/// Where a body is written to.
const PATH: &str = "/v1/write/metric";

/// Source: the goals of the gateway.
const CPU_GOAL: [f64; 2] = [0.8, 1.1];
const MEMORY_GOAL_MB: f64 = 100.0;
/// What sinkers may cost, as a share of what the same costs without.
const SINKERS_GOAL: f64 = 0.3;
/// CPU seconds per million points, points per second and memory of vmagent, plain and gzip, which keeps nothing on the disk
/// while its receiver is up. Source: `bench/README.md`.
const VMAGENT_CPU: [f64; 2] = [1.65, 2.0];
const VMAGENT_RATE: [f64; 2] = [0.8e6, 0.53e6];
const VMAGENT_MB: f64 = 55.0;

/// Between two looks at the receiver.
const LOOK: Duration = Duration::from_millis(10);
/// Between two scrapes while points go through.
const SCRAPE: Duration = Duration::from_millis(500);
/// Nothing moves for so long: points are lost. A receiver that was away is asked again within five minutes (`open-max`).
const STILL: Duration = Duration::from_secs(330);
/// After the last point progress is still noted on the disk: that is part of the cost.
const SETTLE: Duration = Duration::from_millis(1_200);

/// How bodies come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
}

/// Whether the receiver answers while bodies come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Up,
    Away,
}

/// Which sinkers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sinkers {
    None,
    /// A hundred whose ten conditions match no point: the cost of the decision.
    Idle,
    /// A hundred that take a fifth of all points to four destinations.
    Busy,
    /// The same, but each has a URL of its own, and so a queue of its own.
    Many,
}

/// One workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    coding: Coding,
    peer: Peer,
    sync: &'static str,
    sinkers: Sinkers,
}

/// What the arguments ask for.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    bodies: u64,
    runs: usize,
    checks_all: bool,
    /// Words that the name of a case must have.
    words: Vec<String>,
}

/// What one run cost.
struct Cost {
    points: u64,
    /// From the first byte to the last answer.
    load_seconds: f64,
    /// From the last answer, or from when the receiver was back, to the first body: how long nobody noticed.
    notice_seconds: f64,
    /// From then to the last point.
    drain_seconds: f64,
    cpu_seconds: f64,
    /// Of this process.
    own_cpu_seconds: f64,
    peak_mb: f64,
    p99_ms: f64,
    scrapes: u64,
    checked: String,
}

/// Bodies as they are sent.
struct Load {
    coding: Coding,
    bodies: Vec<Vec<u8>>,
}

/// Reads the arguments behind `gateway`.
pub(super) fn parse(arguments: &[String]) -> Result<Plan, String> {
    let mut plan =
        Plan { bodies: BODIES_DEFAULT, runs: RUNS_DEFAULT, checks_all: false, words: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--bodies" => plan.bodies = super::number(argument, rest.next(), BODIES_MAX)?,
            "--runs" => {
                let runs = super::number(argument, rest.next(), super::RUNS_MAX as u64)?;
                plan.runs = usize::try_from(runs).map_err(|_| "too many runs".to_owned())?;
            }
            "--verify" => plan.checks_all = true,
            word => plan.words.push(word.to_owned()),
        }
    }
    if plan.cases().is_empty() {
        let names: Vec<String> = cases().map(|case| case.name()).collect();
        return Err(format!(
            "no case has all of `{}`; known: {}",
            plan.words.join(" "),
            names.join(", ")
        ));
    }
    Ok(plan)
}

/// Measures what the plan asks for; a missed goal is printed and is not a failure.
pub(super) fn run(levada: &Path, folder: &Path, plan: &Plan) -> Result<Outcome> {
    println!("machine: {}", measure::machine());
    println!(
        "{} bodies of {} lines, {CONNECTIONS} connections, median of {}\n",
        grouped(plan.bodies),
        grouped(lines::LINES),
        plan.runs
    );
    println!(
        "{:<30} {:>10} {:>8} {:>7} {:>6} {:>7} {:>6} {:>7} {:>7} {:>7} {:>8}",
        "", "points/s", "CPU s/M", "goal", "", "MB", "", "p99 ms", "notice", "drain s", "load s/M"
    );
    let folder = folder.join("gateway");
    let mut load = Load { coding: Coding::Plain, bodies: Vec::new() };
    let mut without_sinkers = None;
    for case in plan.cases() {
        load.prepare(case.coding, plan.bodies)?;
        let mut costs = Vec::with_capacity(plan.runs);
        for run in 1..=plan.runs {
            let cost = once(levada, &folder, case, &load, plan.checks_all);
            costs.push(cost.with_context(|| format!("{} run {run}", case.name()))?);
        }
        if case.sinkers == Sinkers::None {
            let cpu = print(case, &costs, Some(CPU_GOAL[case.coding as usize]));
            if case.is_plain_of_sinkers() {
                without_sinkers = Some((case.coding, cpu));
            }
            continue;
        }
        let without = without_sinkers.filter(|(coding, _)| *coding == case.coding);
        let without = without.map(|(_, cpu)| cpu);
        let cpu = print(case, &costs, without.map(|cpu| cpu * (1.0 + SINKERS_GOAL)));
        if let Some(without) = without {
            println!("    {:.0}% more CPU than without sinkers", (cpu / without - 1.0) * 100.0);
        }
    }
    fs::remove_dir_all(&folder).context("cannot remove the folder of the runs")?;
    Ok(Outcome::Good)
}

/// Gives all workloads; those of one coding follow each other, so that bodies are made once.
fn cases() -> impl Iterator<Item = Case> {
    let base =
        Case { coding: Coding::Plain, peer: Peer::Up, sync: "interval", sinkers: Sinkers::None };
    let mut all = Vec::new();
    for coding in [Coding::Plain, Coding::Gzip] {
        let base = Case { coding, ..base };
        all.push(base);
        for sinkers in [Sinkers::Idle, Sinkers::Busy, Sinkers::Many] {
            all.push(Case { sinkers, ..base });
        }
        for sync in ["always", "none"] {
            all.push(Case { sync, ..base });
        }
        for sync in ["interval", "always", "none"] {
            all.push(Case { peer: Peer::Away, sync, ..base });
        }
    }
    all.into_iter()
}

fn once(levada: &Path, folder: &Path, case: Case, load: &Load, checks_all: bool) -> Result<Cost> {
    let lines = load.bodies.len() as u64 * lines::LINES;
    let receiver = Receiver::away(checks_all.then_some(lines), case.place())?;
    if case.peer == Peer::Up {
        receiver.arrive()?;
    }
    let server = Server::start(levada, folder, |folder| {
        Ok(fs::write(folder.join("levada.toml"), case.settings(&receiver)?)?)
    })?;
    let cost = measured(&server, case, load, &receiver, lines);
    cost.with_context(|| format!("the log of the server ends with:\n{}", server.log()))
}

fn measured(
    server: &Server,
    case: Case,
    load: &Load,
    receiver: &Receiver,
    lines: u64,
) -> Result<Cost> {
    let mut scraper = server.client()?;
    let (cpu, own_cpu) = (server.cpu_seconds()?, measure::own_cpu_seconds()?);
    let began = Instant::now();
    let (mut latencies, mut scrapes) = load.send(server)?;
    let load_seconds = began.elapsed().as_secs_f64();
    let mut back = Instant::now();
    if case.peer == Peer::Away {
        let sums = Sums::read(&mut scraper)?;
        ensure!(sums.queued == lines, "{} points wait, should be {lines}", sums.queued);
        receiver.arrive()?;
        back = Instant::now();
    }
    let mut scraped = Instant::now();
    let (mut seen, mut moved) = (0, Instant::now());
    loop {
        let points = receiver.points()?;
        if points >= lines {
            break;
        }
        if points != seen {
            (seen, moved) = (points, Instant::now());
        }
        ensure!(moved.elapsed() < STILL, "only {points} of {lines} points came");
        if scraped.elapsed() > SCRAPE {
            Sums::read(&mut scraper)?;
            scrapes += 1;
            scraped = Instant::now();
        }
        thread::sleep(LOOK);
    }
    let ended = Instant::now();
    let started = receiver.first().context("nothing came")?.max(back);
    thread::sleep(SETTLE);
    let cpu_seconds = server.cpu_seconds()? - cpu;
    let own_cpu_seconds = measure::own_cpu_seconds()? - own_cpu;
    let peak_mb = server.peak_mb()?;
    let sums = Sums::read(&mut scraper)?;
    let expected = Sums { accepted: lines, delivered: lines, ..Sums::default() };
    ensure!(sums == expected, "in the end there are {sums:?}, should be {expected:?}");
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len().saturating_sub(1) * 99 / 100).copied();
    Ok(Cost {
        points: lines,
        load_seconds,
        notice_seconds: started.saturating_duration_since(back).as_secs_f64(),
        drain_seconds: ended.saturating_duration_since(started).as_secs_f64(),
        cpu_seconds,
        own_cpu_seconds,
        peak_mb,
        p99_ms: p99.unwrap_or_default().as_secs_f64() * 1e3,
        scrapes: scrapes + 1,
        checked: receiver.check(lines)?,
    })
}

/// Prints the medians; gives that of CPU seconds per million points. `goal` is of these, where there is one.
fn print(case: Case, costs: &[Cost], goal: Option<f64>) -> f64 {
    let Some(first) = costs.first() else { return 0.0 };
    let millions = first.points as f64 / 1e6;
    let of = |value: fn(&Cost) -> f64| median(costs.iter().map(value));
    let cpu = of(|cost| cost.cpu_seconds) / millions;
    let rate = first.points as f64 / of(|cost| cost.load_seconds);
    let memory = of(|cost| cost.peak_mb);
    let goal_text = goal.map_or_else(|| "-".to_owned(), |goal| format!("{goal:.2}"));
    println!(
        "{:<30} {:>10} {cpu:>8.2} {goal_text:>7} {:>6} {memory:>7.1} {:>6} {:>7.1} {:>7.2} {:>7.2} {:>8.2}",
        case.name(),
        grouped(rate as u64),
        goal.map_or("", |goal| verdict(cpu, goal)),
        verdict(memory, MEMORY_GOAL_MB),
        of(|cost| cost.p99_ms),
        of(|cost| cost.notice_seconds),
        of(|cost| cost.drain_seconds),
        of(|cost| cost.own_cpu_seconds) / millions,
    );
    let (peer_cpu, peer_rate) =
        (VMAGENT_CPU[case.coding as usize], VMAGENT_RATE[case.coding as usize]);
    println!(
        "    vmagent: {} points/s, ours is {:.1} times that {}; {peer_cpu} CPU s/M, {:.1} times ours; {VMAGENT_MB} MB",
        grouped(peer_rate as u64),
        rate / peer_rate,
        if rate > peer_rate { "met" } else { "MISSED" },
        peer_cpu / cpu
    );
    println!("    sums agreed at {} scrapes; verified: {}", first.scrapes, first.checked);
    cpu
}

// === impl Plan ===

impl Plan {
    fn cases(&self) -> Vec<Case> {
        let has_all = |case: &Case| {
            let name = case.name();
            self.words.iter().all(|word| name.split(' ').any(|one| one == word))
        };
        cases().filter(has_all).collect()
    }
}

// === impl Case ===

impl Case {
    fn name(self) -> String {
        let coding = ["plain", "gzip"][self.coding as usize];
        let peer = ["up", "away"][self.peer as usize];
        let sinkers =
            ["", " sinkers idle", " sinkers busy", " sinkers many"][self.sinkers as usize];
        format!("{coding} {peer} {}{sinkers}", self.sync)
    }

    /// Whether sinkers are compared with it.
    fn is_plain_of_sinkers(self) -> bool {
        (self.peer, self.sync, self.sinkers) == (Peer::Up, "interval", Sinkers::None)
    }

    /// Gives where a point of a host goes.
    fn place(self) -> receiver::Place {
        match self.sinkers {
            Sinkers::None | Sinkers::Idle => |_| "tkn_default".to_owned(),
            Sinkers::Busy => |host| match host < SINKERS {
                true => format!("tkn_{}", host % DESTINATIONS),
                false => "tkn_default".to_owned(),
            },
            Sinkers::Many => |host| match host < SINKERS {
                true => format!("tkn_{host}"),
                false => "tkn_default".to_owned(),
            },
        }
    }

    /// Writes the settings of the server.
    fn settings(self, receiver: &Receiver) -> Result<String> {
        let mut text = format!(
            "[gateway]\nurls = [\"{}\"]\n[gateway.queue]\nsync = \"{}\"\n",
            receiver.url("tkn_default"),
            self.sync
        );
        if matches!(self.sinkers, Sinkers::Idle | Sinkers::Busy) {
            for number in 0..DESTINATIONS {
                writeln!(
                    text,
                    "[[gateway.destination]]\nname = \"d{number}\"\nstrategy = \"failover\"\n[[gateway.destination.endpoint]]\nurl = \"{}\"",
                    receiver.url(&format!("tkn_{number}"))
                )?;
            }
        }
        let tenant = match self.sinkers {
            Sinkers::None => return Ok(text),
            Sinkers::Idle => "tenant",
            Sinkers::Busy | Sinkers::Many => "web",
        };
        for number in 0..SINKERS {
            let target = match self.sinkers {
                Sinkers::Many => format!("url = \"{}\"", receiver.url(&format!("tkn_{number}"))),
                _ => format!("destination = \"d{}\"", number % DESTINATIONS),
            };
            writeln!(
                text,
                "[[gateway.sinkers]]\ncategories = [\"M\"]\nfilters = [\"{{ {} }}\"]\n{target}",
                conditions(tenant, number).join(", ")
            )?;
        }
        Ok(text)
    }
}

/// Ten conditions that hold for all points, but for the last one.
fn conditions(tenant: &str, number: u64) -> [String; 10] {
    [
        "region match ['^eu-']".to_owned(),
        "usage_user >= 0".to_owned(),
        "idle >= 0".to_owned(),
        "service != 'none'".to_owned(),
        "rack notin ['r98', 'r99']".to_owned(),
        "load < 1000".to_owned(),
        "usage_system >= 0 and usage_system < 1000".to_owned(),
        "measurement = 'cpu'".to_owned(),
        "region in ['eu-0', 'eu-1', 'eu-2', 'eu-3']".to_owned(),
        format!("host = '{tenant}-{number:03}'"),
    ]
}

// === impl Load ===

impl Load {
    /// Makes the bodies, unless they are there.
    fn prepare(&mut self, coding: Coding, count: u64) -> Result<()> {
        if self.bodies.is_empty() {
            self.bodies = lines::bodies(count)?;
        }
        if self.coding != coding {
            self.bodies = lines::packed(std::mem::take(&mut self.bodies))?;
            self.coding = coding;
        }
        Ok(())
    }

    /// Sends all bodies and scrapes meanwhile; gives how long each write took, and how often was scraped.
    fn send(&self, server: &Server) -> Result<(Vec<Duration>, u64)> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let senders: Vec<_> = (0..CONNECTIONS)
                .map(|at| scope.spawn(move || self.send_some(server, at)))
                .collect();
            let scraper = scope.spawn(|| {
                let (mut client, mut scrapes) = (server.client()?, 0);
                while !is_over.load(Ordering::Acquire) {
                    Sums::read(&mut client)?;
                    scrapes += 1;
                    thread::park_timeout(SCRAPE);
                }
                Ok::<u64, anyhow::Error>(scrapes)
            });
            let mut all = Ok(Vec::with_capacity(self.bodies.len()));
            for sender in senders {
                all = match (all, sender.join()) {
                    (Ok(mut all), Ok(Ok(some))) => {
                        all.extend(some);
                        Ok(all)
                    }
                    (Err(error), _) | (_, Ok(Err(error))) => Err(error),
                    (_, Err(_)) => Err(anyhow::anyhow!("a connection panicked")),
                };
            }
            is_over.store(true, Ordering::Release);
            scraper.thread().unpark();
            match scraper.join() {
                Ok(scrapes) => Ok((all?, scrapes?)),
                Err(_) => bail!("the scraper panicked"),
            }
        })
    }

    fn send_some(&self, server: &Server, at: usize) -> Result<Vec<Duration>> {
        let mut client: Client = server.client()?;
        let headers = match self.coding {
            Coding::Plain => "",
            Coding::Gzip => "content-encoding: gzip\r\n",
        };
        let mut latencies = Vec::with_capacity(self.bodies.len() / CONNECTIONS + 1);
        for body in self.bodies.iter().skip(at).step_by(CONNECTIONS) {
            let began = Instant::now();
            let answer = client.request_with("POST", PATH, headers, body)?;
            latencies.push(began.elapsed());
            let status = answer.status;
            ensure!(status == 200, "points are refused: {status} {}", answer.body);
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn names(arguments: &[&str]) -> Result<Vec<String>, String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        Ok(parse(&arguments)?.cases().into_iter().map(Case::name).collect())
    }

    #[test]
    fn words_choose_cases() {
        assert_eq!(names(&[]).unwrap().len(), 18);
        assert_eq!(names(&["--bodies", "20", "gzip", "away", "none"]).unwrap(), ["gzip away none"]);
        let of_sinkers = names(&["sinkers", "plain", "--verify"]).unwrap();
        assert_eq!(
            of_sinkers,
            [
                "plain up interval sinkers idle",
                "plain up interval sinkers busy",
                "plain up interval sinkers many"
            ]
        );
        assert!(names(&["zstd"]).unwrap_err().contains("`zstd`; known: plain up interval, "));
        assert!(names(&["--bodies", "10_001"]).is_err());
    }

    #[test]
    fn settings_name_every_sinker_and_where_it_sends() {
        let case = |sinkers| cases().find(|case| case.sinkers == sinkers).unwrap();
        let (busy, many) = (case(Sinkers::Busy), case(Sinkers::Many));
        let receiver = Receiver::away(None, busy.place()).unwrap();
        let settings = busy.settings(&receiver).unwrap();
        assert_eq!(settings.matches("[[gateway.sinkers]]").count(), 100);
        assert!(settings.contains("host = 'web-099' }\"]\ndestination = \"d3\""), "{settings}");
        assert!(many.settings(&receiver).unwrap().contains("token=tkn_99\""));
        assert_eq!([99, 100].map(busy.place()), ["tkn_3", "tkn_default"]);
        assert_eq!([99, 100].map(many.place()), ["tkn_99", "tkn_default"]);
        let [conditions @ .., last] = conditions("web", 7);
        assert_eq!((conditions.len(), &*last), (9, "host = 'web-007'"));
    }
}
