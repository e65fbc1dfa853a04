//! `bench flow p2` and `p3`: flows between real servers, started here with their default durability.
//!
//! ```text
//! seeded records (orders) ──► levada run ──► topic ──► levada run flow.yaml (measure) ──► topic, table
//!                                                       topic ──► levada run ──► file, table ──► compared
//! ```
//! Only the process in the middle is measured. The servers work on the same two cores.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::measure::{self, Usage};
use super::{empty, grouped, orders, print_costs};
use crate::repo;

/// Ports of the bench's own servers, so that no test is in the way.
const KAFKA_PORT: u16 = 39092;
const POSTGRES_PORT: u16 = 35432;
/// Source: the definition of the workloads.
const MEMORY_GOAL_MB: f64 = 150.0;

/// One workload between servers.
pub(super) struct Flow {
    pub(super) name: &'static str,
    manifest: &'static str,
    delivery: &'static str,
    /// Records of a run, unless told otherwise.
    pub(super) records: u64,
    /// CPU seconds per million input records of others. Source: `bench/README.md`.
    peers: &'static [(&'static str, f64)],
    goal: f64,
    target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Topic,
    Table,
}

const P2_PEERS: &[(&str, f64)] = &[("Bento", 42.0), ("Vector", 46.0), ("original", 395.0)];
const P3_PEERS: &[(&str, f64)] = &[("Bento", 11.0), ("Vector", 16.0), ("original", 103.0)];

pub(super) const FLOWS: &[Flow] = &[
    Flow {
        name: "p2",
        manifest: "bench/flow/p2.yaml",
        delivery: "atLeastOnce",
        records: 400_000,
        peers: P2_PEERS,
        goal: 8.0,
        target: Target::Topic,
    },
    Flow {
        name: "p2-once",
        manifest: "bench/flow/p2.yaml",
        delivery: "exactlyOnce",
        records: 400_000,
        peers: P2_PEERS,
        goal: 10.0,
        target: Target::Topic,
    },
    Flow {
        name: "p3",
        manifest: "bench/flow/p3.yaml",
        delivery: "atLeastOnce",
        records: 1_000_000,
        peers: P3_PEERS,
        goal: 3.5,
        target: Target::Table,
    },
    Flow {
        name: "p3-once",
        manifest: "bench/flow/p3.yaml",
        delivery: "exactlyOnce",
        records: 1_000_000,
        peers: P3_PEERS,
        goal: 4.375,
        target: Target::Table,
    },
];

/// The servers, and where the runs work.
pub(super) struct Bench {
    levada: PathBuf,
    folder: PathBuf,
    scratch: PathBuf,
    runs: usize,
    /// Number of the bench's process: topics and tables of each are new.
    process: u32,
}

// === impl Bench ===

impl Bench {
    /// Starts the servers.
    pub(super) fn start(levada: PathBuf, folder: PathBuf, runs: usize) -> Result<Self> {
        let scratch = folder.join("run");
        empty(&scratch)?;
        service("kafka", "start", KAFKA_PORT)?;
        service("postgres", "start", POSTGRES_PORT)?;
        Ok(Bench { levada, folder, scratch, runs, process: std::process::id() })
    }

    /// Measures one workload.
    pub(super) fn flow(&self, flow: &Flow, records: u64) -> Result<()> {
        let topic = self.fill(flow, records)?;
        println!(
            "\nflow {}: {} records from Kafka, {} delivery, median of {}",
            flow.name,
            grouped(records),
            flow.delivery,
            self.runs
        );
        let mut usages = Vec::new();
        for run in 1..=self.runs {
            let usage = self
                .run_once(flow, records, &topic, run)
                .with_context(|| format!("{} run {run}", flow.name))?;
            println!(
                "  run {run}: {:.2} s, {:.2} CPU s, {:.1} MB",
                usage.wall_seconds, usage.cpu_seconds, usage.peak_mb
            );
            usages.push(usage);
        }
        print(flow, records, &usages);
        Ok(())
    }

    /// Brings the records into a topic; gives its name.
    fn fill(&self, flow: &Flow, records: u64) -> Result<String> {
        let (kind, file) = match flow.target {
            Target::Topic => {
                ("orders", orders::prepare(&self.folder, "orders", records, orders::order_line)?)
            }
            Target::Table => {
                ("rows", orders::prepare(&self.folder, "rows", records, orders::row_line)?)
            }
        };
        let topic = format!("bench-{kind}-{}-{records}", self.process);
        if self.folder.join(&topic).exists() {
            return Ok(topic);
        }
        let source = format!("{{type: file, config: {{paths: [\"{}\"]}}}}", file.display());
        let sink =
            format!("{{type: kafka, config: {{brokers: [\"{}\"], topic: {topic}}}}}", brokers());
        self.levada(&flow_of(&format!("{topic}-load"), &source, &sink), "load")?;
        File::create(self.folder.join(&topic))?;
        Ok(topic)
    }

    fn run_once(&self, flow: &Flow, records: u64, topic: &str, run: usize) -> Result<Usage> {
        let target = format!("bench_{}_{}_{run}", flow.name.replace('-', "_"), self.process);
        if flow.target == Target::Table {
            sql(&format!(
                "CREATE TABLE {target} (id bigint, name text, amount numeric(12,2), active boolean, created timestamptz, tags jsonb)"
            ))?;
        }
        let mut manifest = fs::read_to_string(repo::root().join(flow.manifest))?;
        for (placeholder, value) in [
            ("@BROKERS@", brokers()),
            ("@DATABASE@", database()),
            ("@SOURCE@", topic.to_owned()),
            ("@SINK@", target.clone()),
            ("@DELIVERY@", flow.delivery.to_owned()),
            // A group of its own for each run.
            ("bench-p", format!("{}-bench-p", target.replace('_', "-"))),
        ] {
            manifest = manifest.replace(placeholder, &value);
        }
        let (usage, summary) = self.levada(&manifest, "flow")?;
        let guarantee =
            if flow.delivery == "exactlyOnce" { "exactly-once" } else { "at-least-once" };
        ensure!(summary.contains(guarantee), "not {guarantee}: {summary}");
        let is_once = flow.delivery == "exactlyOnce";
        match flow.target {
            Target::Table => verify_table(&target, records, is_once)?,
            Target::Topic => {
                let output = self.folder.join("p2-output.ndjson");
                if output.exists() {
                    fs::remove_file(&output)?;
                }
                let source = format!(
                    "{{type: kafka, config: {{brokers: [\"{}\"], topic: {target}, stopAtEnd: true}}}}",
                    brokers()
                );
                let sink = format!("{{type: file, config: {{path: \"{}\"}}}}", output.display());
                self.levada(&flow_of(&format!("{topic}-verify-{run}"), &source, &sink), "verify")?;
                orders::verify(&output, records, is_once).context("the output is wrong")?;
                fs::remove_file(&output)?;
            }
        }
        Ok(usage)
    }

    /// Runs a flow in an empty folder; gives its cost and its summary.
    fn levada(&self, manifest: &str, what: &str) -> Result<(Usage, String)> {
        empty(&self.scratch)?;
        fs::write(self.scratch.join("flow.yaml"), manifest)?;
        let (summary, log) = (self.scratch.join("summary.json"), self.scratch.join("log.txt"));
        let mut command = Command::new(&self.levada);
        command
            .args(["run", "--output", "json", "flow.yaml"])
            .current_dir(&self.scratch)
            .stdout(File::create(&summary)?)
            .stderr(File::create(&log)?);
        let (status, usage) = measure::run(&mut command)?;
        if !status.success() {
            bail!("levada ({what}) ended with {status}:\n{}", fs::read_to_string(&log)?.trim_end());
        }
        Ok((usage, fs::read_to_string(&summary)?))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for (name, port) in [("kafka", KAFKA_PORT), ("postgres", POSTGRES_PORT)] {
            if let Err(error) = service(name, "stop", port) {
                eprintln!("{name} was not stopped: {error:#}");
            }
        }
        let _left = fs::remove_dir_all(&self.scratch).is_err();
    }
}

fn brokers() -> String {
    format!("127.0.0.1:{KAFKA_PORT}")
}

fn database() -> String {
    format!("postgres://postgres@127.0.0.1:{POSTGRES_PORT}/postgres")
}

/// Starts or stops a server; PostgreSQL with its default durability, Kafka with a heap for load.
fn service(name: &str, verb: &str, port: u16) -> Result<()> {
    let script = repo::root().join(format!("services/{name}/{verb}.sh"));
    let mut command = Command::new("bash");
    command
        .arg(script)
        .env("PORT", port.to_string())
        .env("PG_FSYNC", "on")
        .env("KAFKA_JVM", "-Xmx1g")
        .env("WIPE", "1")
        .stdin(std::process::Stdio::null());
    let output = command.output().with_context(|| format!("cannot {verb} {name}"))?;
    ensure!(
        output.status.success(),
        "cannot {verb} {name}: {}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}

fn flow_of(name: &str, source: &str, sink: &str) -> String {
    format!(
        "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: {{name: {name}}}\nspec:\n  source: {source}\n  sink: {sink}\n"
    )
}

/// Runs a statement and gives what `psql` prints.
fn sql(statement: &str) -> Result<String> {
    let output = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, &database()])
        .output()
        .context("cannot start psql")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Compares every row with what its record says.
fn verify_table(table: &str, records: u64, is_once: bool) -> Result<()> {
    let found =
        sql(&format!("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM {table}"))?;
    let [count, distinct, first, last] = found.split('|').collect::<Vec<_>>()[..] else {
        bail!("psql printed {found}")
    };
    let is_whole = distinct == records.to_string()
        && (first, last) == ("0", (records - 1).to_string().as_str())
        && (!is_once || count == distinct);
    ensure!(is_whole, "of {records} rows there are {found} (rows, ids, first, last)");
    // A sample of rows, field by field, as the server prints them.
    for number in (0..records).step_by(usize::try_from(records / 500 + 1)?) {
        let row = sql(&format!(
            "SELECT concat('{{\"id\":', id, ',\"name\":\"', name, '\",\"amount\":', amount, ',\"active\":', CASE WHEN active THEN 'true' ELSE 'false' END, ',\"created\":\"', to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '\",\"tags\":{{\"sku\":\"', tags->>'sku', '\",\"rank\":', tags->>'rank', '}}}}') FROM {table} WHERE id = {number} LIMIT 1"
        ))?;
        let wanted = orders::row_line(number);
        ensure!(row == wanted, "row {number} is {row}, should be {wanted}");
    }
    sql(&format!("DROP TABLE {table}"))?;
    Ok(())
}

fn print(flow: &Flow, records: u64, usages: &[Usage]) {
    print_costs(records, usages, flow.goal, MEMORY_GOAL_MB, flow.peers);
    let verified = match flow.target {
        Target::Topic => format!(
            "each of {} messages equals a second computation",
            grouped(orders::items(records))
        ),
        Target::Table => "every id is there; 500 rows field by field".to_owned(),
    };
    println!("  verified                 {verified}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_has_a_manifest_with_its_placeholders() {
        for flow in FLOWS {
            let path = repo::root().join(flow.manifest);
            let text = fs::read_to_string(path).unwrap_or_default();
            for placeholder in ["@BROKERS@", "@SOURCE@", "@SINK@", "@DELIVERY@"] {
                assert!(text.contains(placeholder), "{}: {placeholder}", flow.name);
            }
            assert_eq!(text.contains("@DATABASE@"), flow.target == Target::Table, "{}", flow.name);
        }
    }
}
