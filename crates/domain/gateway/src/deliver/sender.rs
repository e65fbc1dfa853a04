//! Takes records from one queue and brings them to its endpoints.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use levada_codec::compression::Compression;
use levada_model::Category;
use levada_runtime::{Clock, Shutdown};
use tokio::sync::Notify;

use super::concurrency::Adaptive;
use super::health::Wait;
use super::rate::Rate;
use super::{Answer, Group, SendPolicy};
use crate::ingest::{Encoder, Split, can_join};
use crate::wal::{DropReason, Lease, Outcome, Queue, Record};

/// The sender of one destination.
pub struct Sender {
    parts: SenderParts,
    concurrency: Adaptive,
    requests: Rate,
    bytes: Rate,
    stats: SendStats,
    reads: Option<ReadBytes>,
    /// Nothing waits for company any more.
    hurries: AtomicBool,
    hurry: Notify,
}

/// What a sender is made of.
pub struct SenderParts {
    /// The name of the destination.
    pub name: String,
    /// Where records come from.
    pub queue: Queue,
    /// Where they go.
    pub group: Group,
    /// How hard and how fast.
    pub policy: SendPolicy,
    /// How records that are not compressed yet are.
    pub compression: Compression,
    /// Compresses and splits.
    pub encoder: Arc<Encoder>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hears of every attempt.
    pub watch: Option<Arc<dyn Watch>>,
}

/// What a sender has done.
#[derive(Debug, Default)]
pub struct SendStats {
    /// Requests.
    pub requests: AtomicU64,
    /// Requests beside the first of each body.
    pub retries: AtomicU64,
    /// Bodies that were halved.
    pub splits: AtomicU64,
    /// Records that were sent together with others.
    pub joined: AtomicU64,
    /// Tags and fields that this kind of receiver cannot hold.
    pub left_out_fields: AtomicU64,
    /// Requests under way.
    pub in_flight: AtomicU64,
    /// When the receiver last said that the data of the contract is used up, Unix seconds; 0 when it does not.
    pub beyond_usage_since: AtomicU64,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The destination.
    pub destination: &'a str,
    /// The endpoint.
    pub endpoint: &'a str,
    /// What the points are about.
    pub category: Category,
    /// How many.
    pub points: u32,
    /// Bytes before compression.
    pub raw_bytes: u32,
    /// Bytes that were sent.
    pub sent_bytes: usize,
    /// What came of it.
    pub answer: &'a Answer,
    /// How long it took.
    pub took: Duration,
    /// Whether it was sent before.
    pub is_retry: bool,
    /// Whether the body was read from a file; of bodies that are sent together, the first one.
    pub is_from_disk: bool,
    /// How the body was compressed.
    pub compression: Compression,
}

/// Hears of every request: metrics are made of that.
pub trait Watch: Send + Sync + 'static {
    /// Is told when a request is over.
    fn attempted(&self, attempt: &Attempt<'_>);

    /// Is told of a body that waited too long.
    fn expired(&self, _category: Category) {}

    /// Gives what hears how large bodies are that were read from the files of a queue; a sender asks once.
    fn reads(&self, _queue: &Queue) -> Option<ReadBytes> {
        None
    }
}

/// Is told the bytes of a request whose body was read from a file.
pub type ReadBytes = Box<dyn Fn(usize) + Send + Sync>;

/// Small records that wait to fly together.
#[derive(Default)]
struct Gathered {
    leases: Vec<Lease>,
    bytes: usize,
    /// When they fly, whatever there is.
    until: Duration,
    /// They fly as soon as they may.
    is_full: bool,
    /// The record behind them, which is of another kind.
    other: Option<Lease>,
}

/// What came of one body.
enum Sent {
    /// All but so many points, which this kind of receiver cannot hold.
    Delivered(u32),
    Mixed(String),
    Refused(String),
    TooLarge,
    Expired,
    /// The sender stops.
    Stopped,
}

/// Most records that fly together: half of what a queue lends at once.
const GATHERED_MAX: usize = 128;

// === impl Gathered ===

impl Gathered {
    /// Gives what flies, and what comes after it.
    fn take(&mut self) -> (Vec<Lease>, Option<Lease>) {
        let Gathered { leases, other, .. } = std::mem::take(self);
        (leases, other)
    }
}

// === impl Sender ===

impl Sender {
    /// Makes one.
    pub fn new(parts: SenderParts) -> Self {
        Sender {
            concurrency: Adaptive::new(parts.policy.in_flight_max),
            requests: Rate::new(parts.policy.requests_per_second),
            bytes: Rate::new(parts.policy.bytes_per_second),
            stats: SendStats::default(),
            reads: parts.watch.as_ref().and_then(|watch| watch.reads(&parts.queue)),
            hurries: AtomicBool::new(false),
            hurry: Notify::new(),
            parts,
        }
    }

    /// Gives the name of the destination.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// Gives the queue.
    pub fn queue(&self) -> &Queue {
        &self.parts.queue
    }

    /// Gives the endpoints.
    pub fn group(&self) -> &Group {
        &self.parts.group
    }

    /// Gives what it has done.
    pub fn stats(&self) -> &SendStats {
        &self.stats
    }

    /// From now on small bodies do not wait for others: the end is near.
    pub fn hurry(&self) {
        self.hurries.store(true, Ordering::Release);
        self.hurry.notify_one();
    }

    /// Sends until the queue is closed or the shutdown begins; then what is under way may end, and what waits for another
    /// attempt goes back.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut draining = shutdown.clone();
        let mut draining = pin!(draining.draining());
        let mut flights = FuturesUnordered::new();
        let mut gathered = Gathered::default();
        let mut is_open = true;
        while is_open || !flights.is_empty() {
            let has_room = flights.len() < self.concurrency.limit();
            if is_open && has_room && gathered.is_full {
                let (leases, other) = gathered.take();
                flights.push(self.fly(leases, shutdown.clone()));
                other.into_iter().for_each(|lease| self.gather(lease, &mut gathered));
                continue;
            }
            let takes = is_open && has_room;
            let rest = match self.hurries.load(Ordering::Acquire) {
                true => Duration::ZERO,
                false => gathered.until.saturating_sub(self.parts.clock.monotonic()),
            };
            tokio::select! {
                biased;
                () = &mut draining, if is_open => is_open = false,
                Some(()) = flights.next(), if !flights.is_empty() => {}
                next = self.parts.queue.next(), if takes => match next {
                    Some(lease) => self.gather(lease, &mut gathered),
                    None => is_open = false,
                },
                () = self.hurry.notified() => {}
                () = self.parts.clock.sleep(rest), if takes && !gathered.leases.is_empty() => {
                    gathered.is_full = true;
                }
            }
        }
    }

    /// Looks from time to time whether the names of endpoints have moved, until the shutdown begins.
    pub async fn watch_names(&self, mut shutdown: Shutdown) {
        loop {
            for member in 0..self.parts.group.len() {
                let receiver = self.parts.group.receiver(member);
                tokio::select! {
                    biased;
                    () = shutdown.draining() => return,
                    () = receiver.look_up() => {}
                }
            }
            tokio::select! {
                biased;
                () = shutdown.draining() => return,
                () = self.parts.clock.sleep(NAMES_EVERY) => {}
            }
        }
    }

    /// Puts a record to those that wait to fly together, and more that are at hand; what does not fit in kind flies next.
    fn gather(&self, first: Lease, gathered: &mut Gathered) {
        let policy = &self.parts.policy;
        if gathered.leases.is_empty() {
            gathered.until = self.parts.clock.monotonic() + policy.linger;
        }
        let mut next = Some(first);
        while let Some(lease) = next.take() {
            let bytes = gathered.bytes + lease.record().body.len();
            let can_fly = gathered.leases.last().is_none_or(|last| {
                bytes <= policy.join_bytes_max && can_join(last.record(), lease.record())
            });
            if !can_fly || !gathered.leases.is_empty() && lease.attempts() > 0 {
                gathered.other = Some(lease);
                gathered.is_full = true;
                return;
            }
            let is_alone = lease.record().compression != Compression::None || lease.attempts() > 0;
            gathered.bytes = bytes;
            gathered.leases.push(lease);
            if is_alone || bytes >= policy.join_bytes_max || gathered.leases.len() >= GATHERED_MAX {
                gathered.is_full = true;
                return;
            }
            next = self.parts.queue.try_next();
        }
        gathered.is_full = policy.linger.is_zero();
    }

    async fn fly(&self, leases: Vec<Lease>, shutdown: Shutdown) {
        let _counted = Counted::new(&self.stats.in_flight);
        if leases.len() > 1 {
            let records: Vec<Record> = leases.iter().map(|lease| lease.record().clone()).collect();
            self.stats.joined.fetch_add(records.len() as u64, Ordering::Relaxed);
            if let Some(record) = self.parts.encoder.join(&records) {
                let outcome: fn() -> Outcome = match self.send(&record, &leases[0], &shutdown).await
                {
                    Sent::Delivered(left_out) => return delivered(leases, left_out),
                    Sent::Expired => || Outcome::Dropped(DropReason::Expired),
                    Sent::Stopped => || Outcome::Retry,
                    // One of them is to blame: each is sent alone.
                    Sent::Refused(_) | Sent::Mixed(_) | Sent::TooLarge => {
                        return self.each(leases, &shutdown).await;
                    }
                };
                leases.into_iter().for_each(|lease| lease.done(outcome()));
                return;
            }
        }
        self.each(leases, &shutdown).await;
    }

    async fn each(&self, leases: Vec<Lease>, shutdown: &Shutdown) {
        for lease in leases {
            let outcome = self.alone(&lease, shutdown).await;
            lease.done(outcome);
        }
    }

    /// Sends a record, in halves if need be.
    async fn alone(&self, lease: &Lease, shutdown: &Shutdown) -> Outcome {
        let mut waiting = vec![lease.record().clone()];
        let (mut delivered, mut expired, mut left_out) = (0, 0, 0);
        let mut refused: Vec<(Record, String)> = Vec::new();
        let (mut is_too_large, mut halvings, mut searches) = (false, 0, 0);
        while let Some(record) = waiting.pop() {
            let (reason, is_search) = match self.send(&record, lease, shutdown).await {
                Sent::Delivered(without) => {
                    left_out += without;
                    delivered += record.points - without;
                    continue;
                }
                Sent::Expired => {
                    expired += record.points;
                    continue;
                }
                Sent::Refused(reason) => {
                    refused.push((record, reason));
                    continue;
                }
                Sent::Stopped => return Outcome::Retry,
                Sent::TooLarge => ("status 413: one point".to_owned(), false),
                Sent::Mixed(reason) if searches < SEARCHES_MAX => (reason, true),
                Sent::Mixed(reason) => {
                    refused.push((record, reason));
                    continue;
                }
            };
            match self.parts.encoder.split(&record, self.parts.clock.now()) {
                Ok(Split::Halves(halves)) => {
                    self.stats.splits.fetch_add(1, Ordering::Relaxed);
                    halvings += 1;
                    searches += u32::from(is_search);
                    let (first, second) = *halves;
                    waiting.push(second);
                    waiting.push(first);
                }
                Ok(Split::Single) => {
                    is_too_large |= !is_search;
                    refused.push((record, reason));
                }
                Err(error) => refused.push((record, format!("cannot be halved: {error}"))),
            }
        }
        for (record, reason) in &refused {
            tracing::warn!(
                destination = %self.parts.name,
                points = record.points,
                reason,
                "points are refused for good"
            );
        }
        if halvings == 0 && left_out == 0 {
            return match refused.pop() {
                Some((_, reason)) if is_too_large => {
                    Outcome::DeadLetter { reason, otherwise: DropReason::TooLarge }
                }
                Some((_, reason)) => Outcome::DeadLetter { reason, otherwise: DropReason::Http4xx },
                None if expired > 0 => Outcome::Dropped(DropReason::Expired),
                None => Outcome::Delivered,
            };
        }
        let dropped = [(DropReason::Expired, expired), (DropReason::EncodeError, left_out)];
        let dropped = dropped.into_iter().filter(|(_, points)| *points > 0).collect();
        let letter = self.letter(refused);
        Outcome::Parts { delivered, dropped, letter }
    }

    /// Makes one letter of the halves that were refused, and of all reasons.
    fn letter(&self, refused: Vec<(Record, String)>) -> Option<(Record, String)> {
        let (records, mut reasons): (Vec<Record>, Vec<String>) = refused.into_iter().unzip();
        let record = self.parts.encoder.join(&records)?;
        reasons.dedup();
        Some((record, reasons.join("; ")))
    }

    /// Sends a body until something is decided about it.
    async fn send(&self, record: &Record, lease: &Lease, shutdown: &Shutdown) -> Sent {
        let SenderParts { clock, group, encoder, compression, .. } = &self.parts;
        let packed = match encoder.pack(record.clone(), *compression) {
            Ok(packed) => packed,
            Err(error) => return Sent::Refused(format!("cannot be compressed: {error}")),
        };
        let mut is_retry = lease.attempts() > 0;
        loop {
            if self.is_expired(record) {
                if let Some(watch) = &self.parts.watch {
                    watch.expired(record.category);
                }
                return Sent::Expired;
            }
            let leave = match group.choose(clock.monotonic()) {
                Ok(leave) => leave,
                Err(wait) => {
                    if self.wait(wait, shutdown).await {
                        continue;
                    }
                    return Sent::Stopped;
                }
            };
            let now = clock.monotonic();
            let bytes = packed.body.len();
            let rest = self.requests.take(1.0, now).max(self.bytes.take(bytes as f64, now));
            if !rest.is_zero() && !self.sleep(rest, shutdown).await {
                return Sent::Stopped;
            }
            let receiver = group.receiver(leave.member);
            let started = clock.monotonic();
            let mut aborting = shutdown.clone();
            let answer = tokio::select! {
                biased;
                answer = receiver.send(&packed, is_retry, clock.now()) => answer,
                () = aborting.aborting() => return Sent::Stopped,
            };
            let now = clock.monotonic();
            self.stats.requests.fetch_add(1, Ordering::Relaxed);
            self.stats.retries.fetch_add(u64::from(is_retry), Ordering::Relaxed);
            if let Some(hear) = self.reads.as_ref().filter(|_| lease.is_from_disk()) {
                hear(bytes);
            }
            if let Some(watch) = &self.parts.watch {
                watch.attempted(&Attempt {
                    destination: &self.parts.name,
                    endpoint: receiver.label(),
                    category: record.category,
                    points: record.points,
                    raw_bytes: record.raw_bytes,
                    sent_bytes: bytes,
                    answer: &answer,
                    took: now.saturating_sub(started),
                    is_retry,
                    is_from_disk: lease.is_from_disk(),
                    compression: packed.compression,
                });
            }
            match answer {
                Answer::Delivered { left_out, .. } => {
                    self.stats.left_out_fields.fetch_add(left_out.fields, Ordering::Relaxed);
                    self.stats.beyond_usage_since.store(0, Ordering::Relaxed);
                    self.concurrency.succeeded();
                    leave.works();
                    return Sent::Delivered(left_out.points.min(record.points));
                }
                Answer::TooLarge => {
                    leave.works();
                    return Sent::TooLarge;
                }
                Answer::Mixed { reason, .. } => {
                    leave.works();
                    return Sent::Mixed(reason);
                }
                Answer::Refused { reason, .. } => {
                    leave.works();
                    return Sent::Refused(reason);
                }
                Answer::Later { after, is_overload, reason, .. } => {
                    tracing::debug!(destination = %self.parts.name, endpoint = receiver.label(), reason, "later");
                    if is_overload {
                        self.concurrency.overloaded(now);
                    }
                    leave.fails(after, now);
                }
                Answer::Pause { is_beyond_usage, reason, .. } => {
                    if is_beyond_usage {
                        let seconds = clock.now().0.div_euclid(1_000_000_000).max(0);
                        self.stats
                            .beyond_usage_since
                            .store(seconds.unsigned_abs(), Ordering::Relaxed);
                    }
                    tracing::warn!(destination = %self.parts.name, endpoint = receiver.label(), reason, "the endpoint is paused");
                    leave.pauses(now);
                }
            }
            is_retry = true;
            if shutdown.is_draining() {
                return Sent::Stopped;
            }
        }
    }

    fn is_expired(&self, record: &Record) -> bool {
        let Some(age_max) = self.parts.policy.age_max else { return false };
        let age = self.parts.clock.now().0.saturating_sub(record.packed_at.0);
        u128::try_from(age).is_ok_and(|age| age > age_max.as_nanos())
    }

    /// Waits until an endpoint may be asked; gives whether to go on.
    async fn wait(&self, wait: Wait, shutdown: &Shutdown) -> bool {
        let now = self.parts.clock.monotonic();
        let rest = match wait {
            Wait::Until(until) => until.saturating_sub(now),
            // The answer to a probe wakes us; the bound is for one that came between.
            Wait::Probe => PROBE_WAIT_MAX,
        };
        let mut draining = shutdown.clone();
        tokio::select! {
            biased;
            () = draining.draining() => false,
            () = self.parts.group.changed() => true,
            () = self.parts.clock.sleep(rest) => true,
        }
    }

    async fn sleep(&self, rest: Duration, shutdown: &Shutdown) -> bool {
        let mut draining = shutdown.clone();
        tokio::select! {
            biased;
            () = draining.draining() => false,
            () = self.parts.clock.sleep(rest) => true,
        }
    }
}

/// A body is halved so often to find the points in it that are bad; what is left then is refused with them.
const SEARCHES_MAX: u32 = 64;

/// Says of records that were sent together that they are delivered, but for some points.
fn delivered(leases: Vec<Lease>, mut left_out: u32) {
    for lease in leases {
        let points = lease.record().points;
        let without = left_out.min(points);
        left_out -= without;
        lease.done(match without {
            0 => Outcome::Delivered,
            _ => Outcome::Parts {
                delivered: points - without,
                dropped: vec![(DropReason::EncodeError, without)],
                letter: None,
            },
        });
    }
}

/// How often names are looked up again. Source: dataway reference §5.5.
pub const NAMES_EVERY: Duration = Duration::from_secs(60);

/// How long a flight waits for a probe of another before it looks again.
const PROBE_WAIT_MAX: Duration = Duration::from_millis(100);

/// Counts up, and down again when it is dropped.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
