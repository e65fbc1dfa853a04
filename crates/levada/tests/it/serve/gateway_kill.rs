//! Kill -9 while points go through the gateway: every point that was acknowledged arrives where it should.
//!
//! ```text
//! writers, each line with a number of its own ──► levada serve, killed at random moments ──► two receivers that gather
//! ```
//! - What was acknowledged arrives; what was not may, once.
//! - A line comes twice only when the process was killed before its first arrival was noted: [`CURSORS`] later.
//! - At every scrape, accepted = delivered + dropped + dead-lettered + queued, for each destination.

#![expect(clippy::disallowed_methods, reason = "tests look at the real clock")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use levada_testkit::fake_http::{FakeServer, Reply, Request};
use levada_testkit::http::{free_port, request};
use levada_testkit::process::{Folder, Running};
use levada_testkit::seeded::Random;
use rustix::process::Signal;

const LEVADA: &str = env!("CARGO_BIN_EXE_levada");
/// How long anything may take that takes well below a second; machines that build meanwhile are slow.
const LONG: Duration = Duration::from_secs(30);
/// How long a start may take, however much waits.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// Times that progress was noted after which a delivery must be among it: one may be under way when it happens, and one
/// more when it is told.
const CURSORS: u64 = 3;
/// From the arrival of a line to when the gateway has heard the answer; machines that build meanwhile are slow.
const HEARD: Duration = Duration::from_millis(300);
const ROUNDS: u64 = 9;
const WRITERS: u64 = 3;
/// Every third round nobody receives, and what was accepted piles up.
const AWAY_EVERY: u64 = 3;
/// One in so many requests to a receiver fails.
const FAILS: u64 = 11;
/// Lines of this kind go to the second receiver.
const SUNK: u64 = 4;

/// A line that arrived: when, and in which life of the process.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    life: u64,
    at: Instant,
}

/// A receiver that may fail now and then, and keeps the numbers of the lines that it took.
struct Receiver {
    server: FakeServer,
    taken: Arc<Mutex<HashMap<u64, Vec<Arrival>>>>,
    failed: Arc<AtomicU64>,
}

/// What all threads share.
#[derive(Default)]
struct Stage {
    /// How often the process was started.
    life: AtomicU64,
    /// Nobody receives.
    is_away: AtomicBool,
    is_over: AtomicBool,
}

/// What writers were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<u64>,
    /// Sent, but nobody knows whether it was taken.
    unsure: BTreeSet<u64>,
}

/// What `/metrics` told at one instant.
struct Scrape {
    life: u64,
    at: Instant,
    sums: Sums,
}

/// Numbers of a destination.
type Sums = BTreeMap<String, BTreeMap<&'static str, u64>>;

/// Gives how many kills a test makes: `LEVADA_KILL_ROUNDS`, or few.
fn rounds() -> u64 {
    std::env::var("LEVADA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

fn is_sunk(number: u64) -> bool {
    number.is_multiple_of(SUNK)
}

/// Writes a line; some are long, so that some bodies are compressed when they are queued and others when they are sent.
fn line(number: u64, out: &mut String) {
    let kind = if is_sunk(number) { "sunk" } else { "other" };
    let text = "x".repeat((number % 7 * 40) as usize);
    let time = 1_700_000_000_000_000_000 + number;
    writeln!(out, "m,kind={kind} number={number}i,text=\"{text}\" {time}").unwrap();
}

/// Gives the number of a line that must be as it was written.
fn number_of(text: &str) -> u64 {
    let (_, rest) = text.split_once("number=").unwrap();
    let number = rest.split_once('i').unwrap().0.parse().unwrap();
    let mut expected = String::new();
    line(number, &mut expected);
    assert_eq!(expected.trim_end(), text);
    number
}

// === impl Receiver ===

impl Receiver {
    fn start(stage: &Arc<Stage>) -> Self {
        let taken = Arc::<Mutex<HashMap<u64, Vec<Arrival>>>>::default();
        let (kept, failed, stage) =
            (Arc::clone(&taken), Arc::<AtomicU64>::default(), Arc::clone(stage));
        let (count, failures) = (AtomicU64::new(0), Arc::clone(&failed));
        let server = FakeServer::start(move |request| {
            let at = count.fetch_add(1, Ordering::Relaxed) % FAILS;
            if stage.is_away.load(Ordering::SeqCst) || at == 4 {
                failures.fetch_add(1, Ordering::Relaxed);
                return Reply::new(503, "");
            }
            if at == 8 {
                failures.fetch_add(1, Ordering::Relaxed);
                return Reply::cut();
            }
            let body = unpacked(request);
            assert_eq!(request.header("x-points").unwrap(), body.lines().count().to_string());
            let arrival = Arrival { life: stage.life.load(Ordering::SeqCst), at: Instant::now() };
            let mut taken = kept.lock().unwrap();
            for line in body.lines() {
                taken.entry(number_of(line)).or_default().push(arrival);
            }
            Reply::new(200, "")
        });
        Receiver { server, taken, failed }
    }
}

fn unpacked(request: &Request) -> String {
    let mut text = String::new();
    match request.header("content-encoding") {
        Some("gzip") => MultiGzDecoder::new(&request.body[..]).read_to_string(&mut text).map(drop),
        _ => (&request.body[..]).read_to_string(&mut text).map(drop),
    }
    .unwrap();
    text
}

/// Writes until the stage is over; the process may be gone at any time.
fn write(stage: &Stage, address: &str, writer: u64, next: &AtomicU64) -> Told {
    let (mut told, mut random) = (Told::default(), Random::new(writer + 1));
    while !stage.is_over.load(Ordering::SeqCst) {
        let most = if random.below(6) == 0 { 400 } else { 12 };
        let count = 1 + random.below(most);
        let first = next.fetch_add(count, Ordering::Relaxed);
        let mut body = String::new();
        (first..first + count).for_each(|number| line(number, &mut body));
        let (mut headers, mut bytes) = (Vec::new(), body.into_bytes());
        if random.below(3) == 0 {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).unwrap();
            (headers, bytes) = (vec![("content-encoding", "gzip")], encoder.finish().unwrap());
        }
        let answer = request(address, "POST", "/v1/write/network", &headers, &bytes);
        match answer {
            Ok((200, _)) => told.acknowledged.extend(first..first + count),
            Ok((503, _)) => told.unsure.extend(first..first + count),
            Ok((status, text)) => panic!("{status} {}", String::from_utf8_lossy(&text)),
            // It was never sent.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(_) => {
                told.unsure.extend(first..first + count);
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    told
}

/// Asks for the sums, which must agree; nothing when the process is gone.
fn sums(address: &str) -> Option<Sums> {
    let (status, text) = request(address, "GET", "/metrics", &[], b"").ok()?;
    assert_eq!(status, 200);
    let text = String::from_utf8(text).unwrap();
    let mut all = Sums::new();
    for line in text.lines() {
        for (name, key) in [
            ("levada_gateway_accepted_points_total{", "accepted"),
            ("levada_gateway_delivered_points_total{", "delivered"),
            ("levada_gateway_dropped_points_total{", "dropped"),
            ("levada_gateway_dead_letter_points{", "dead-lettered"),
            ("levada_gateway_queued_points{", "queued"),
            ("levada_gateway_wal_cursor_writes_total{", "cursors"),
        ] {
            let Some(labels) = line.strip_prefix(name) else { continue };
            let destination =
                labels.split("destination=\"").nth(1).unwrap().split('"').next().unwrap();
            let value: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            *all.entry(destination.to_owned()).or_default().entry(key).or_default() += value;
        }
    }
    assert_eq!(all.len(), 2, "{text}");
    for (destination, sums) in &all {
        let rest: u64 =
            ["delivered", "dropped", "dead-lettered", "queued"].map(|key| sums[key]).iter().sum();
        assert_eq!(sums["accepted"], rest, "{destination}: {sums:?}");
    }
    Some(all)
}

/// Scrapes until the stage is over.
fn scrape(stage: &Stage, address: &str) -> Vec<Scrape> {
    let mut scrapes = Vec::new();
    while !stage.is_over.load(Ordering::SeqCst) {
        let (life, at) = (stage.life.load(Ordering::SeqCst), Instant::now());
        if let Some(sums) = sums(address)
            && stage.life.load(Ordering::SeqCst) == life
        {
            scrapes.push(Scrape { life, at, sums });
        }
        thread::sleep(Duration::from_millis(15));
    }
    scrapes
}

/// Gives, for each life, until when what arrived must have been noted.
fn noted(scrapes: &[Scrape], destination: &str) -> BTreeMap<u64, Instant> {
    let cursors = |scrape: &Scrape| scrape.sums[destination]["cursors"];
    let last: BTreeMap<u64, u64> = scrapes.iter().map(|it| (it.life, cursors(it))).collect();
    let is_noted = |scrape: &&Scrape| cursors(scrape) + CURSORS <= last[&scrape.life];
    let early = scrapes.iter().filter(is_noted);
    early.filter_map(|scrape| Some((scrape.life, scrape.at.checked_sub(HEARD)?))).collect()
}

/// Starts the program; gives how long it took until it told its sums.
fn start(folder: &Folder, address: &str, stage: &Stage, arguments: &[&str]) -> (Running, Duration) {
    stage.life.fetch_add(1, Ordering::SeqCst);
    let began = Instant::now();
    let mut running = folder.start(LEVADA, arguments);
    running.until("it tells its sums", LONG, || sums(address).is_some());
    (running, began.elapsed())
}

#[test]
fn killed_while_points_go_through() {
    let (folder, stage) = (Folder::new(), Arc::<Stage>::default());
    let (main, sunk) = (Receiver::start(&stage), Receiver::start(&stage));
    let address = format!("127.0.0.1:{}", free_port());
    let settings = |round: u64| {
        let sync = ["interval", "always", "none"][(round % 3) as usize];
        [
            format!("gateway.urls=[\"{}\"]", main.server.url("/?token=tkn_main")),
            format!(
                "gateway.sinkers=[{{\"categories\":[\"N\"],\"filters\":[\"{{ kind = 'sunk' }}\"],\"url\":\"{}\"}}]",
                sunk.server.url("/?token=tkn_sunk")
            ),
            format!("gateway.queue.sync={sync}"),
            // Many files, and most of what piles up is not in memory.
            "gateway.queue.segment-bytes=64KiB".to_owned(),
            "gateway.queue.memory-bytes=64KiB".to_owned(),
            "gateway.retry.initial=20ms".to_owned(),
            "gateway.retry.max=100ms".to_owned(),
            "gateway.breaker.open=100ms".to_owned(),
            "gateway.breaker.open-max=200ms".to_owned(),
            "data.dir=data".to_owned(),
            format!("http.listen={address}"),
        ]
    };
    let starting = |round: u64| {
        let settings = settings(round);
        let mut arguments = vec!["serve"];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        start(&folder, &address, &stage, &arguments)
    };
    let (rounds, next) = (rounds(), AtomicU64::new(0));
    let (mut recoveries, mut queued_max) = (Vec::new(), 0);
    let mut delays = Random::new(7);
    let (mut running, _) = starting(0);
    let (told, scrapes, mut running) = thread::scope(|scope| {
        let (stage, address, next) = (&*stage, &*address, &next);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(stage, address, writer, next)))
            .collect();
        let scraper = scope.spawn(|| scrape(stage, address));
        for round in 1..=rounds {
            stage.is_away.store(round.is_multiple_of(AWAY_EVERY), Ordering::SeqCst);
            // Long enough that much is noted, or so short that nothing is.
            let least = if round.is_multiple_of(2) { 1_000 } else { 50 };
            thread::sleep(Duration::from_millis(least + delays.below(400)));
            running.signal(Signal::KILL);
            let ended = running.wait(LONG).expect_no_panic();
            assert_eq!(ended.code, None, "{ended:#?}");
            let took;
            (running, took) = starting(round);
            assert!(took < RECOVERY_MAX, "round {round}: it took {took:?}");
            recoveries.push(took);
            let queued = sums(address).unwrap().values().map(|sums| sums["queued"]).sum();
            queued_max = queued_max.max(queued);
        }
        stage.is_away.store(false, Ordering::SeqCst);
        stage.is_over.store(true, Ordering::SeqCst);
        let mut told = Told::default();
        for writer in writers {
            let Told { acknowledged, unsure } = writer.join().unwrap();
            told.acknowledged.extend(acknowledged);
            told.unsure.extend(unsure);
        }
        (told, scraper.join().unwrap(), running)
    });
    let mut last = Sums::new();
    running.until("nothing waits any more", LONG, || {
        last = sums(&address).unwrap();
        last.values().all(|sums| sums["queued"] == 0)
    });
    running.signal(Signal::TERM);
    running.wait(LONG).expect_code(0);

    let (mut twice, mut never_again) = (0, 0);
    for (receiver, destination) in [(&main, "default"), (&sunk, "sinker-1")] {
        let wants_sunk = destination != "default";
        let taken = receiver.taken.lock().unwrap();
        for number in &told.acknowledged {
            let is_here = taken.contains_key(number);
            assert_eq!(is_here, is_sunk(*number) == wants_sunk, "line {number} was acknowledged");
        }
        let noted = noted(&scrapes, destination);
        for (number, arrivals) in &*taken {
            let is_known = told.acknowledged.contains(number) || told.unsure.contains(number);
            assert!(is_known && is_sunk(*number) == wants_sunk, "line {number}");
            let is_noted = |it: &Arrival| noted.get(&it.life).is_some_and(|until| it.at < *until);
            never_again += u64::from(is_noted(&arrivals[0]));
            for pair in arrivals.windows(2) {
                twice += 1;
                assert!(
                    pair[0].life < pair[1].life && !is_noted(&pair[0]),
                    "line {number} came twice: {arrivals:?}, noted until {noted:?}"
                );
            }
        }
        // Each accepted point arrived, and nothing that was not accepted.
        assert_eq!(last[destination]["delivered"], taken.len() as u64, "{destination}: {last:?}");
    }
    recoveries.sort_unstable();
    let (acknowledged, unsure) = (told.acknowledged.len(), told.unsure.len());
    let failed: u64 = [&main, &sunk].map(|it| it.failed.load(Ordering::Relaxed)).iter().sum();
    eprintln!(
        "{rounds} kills: {acknowledged} points acknowledged, {unsure} unsure, {twice} came twice, {never_again} might not, \
         {failed} requests failed, sums agreed at {} scrapes; at most {queued_max} points waited at a start; recovery took {:?} in the middle, {:?} at most",
        scrapes.len(),
        recoveries[recoveries.len() / 2],
        recoveries[recoveries.len() - 1]
    );
    assert!(acknowledged > 1_000 && scrapes.len() > 10 && failed > 5, "the test proves little");
    assert!(never_again > 0, "no round was long enough for progress to be noted");
}
