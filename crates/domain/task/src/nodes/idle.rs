//! Forgets groups that have had no data for a while; for the nodes that make groups.

use std::sync::Arc;

use levada_model::{Group, Timestamp};

use crate::runtime::{Out, PerGroup, Step};

/// When each group had data; only kept when groups are to be forgotten.
#[derive(Debug)]
pub struct Idle {
    ttl: i64,
    seen: PerGroup<(Arc<Group>, Timestamp)>,
}

/// The groups are looked through so often while one of them lives.
const LOOKS: i64 = 4;
/// …and not more often than this.
const LOOK_MIN: i64 = 100_000_000;
/// What the nodes know the timer by.
const TOKEN: u64 = 0;

// === impl Idle ===

impl Idle {
    /// Forgets groups after `ttl` nanoseconds without data; nothing when that is 0.
    pub fn new(ttl: i64) -> Option<Self> {
        (ttl > 0).then(|| Idle { ttl, seen: PerGroup::default() })
    }

    /// Takes note of a point of a group.
    #[inline]
    pub fn touch(&mut self, group: &Arc<Group>, now: Timestamp) {
        self.seen.entry(group.slot, || (Arc::clone(group), now)).1 = now;
    }

    /// Asks for the timer of the first look; for the start of a node.
    pub fn begin(idle: Option<&Self>, out: &mut Out<'_>) {
        if let Some(idle) = idle {
            let next = idle.next(out.ctx.now);
            out.set_timer(TOKEN, next);
        }
    }

    /// Takes out what has expired and asks for the next look; for the timer of a node, which has no other.
    pub fn look(idle: Option<&mut Self>, now: Timestamp, out: &mut Out<'_>) -> Vec<Arc<Group>> {
        let Some(idle) = idle else { return Vec::new() };
        out.set_timer(TOKEN, idle.next(now));
        idle.expired(now)
    }

    /// Gives when to look next.
    fn next(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add((self.ttl / LOOKS).max(LOOK_MIN)))
    }

    /// Takes out the groups that had no data for so long.
    fn expired(&mut self, now: Timestamp) -> Vec<Arc<Group>> {
        let is_idle = |seen: Timestamp| now.0.saturating_sub(seen.0) >= self.ttl;
        let slots: Vec<u32> = self
            .seen
            .iter()
            .filter(|(_, (_, seen))| is_idle(*seen))
            .map(|(slot, _)| slot)
            .collect();
        slots
            .into_iter()
            .filter_map(|slot| self.seen.remove(slot))
            .map(|(group, _)| group)
            .collect()
    }

    /// Forgets a group.
    pub fn forget(&mut self, slot: u32) {
        self.seen.remove(slot);
    }
}

/// Makes the nodes behind this one forget a group, and its slot free for another.
///
/// - The node itself must have let go of the group.
pub fn delete(group: Arc<Group>, out: &mut Out<'_>) -> Step {
    out.delete(&group)?;
    let key = group.key.clone();
    drop(group);
    out.ctx.groups.release(&key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use levada_model::GroupKey;

    use super::*;
    use crate::runtime::Groups;

    #[test]
    fn groups_expire_by_their_last_data() {
        let mut groups = Groups::new(10);
        let group = |groups: &mut Groups, name: &str| {
            let key = GroupKey {
                name: None,
                dimensions: Arc::from(["host".into()]),
                values: [name.into()].into(),
            };
            groups.intern(key).expect("few groups")
        };
        let (a, b) = (group(&mut groups, "a"), group(&mut groups, "b"));
        let mut idle = Idle::new(1_000_000_000).expect("a time");
        idle.touch(&a, Timestamp(0));
        idle.touch(&b, Timestamp(0));
        idle.touch(&b, Timestamp(600_000_000));
        assert!(idle.expired(Timestamp(999_999_999)).is_empty());
        let expired = idle.expired(Timestamp(1_000_000_000));
        assert_eq!(expired.iter().map(|group| &*group.id).collect::<Vec<_>>(), ["host=a"]);
        assert!(idle.expired(Timestamp(1_000_000_000)).is_empty(), "only once");
        assert!(Idle::new(0).is_none());
        let key = a.key.clone();
        drop((a, expired));
        groups.release(&key);
        assert_eq!(groups.len(), 1, "the slot is free again");
    }
}
