//! Which tasks get which points.
//!
//! A write looks its points up in a table of database, retention policy and measurement. The table is replaced as a whole
//! when a task starts or stops; a writer keeps the one it has until it sees that there is another.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use levada_model::{Point, Series, Str};
use smallvec::SmallVec;

use super::buffers::{Buffers, Points};
use super::cell::Cell;
use super::input::{Input, Slice};
use super::master::BLOCK_DEFAULT;
use super::queue::Attempt;
use super::tap::Tap;

/// What a task wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Databases and retention policies.
    pub dbrps: Vec<(Str, Str)>,
    /// Measurements; empty when all.
    pub measurements: Vec<Str>,
}

/// The table; cheap to clone.
#[derive(Clone, Default)]
pub struct Routes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: RwLock<Arc<Table>>,
    /// Counts replacements, so that writers know when to look again.
    version: AtomicU64,
    buffers: Arc<Buffers>,
}

#[derive(Default)]
struct Table {
    version: u64,
    /// Shared with the tables before and after this one: with thousands of tasks a change copies pointers only.
    entries: Vec<Arc<Entry>>,
    /// Recordings, mostly none.
    taps: Vec<(Subscription, Weak<Tap>)>,
    /// Made when it is first asked; of many changes in a row only the last one is looked at.
    index: OnceLock<Index>,
}

/// A task in the table.
struct Entry {
    subscription: Subscription,
    /// Weak: a task writes to the table that it stands in, and so do writers that have been idle for long.
    cell: Weak<Cell>,
}

/// Places in [`Table::entries`] by database and retention policy.
type Index = HashMap<(Str, Str), OfPolicy, RandomState>;

/// Who listens to a retention policy; places are in order.
#[derive(Default)]
struct OfPolicy {
    to_all: Vec<u32>,
    by_measurement: HashMap<Str, Vec<u32>, RandomState>,
}

/// Writes points: one per thread that writes.
pub struct Ingest {
    routes: Routes,
    table: Arc<Table>,
    /// Which tasks a series goes to, by its number: the place of their list.
    by_series: HashMap<u64, u32, RandomState>,
    /// The lists.
    lists: Vec<Arc<[u32]>>,
    /// Their places, so that equal ones are one.
    list_places: HashMap<Arc<[u32]>, u32, RandomState>,
    ranges: Vec<SmallVec<[Range<u32>; 2]>>,
    touched: Vec<u32>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Copies of points that tasks took.
    pub delivered: u64,
    /// Copies of points that full queues dropped.
    pub dropped: u64,
    /// Points that no task wanted.
    pub unwanted: u64,
    /// Tasks that took all that was for them.
    pub served: u32,
    /// Tasks that lost a part or all of it.
    pub behind: u32,
}

/// Series that a writer remembers.
const SERIES_MAX: usize = 1_000_000;
/// Points in one input of a task: what a worker does in one go.
const SLICE_POINTS: usize = 4_096;

// === impl Routes ===

impl Routes {
    /// Adds a task.
    pub fn add(&self, subscription: Subscription, cell: &Arc<Cell>) {
        let entry = Arc::new(Entry { subscription, cell: Arc::downgrade(cell) });
        self.change(|table| table.entries.push(entry));
    }

    /// Changes what a task listens to; no point is missed in between.
    pub fn replace(&self, subscription: Subscription, cell: &Arc<Cell>) {
        let entry = Arc::new(Entry { subscription, cell: Arc::downgrade(cell) });
        self.change(|table| {
            table.remove(cell);
            table.entries.push(entry);
        });
    }

    /// Takes a task out; points that are being written may still reach its queue.
    pub fn remove(&self, cell: &Arc<Cell>) {
        self.change(|table| table.remove(cell));
    }

    /// Lets a tap see what a task would.
    pub fn tap(&self, subscription: Subscription, tap: &Arc<Tap>) {
        self.change(|table| table.taps.push((subscription, Arc::downgrade(tap))));
    }

    /// Takes a tap out.
    pub fn untap(&self, tap: &Arc<Tap>) {
        self.change(|table| {
            table.taps.retain(|(_, known)| known.as_ptr() != Arc::as_ptr(tap));
        });
    }

    /// Makes a writer.
    pub fn ingest(&self) -> Ingest {
        Ingest {
            table: self.current(),
            routes: self.clone(),
            by_series: HashMap::default(),
            lists: Vec::new(),
            list_places: HashMap::default(),
            ranges: Vec::new(),
            touched: Vec::new(),
        }
    }

    fn current(&self) -> Arc<Table> {
        Arc::clone(&self.0.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        let version = table.version + 1;
        if let Some(own) = Arc::get_mut(&mut table) {
            // No writer has looked at it since the last change: of many changes in a row only the first one copies.
            own.version = version;
            own.index = OnceLock::new();
            change(own);
        } else {
            let mut changed = Table {
                version,
                entries: table.entries.clone(),
                taps: table.taps.clone(),
                index: OnceLock::new(),
            };
            change(&mut changed);
            *table = Arc::new(changed);
        }
        self.0.version.store(version, Ordering::Release);
    }
}

// === impl Table ===

impl Table {
    fn remove(&mut self, cell: &Arc<Cell>) {
        self.entries.retain(|known| known.cell.as_ptr() != Arc::as_ptr(cell));
    }

    /// Gives the places of the tasks that want a series, in order.
    fn wanting(&self, series: &Series) -> Vec<u32> {
        let index = self.index.get_or_init(|| self.index());
        let key = (Str::clone(&series.database), Str::clone(&series.retention));
        let Some(of_policy) = index.get(&key) else { return Vec::new() };
        let mut places = of_policy.to_all.clone();
        if let Some(named) = of_policy.by_measurement.get(&series.name) {
            places.extend(named);
            places.sort_unstable();
            // One that names a retention policy or a measurement twice gets each point once.
            places.dedup();
        }
        places
    }

    fn index(&self) -> Index {
        let mut index = Index::default();
        for (place, entry) in self.entries.iter().enumerate() {
            let place = place as u32;
            let Subscription { dbrps, measurements } = &entry.subscription;
            for dbrp in dbrps {
                let of_policy = index.entry(dbrp.clone()).or_default();
                if measurements.is_empty() && of_policy.to_all.last() != Some(&place) {
                    of_policy.to_all.push(place);
                }
                for name in measurements {
                    of_policy.by_measurement.entry(Str::clone(name)).or_default().push(place);
                }
            }
        }
        index
    }
}

// === impl Subscription ===

impl Subscription {
    fn wants(&self, series: &Series) -> bool {
        let is_ours = self.dbrps.iter().any(|(database, retention)| {
            **database == *series.database && **retention == *series.retention
        });
        is_ours && (self.measurements.is_empty() || self.measurements.contains(&series.name))
    }
}

// === impl Ingest ===

impl Ingest {
    /// Gives an empty buffer for points to write: one of an earlier write, where there is one.
    pub fn buffer(&self) -> Vec<Point> {
        self.routes.0.buffers.take()
    }

    /// Hands points to the tasks that want them; each task gets a point once.
    ///
    /// - Waits for tasks that are behind and want that, after it has served the others.
    pub fn write(&mut self, points: Vec<Point>) -> Written {
        self.write_hop(points, 0, true)
    }

    /// Hands on points that came back from a task, so many times already; never waits.
    pub fn write_back(&mut self, points: Vec<Point>, hops: u8) -> Written {
        self.write_hop(points, hops, false)
    }

    fn write_hop(&mut self, points: Vec<Point>, hops: u8, may_wait: bool) -> Written {
        self.refresh();
        let mut written = Written::default();
        if !self.table.taps.is_empty() {
            self.fill_taps(&points, may_wait);
        }
        let points = Points::of(&self.routes.0.buffers, points);
        if self.table.entries.is_empty() {
            written.unwanted = points.len() as u64;
            return written;
        }
        let mut run: Option<(u32, u32)> = None;
        let mut last_series = u64::MAX;
        for (at, point) in points.iter().enumerate() {
            let at = at as u32;
            if point.series.id == last_series {
                continue;
            }
            last_series = point.series.id;
            let list = self.list(&point.series);
            match run {
                Some((known, _)) if known == list => {}
                _ => {
                    if let Some((known, start)) = run {
                        self.add_run(known, start..at, &mut written);
                    }
                    run = Some((list, at));
                }
            }
        }
        if let Some((known, start)) = run {
            self.add_run(known, start..points.len() as u32, &mut written);
        }
        self.hand_over(points, hops, may_wait, &mut written);
        written
    }

    /// Says whether every task that listens to something has room for so many points.
    pub fn would_fit(&mut self, points: &[Point]) -> bool {
        self.refresh();
        let has_room = |entry: &Arc<Entry>| {
            entry.cell.upgrade().is_none_or(|cell| cell.queue.has_room(points.len()))
        };
        self.table.entries.iter().all(has_room)
    }

    #[cold]
    fn fill_taps(&self, points: &[Point], may_wait: bool) {
        let mut patience = if may_wait { BLOCK_DEFAULT } else { Duration::ZERO };
        for (subscription, tap) in &self.table.taps {
            let Some(tap) = tap.upgrade() else { continue };
            let mut last = None;
            let mut is_ours = |series: &Series| match last {
                Some((id, is_ours)) if id == series.id => is_ours,
                _ => {
                    let is_ours = subscription.wants(series);
                    last = Some((series.id, is_ours));
                    is_ours
                }
            };
            let ours: Vec<Point> =
                points.iter().filter(|point| is_ours(&point.series)).cloned().collect();
            if !ours.is_empty() && !tap.give(ours, patience) {
                patience = Duration::ZERO;
            }
        }
    }

    fn refresh(&mut self) {
        if self.routes.0.version.load(Ordering::Acquire) == self.table.version {
            return;
        }
        self.table = self.routes.current();
        self.by_series.clear();
        self.lists.clear();
        self.list_places.clear();
        self.ranges.clear();
    }

    /// Gives the place of the list of the tasks that want a series.
    #[inline]
    fn list(&mut self, series: &Series) -> u32 {
        match self.by_series.get(&series.id) {
            Some(list) => *list,
            None => self.look_up(series),
        }
    }

    #[cold]
    fn look_up(&mut self, series: &Series) -> u32 {
        let wanting = self.table.wanting(series);
        let list = match self.list_places.get(wanting.as_slice()) {
            Some(list) => *list,
            None => {
                let (list, place): (Arc<[u32]>, _) = (wanting.into(), self.lists.len() as u32);
                self.lists.push(Arc::clone(&list));
                self.list_places.insert(list, place);
                place
            }
        };
        if self.by_series.len() >= SERIES_MAX {
            self.by_series.clear();
        }
        self.by_series.insert(series.id, list);
        list
    }

    fn add_run(&mut self, list: u32, range: Range<u32>, written: &mut Written) {
        let tasks = &self.lists[list as usize];
        if tasks.is_empty() {
            written.unwanted += u64::from(range.end - range.start);
        }
        self.ranges.resize_with(self.table.entries.len(), SmallVec::new);
        for task in tasks.iter() {
            let ranges = &mut self.ranges[*task as usize];
            if ranges.is_empty() {
                self.touched.push(*task);
            }
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range.clone()),
            }
        }
    }

    fn hand_over(&mut self, points: Points, hops: u8, may_wait: bool, written: &mut Written) {
        let points = Arc::new(points);
        let mut late: Vec<(Arc<Cell>, Vec<Slice>)> = Vec::new();
        for task in self.touched.drain(..) {
            let ranges = std::mem::take(&mut self.ranges[task as usize]);
            let Some(cell) = self.table.entries[task as usize].cell.upgrade() else { continue };
            let (mut lost, mut waiting) = (0, Vec::new());
            for part in parts(ranges) {
                let slice = Slice { points: Arc::clone(&points), ranges: part, hops };
                let count = slice.len() as u64;
                // What a task gets stays in order.
                if !waiting.is_empty() {
                    waiting.push(slice);
                    continue;
                }
                match cell.try_give(Input::Points(slice)) {
                    Attempt::Taken => written.delivered += count,
                    Attempt::Dropped => lost += count,
                    Attempt::Full(Input::Points(slice)) if may_wait => waiting.push(slice),
                    Attempt::Full(input) => {
                        cell.queue.refuse(&input);
                        lost += count;
                    }
                }
            }
            if waiting.is_empty() {
                written.note(lost);
            } else {
                late.push((cell, waiting));
            }
        }
        // Many that are each a little behind must not delay who writes longer than one that hangs.
        let (mut has_patience, mut waited) = (true, Duration::ZERO);
        for (cell, slices) in late {
            let mut lost = 0;
            for slice in slices {
                let count = slice.len() as u64;
                let is_taken = if has_patience {
                    cell.give_after(Input::Points(slice), &mut waited)
                } else {
                    match cell.try_give(Input::Points(slice)) {
                        Attempt::Taken => true,
                        Attempt::Dropped => false,
                        Attempt::Full(input) => {
                            cell.queue.give_up(&input);
                            false
                        }
                    }
                };
                // Once is enough: the other tasks that are full were waited for at the same time.
                has_patience &= is_taken;
                if is_taken {
                    written.delivered += count;
                } else {
                    lost += count;
                }
            }
            written.note(lost);
        }
    }
}

// === impl Written ===

impl Written {
    /// Counts a task and what it lost.
    fn note(&mut self, lost: u64) {
        self.dropped += lost;
        if lost == 0 {
            self.served += 1;
        } else {
            self.behind += 1;
        }
    }

    /// Says whether there were tasks to take points and none of them took all of its own: who writes may try again later.
    pub fn is_refused(&self) -> bool {
        self.served == 0 && self.behind > 0
    }
}

/// Cuts a list of ranges into lists of a bounded number of points.
fn parts(ranges: SmallVec<[Range<u32>; 2]>) -> Vec<SmallVec<[Range<u32>; 2]>> {
    let mut parts = Vec::with_capacity(1);
    let mut part = SmallVec::new();
    let mut room = SLICE_POINTS as u32;
    for mut range in ranges {
        while range.end - range.start > room {
            part.push(range.start..range.start + room);
            range.start += room;
            parts.push(std::mem::take(&mut part));
            room = SLICE_POINTS as u32;
        }
        room -= range.end - range.start;
        part.push(range);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_changes_in_a_row_only_the_first_copies_the_table() {
        let routes = Routes::default();
        let place = |routes: &Routes| Arc::as_ptr(&routes.current());
        let version = |routes: &Routes| routes.0.version.load(Ordering::Acquire);
        let mut ingest = routes.ingest();
        let held = place(&routes);
        routes.change(|_| {});
        let copied = place(&routes);
        assert_ne!(copied, held, "a writer looks at the first one");
        routes.change(|_| {});
        assert_eq!(place(&routes), copied);
        assert_eq!((version(&routes), routes.current().version), (2, 2));
        ingest.refresh();
        assert_eq!(ingest.table.version, 2);
        routes.change(|_| {});
        assert_ne!(place(&routes), copied, "the writer has looked again");
    }

    #[test]
    fn parts_hold_all_points_in_order() {
        let ranges: SmallVec<[Range<u32>; 2]> = SmallVec::from_iter([0..5_000, 6_000..6_010]);
        let parts = parts(ranges);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].to_vec(), Vec::from_iter(std::iter::once(0..4_096)));
        assert_eq!(parts[1].to_vec(), [4_096..5_000, 6_000..6_010]);
    }

    #[test]
    fn an_exact_part_is_not_followed_by_an_empty_one() {
        let ranges: SmallVec<[Range<u32>; 2]> = SmallVec::from_iter(std::iter::once(0..4_096));
        assert_eq!(parts(ranges).len(), 1);
    }
}
