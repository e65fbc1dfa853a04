//! From the records of a body to their queues.
//!
//! ```text
//! prepared ─▶ begin: on the thread that prepared it, as far as nothing is waited for ─▶ finish: the rest
//!     └─ a small body, or a full queue ─▶ submit: waits for room ────────────────────────▶┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use levada_model::Category;

use super::{Gateway, PutWatch, State};
use crate::ingest::{Outgoing, WriteError, Written};
use crate::rules::DestinationId;
use crate::wal::{AppendError, Here, Receipt, Record, Reservation, Waiting};

/// A body that is ready to be queued.
pub(super) struct Prepared {
    pub(super) outgoing: Vec<Outgoing>,
    pub(super) written: Written,
    /// What the places of the records mean.
    pub(super) state: Arc<State>,
    pub(super) entered: Entered,
}

/// Tells of a body for as long as it waits for its queues.
pub(super) struct Entered {
    watch: Option<Arc<dyn PutWatch>>,
    category: Category,
    points: u64,
    is_taken: bool,
}

/// Whether there was room for a body.
pub(super) enum Begun {
    /// It is on its way into the queues.
    Yes(Submission),
    /// Nothing of it is queued.
    No(Prepared),
}

/// A body for which there is room in all queues.
pub(super) struct Submission {
    state: Arc<State>,
    entered: Entered,
    taking: Taking,
    done: Vec<Queued>,
    rest: Vec<Unqueued>,
}

/// Counts a body as taken whose writer did not wait for the end.
struct Taking {
    gateway: Arc<Gateway>,
    written: Option<Written>,
}

/// A record that a queue has taken, or refused.
struct Queued {
    destination: DestinationId,
    points: u64,
    result: Result<Receipt, AppendError>,
}

/// A record that is on its way into its queue.
struct Unqueued {
    destination: DestinationId,
    points: u64,
    bytes: u64,
    started: Duration,
    step: QueueStep,
}

enum QueueStep {
    /// It is to be appended, into the room that was set aside.
    Append(Record, Reservation),
    /// It is being written.
    Wait(Waiting),
    /// Nothing is left to do.
    Over,
}

/// Room in queues.
type Rooms = Vec<(DestinationId, Reservation)>;
/// The records of one queue.
type Group<'r> = (DestinationId, Vec<&'r Record>);

// === impl Entered ===

impl Entered {
    pub(super) fn new(
        watch: Option<&Arc<dyn PutWatch>>,
        outgoing: &[Outgoing],
        points: u64,
    ) -> Self {
        let category = outgoing.first().map(|first| first.record.category);
        let watch = watch.filter(|_| category.is_some()).cloned();
        let category = category.unwrap_or(Category::Unknown);
        if let Some(watch) = &watch {
            watch.entered(category, points);
        }
        Entered { watch, category, points, is_taken: false }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.left(self.category, self.points, self.is_taken);
        }
    }
}

// === impl Taking ===

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(written) = &self.written {
            self.gateway.stats.taken(written);
        }
    }
}

// === impl Submission ===

impl Submission {
    /// Gives each record its part of the room.
    fn new(gateway: &Arc<Gateway>, prepared: Prepared, mut rooms: Rooms) -> Self {
        let Prepared { outgoing, written, state, entered } = prepared;
        let started = state.now();
        let rest = outgoing.into_iter().filter_map(|Outgoing { destination, record }| {
            // There is room for all of them.
            let (_, room) = rooms.iter_mut().find(|(known, _)| *known == destination)?;
            let (points, bytes) = (record.points.into(), record.stored_bytes());
            let room = room.part(&record);
            let step = QueueStep::Append(record, room);
            Some(Unqueued { destination, points, bytes, started, step })
        });
        let rest = rest.collect();
        let taking = Taking { gateway: Arc::clone(gateway), written: Some(written) };
        Submission { state, entered, taking, done: Vec::new(), rest }
    }

    /// Gives the time on the clock of the queues.
    pub(super) fn now(&self) -> Duration {
        self.state.now()
    }
}

// === impl Gateway ===

impl Gateway {
    /// Queues what a body became as far as nothing has to be waited for, on a thread that may block; gives it back when a
    /// queue has no room now.
    ///
    /// A hundred small records cost less when they are written here than when a hundred threads are woken for them.
    pub(super) fn begin(self: &Arc<Self>, prepared: Prepared) -> Begun {
        let rooms = prepared.state.try_rooms(&groups(&prepared.outgoing));
        let Ok(Ok(rooms)) = rooms else { return Begun::No(prepared) };
        let mut submission = Submission::new(self, prepared, rooms);
        for mut one in std::mem::take(&mut submission.rest) {
            one.started = submission.now();
            one.step = match std::mem::replace(&mut one.step, QueueStep::Over) {
                QueueStep::Append(record, room) => match room.append_here(record) {
                    Here::Done(result) => {
                        let queued = self.queued(&submission.state, &one, result);
                        submission.done.push(queued);
                        continue;
                    }
                    Here::Waiting(waiting) => QueueStep::Wait(waiting),
                    Here::Back(record, room) => QueueStep::Append(record, room),
                },
                step => step,
            };
            submission.rest.push(one);
        }
        Begun::Yes(submission)
    }

    /// Queues what a body became. Dropped while it waits for room, nothing is taken; dropped later, all of it is.
    pub(super) async fn submit(
        self: &Arc<Self>,
        mut prepared: Prepared,
        patience: Option<Duration>,
    ) -> Result<Written, WriteError> {
        let started = prepared.state.now();
        let until = patience.map(|patience| started + patience);
        let rooms = match prepared.state.rooms(&prepared.outgoing, until).await {
            Ok((rooms, waits)) => {
                if waits > 0 {
                    prepared.written.waited = prepared.state.now().saturating_sub(started);
                    prepared.written.waits = waits;
                }
                rooms
            }
            Err(error) => {
                self.stats.refused_bodies.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        self.finish(Submission::new(self, prepared, rooms), until).await
    }

    /// Waits until all records are in their queues.
    pub(super) async fn finish(
        &self,
        submission: Submission,
        until: Option<Duration>,
    ) -> Result<Written, WriteError> {
        let Submission { state, mut entered, mut taking, mut done, rest } = submission;
        let places = &*state;
        let appends = rest.into_iter().map(|mut one| async move {
            let step = std::mem::replace(&mut one.step, QueueStep::Over);
            let result = match step {
                QueueStep::Append(record, room) => room.append(record, until).await,
                QueueStep::Wait(waiting) => waiting.end(until).await,
                QueueStep::Over => Err(AppendError::Closed),
            };
            self.queued(places, &one, result)
        });
        // Queues flush side by side.
        done.extend(futures_util::future::join_all(appends).await);
        let mut written = taking.written.take().unwrap_or_default();
        let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
        let mut failure = None;
        for Queued { destination, points, result } in done {
            let name = &*places.outlet(destination)?.name;
            match result {
                Ok(receipt) => {
                    *taken.entry(name).or_default() += points;
                    written.dropped += match receipt {
                        Receipt::Kept { .. } => 0,
                        Receipt::Dropped(_) => points,
                    };
                }
                Err(error) => failure = Some((name, error)),
            }
        }
        entered.is_taken = failure.is_none();
        let Some((name, error)) = failure else {
            self.stats.taken(&written);
            return Ok(written);
        };
        self.stats.refused_bodies.fetch_add(1, Ordering::Relaxed);
        if taken.is_empty() {
            return Err(match error {
                AppendError::Full => WriteError::Full,
                error => error.into(),
            });
        }
        self.stats.partial_bodies.fetch_add(1, Ordering::Relaxed);
        self.stats.partial_copies.fetch_add(taken.values().sum(), Ordering::Relaxed);
        let taken = taken.into_iter().map(|(name, points)| (name.to_owned(), points)).collect();
        Err(WriteError::Partial { destination: name.to_owned(), taken, source: error })
    }

    fn queued(
        &self,
        state: &State,
        one: &Unqueued,
        result: Result<Receipt, AppendError>,
    ) -> Queued {
        if let (Ok(Receipt::Kept { .. }), Some((watch, _))) = (&result, self.watch.get())
            && let Ok(outlet) = state.outlet(one.destination)
        {
            let took = outlet.queue.now().saturating_sub(one.started);
            watch.put(&outlet.queue, one.bytes, took);
        }
        Queued { destination: one.destination, points: one.points, result }
    }
}

// === impl State ===

impl State {
    /// Gives the time on the clock of the queues.
    fn now(&self) -> Duration {
        self.outlets.first().map(|outlet| outlet.queue.now()).unwrap_or_default()
    }

    /// Sets room aside in every queue that records go to, or in none of them while one has no room.
    async fn rooms(
        &self,
        outgoing: &[Outgoing],
        until: Option<Duration>,
    ) -> Result<(Rooms, u32), WriteError> {
        let groups = groups(outgoing);
        let mut waits = 0;
        loop {
            let full = match self.try_rooms(&groups)? {
                Ok(rooms) => return Ok((rooms, waits)),
                Err(full) => full,
            };
            // Who waits holds nothing that others wait for.
            waits += 1;
            let (destination, records) = &groups[full];
            if !self.outlet(*destination)?.queue.room(records, until).await? {
                return Err(WriteError::Full);
            }
        }
    }

    /// Sets room aside in every queue, or in none of them; then gives the place of the group for which there is none.
    fn try_rooms(&self, groups: &[Group<'_>]) -> Result<Result<Rooms, usize>, WriteError> {
        let mut rooms = Vec::with_capacity(groups.len());
        for (at, (destination, records)) in groups.iter().enumerate() {
            match self.outlet(*destination)?.queue.try_reserve(records)? {
                Some(room) => rooms.push((*destination, room)),
                None => return Ok(Err(at)),
            }
        }
        Ok(Ok(rooms))
    }
}

fn groups(outgoing: &[Outgoing]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for Outgoing { destination, record } in outgoing {
        match groups.iter_mut().find(|(known, _)| known == destination) {
            Some((_, records)) => records.push(record),
            None => groups.push((*destination, vec![record])),
        }
    }
    groups
}
