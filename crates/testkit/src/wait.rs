//! Waiting for a condition, with a deadline.
#![expect(clippy::disallowed_methods, reason = "deadlines of tests run on the real clock")]

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `is_met` says yes.
///
/// - Panics: after `most`, naming `what` was waited for.
pub fn until(what: &str, most: Duration, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + most;
    while !is_met() {
        assert!(Instant::now() < deadline, "waited {most:?} in vain until {what}");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Waits until `is_met` says yes, letting other tasks run.
///
/// - Panics: after `most`, naming `what` was waited for.
pub async fn until_async(what: &str, most: Duration, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + most;
    while !is_met() {
        assert!(Instant::now() < deadline, "waited {most:?} in vain until {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
