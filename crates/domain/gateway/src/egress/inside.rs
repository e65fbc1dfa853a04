//! What is in this process: flows, and the task engine.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Open, OpenReceiverError, Tools};
use crate::deliver::Receiver;
use crate::destination::EndpointSpec;

/// Something in this process that takes points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inside {
    /// A flow whose source reads from the gateway under this name.
    Flow {
        /// The name.
        name: String,
    },
    /// The task engine.
    Task {
        /// The task; empty for all that listen to the database and retention policy.
        name: String,
        /// The database that the points are of.
        database: String,
        /// The retention policy.
        retention: String,
    },
}

/// Makes receivers of what is in this process; the other domains are not known here.
pub trait Insiders: Send + Sync {
    /// Gives what takes the records of a destination.
    fn receiver(&self, inside: &Inside) -> Arc<dyn Receiver>;
}

// === impl Inside ===

#[async_trait]
impl Open for Inside {
    fn has_urls(&self) -> bool {
        false
    }

    async fn open(
        &self,
        _: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError> {
        let insiders = tools.insiders.ok_or(OpenReceiverError::Alone)?;
        Ok(insiders.receiver(self))
    }
}
