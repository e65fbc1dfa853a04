//! Destinations that come and go while the gateway runs.
//!
//! ```text
//! wanted ─ plan: names, clients ─▶ rules are checked against the plan ─ open: queues ─▶ what has changed
//! ```
//! A plan changes nothing, so that whatever is wrong leaves everything as it was. A queue whose name stays is never closed:
//! when only its endpoints or how they are sent to are others, another sender takes it over. A queue that nobody wants any
//! more stays until it has been emptied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use levada_codec::compression::Compression;

use super::{
    DestinationError, DestinationSpec, EndpointSpec, Shared, Spread, check, folder_of, members,
};
use crate::deliver::{Group, Member, Sender, SenderParts, Strategy};
use crate::gateway::{Outlet, Places};
use crate::rules::{DestinationId, Target};
use crate::wal::Queue;

/// All destinations that are open.
#[derive(Clone, Default)]
pub struct Destinations {
    /// What is wanted, and its queues with their shares.
    known: Vec<(DestinationSpec, Shares)>,
    /// By [`DestinationId`].
    units: Vec<Option<Unit>>,
    leaving: BTreeSet<String>,
}

/// The queues of a destination, each with its share.
type Shares = Vec<(DestinationId, u32)>;

/// A queue and who sends it.
#[derive(Clone)]
pub struct Unit {
    /// Where records can be put.
    pub outlet: Outlet,
    /// Who sends them; it is to be run.
    pub sender: Arc<Sender>,
    /// What it is, with the endpoints of this queue only.
    pub spec: DestinationSpec,
}

/// Destinations that are wanted, and what that needs.
pub struct Plan {
    known: Vec<(DestinationSpec, Shares)>,
    places: Vec<Option<Place>>,
    leaving: BTreeSet<String>,
    later: Vec<String>,
}

/// What becomes of a place.
enum Place {
    /// It stays as it is.
    Same(Unit),
    /// Somebody else sends its queue.
    Other(Box<(Unit, Parts)>),
    /// Its queue is opened.
    New(Parts),
}

/// What a queue and its sender are made of.
struct Parts {
    name: String,
    spec: DestinationSpec,
    members: Vec<Member>,
}

/// What is otherwise than before.
#[derive(Default)]
pub struct Changes {
    /// Queues that are new.
    pub opened: Vec<Unit>,
    /// Queues that have another sender.
    pub resent: Vec<Unit>,
    /// Queues whose own settings are others, which takes effect when they are opened the next time.
    pub later: Vec<String>,
}

// === impl Destinations ===

impl Destinations {
    /// Says what other destinations need, and changes nothing.
    ///
    /// - Errors: anything that is wrong with them, but for queues that cannot be opened.
    pub async fn plan(
        &self,
        wanted: &[DestinationSpec],
        shared: &Shared<'_>,
    ) -> Result<Plan, DestinationError> {
        check(wanted)?;
        let mut plan = Plan {
            known: Vec::new(),
            places: self.units.iter().map(|_| None).collect(),
            leaving: BTreeSet::new(),
            later: Vec::new(),
        };
        // What is there keeps its place, so that new ones find those that are free.
        let mut named: Vec<Option<Vec<(Parts, u32)>>> = Vec::new();
        for spec in wanted {
            let same = self.known.iter().find(|(known, _)| known == spec);
            let Some((_, shares)) = same else {
                named.push(Some(parts(spec, members(spec, shared).await?)));
                continue;
            };
            for (id, _) in shares {
                plan.keep(*id, self.unit(*id));
            }
            named.push(None);
        }
        for (at, unit) in self.units.iter().enumerate() {
            let Some(unit) = unit else { continue };
            let is_wanted = plan.places[at].is_some()
                || named.iter().flatten().flatten().any(|(one, _)| one.name == unit.outlet.name);
            if !is_wanted {
                plan.leaving.insert(unit.outlet.name.clone());
                plan.places[at] = Some(Place::Same(unit.clone()));
            }
        }
        for (spec, parts) in wanted.iter().zip(named) {
            let Some(parts) = parts else {
                let same = self.known.iter().find(|(known, _)| known == spec);
                plan.known.extend(same.cloned());
                continue;
            };
            let mut shares = Vec::new();
            for (parts, weight) in parts {
                let id = match self.place_of(&parts.name) {
                    Some(id) => plan.change(id, self.unit(id), parts),
                    None => plan.add(&self.units, parts)?,
                };
                shares.push((id, weight));
            }
            plan.known.push((spec.clone(), shares));
        }
        Ok(plan)
    }

    /// Gives where everything is.
    pub fn places(&self) -> Places {
        let outlet = |unit: &Option<Unit>| unit.as_ref().map(|unit| unit.outlet.clone());
        Places {
            slots: self.units.iter().map(outlet).collect(),
            targets: targets(&self.known),
            leaving: self.leaving.clone(),
        }
    }

    /// Gives all queues.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().flatten()
    }

    /// Gives what is wanted.
    pub fn specs(&self) -> impl Iterator<Item = &DestinationSpec> {
        self.known.iter().map(|(spec, _)| spec)
    }

    /// Gives the queues that are only emptied.
    pub fn leaving(&self) -> &BTreeSet<String> {
        &self.leaving
    }

    /// Takes a queue out that is only emptied.
    pub fn remove(&mut self, queue: &str) -> Option<Unit> {
        if !self.leaving.remove(queue) {
            return None;
        }
        let id = self.place_of(queue)?;
        self.units[usize::from(id)].take()
    }

    fn unit(&self, id: DestinationId) -> Option<&Unit> {
        self.units.get(usize::from(id)).and_then(Option::as_ref)
    }

    fn place_of(&self, queue: &str) -> Option<DestinationId> {
        let is_it = |unit: &Option<Unit>| unit.as_ref().is_some_and(|it| it.outlet.name == queue);
        self.units.iter().position(is_it).map(|at| at as DestinationId)
    }
}

// === impl Plan ===

impl Plan {
    /// Gives how many places there are, for the rules.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Gives what names stand for in rules.
    pub fn targets(&self) -> BTreeMap<String, Target> {
        targets(&self.known)
    }

    /// Opens the queues that are new. When one cannot be opened, none is.
    pub async fn open(
        self,
        shared: &Shared<'_>,
    ) -> Result<(Destinations, Changes), DestinationError> {
        let Plan { known, places, leaving, later } = self;
        let mut changes = Changes { later, ..Changes::default() };
        let mut units = Vec::new();
        for place in places {
            let unit = match place {
                None => None,
                Some(Place::Same(unit)) => Some(unit),
                Some(Place::Other(both)) => {
                    let (unit, parts) = *both;
                    let unit = parts.unit(unit.outlet.queue, shared);
                    changes.resent.push(unit.clone());
                    Some(unit)
                }
                Some(Place::New(parts)) => {
                    let dir = shared.dir.join(&parts.name);
                    let clock = Arc::clone(&shared.clock);
                    let settings = parts.spec.queue.clone();
                    match Queue::open(&dir, &parts.name, settings, shared.tasks, clock) {
                        Ok(queue) => {
                            let unit = parts.unit(queue, shared);
                            changes.opened.push(unit.clone());
                            Some(unit)
                        }
                        Err(error) => {
                            for unit in changes.opened {
                                unit.outlet.queue.close().await;
                            }
                            return Err(error.into());
                        }
                    }
                }
            };
            units.push(unit);
        }
        Ok((Destinations { known, units, leaving }, changes))
    }

    fn keep(&mut self, id: DestinationId, unit: Option<&Unit>) {
        self.places[usize::from(id)] = unit.cloned().map(Place::Same);
    }

    fn change(&mut self, id: DestinationId, unit: Option<&Unit>, parts: Parts) -> DestinationId {
        let Some(unit) = unit else {
            self.places[usize::from(id)] = Some(Place::New(parts));
            return id;
        };
        if unit.spec.queue != parts.spec.queue {
            self.later.push(parts.name.clone());
        }
        let queue = parts.spec.queue.clone();
        let is_sent_alike = DestinationSpec { queue, ..unit.spec.clone() } == parts.spec;
        self.places[usize::from(id)] = Some(match is_sent_alike {
            true => Place::Same(Unit { spec: parts.spec, ..unit.clone() }),
            false => Place::Other(Box::new((unit.clone(), parts))),
        });
        id
    }

    /// Puts a new queue into the first free place.
    fn add(
        &mut self,
        taken: &[Option<Unit>],
        parts: Parts,
    ) -> Result<DestinationId, DestinationError> {
        let is_free =
            |at: &usize| self.places[*at].is_none() && taken.get(*at).is_none_or(Option::is_none);
        let at = (0..self.places.len()).find(is_free).unwrap_or(self.places.len());
        if at >= usize::from(DestinationId::MAX) {
            let problem = "there are too many destinations";
            return Err(DestinationError::Invalid { name: parts.name, problem });
        }
        if at == self.places.len() {
            self.places.push(None);
        }
        self.places[at] = Some(Place::New(parts));
        Ok(at as DestinationId)
    }
}

// === impl Parts ===

impl Parts {
    fn unit(self, queue: Queue, shared: &Shared<'_>) -> Unit {
        let Parts { name, spec, members } = self;
        let strategy = match spec.spread {
            Spread::Weighted => Strategy::Weighted,
            _ => Strategy::Failover,
        };
        let seed = shared.clock.now().0.unsigned_abs();
        let sender = Sender::new(SenderParts {
            name: name.clone(),
            queue: queue.clone(),
            group: Group::new(strategy, members, &spec.policy, seed),
            policy: spec.policy.clone(),
            compression: match spec.kind.sends_as_queued() {
                true => spec.form.compression,
                false => Compression::None,
            },
            encoder: Arc::clone(&shared.encoder),
            clock: Arc::clone(&shared.clock),
            watch: shared.watch.clone().filter(|_| spec.kind.is_dataway()),
        });
        let outlet = Outlet { name, form: spec.form, queue };
        Unit { outlet, sender: Arc::new(sender), spec }
    }
}

fn targets(known: &[(DestinationSpec, Shares)]) -> BTreeMap<String, Target> {
    let target = |spec: &DestinationSpec, shares: &Shares| match &spec.spread {
        Spread::Hash { key } => Target::Hash { key: key.clone(), among: shares.clone() },
        _ => Target::Each(shares.iter().map(|(id, _)| *id).collect()),
    };
    known.iter().map(|(spec, shares)| (spec.name.clone(), target(spec, shares))).collect()
}

/// Gives the queues of a destination. Where each endpoint has one, its name holds that of the endpoint, so that a queue stays
/// with its endpoint when others come and go.
fn parts(spec: &DestinationSpec, members: Vec<Member>) -> Vec<(Parts, u32)> {
    if matches!(spec.spread, Spread::Failover | Spread::Weighted) {
        let (name, spec) = (spec.name.clone(), spec.clone());
        return vec![(Parts { name, spec, members }, 1)];
    }
    let mut names: Vec<String> = Vec::new();
    let each = members.into_iter().enumerate().map(|(at, member)| {
        let weight = member.weight;
        let place = folder_of(member.receiver.label());
        let mut name = format!("{}@{place}", spec.name);
        let same = names.iter().filter(|known| **known == name).count();
        names.push(name.clone());
        if same > 0 {
            name.push_str(&format!("#{}", same + 1));
        }
        let endpoints: Vec<EndpointSpec> = spec.endpoints.get(at).cloned().into_iter().collect();
        // How others share is nothing to one queue.
        let spec = DestinationSpec { endpoints, spread: Spread::Failover, ..spec.clone() };
        (Parts { name, spec, members: vec![member] }, weight)
    });
    each.collect()
}
