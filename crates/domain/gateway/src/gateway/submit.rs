//! Records on their way into the queues of a body.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Gateway, Prepared};
use crate::ingest::{Outgoing, WriteError, Written};
use crate::rules::DestinationId;
use crate::wal::{AppendError, Here, Receipt, Record, Reservation, Waiting};

/// Counts a body as taken whose writer did not wait for the end.
struct Taking {
    gateway: Arc<Gateway>,
    written: Option<Written>,
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(written) = &self.written {
            self.gateway.stats.taken(written);
        }
    }
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
    taking: Taking,
    done: Vec<Queued>,
    rest: Vec<Unqueued>,
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

// === impl Gateway ===

impl Gateway {
    /// Queues what a body became as far as nothing has to be waited for, on a thread that may block; gives it back when a
    /// queue has no room now.
    ///
    /// A hundred small records cost less when they are written here than when a hundred threads are woken for them.
    pub(super) fn begin(self: &Arc<Self>, prepared: Prepared) -> Begun {
        let groups = groups(&prepared.outgoing);
        let Ok(Ok(rooms)) = self.try_rooms(&groups) else { return Begun::No(prepared) };
        let mut submission = self.submission(prepared, rooms);
        for mut one in std::mem::take(&mut submission.rest) {
            one.started = self.now();
            one.step = match std::mem::replace(&mut one.step, QueueStep::Over) {
                QueueStep::Append(record, room) => match room.append_here(record) {
                    Here::Done(result) => {
                        submission.done.push(self.queued(&one, result));
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
        let started = self.now();
        let until = patience.map(|patience| started + patience);
        let rooms = match self.rooms(&prepared.outgoing, until).await {
            Ok((rooms, waits)) => {
                if waits > 0 {
                    prepared.written.waited = self.now().saturating_sub(started);
                    prepared.written.waits = waits;
                }
                rooms
            }
            Err(error) => {
                self.stats.refused_bodies.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        let submission = self.submission(prepared, rooms);
        self.finish(submission, until).await
    }

    /// Gives each record its part of the room.
    fn submission(self: &Arc<Self>, prepared: Prepared, mut rooms: Rooms) -> Submission {
        let Prepared { outgoing, written } = prepared;
        let started = self.now();
        let rest = outgoing.into_iter().filter_map(|Outgoing { destination, record }| {
            // There is room for all of them.
            let (_, room) = rooms.iter_mut().find(|(known, _)| *known == destination)?;
            Some(Unqueued {
                destination,
                points: record.points.into(),
                bytes: record.stored_bytes(),
                started,
                step: {
                    let room = room.part(&record);
                    QueueStep::Append(record, room)
                },
            })
        });
        let rest = rest.collect();
        let taking = Taking { gateway: Arc::clone(self), written: Some(written) };
        Submission { taking, done: Vec::new(), rest }
    }

    fn queued(&self, one: &Unqueued, result: Result<Receipt, AppendError>) -> Queued {
        let queue = &self.outlets[usize::from(one.destination)].queue;
        if let (Ok(Receipt::Kept { .. }), Some(watch)) = (&result, self.watch.get()) {
            watch.put(queue, one.bytes, queue.now().saturating_sub(one.started));
        }
        Queued { destination: one.destination, points: one.points, result }
    }

    /// Waits until all records are in their queues.
    pub(super) async fn finish(
        &self,
        submission: Submission,
        until: Option<Duration>,
    ) -> Result<Written, WriteError> {
        let Submission { mut taking, mut done, rest } = submission;
        let appends = rest.into_iter().map(|mut one| async move {
            let step = std::mem::replace(&mut one.step, QueueStep::Over);
            let result = match step {
                QueueStep::Append(record, room) => room.append(record, until).await,
                QueueStep::Wait(waiting) => waiting.end(until).await,
                QueueStep::Over => Err(AppendError::Closed),
            };
            self.queued(&one, result)
        });
        // Queues flush side by side.
        done.extend(futures_util::future::join_all(appends).await);
        let mut written = taking.written.take().unwrap_or_default();
        let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
        let mut failure = None;
        for Queued { destination, points, result } in done {
            let name = &*self.outlets[usize::from(destination)].name;
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
            let queue = &self.outlets[usize::from(*destination)].queue;
            if !queue.room(records, until).await? {
                return Err(WriteError::Full);
            }
        }
    }

    /// Sets room aside in every queue, or in none of them; then gives the place of the group for which there is none.
    fn try_rooms(&self, groups: &[Group<'_>]) -> Result<Result<Rooms, usize>, WriteError> {
        let mut rooms = Vec::with_capacity(groups.len());
        for (at, (destination, records)) in groups.iter().enumerate() {
            let queue = &self.outlets[usize::from(*destination)].queue;
            match queue.try_reserve(records)? {
                Some(room) => rooms.push((*destination, room)),
                None => return Ok(Err(at)),
            }
        }
        Ok(Ok(rooms))
    }

    /// Gives the time on the clock of the queues.
    pub(super) fn now(&self) -> Duration {
        self.outlets.first().map(|outlet| outlet.queue.now()).unwrap_or_default()
    }
}
