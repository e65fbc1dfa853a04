//! What is shown of topics.

use std::sync::Arc;

use levada_model::Str;

use super::state::EventState;
use super::topic::Topic;
use super::{Topics, TopicsError};
use crate::level::Level;

/// A topic as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicStatus {
    /// Its name.
    pub id: Str,
    /// The highest level of its events.
    pub level: Level,
    /// Events it has seen.
    pub collected: u64,
    /// Times a handler of it lost an event.
    pub dropped: u64,
    /// Events whose state was not kept because there were too many.
    pub states_dropped: u64,
    /// Events that nothing was heard of since the server started.
    pub stale: usize,
}

/// An event as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct EventEntry {
    /// Its ID.
    pub id: Str,
    /// What is known of it.
    pub state: EventState,
    /// Nothing was heard of it since the server started: nobody knows its level.
    pub is_stale: bool,
}

/// A part of the events of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// Sorted by ID.
    pub events: Vec<EventEntry>,
    /// How many there are in all.
    pub total: usize,
}

impl Topics {
    /// Gives the topics that are not closed and at least at a level, sorted by ID.
    ///
    /// `is_wanted` is the pattern of the request.
    pub fn list(&self, min_level: Level, is_wanted: impl Fn(&str) -> bool) -> Vec<TopicStatus> {
        let topics: Vec<Arc<Topic>> = self.read_topics().values().cloned().collect();
        let mut list: Vec<TopicStatus> = topics
            .iter()
            .filter(|topic| is_wanted(&topic.id))
            .filter_map(|topic| topic.status())
            .filter(|status| status.level >= min_level)
            .collect();
        list.sort_by(|one, other| one.id.cmp(&other.id));
        list
    }

    /// Gives the names that begin with a prefix, of closed topics too, sorted.
    pub fn names(&self, prefix: &str) -> Vec<Str> {
        let topics = self.read_topics();
        let mut names: Vec<Str> =
            topics.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        names.sort();
        names
    }

    /// Gives one topic.
    pub fn status(&self, topic: &str) -> Option<TopicStatus> {
        self.known(topic)?.status()
    }

    /// Gives the events of a topic that are at least at a level, sorted by ID: `limit` of them from `offset` on.
    pub fn events(
        &self,
        topic: &str,
        min_level: Level,
        offset: usize,
        limit: usize,
    ) -> Result<EventPage, TopicsError> {
        let known = self.known(topic).filter(|known| !known.is_closed());
        let known = known.ok_or_else(|| TopicsError::UnknownTopic(topic.to_owned()))?;
        let mut ids = known.event_ids(min_level);
        let total = ids.len();
        ids.sort_unstable();
        let page = ids.into_iter().skip(offset).take(limit);
        // One may be gone since the IDs were read.
        let events = page.filter_map(|id| known.event_entry(&id));
        Ok(EventPage { events: events.collect(), total })
    }
}
