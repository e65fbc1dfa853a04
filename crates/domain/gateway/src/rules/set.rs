//! Compiled rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;
use levada_condition::filter::{Compat, FilterIndex, FilterList, Key, Keys, Lookup};
use levada_model::Category;
use levada_runtime::Clock;
use smallvec::SmallVec;
use std::hash::BuildHasher as _;

use super::{
    DestinationId, GlobalTags, RuleProblem, RulesError, RulesSpec, SinkMode, SinkerSpec, Target,
    list_problems,
};

/// Rules that are in effect.
#[derive(Debug)]
pub struct RuleSet {
    spec: RulesSpec,
    categories: Vec<CategoryRules>,
    /// Where the points of each sinker go.
    chosen: Vec<Chosen>,
    default: Option<Chosen>,
    hits: RuleHits,
}

/// How many points each rule matched.
#[derive(Debug, Default)]
pub struct RuleHits {
    /// By category, as in the spec; then by place in the list.
    drops: Vec<Vec<Counter>>,
    sinkers: Vec<Counter>,
    unmatched: Counter,
}

/// A counter that goes from set to set with its rule, so that a body that was begun with the set before counts as well.
type Counter = Arc<AtomicU64>;

/// Says whether a sinker is another one.
type Same = fn(&SinkerSpec, &SinkerSpec) -> bool;

/// What one writer needs to ask rules; kept to avoid allocation.
#[derive(Debug, Default)]
pub struct Scratch {
    matched: Vec<u32>,
    targets: SmallVec<[DestinationId; 8]>,
    /// How often the default counts: more than once in the mode of 1.6.
    default_copies: u32,
    drop_hits: Vec<(u32, u32, u64)>,
    sinker_hits: Vec<u64>,
    unmatched: u64,
    timer: Timer,
}

/// Tells how long drop filters take.
#[derive(Default)]
struct Timer {
    clock: Option<Arc<dyn Clock>>,
    looks: u64,
    timed: u32,
    took: Duration,
}

/// One look of so many is timed: the clock takes as long as a filter.
const TIMED_EVERY: u64 = 64;

/// What becomes of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the targets in the scratch, and so many times to the default beside them.
    Send,
    /// A filter drops it.
    Drop,
    /// Nobody wants it.
    Nowhere,
}

#[derive(Debug, Default)]
struct CategoryRules {
    /// The place of its drop filters in the spec, and the filters.
    drops: Option<(u32, FilterList)>,
    /// 1.6 cannot filter the category, and then drops it.
    drops_all: bool,
    /// Sinkers without a condition.
    always: Vec<u32>,
    index: FilterIndex,
    /// The numbers of the sinkers in the index.
    indexed: Vec<u32>,
    sinkers: usize,
}

/// A target that is ready to choose.
#[derive(Clone, Debug)]
enum Chosen {
    Each(SmallVec<[DestinationId; 4]>),
    Hash { key: Box<Key>, among: Vec<(DestinationId, u32)> },
}

// === impl RuleSet ===

impl RuleSet {
    /// Compiles rules; `destinations` is how many there are.
    ///
    /// - Errors: everything that is wrong with any of them.
    pub fn new(spec: RulesSpec, destinations: usize) -> Result<Self, RulesError> {
        let mut problems = Vec::new();
        let mut keys = Keys::default();
        let mut categories: Vec<CategoryRules> =
            Category::ALL.iter().map(|_| CategoryRules::default()).collect();
        for (at, (category, filters)) in (0_u32..).zip(&spec.drop_filters) {
            let rules = &mut categories[*category as usize];
            match FilterList::parse(filters, spec.compat, &mut keys) {
                Ok(_) if rules.drops.is_some() => problems.push(RuleProblem {
                    path: format!("filters.{}", category.name()),
                    text: "the category has filters already".to_owned(),
                }),
                Ok(list) if list.is_empty() => {}
                Ok(list) => {
                    rules.drops_all = spec.compat.check(*category).is_err();
                    rules.drops = Some((at, list));
                }
                Err(errors) => {
                    let path = format!("filters.{}", category.name());
                    problems.extend(list_problems(&path, errors));
                }
            }
        }
        let mut lists: Vec<Vec<FilterList>> = Category::ALL.iter().map(|_| Vec::new()).collect();
        for (number, sinker) in (0_u32..).zip(&spec.sinkers) {
            check_target(
                &sinker.target,
                destinations,
                &format!("sinkers[{number}]"),
                &mut problems,
            );
            let list = match FilterList::parse(&sinker.filters, spec.compat, &mut keys) {
                Ok(list) => list,
                Err(errors) => {
                    problems.extend(list_problems(&format!("sinkers[{number}].filters"), errors));
                    continue;
                }
            };
            for category in sinker.categories.iter().filter(|one| **one != Category::Unknown) {
                let rules = &mut categories[*category as usize];
                rules.sinkers += 1;
                if sinker.filters.is_empty() {
                    rules.always.push(number);
                } else {
                    lists[*category as usize].push(list.clone());
                    rules.indexed.push(number);
                }
            }
        }
        if let Some(target) = &spec.default {
            check_target(target, destinations, "default", &mut problems);
        }
        if !problems.is_empty() {
            return Err(RulesError(problems));
        }
        for (rules, lists) in categories.iter_mut().zip(lists) {
            rules.index = FilterIndex::new(lists);
        }
        let hits = RuleHits {
            drops: spec
                .drop_filters
                .iter()
                .map(|(_, filters)| filters.iter().map(|_| Counter::default()).collect())
                .collect(),
            sinkers: spec.sinkers.iter().map(|_| Counter::default()).collect(),
            unmatched: Counter::default(),
        };
        let default = spec.default.as_ref().map(Chosen::of);
        let chosen = spec.sinkers.iter().map(|sinker| Chosen::of(&sinker.target)).collect();
        Ok(RuleSet { spec, categories, chosen, default, hits })
    }

    /// Gives what it was made of.
    pub fn spec(&self) -> &RulesSpec {
        &self.spec
    }

    /// Gives how many points each rule matched.
    pub fn hits(&self) -> &RuleHits {
        &self.hits
    }

    /// Goes on counting where another set stopped, for the rules that both have. A sinker is the same when it asks for the
    /// same and sends it to the same place, or else when it has the same name and nobody else is the same.
    pub fn inherit(&mut self, other: &RuleSet) {
        for (at, (category, filters)) in self.spec.drop_filters.iter().enumerate() {
            let known = other.spec.drop_filters.iter().position(|(known, _)| known == category);
            let Some(list) = known else { continue };
            for (rule, filter) in filters.iter().enumerate() {
                let same = other.spec.drop_filters[list].1.iter().position(|known| known == filter);
                if let Some(same) = same {
                    self.hits.drops[at][rule] = Arc::clone(&other.hits.drops[list][same]);
                }
            }
        }
        let (new, old) = (&self.spec.sinkers, &other.spec.sinkers);
        let asks: Same = |one, other| {
            (&one.categories, &one.filters, &one.target)
                == (&other.categories, &other.filters, &other.target)
        };
        let same: [Same; 3] =
            [|one, other| one == other, asks, |one, other| one.name == other.name];
        let (mut taken, mut found) = (vec![false; old.len()], vec![false; new.len()]);
        for is_same in same {
            for (at, sinker) in new.iter().enumerate() {
                let known = (0..old.len()).find(|at| !taken[*at] && is_same(sinker, &old[*at]));
                if let (false, Some(known)) = (found[at], known) {
                    (found[at], taken[known]) = (true, true);
                    self.hits.sinkers[at] = Arc::clone(&other.hits.sinkers[known]);
                }
            }
        }
        self.hits.unmatched = Arc::clone(&other.hits.unmatched);
    }

    /// Gives how points are grouped, if they are.
    pub fn global_tags(&self) -> Option<&GlobalTags> {
        self.spec.global_tags.as_ref()
    }

    /// Gives the destinations of a category whose points need not be looked at.
    pub fn constant(&self, category: Category) -> Option<&[DestinationId]> {
        let rules = &self.categories[category as usize];
        let is_constant = rules.drops.is_none() && rules.sinkers == 0;
        match &self.default {
            Some(Chosen::Each(ids)) if is_constant && self.spec.global_tags.is_none() => Some(ids),
            _ => None,
        }
    }

    /// Decides about a point; where it goes is in the scratch afterwards.
    #[inline]
    pub fn decide<L: Lookup + ?Sized>(
        &self,
        category: Category,
        point: &L,
        scratch: &mut Scratch,
    ) -> Verdict {
        let rules = &self.categories[category as usize];
        scratch.targets.clear();
        scratch.default_copies = 0;
        if let Some((at, list)) = &rules.drops {
            let started = scratch.timer.start();
            let hit = if rules.drops_all { Some(0) } else { list.first_match(point) };
            scratch.timer.stop(started);
            if let Some(rule) = hit {
                scratch.count_drop(*at, rule as u32);
                return Verdict::Drop;
            }
        }
        if rules.sinkers > 0 {
            self.sinkers(rules, point, scratch);
        }
        let is_default = match self.spec.sink_mode {
            SinkMode::Compat16 if rules.sinkers > 0 => {
                scratch.default_copies = (rules.sinkers - scratch.matched_count()) as u32;
                scratch.default_copies > 0
            }
            _ => scratch.targets.is_empty(),
        };
        if !is_default {
            return Verdict::Send;
        }
        scratch.unmatched += u64::from(rules.sinkers > 0);
        match &self.default {
            Some(chosen) if scratch.default_copies == 0 => {
                chosen.add(point, &mut scratch.targets);
                Verdict::Send
            }
            Some(_) => Verdict::Send,
            None if scratch.targets.is_empty() => Verdict::Nowhere,
            None => Verdict::Send,
        }
    }

    /// Adds the destinations of the default once more, for the mode of 1.6.
    pub fn add_default<L: Lookup + ?Sized>(
        &self,
        point: &L,
        out: &mut SmallVec<[DestinationId; 8]>,
    ) {
        if let Some(chosen) = &self.default {
            chosen.add(point, out);
        }
    }

    /// Adds what a scratch has counted to the counts of the rules.
    pub fn count(&self, scratch: &mut Scratch) {
        for (list, rule, hits) in scratch.drop_hits.drain(..) {
            let counter = self.hits.drops.get(list as usize).and_then(|it| it.get(rule as usize));
            if let Some(counter) = counter {
                counter.fetch_add(hits, Ordering::Relaxed);
            }
        }
        for (counter, hits) in self.hits.sinkers.iter().zip(scratch.sinker_hits.drain(..)) {
            counter.fetch_add(hits, Ordering::Relaxed);
        }
        self.hits.unmatched.fetch_add(std::mem::take(&mut scratch.unmatched), Ordering::Relaxed);
    }

    fn sinkers<L: Lookup + ?Sized>(&self, rules: &CategoryRules, point: &L, scratch: &mut Scratch) {
        if rules.indexed.is_empty() {
            scratch.matched.clear();
        } else {
            rules.index.matches(point, &mut scratch.matched);
            for matched in &mut scratch.matched {
                *matched = rules.indexed[*matched as usize];
            }
        }
        if !rules.always.is_empty() {
            scratch.matched.extend_from_slice(&rules.always);
            scratch.matched.sort_unstable();
        }
        if matches!(self.spec.sink_mode, SinkMode::First | SinkMode::Remaining) {
            scratch.matched.truncate(1);
        }
        if scratch.sinker_hits.len() < self.spec.sinkers.len() {
            scratch.sinker_hits.resize(self.spec.sinkers.len(), 0);
        }
        for sinker in &scratch.matched {
            scratch.sinker_hits[*sinker as usize] += 1;
            self.chosen[*sinker as usize].add(point, &mut scratch.targets);
        }
        if scratch.matched.len() > 1 {
            scratch.targets.sort_unstable();
            scratch.targets.dedup();
        }
    }
}

fn check_target(target: &Target, destinations: usize, path: &str, problems: &mut Vec<RuleProblem>) {
    let mut problem =
        |text: &str| problems.push(RuleProblem { path: path.to_owned(), text: text.to_owned() });
    let ids: Vec<DestinationId> = match target {
        Target::Each(ids) => ids.clone(),
        Target::Hash { among, .. } => {
            if among.iter().all(|(_, weight)| *weight == 0) {
                problem("no destination has a weight");
            }
            among.iter().map(|(id, _)| *id).collect()
        }
    };
    if ids.is_empty() {
        problem("no destination");
    }
    if ids.iter().any(|id| usize::from(*id) >= destinations) {
        problem("a destination that does not exist");
    }
}

// === impl Chosen ===

impl Chosen {
    fn of(target: &Target) -> Self {
        match target {
            Target::Each(ids) => Chosen::Each(ids.iter().copied().collect()),
            Target::Hash { key, among } => {
                // A filter is the one place that makes keys.
                let text = format!("{{ `{}` = '' }}", key.replace('`', ""));
                let filter = levada_condition::filter::Filter::parse(&text, Compat::Strict);
                match filter.ok().and_then(|filter| filter.keys().first().cloned()) {
                    Some(key) => Chosen::Hash { key: Box::new(key), among: among.clone() },
                    None => Chosen::Each(among.iter().map(|(id, _)| *id).take(1).collect()),
                }
            }
        }
    }

    fn add<L: Lookup + ?Sized>(&self, point: &L, out: &mut SmallVec<[DestinationId; 8]>) {
        match self {
            Chosen::Each(ids) => match ids[..] {
                [only] => out.push(only),
                _ => out.extend_from_slice(ids),
            },
            Chosen::Hash { key, among } => {
                let text = point.tag(key).unwrap_or_else(|| point.name());
                out.extend(rendezvous(text, among));
            }
        }
    }
}

/// Gives the destination of a text: each draws a number from text and id, weighted, and the highest wins, so that a
/// destination more or less moves only the texts that it wins or had won.
fn rendezvous(text: &str, among: &[(DestinationId, u32)]) -> Option<DestinationId> {
    let draw = |id: DestinationId, weight: u32| {
        let hash = FixedState::with_seed(u64::from(id)).hash_one(text);
        // Uniform in (0, 1); the logarithm makes the chance to win proportional to the weight.
        let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(weight) / uniform.ln()
    };
    let weighted = among.iter().filter(|(_, weight)| *weight > 0);
    weighted
        .map(|(id, weight)| (*id, draw(*id, *weight)))
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .map(|(id, _)| id)
}

// === impl Timer ===

impl Timer {
    fn start(&mut self) -> Option<Duration> {
        self.looks += 1;
        let clock = self.clock.as_ref().filter(|_| self.looks % TIMED_EVERY == 1)?;
        Some(clock.monotonic())
    }

    fn stop(&mut self, started: Option<Duration>) {
        if let (Some(clock), Some(started)) = (&self.clock, started) {
            self.timed += 1;
            self.took += clock.monotonic().saturating_sub(started);
        }
    }

    fn take(&mut self) -> Duration {
        let (looks, timed) = (std::mem::take(&mut self.looks), std::mem::take(&mut self.timed));
        let took = std::mem::take(&mut self.took);
        match timed {
            0 => Duration::ZERO,
            timed => took.mul_f64(looks as f64 / f64::from(timed)),
        }
    }
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer").field("looks", &self.looks).finish_non_exhaustive()
    }
}

// === impl Scratch ===

impl Scratch {
    /// Tells the time to what is measured.
    pub(crate) fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        self.timer.clock = Some(clock);
    }

    /// Gives how long drop filters took since that was last asked: as long for all points as for those that were timed.
    pub(crate) fn filters_took(&mut self) -> Duration {
        self.timer.take()
    }

    /// Gives how many points sinkers took since they were last counted, once for each sinker.
    pub(crate) fn sunk(&self) -> u64 {
        self.sinker_hits.iter().sum()
    }

    /// Gives where the point goes that was decided last.
    #[inline]
    pub fn targets(&self) -> &[DestinationId] {
        &self.targets
    }

    /// Gives how often it goes to the default beside that.
    pub fn default_copies(&self) -> u32 {
        self.default_copies
    }

    fn matched_count(&self) -> usize {
        self.matched.len()
    }

    fn count_drop(&mut self, list: u32, rule: u32) {
        match self.drop_hits.iter_mut().find(|hit| hit.0 == list && hit.1 == rule) {
            Some(hit) => hit.2 += 1,
            None => self.drop_hits.push((list, rule, 1)),
        }
    }
}

// === impl RuleHits ===

impl RuleHits {
    /// Gives how many points a drop filter matched: by place of its category and its own in the spec.
    pub fn drops(&self, list: usize, rule: usize) -> u64 {
        let counter = self.drops.get(list).and_then(|list| list.get(rule));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Gives how many points a sinker matched.
    pub fn sinker(&self, number: usize) -> u64 {
        self.sinkers.get(number).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Gives how many points no sinker of their category took.
    pub fn unmatched(&self) -> u64 {
        self.unmatched.load(Ordering::Relaxed)
    }
}
