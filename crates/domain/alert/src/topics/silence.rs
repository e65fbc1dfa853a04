//! What keeps events from handlers.

use levada_model::Str;

use crate::event::Event;

/// Says which events handlers shall not hear of; their states are kept all the same.
///
/// Asked on the way of every event, so it must not wait.
pub trait Silencer: Send + Sync + 'static {
    /// Gives the ID of what silences an event of a topic.
    fn silence(&self, topic: &str, event: &Event) -> Option<Str>;
}
