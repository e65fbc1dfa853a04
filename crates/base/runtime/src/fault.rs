//! Places where a test can end the process as a loss of power would.
//!
//! `LEVADA_FAULT=sink.written:3` kills the process when it comes to the place `sink.written` for the
//! third time; the binary reads the variable and calls [`arm`]. Programs built without debug assertions
//! have no such places.

/// Every place, in the order in which a record passes them.
pub const POINTS: &[&str] = &[
    "source.read",
    "transform.done",
    "sink.before-write",
    "sink.written",
    "sink.acknowledged",
    "letter.written",
    "transaction.prepared",
    "transaction.committed",
    "commit.before-sync",
    "commit.synced",
    "commit.stored",
    "source.committed",
];

/// Ends the process here, without any clean-up, when [`arm`] asked for it.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::point(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Arms a place: `text` is its name, a colon, and how many passes there are.
///
/// Errors: what is wrong with the text, or that this program was built without such places.
pub fn arm(text: &str) -> Result<(), String> {
    let known = || format!("known places: {}", POINTS.join(", "));
    let (name, passes) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is not `PLACE:COUNT`; {}", known()))?;
    let Some(name) = POINTS.iter().find(|known| **known == name) else {
        return Err(format!("there is no place `{name}`; {}", known()));
    };
    let passes: u64 = passes.parse().map_err(|_| format!("`{passes}` is not a count"))?;
    #[cfg(debug_assertions)]
    armed::arm(name, passes);
    #[cfg(not(debug_assertions))]
    return Err(format!("this program was built without `{name}` ({passes})"));
    #[cfg(debug_assertions)]
    Ok(())
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static FAULT: OnceLock<(&'static str, AtomicU64)> = OnceLock::new();

    pub(super) fn arm(name: &'static str, passes: u64) {
        // A second call changes nothing: a process ends once.
        let _again = FAULT.set((name, AtomicU64::new(passes))).is_err();
    }

    pub(super) fn point(name: &'static str) {
        debug_assert!(super::POINTS.contains(&name), "`{name}` is not in the list of places");
        if let Some((place, passes)) = FAULT.get()
            && *place == name
            && passes.fetch_sub(1, Ordering::Relaxed) == 1
        {
            let me = rustix::process::getpid();
            // Neither buffers nor destructors get a chance, as with `kill -9`.
            if rustix::process::kill_process(me, rustix::process::Signal::KILL).is_err() {
                std::process::abort();
            }
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unarmed_places_are_passed_and_wrong_texts_are_named() {
        for name in POINTS {
            point(name);
        }
        for (text, part) in [
            ("sink.written", "is not `PLACE:COUNT`"),
            ("nowhere:1", "there is no place `nowhere`; known places: source.read"),
            ("sink.written:x", "`x` is not a count"),
        ] {
            assert!(arm(text).is_err_and(|error| error.contains(part)), "{text}");
        }
    }
}
