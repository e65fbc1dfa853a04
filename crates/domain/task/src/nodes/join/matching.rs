//! `on`: items of few dimensions are paired with items of more.
//!
//! ```text
//! building=x          (match item)    ─┐ match group building=x
//! building=x,floor=1  (specific item) ─┴▶ both go to the sets of building=x,floor=1
//! ```
//!
//! What goes where is decided here; the sets are the same as without `on`.

mod saved;

use std::collections::VecDeque;
use std::sync::Arc;

use levada_model::{Group, GroupKey, Str, Timestamp};
use smallvec::SmallVec;

use super::sets::Item;
use crate::runtime::{Context, PerGroup};

/// The pairing of match items and specific items.
#[derive(Debug)]
pub(super) struct Matching {
    on: Arc<[Str]>,
    parents: usize,
    mode: Mode,
    /// Which parents have delivered anything, and which of them something specific.
    reported: SmallVec<[Reported; 4]>,
    routes: PerGroup<Route>,
    matches: PerGroup<MatchGroup>,
    /// Points let go by [`Matching::forget`].
    pub(super) released: usize,
}

/// What is to be done with the sets.
#[derive(Debug)]
pub(super) enum Delivery {
    /// Put an item into the sets of a group.
    Put { parent: usize, time: Timestamp, group: Arc<Group>, item: Item },
    /// The parent is past the time in this group.
    Advance { parent: usize, time: Timestamp, group: Arc<Group> },
}

/// How items are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// No parent has shown that it is more specific, and not all have delivered.
    Undecided,
    /// Some parent is more specific.
    Paired,
    /// All have delivered and none is more specific.
    ///
    /// Differs: upstream never emits anything then and grows without bound (U-39); this is the join without `on`.
    Plain,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reported {
    anything: bool,
    specific: bool,
}

/// Where the items of a group belong.
#[derive(Clone, Debug)]
struct Route {
    match_group: Arc<Group>,
    is_specific: bool,
}

#[derive(Debug)]
struct MatchGroup {
    /// Held so that its slot is not given to another group.
    _own: Arc<Group>,
    /// The last time per parent.
    last: SmallVec<[Option<Timestamp>; 4]>,
    /// By time.
    matches: VecDeque<Match>,
    /// By time; kept until no match item of their time can come any more.
    specifics: VecDeque<Specific>,
    /// The groups of specific items.
    members: Vec<Arc<Group>>,
}

#[derive(Debug)]
struct Match {
    time: Timestamp,
    parent: usize,
    group: Arc<Group>,
    item: Item,
}

#[derive(Debug)]
struct Specific {
    time: Timestamp,
    parent: usize,
    group: Arc<Group>,
    item: Item,
    /// How often it was put into the sets: as often as the parent with the most match items of its time had one.
    delivered: u32,
    /// Match items so far, by parent.
    paired: SmallVec<[u32; 4]>,
}

// === impl Matching ===

impl Matching {
    pub(super) fn new(on: &[String], parents: usize) -> Self {
        let mut on: Vec<Str> = on.iter().map(|name| Str::from(name.as_str())).collect();
        on.sort();
        on.dedup();
        Matching {
            on: on.into(),
            parents,
            mode: Mode::Undecided,
            reported: SmallVec::from_elem(Reported::default(), parents),
            routes: PerGroup::default(),
            matches: PerGroup::default(),
            released: 0,
        }
    }

    /// Takes an item and says what is to be done.
    ///
    /// - `Err` holds what was refused: `too many groups` or `too many buffered points`.
    pub(super) fn take(
        &mut self,
        parent: usize,
        time: Timestamp,
        group: &Arc<Group>,
        item: Item,
        ctx: &mut Context,
        out: &mut Vec<Delivery>,
    ) -> Result<(), &'static str> {
        let Some(route) = self.route(group, ctx) else { return Err("too many groups") };
        self.report(parent, route.is_specific, ctx, out);
        if self.mode == Mode::Plain {
            out.push(Delivery::Put { parent, time, group: Arc::clone(group), item });
            return Ok(());
        }
        let all_reported = self.all_reported();
        let parents = self.parents;
        let place = self
            .matches
            .entry(route.match_group.slot, || MatchGroup::new(&route.match_group, parents));
        place.last[parent] = place.last[parent].max(Some(time));
        let low = if all_reported { place.low() } else { None };
        place.settle(low, &self.reported, ctx, out);
        if route.is_specific {
            place.specific(parent, time, group, item, low, &self.reported, ctx, out)
        } else {
            place.match_item(parent, time, group, item, low, ctx, out)
        }
    }

    /// Takes a barrier of a parent.
    pub(super) fn barrier(
        &mut self,
        parent: usize,
        time: Timestamp,
        group: &Arc<Group>,
        ctx: &mut Context,
        out: &mut Vec<Delivery>,
    ) {
        // Too many groups: a barrier holds no data, so nothing is lost.
        let Some(route) = self.route(group, ctx) else { return };
        self.report(parent, route.is_specific, ctx, out);
        // Of a specific group it says nothing about the others of the match group.
        if route.is_specific || self.mode == Mode::Plain {
            out.push(Delivery::Advance { parent, time, group: Arc::clone(group) });
            return;
        }
        let (all_reported, parents) = (self.all_reported(), self.parents);
        let place = self
            .matches
            .entry(route.match_group.slot, || MatchGroup::new(&route.match_group, parents));
        place.last[parent] = place.last[parent].max(Some(time));
        let low = if all_reported { place.low() } else { None };
        place.settle(low, &self.reported, ctx, out);
        for member in &place.members {
            out.push(Delivery::Advance { parent, time, group: Arc::clone(member) });
        }
    }

    /// Gives away what is older than `time`, of all groups.
    pub(super) fn watermark(
        &mut self,
        time: Timestamp,
        ctx: &mut Context,
        out: &mut Vec<Delivery>,
    ) {
        for (_, place) in self.matches.iter_mut() {
            place.settle(Some(time), &self.reported, ctx, out);
        }
    }

    /// Gives away everything: specific items that were never paired go alone, in the order of their times.
    pub(super) fn finish(&mut self, ctx: &mut Context, out: &mut Vec<Delivery>) {
        for (_, place) in self.matches.iter_mut() {
            place.settle(None, &self.reported, ctx, out);
            place.drop_matches(None, ctx);
            while let Some(specific) = place.specifics.pop_front() {
                ctx.let_go(specific.item.weight());
                if specific.delivered == 0 {
                    out.push(specific.into_delivery());
                }
            }
        }
        out.sort_by(|one, other| one.order().cmp(&other.order()));
    }

    /// Drops what belongs to a group.
    pub(super) fn forget(&mut self, slot: u32) {
        let Some(route) = self.routes.remove(slot) else { return };
        let Some(place) = self.matches.get_mut(route.match_group.slot) else { return };
        let mut released = 0;
        place.members.retain(|member| member.slot != slot);
        place.specifics.retain(|one| keep(one.group.slot != slot, &one.item, &mut released));
        place.matches.retain(|one| keep(one.group.slot != slot, &one.item, &mut released));
        self.released += released;
        if place.members.is_empty() && place.matches.is_empty() {
            self.matches.remove(route.match_group.slot);
        }
    }

    /// Forgets how far a parent is in the match group of a group, or how far all are everywhere.
    pub(super) fn clear_progress(&mut self, parent: usize, group: &Group, all: bool) {
        if all {
            for (_, place) in self.matches.iter_mut() {
                place.last.fill(None);
            }
        } else if let Some(route) = self.routes.get(group.slot)
            && !route.is_specific
            && let Some(place) = self.matches.get_mut(route.match_group.slot)
        {
            place.last[parent] = None;
        }
    }

    /// Counts the points held here.
    pub(super) fn held(&self) -> usize {
        let of = |place: &MatchGroup| {
            let matches: usize = place.matches.iter().map(|one| one.item.weight()).sum();
            let specifics: usize = place.specifics.iter().map(|one| one.item.weight()).sum();
            matches + specifics
        };
        self.matches.iter().map(|(_, place)| of(place)).sum()
    }

    fn route(&mut self, group: &Arc<Group>, ctx: &mut Context) -> Option<Route> {
        if let Some(route) = self.routes.get(group.slot) {
            return Some(route.clone());
        }
        let empty: Str = Str::from("");
        let value = |name| group.key.tag(name).unwrap_or(&empty).clone();
        let key = GroupKey {
            name: group.key.name.clone(),
            dimensions: Arc::clone(&self.on),
            values: self.on.iter().map(|name| value(name)).collect(),
        };
        let route = Route {
            match_group: ctx.group(key)?,
            is_specific: group.key.dimensions.len() > self.on.len(),
        };
        if route.is_specific {
            let parents = self.parents;
            let place = self
                .matches
                .entry(route.match_group.slot, || MatchGroup::new(&route.match_group, parents));
            place.members.push(Arc::clone(group));
        }
        self.routes.entry(group.slot, || route.clone());
        Some(route)
    }

    /// Notes that a parent has delivered something, which may decide how items are dealt with.
    fn report(
        &mut self,
        parent: usize,
        is_specific: bool,
        ctx: &mut Context,
        out: &mut Vec<Delivery>,
    ) {
        self.reported[parent].anything = true;
        if is_specific {
            self.reported[parent].specific = true;
            self.mode = Mode::Paired;
        } else if self.mode == Mode::Undecided && self.all_reported() {
            self.mode = Mode::Plain;
            self.unmatch(ctx, out);
        }
    }

    fn all_reported(&self) -> bool {
        self.reported.iter().all(|reported| reported.anything)
    }

    /// Gives all match items to the sets of their own groups, in the order of their times.
    fn unmatch(&mut self, ctx: &mut Context, out: &mut Vec<Delivery>) {
        for (_, place) in self.matches.iter_mut() {
            for one in place.matches.drain(..) {
                ctx.let_go(one.item.weight());
                out.push(Delivery::Put {
                    parent: one.parent,
                    time: one.time,
                    group: one.group,
                    item: one.item,
                });
            }
        }
        self.matches = PerGroup::default();
        out.sort_by(|one, other| one.order().cmp(&other.order()));
    }
}

fn keep(keeps: bool, item: &Item, released: &mut usize) -> bool {
    if !keeps {
        *released += item.weight();
    }
    keeps
}

// === impl Delivery ===

impl Delivery {
    /// By time, then by the text of the group: slots are others after a restart.
    fn order(&self) -> (Timestamp, &Str) {
        match self {
            Delivery::Put { time, group, .. } | Delivery::Advance { time, group, .. } => {
                (*time, &group.id)
            }
        }
    }
}

// === impl Specific ===

impl Specific {
    fn delivery(&self) -> Delivery {
        Delivery::Put {
            parent: self.parent,
            time: self.time,
            group: Arc::clone(&self.group),
            item: self.item.clone(),
        }
    }

    fn into_delivery(self) -> Delivery {
        Delivery::Put { parent: self.parent, time: self.time, group: self.group, item: self.item }
    }

    /// Pairs it with a match item: it goes once for each match item of one parent, so that rows are complete.
    fn pair(&mut self, parent: usize, item: &Item, out: &mut Vec<Delivery>) {
        self.paired[parent] += 1;
        if self.paired[parent] > self.delivered {
            self.delivered += 1;
            out.push(self.delivery());
        }
        out.push(Delivery::Put {
            parent,
            time: self.time,
            group: Arc::clone(&self.group),
            item: item.clone(),
        });
    }
}

// === impl MatchGroup ===

impl MatchGroup {
    fn new(group: &Arc<Group>, parents: usize) -> Self {
        MatchGroup {
            _own: Arc::clone(group),
            last: SmallVec::from_elem(None, parents),
            matches: VecDeque::new(),
            specifics: VecDeque::new(),
            members: Vec::new(),
        }
    }

    /// Gives the time that every parent has come to in this match group.
    fn low(&self) -> Option<Timestamp> {
        self.last.iter().min().copied().flatten()
    }

    /// Takes leave of everything older than `low`: specific items go alone when they found no partner.
    fn settle(
        &mut self,
        low: Option<Timestamp>,
        reported: &[Reported],
        ctx: &mut Context,
        out: &mut Vec<Delivery>,
    ) {
        let Some(low) = low else { return };
        self.drop_matches(Some(low), ctx);
        while self.specifics.front().is_some_and(|one| one.time < low) {
            let Some(specific) = self.specifics.pop_front() else { break };
            ctx.let_go(specific.item.weight());
            if specific.delivered == 0 {
                self.alone(specific, reported, out);
            }
        }
    }

    fn drop_matches(&mut self, older_than: Option<Timestamp>, ctx: &mut Context) {
        let is_old = |one: &Match| older_than.is_none_or(|low| one.time < low);
        while self.matches.front().is_some_and(is_old) {
            if let Some(one) = self.matches.pop_front() {
                ctx.let_go(one.item.weight());
            }
        }
    }

    /// Gives a specific item without a partner; parents of match items are past its time, so its set need not wait for
    /// them.
    fn alone(&self, specific: Specific, reported: &[Reported], out: &mut Vec<Delivery>) {
        let group = Arc::clone(&specific.group);
        out.push(specific.into_delivery());
        for (parent, last) in self.last.iter().enumerate() {
            if let Some(time) = *last
                && !reported[parent].specific
            {
                out.push(Delivery::Advance { parent, time, group: Arc::clone(&group) });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one item and what it meets")]
    fn specific(
        &mut self,
        parent: usize,
        time: Timestamp,
        group: &Arc<Group>,
        item: Item,
        low: Option<Timestamp>,
        reported: &[Reported],
        ctx: &mut Context,
        out: &mut Vec<Delivery>,
    ) -> Result<(), &'static str> {
        let paired = SmallVec::from_elem(0, self.last.len());
        let group = Arc::clone(group);
        let mut specific = Specific { time, parent, group, item, delivered: 0, paired };
        let first = self.matches.partition_point(|one| one.time < time);
        for one in self.matches.range(first..).take_while(|one| one.time == time) {
            specific.pair(one.parent, &one.item, out);
        }
        if low.is_some_and(|low| time < low) {
            if specific.delivered == 0 {
                self.alone(specific, reported, out);
            }
            return Ok(());
        }
        if !ctx.hold(specific.item.weight()) {
            // What was paired has gone its way; only later partners are lost.
            return if specific.delivered > 0 { Ok(()) } else { Err("too many buffered points") };
        }
        let at = self.specifics.partition_point(|one| one.time <= time);
        self.specifics.insert(at, specific);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one item and what it meets")]
    fn match_item(
        &mut self,
        parent: usize,
        time: Timestamp,
        group: &Arc<Group>,
        item: Item,
        low: Option<Timestamp>,
        ctx: &mut Context,
        out: &mut Vec<Delivery>,
    ) -> Result<(), &'static str> {
        let first = self.specifics.partition_point(|one| one.time < time);
        let mut is_paired = false;
        for one in self.specifics.range_mut(first..).take_while(|one| one.time == time) {
            one.pair(parent, &item, out);
            is_paired = true;
        }
        if low.is_some_and(|low| time < low) {
            return Ok(());
        }
        if !ctx.hold(item.weight()) {
            return if is_paired { Ok(()) } else { Err("too many buffered points") };
        }
        let at = self.matches.partition_point(|one| one.time <= time);
        self.matches.insert(at, Match { time, parent, group: Arc::clone(group), item });
        Ok(())
    }
}
