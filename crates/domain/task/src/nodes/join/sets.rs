//! What one group of a join holds: sets of items of one time, and how far each parent is.

use std::collections::VecDeque;
use std::sync::Arc;

use levada_model::{Batch, Group, Point, Str, Timestamp};
use smallvec::SmallVec;

use crate::runtime::{Reader, StateError, Writer};

/// What a parent gave.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Point(Point),
    /// Shared: with `on` it may be paired with many.
    Batch(Arc<Batch>),
}

/// Items of one time, one per parent at most.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) time: Timestamp,
    /// By parent.
    pub(super) items: SmallVec<[Option<Item>; 2]>,
    /// How many there are.
    filled: usize,
    /// How many points of them count against the bound of the task.
    pub(super) held: usize,
}

/// The sets of one group.
#[derive(Debug)]
pub(super) struct Sets {
    pub(super) group: Arc<Group>,
    /// The last rounded time per parent.
    heads: SmallVec<[Option<Timestamp>; 4]>,
    /// By time, then in the order of their beginning. Of the sets of one time those that have an item of some parent
    /// come first, since an item goes into the first set that lacks it.
    ring: VecDeque<Set>,
}

// === impl Item ===

impl Item {
    /// Counts its points; an empty batch takes memory, too.
    pub(super) fn weight(&self) -> usize {
        match self {
            Item::Point(_) => 1,
            Item::Batch(batch) => batch.points.len().max(1),
        }
    }

    pub(super) fn name(&self) -> &Str {
        match self {
            Item::Point(point) => &point.series.name,
            Item::Batch(batch) => &batch.name,
        }
    }

    pub(super) fn save(&self, writer: &mut Writer<'_>) {
        match self {
            Item::Point(point) => {
                writer.bool(false);
                writer.point(point);
            }
            Item::Batch(batch) => {
                writer.bool(true);
                writer.text(&batch.name);
                writer.group(&batch.group);
                writer.time(batch.time);
                writer.list(batch.points.iter(), |writer, point| writer.point(point));
            }
        }
    }

    pub(super) fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        if !reader.bool()? {
            return Ok(Item::Point(reader.point()?));
        }
        Ok(Item::Batch(Arc::new(Batch {
            name: reader.str()?,
            group: reader.group()?,
            time: reader.time()?,
            points: reader.list(Reader::point)?,
        })))
    }
}

// === impl Set ===

impl Set {
    pub(super) fn is_complete(&self) -> bool {
        self.filled == self.items.len()
    }
}

// === impl Sets ===

impl Sets {
    pub(super) fn new(group: &Arc<Group>, parents: usize) -> Self {
        Sets {
            group: Arc::clone(group),
            heads: SmallVec::from_elem(None, parents),
            ring: VecDeque::new(),
        }
    }

    /// Puts an item into the first set of its time that lacks one of its parent.
    ///
    /// - `hold` is asked whether the item may be held; one that completes a set is taken anyway.
    /// - Gives whether it was taken; the parent has moved on in either case.
    pub(super) fn insert(
        &mut self,
        parent: usize,
        time: Timestamp,
        item: Item,
        hold: impl FnOnce(usize) -> bool,
    ) -> bool {
        self.heads[parent] = Some(time);
        let weight = item.weight();
        let is_held = hold(weight);
        // Usually the time is the last one or a new one, which the search finds at once.
        let at = match self.ring.back() {
            Some(last) if last.time < time => self.ring.len(),
            None => 0,
            _ => self.ring.partition_point(|set| {
                set.time < time || (set.time == time && set.items[parent].is_some())
            }),
        };
        if let Some(set) = self.ring.get_mut(at)
            && set.time == time
        {
            if !is_held && set.filled + 1 < set.items.len() {
                return false;
            }
            set.items[parent] = Some(item);
            set.filled += 1;
            set.held += if is_held { weight } else { 0 };
            return true;
        }
        let is_alone = self.heads.len() == 1;
        if !is_held && !is_alone {
            return false;
        }
        let mut items = SmallVec::from_elem(None, self.heads.len());
        items[parent] = Some(item);
        let held = if is_held { weight } else { 0 };
        let set = Set { time, items, filled: 1, held };
        if at == self.ring.len() {
            self.ring.push_back(set);
        } else {
            self.ring.insert(at, set);
        }
        true
    }

    /// Gives the oldest set when all it lacks is an item of this parent and time: that item need not be put into it.
    ///
    /// - The parent has moved on then; who asks takes the set out.
    #[inline]
    pub(super) fn completed(&mut self, parent: usize, time: Timestamp) -> Option<&Set> {
        let oldest = self.ring.front()?;
        let is_completed = oldest.time == time
            && oldest.filled + 1 == oldest.items.len()
            && oldest.items[parent].is_none();
        if !is_completed {
            return None;
        }
        self.heads[parent] = Some(time);
        self.ring.front()
    }

    /// Notes that a parent has come to `time`; it never goes back by this.
    pub(super) fn advance(&mut self, parent: usize, time: Timestamp) {
        let head = &mut self.heads[parent];
        *head = (*head).max(Some(time));
    }

    /// Takes the oldest set when it may go: it is complete, or every parent is past its time.
    ///
    /// - No parent is behind `floor`.
    #[inline]
    pub(super) fn take_ready(&mut self, floor: Option<Timestamp>) -> Option<Set> {
        let oldest = self.ring.front()?;
        if !oldest.is_complete() {
            let low = self.heads.iter().map(|head| (*head).max(floor)).min().flatten();
            if low.is_none_or(|low| low <= oldest.time) {
                return None;
            }
        }
        self.ring.pop_front()
    }

    /// Takes the oldest set.
    pub(super) fn take(&mut self) -> Option<Set> {
        self.ring.pop_front()
    }

    /// Counts the points that count against the bound of the task.
    pub(super) fn held(&self) -> usize {
        self.ring.iter().map(|set| set.held).sum()
    }

    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.ring.front().map(|set| set.time)
    }

    pub(super) fn save(&self, writer: &mut Writer<'_>) {
        writer.list(self.heads.iter(), |writer, head| {
            writer.option(*head, |writer, head| writer.time(head));
        });
        writer.list(self.ring.iter(), |writer, set| {
            writer.time(set.time);
            writer.uint(set.held as u64);
            writer.list(set.items.iter(), |writer, item| {
                writer.option(item.as_ref(), |writer, item| item.save(writer));
            });
        });
    }

    pub(super) fn load(
        reader: &mut Reader<'_>,
        group: &Arc<Group>,
        parents: usize,
    ) -> Result<Self, StateError> {
        let heads = reader.list(|reader| reader.option(Reader::time))?;
        let ring = reader.list(|reader| {
            let time = reader.time()?;
            let held = usize::try_from(reader.uint()?).unwrap_or(0);
            let items = reader.list(|reader| reader.option(Item::load))?;
            let filled = items.iter().flatten().count();
            let most: usize = items.iter().flatten().map(Item::weight).sum();
            Ok(Set { time, items: items.into(), filled, held: held.min(most) })
        })?;
        let fits = heads.len() == parents
            && ring.iter().all(|set: &Set| set.items.len() == parents && set.filled > 0)
            && ring.is_sorted_by_key(|set| set.time);
        if !fits {
            return Err(StateError::Refused("the saved sets are not of this join".to_owned()));
        }
        Ok(Sets { group: Arc::clone(group), heads: heads.into(), ring: ring.into() })
    }
}
