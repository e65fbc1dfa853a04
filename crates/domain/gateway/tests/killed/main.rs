//! A queue whose process is killed again and again.
//!
//! The program starts itself as a child that appends and delivers, and tells on its output what it was promised and what
//! it delivered; then it kills the child. At the end every record that was accepted must have been delivered, and none
//! again that a cursor had noted.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_codec::compression::Compression;
use levada_gateway::wal::{
    Attributes, Counts, Encoding, Outcome, Queue, QueueSettings, Receipt, Record, Sync,
};
use levada_model::{Category, Timestamp};
use levada_runtime::{Clock, SystemClock, Tasks};

/// Kills in each mode.
const ROUNDS: u64 = 12;

/// Cursors after which a delivery must have been noted: one may be under way when it happens, and one more when it is
/// told.
const CURSORS: u64 = 3;

const MODES: [&str; 3] = ["always", "interval", "none"];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, folder, mode, round] = &arguments[..]
        && word == "child"
    {
        child(Path::new(folder), mode, round.parse().unwrap());
        return;
    }
    for mode in MODES {
        Story::default().run(mode);
    }
}

fn settings(mode: &str) -> QueueSettings {
    let sync = match mode {
        "always" => Sync::Always,
        "interval" => Sync::Interval(Duration::from_millis(20)),
        _ => Sync::None,
    };
    QueueSettings {
        sync,
        age_max: None,
        segment_bytes: 256 << 10,
        reserve_bytes: 64 << 10,
        memory_bytes_max: 128 << 10,
        cursor_interval: Duration::from_millis(20),
        fresh_age: Duration::from_millis(200),
        ..QueueSettings::default()
    }
}

fn record(id: u64) -> Record {
    let mut body = id.to_le_bytes().to_vec();
    body.extend((0..id % 3_000).map(|at| (at * 13 + id) as u8));
    Record {
        category: Category::Metric,
        points: points_of(id),
        raw_bytes: 1,
        packed_at: Timestamp(1_700_000_000_000_000_000),
        encoding: Encoding::LineProtocol,
        compression: Compression::None,
        attributes: Attributes::default(),
        body: Bytes::from(body),
    }
}

fn points_of(id: u64) -> u32 {
    (id % 7) as u32
}

fn id_of(record: &Record) -> u64 {
    let id = u64::from_le_bytes(record.body[..8].try_into().unwrap());
    assert_eq!(record.body, self::record(id).body);
    id
}

fn open(folder: &Path, mode: &str) -> Queue {
    let clock: Arc<dyn Clock> = SystemClock::new();
    Queue::open(folder, "team-a", settings(mode), &Tasks::new(), clock).unwrap()
}

/// Says a line in one write, which a kill does not tear.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes()).unwrap();
    output.flush().unwrap();
}

/// Appends and delivers until it is killed.
fn child(folder: &Path, mode: &str, round: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = open(folder, mode);
        let Counts { accepted, delivered, dead_lettered, queued, .. } = queue.counts();
        let dropped = queue.counts().dropped_total();
        say(&format!("O {accepted} {} {queued}", delivered + dropped + dead_lettered));
        let appends = (0..4_u64).map(|writer| {
            let queue = queue.clone();
            async move {
                for count in 0.. {
                    let id = round << 32 | writer << 24 | count;
                    match queue.append(record(id)).await.unwrap() {
                        Receipt::Kept { .. } => say(&format!("A {id}")),
                        Receipt::Dropped(reason) => panic!("{reason:?}"),
                    }
                    // Leave something for the next one, but not ever more.
                    if queue.counts().queued > 3_000 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        });
        let sends = (0..3).map(|_| {
            let queue = queue.clone();
            async move {
                while let Some(lease) = queue.next().await {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let cursors = queue.status().io.cursor_writes;
                    say(&format!("D {} {cursors}", id_of(lease.record())));
                    lease.done(Outcome::Delivered);
                }
            }
        });
        let sends = futures_util::future::join_all(sends);
        tokio::join!(futures_util::future::join_all(appends), sends);
    });
}

#[derive(Default)]
struct Story {
    accepted: BTreeMap<u64, u64>,
    /// Record → round, and cursors written in it when it was delivered.
    delivered: BTreeMap<u64, (u64, u64)>,
    /// Round → cursors written in it that anybody heard of.
    cursors: BTreeMap<u64, u64>,
    repeated: u64,
}

// === impl Story ===

impl Story {
    fn run(&mut self, mode: &str) {
        let folder = tempfile::tempdir().unwrap();
        for round in 1..=ROUNDS {
            self.round(folder.path(), mode, round);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let queue = open(folder.path(), mode);
            assert!(queue.counts().is_balanced(), "{:?}", queue.counts());
            queue.drain();
            while let Some(lease) = queue.next().await {
                self.deliver(id_of(lease.record()), ROUNDS + 1, 0);
                lease.done(Outcome::Delivered);
            }
            let status = queue.status();
            assert!(status.counts.is_balanced(), "{status:?}");
            assert_eq!((status.counts.queued, status.counts.dropped_total()), (0, 0), "{status:?}");
            queue.close().await;
        });
        let lost: Vec<_> =
            self.accepted.keys().filter(|id| !self.delivered.contains_key(id)).collect();
        assert_eq!(lost, [0_u64; 0].iter().collect::<Vec<_>>(), "{mode}");
        assert!(self.accepted.len() > 100, "{mode}: {} records", self.accepted.len());
        assert!(self.repeated < self.accepted.len() as u64, "{mode}: {}", self.repeated);
    }

    fn round(&mut self, folder: &Path, mode: &str, round: u64) {
        let program: PathBuf = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["child", folder.to_str().unwrap(), mode, &round.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        // Killed after so many lines, at a place of its own in each round.
        let lines = 40 + round * round * 37 % 900;
        for _ in 0..lines {
            assert!(output.read_line(&mut text).unwrap() > 0, "the child ended by itself");
        }
        child.kill().unwrap();
        output.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        for line in text.lines() {
            self.read(line, round);
        }
    }

    fn read(&mut self, line: &str, round: u64) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "O" => {
                assert_eq!(number(1), number(2) + number(3), "round {round}");
                let promised: u64 = self.accepted.keys().map(|id| u64::from(points_of(*id))).sum();
                assert!(number(1) >= promised, "round {round}: {line}, {promised} were promised");
            }
            "A" => {
                self.accepted.insert(number(1), round);
            }
            "D" => self.deliver(number(1), round, number(2)),
            _ => panic!("{line}"),
        }
    }

    fn deliver(&mut self, id: u64, round: u64, cursors: u64) {
        if let Some((before, noted)) = self.delivered.insert(id, (round, cursors)) {
            assert!(before < round, "{id} was delivered twice in round {round}");
            let heard = self.cursors[&before];
            assert!(
                noted + CURSORS > heard,
                "{id} comes again in round {round}, {} cursors after it was delivered in {before}",
                heard - noted
            );
            self.repeated += 1;
        }
        let heard = self.cursors.entry(round).or_default();
        *heard = cursors.max(*heard);
    }
}
