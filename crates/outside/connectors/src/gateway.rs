//! What flows and the gateway of the same process hand each other: lines, with their category.
//!
//! ```text
//! `gateway` sink ── lines ─▶ GatewayTarget                    (the queues of its destinations)
//! `gateway` source ◀─ lines ── LineFeeds ◀─ the sender of a destination that is a flow
//! ```
//! The gateway is another domain, so this crate says what it needs; whoever composes the process leaves a
//! [`GatewayTargets`] and the [`LineFeeds`] in the links of a flow. Lines are what the queues of the gateway keep, so
//! a point is written once on its way in, and not at all where it already is a line.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use levada_model::Category;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// The metadata that tells how often a record has come out of the gateway, so that a circle ends.
pub const HOPS: &str = "gatewayHops";

/// Parts that wait for a flow; the rest waits in the queue of the gateway, which is made for that.
const PARTS_MAX: usize = 16;

/// What is said where nobody runs a gateway.
pub(crate) const NO_GATEWAY: &str = "no gateway runs in this process; name its destinations in the section `[gateway]` of \
     levada.toml, such as `urls = [\"https://host?token=…\"]`";

/// Why lines were not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GatewayTargetError {
    /// There is no such destination.
    #[error("the gateway has no destination `{name}`; known: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The lines are to blame; none of them was taken.
    #[error("the gateway refuses points: {0}")]
    Refused(String),
    /// It is not able to take them now. Some queues may have them.
    #[error("the gateway cannot take points now: {0}")]
    Later(String),
}

/// Takes lines.
#[async_trait]
pub trait GatewayTarget: Send + Sync {
    /// Makes sure that a destination exists; the empty name always does.
    fn check(&self, destination: &str) -> Result<(), GatewayTargetError>;

    /// Takes lines whose times are nanoseconds; waits for room, and until they are as durable as their queues make them.
    ///
    /// - `destination`: empty for what the rules say.
    /// - `is_strict`: a point that would have to be changed is refused.
    /// - `hops`: how often the points have come out of the gateway; those that go round are refused some time.
    async fn write(
        &self,
        destination: &str,
        category: Category,
        lines: Bytes,
        is_strict: bool,
        hops: u8,
    ) -> Result<(), GatewayTargetError>;
}

/// Where the lines of a flow go; left in its links.
#[derive(Clone)]
pub struct GatewayTargets(pub Arc<dyn GatewayTarget>);

/// The flows that points leave the gateway to, by name; cheap to clone.
#[derive(Clone, Default)]
pub struct LineFeeds(Arc<Mutex<BTreeMap<String, Feed>>>);

struct Feed {
    parts: mpsc::Sender<LinePart>,
    /// Tells readers of one name apart.
    reader: u64,
}

/// Lines that a flow is to work on.
#[derive(Debug)]
pub struct LinePart {
    /// What they are about.
    pub category: Category,
    /// The lines.
    pub lines: Bytes,
    /// How often they have come out of the gateway, this time included.
    pub hops: u8,
    done: oneshot::Sender<()>,
}

/// What a flow reads from; the flow is no longer there when it is dropped.
pub struct LineReader {
    feeds: LineFeeds,
    name: String,
    reader: u64,
    parts: mpsc::Receiver<LinePart>,
}

/// Why lines did not come to their end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FeedError {
    /// No flow has this source.
    #[error("no flow reads from the gateway under the name `{0}`")]
    Nobody(String),
    /// A flow has it already.
    #[error("another flow reads from the gateway under the name `{0}`")]
    Taken(String),
    /// The flow ended, or starts again, before it was done.
    #[error("the flow that reads from the gateway under the name `{0}` stopped before it was done")]
    Stopped(String),
}

// === impl LineFeeds ===

impl LineFeeds {
    /// Hands lines to a flow; returns when the flow has finished every one of them. They have come out `hops` times.
    pub async fn hand(
        &self,
        name: &str,
        category: Category,
        lines: Bytes,
        hops: u8,
    ) -> Result<(), FeedError> {
        let parts = match self.lock().get(name) {
            Some(feed) => feed.parts.clone(),
            None => return Err(FeedError::Nobody(name.to_owned())),
        };
        let stopped = || FeedError::Stopped(name.to_owned());
        let (done, finished) = oneshot::channel();
        parts.send(LinePart { category, lines, hops, done }).await.map_err(|_| stopped())?;
        finished.await.map_err(|_| stopped())
    }

    /// Becomes the reader of a name.
    ///
    /// - Errors: there is one.
    pub fn read(&self, name: &str) -> Result<LineReader, FeedError> {
        let mut feeds = self.lock();
        if feeds.get(name).is_some_and(|feed| !feed.parts.is_closed()) {
            return Err(FeedError::Taken(name.to_owned()));
        }
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let reader = feeds.get(name).map_or(0, |feed| feed.reader.wrapping_add(1));
        feeds.insert(name.to_owned(), Feed { parts: sender, reader });
        Ok(LineReader { feeds: self.clone(), name: name.to_owned(), reader, parts })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Feed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl LinePart ===

impl LinePart {
    /// Tells the gateway that every line is finished; a part that is dropped without that is handed over again.
    pub fn finish(self) {
        // Who handed it over may be gone; then the lines come again.
        if self.done.send(()).is_err() {
            tracing::debug!("lines were finished that nobody waits for any more");
        }
    }
}

// === impl LineReader ===

impl LineReader {
    /// Waits for lines.
    pub async fn next(&mut self) -> Option<LinePart> {
        self.parts.recv().await
    }

    /// Gives lines that are there.
    pub fn try_next(&mut self) -> Option<LinePart> {
        self.parts.try_recv().ok()
    }
}

impl Drop for LineReader {
    fn drop(&mut self) {
        self.parts.close();
        let mut feeds = self.feeds.lock();
        if feeds.get(&self.name).is_some_and(|feed| feed.reader == self.reader) {
            feeds.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn lines_are_handed_over_until_the_flow_has_finished_them() {
        let feeds = LineFeeds::default();
        let hand = || feeds.hand("logs", Category::Logging, Bytes::from_static(b"a f=1 1\n"), 1);
        assert_eq!(hand().await, Err(FeedError::Nobody("logs".to_owned())));
        let mut reader = feeds.read("logs").unwrap();
        assert_eq!(feeds.read("logs").err(), Some(FeedError::Taken("logs".to_owned())));
        let (handed, ()) = tokio::join!(hand(), async {
            let part = reader.next().await.unwrap();
            assert_eq!((part.category, &part.lines[..]), (Category::Logging, &b"a f=1 1\n"[..]));
            part.finish();
        });
        assert_eq!(handed, Ok(()));
        let (handed, ()) = tokio::join!(hand(), async { drop(reader.next().await.unwrap()) });
        assert_eq!(handed, Err(FeedError::Stopped("logs".to_owned())), "it was not finished");
        let (handed, ()) = tokio::join!(hand(), async {
            // What waits goes back with the reader.
            tokio::task::yield_now().await;
            drop(reader);
        });
        assert_eq!(handed, Err(FeedError::Stopped("logs".to_owned())));
        assert!(feeds.read("logs").is_ok(), "the name is free again");
    }
}
