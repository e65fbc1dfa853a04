//! Prints what a dry run captures.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use levada_task::capture::Lines;

use crate::output;

/// Problems of one node and message that are printed; more are counted.
const PROBLEMS_MAX: u64 = 100;

/// Kinds of problems that are told apart; texts of further ones count together.
const KINDS_MAX: usize = 10_000;

/// Lines that are written at once when nobody watches.
const BUFFER_BYTES: usize = 16 << 10;

/// Prints effects to standard output and problems to standard error.
pub(crate) struct Printer {
    buffer: Vec<u8>,
    is_watched: bool,
    problems: BTreeMap<(String, String), u64>,
}

// === impl Printer ===

impl Printer {
    pub(crate) fn new() -> Self {
        let is_watched = std::io::stdout().is_terminal();
        Printer { buffer: Vec::new(), is_watched, problems: BTreeMap::new() }
    }

    /// Writes out what is held back, and how often the problems came that were not printed.
    pub(crate) fn finish(&mut self) {
        self.flush();
        for ((node, message), count) in std::mem::take(&mut self.problems) {
            if let Some(more) = count.checked_sub(PROBLEMS_MAX).filter(|more| *more > 0) {
                output::note(&format!("error: {node}: {message}: {more} more like this"));
            }
        }
    }

    fn flush(&mut self) {
        output::bytes(&self.buffer);
        output::flush();
        self.buffer.clear();
    }
}

impl Lines for Printer {
    fn line(&mut self, line: &[u8]) {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        if self.is_watched || self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    fn problem(&mut self, node: &str, text: &str) {
        // The message stands before its cause, which may differ from point to point.
        let message = text.split_once(": ").map_or(text, |(message, _)| message);
        let mut key = (node.to_owned(), message.to_owned());
        if self.problems.len() >= KINDS_MAX && !self.problems.contains_key(&key) {
            key = ("other nodes".to_owned(), "other problems".to_owned());
        }
        let count = self.problems.entry(key).or_default();
        *count += 1;
        if *count <= PROBLEMS_MAX {
            output::note(&format!("error: {node}: {text}"));
        }
    }
}
