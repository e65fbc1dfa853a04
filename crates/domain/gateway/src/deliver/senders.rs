//! The senders that there are; destinations come and go.

use std::sync::{Arc, PoisonError, RwLock};

use super::Sender;

/// The senders of a gateway, one for each queue.
#[derive(Default)]
pub struct Senders(RwLock<Arc<[Arc<Sender>]>>);

// === impl Senders ===

impl Senders {
    /// Puts other senders in the place of those that there are.
    pub fn set(&self, senders: Vec<Arc<Sender>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = senders.into();
    }

    /// Gives all of them.
    pub fn list(&self) -> Arc<[Arc<Sender>]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives that of a queue.
    pub fn find(&self, queue: &str) -> Option<Arc<Sender>> {
        self.list().iter().find(|sender| sender.name() == queue).cloned()
    }
}
