//! The cases that every connector must pass, and how one is set up for them.
//!
//! A connector implements [`source::SourceHarness`] or [`sink::SinkHarness`] in its tests and names itself in
//! [`source_suite!`](crate::source_suite) or [`sink_suite!`](crate::sink_suite); each case becomes a test of its own.
//!
//! What a type cannot do by its nature it declares, with the reason; the case says so and passes. Everything
//! else must hold: a case that fails is a defect of the connector.

pub mod sink;
pub mod source;

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Whether a type can be brought into a situation; if not, why.
pub type Can = Result<(), &'static str>;

/// How long one call may take before it counts as hanging.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(20);

/// Says that a case does not apply, and gives whether it does.
pub(crate) fn applies(name: &str, case: &str, can: Can) -> bool {
    if let Err(reason) = can {
        eprintln!("not applicable: {name}: {case}: {reason}");
    }
    can.is_ok()
}

/// Waits for a call that must not hang.
pub(crate) async fn in_time<T>(what: &str, call: impl Future<Output = T>) -> T {
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(result) => result,
        Err(_) => panic!("{what} hangs"),
    }
}

/// Polls a call at most `times` times and then drops it, as a select does; nothing if it was not ready.
pub(crate) async fn give_up_after<T>(times: u64, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut polls = 0;
    let poll = std::future::poll_fn(|context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match call.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    // A call that is never woken again would keep the test.
    tokio::time::timeout(Duration::from_millis(20), poll).await.ok().flatten()
}

/// Gives payloads that are told apart by their number.
pub fn payloads(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    let payload = |number: usize| {
        let pad = bytes.saturating_sub(30);
        format!("{{\"id\":{number},\"pad\":\"{:x>pad$}\"}}", number).into_bytes()
    };
    (0..count).map(payload).collect()
}
