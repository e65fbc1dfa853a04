//! Reads what `cargo test -- --show-output` prints and counts it.
//!
//! The test harness has no word for *this test could not run here*: such a test prints a line that starts with
//! `SKIPPED: ` and passes. With `--show-output` the harness shows that line also for tests that pass, so it can be counted.

use std::collections::VecDeque;

/// What a test prints first in the line that says why it cannot run.
pub(crate) const SKIP_MARK: &str = "SKIPPED: ";
/// Lines of a test binary that are kept, to be shown when it dies without a result. Enough for a message and a backtrace.
const KEPT_LINES_MAX: usize = 200;

/// The counts of a whole run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Tests that ran and passed.
    pub passed: usize,
    /// Tests that ran and failed, and binaries that died without telling a result.
    pub failed: usize,
    /// One reason for each test that did not run, ignored ones included.
    pub skipped: Vec<String>,
}

impl Report {
    /// The closing line of `cargo xtask test`.
    pub(crate) fn closing_line(&self) -> String {
        let Self { passed, failed, skipped } = self;
        format!("{passed} passed, {failed} failed, {} skipped", skipped.len())
    }

    /// Whether the run is good; with `is_strict` a skipped test is as bad as a failed one.
    pub(crate) fn is_good(&self, is_strict: bool) -> bool {
        self.failed == 0 && (!is_strict || self.skipped.is_empty())
    }
}

/// Where in the output of one test binary the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Outside of any binary.
    Between,
    /// One line per test.
    Tests,
    /// The output of tests that passed.
    Successes,
    /// The output of tests that failed.
    Failures,
}

/// Reads the output line by line.
pub(crate) struct Reader {
    report: Report,
    section: Section,
    /// The test whose output is being read, until its skip has been counted.
    heading: Option<String>,
    /// Whether the test under the last heading has been counted as skipped.
    is_heading_counted: bool,
    /// Tests that printed a skip; the harness counts them among those that passed.
    skips_passed: usize,
    kept: VecDeque<String>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            report: Report::default(),
            section: Section::Between,
            heading: None,
            is_heading_counted: false,
            skips_passed: 0,
            kept: VecDeque::new(),
        }
    }

    /// Takes one line of standard output; returns the lines that a person should see now.
    pub(crate) fn stdout(&mut self, line: &str) -> Vec<String> {
        if is_start(line) {
            let shown = self.close_broken();
            self.section = Section::Tests;
            self.kept.clear();
            return shown;
        }
        if self.section != Section::Between {
            if self.kept.len() == KEPT_LINES_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(line.to_owned());
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            return self.result(line, result);
        }
        match line {
            "successes:" => self.enter(Section::Successes),
            "failures:" => self.enter(Section::Failures),
            _ => self.inside(line),
        }
        let is_shown = self.section == Section::Failures || is_failed_test(line);
        if is_shown { vec![line.to_owned()] } else { Vec::new() }
    }

    /// Takes one line of standard error, which the harness captures only in part.
    pub(crate) fn stderr(&mut self, line: &str) {
        if let Some(reason) = line.strip_prefix(SKIP_MARK) {
            self.skip(reason.to_owned());
        }
    }

    /// Ends the reading; returns the counts and the lines that a person should still see.
    pub(crate) fn finish(mut self) -> (Report, Vec<String>) {
        let shown = self.close_broken();
        self.report.passed = self.report.passed.saturating_sub(self.skips_passed);
        (self.report, shown)
    }

    fn enter(&mut self, section: Section) {
        self.section = section;
        self.heading = None;
        self.is_heading_counted = false;
    }

    fn inside(&mut self, line: &str) {
        if let Some(name) = heading(line) {
            self.heading = Some(name.to_owned());
            self.is_heading_counted = false;
            return;
        }
        if self.section == Section::Tests
            && let Some((name, reason)) = ignored(line)
        {
            self.report.skipped.push(format!("{name} is ignored{reason}"));
            return;
        }
        if self.section == Section::Failures || self.is_heading_counted {
            return;
        }
        // A line that bypasses the harness can end up behind `test name ... `.
        let text = line.split_once(" ... ").map_or(line, |(_, rest)| rest);
        let Some(reason) = [line, text].into_iter().find_map(|l| l.strip_prefix(SKIP_MARK)) else {
            return;
        };
        match &self.heading {
            Some(name) => {
                self.is_heading_counted = true;
                let reason = format!("{name}: {reason}");
                self.skip(reason);
            }
            None => self.skip(reason.to_owned()),
        }
    }

    /// Counts a test that the harness believes to have passed.
    fn skip(&mut self, reason: String) {
        self.skips_passed += 1;
        self.report.skipped.push(reason);
    }

    fn result(&mut self, line: &str, result: &str) -> Vec<String> {
        self.report.passed += count(result, "passed");
        let failed = count(result, "failed");
        self.report.failed += failed;
        self.section = Section::Between;
        self.heading = None;
        self.is_heading_counted = false;
        if failed > 0 { vec![line.to_owned()] } else { Vec::new() }
    }

    /// Counts a binary that started and never told a result as one failure, and shows its last words.
    fn close_broken(&mut self) -> Vec<String> {
        if self.section == Section::Between {
            return Vec::new();
        }
        self.section = Section::Between;
        self.report.failed += 1;
        let mut shown: Vec<String> = self.kept.drain(..).collect();
        shown.push("a test binary ended without a result; its last lines are above".to_owned());
        shown
    }
}

/// `running 3 tests`
fn is_start(line: &str) -> bool {
    let count = line
        .strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")));
    count.is_some_and(|count| count.parse::<usize>().is_ok())
}

/// `---- module::name stdout ----`
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// `test module::name ... ignored, reason`: the name, and the reason with its comma.
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, verdict.strip_prefix("ignored")?))
}

fn is_failed_test(line: &str) -> bool {
    line.starts_with("test ") && line.ends_with(" ... FAILED")
}

/// The number before `word` in `ok. 5 passed; 0 failed; 1 ignored; …`.
fn count(result: &str, word: &str) -> usize {
    let mut before = "";
    for token in result.split([' ', ';']).filter(|token| !token.is_empty()) {
        if token == word {
            return before.parse().unwrap_or(0);
        }
        before = token;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` as standard output; returns the counts and what a person would see.
    fn read(text: &str) -> (Report, Vec<String>) {
        let mut reader = Reader::new();
        let mut shown: Vec<String> = text.lines().flat_map(|line| reader.stdout(line)).collect();
        let (report, rest) = reader.finish();
        shown.extend(rest);
        (report, shown)
    }

    #[test]
    fn adds_up_binaries_and_shows_nothing_when_all_is_well() {
        let (report, shown) = read(
            "\nrunning 2 tests\ntest a ... ok\ntest b ... ok\n\nsuccesses:\n\nsuccesses:\n    a\n    b\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
             running 1 test\ntest c ... ok\n\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s\n",
        );
        assert_eq!(report.closing_line(), "3 passed, 0 failed, 0 skipped");
        assert!(report.is_good(true));
        assert_eq!(shown, [""; 0]);
    }

    #[test]
    fn shows_failures_in_full() {
        let (report, shown) = read(
            "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n\
             thread 'b' panicked at src/x.rs:1:2:\nboom\nSKIPPED: said before it failed\n\nfailures:\n    b\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(report.closing_line(), "1 passed, 1 failed, 0 skipped");
        assert!(!report.is_good(false));
        assert_eq!(shown.first().map(String::as_str), Some("test b ... FAILED"));
        assert!(shown.iter().any(|line| line == "boom"));
        assert!(shown.last().is_some_and(|line| line.starts_with("test result: FAILED")));
    }

    #[test]
    fn a_test_that_says_why_it_cannot_run_is_skipped_once() {
        let (report, _) = read(
            "running 3 tests\ntest a ... ok\ntest b ... ok\ntest c ... ignored, slow\n\nsuccesses:\n\n\
             ---- b stdout ----\nSKIPPED: no PostgreSQL at 127.0.0.1\nSKIPPED: again\n\n\nsuccesses:\n    a\n    b\n\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(report.closing_line(), "1 passed, 0 failed, 2 skipped");
        assert_eq!(report.skipped, ["c is ignored, slow", "b: no PostgreSQL at 127.0.0.1"]);
        assert!(report.is_good(false));
        assert!(!report.is_good(true), "strict runs refuse skips");
    }

    #[test]
    fn a_skip_that_bypasses_the_harness_counts_too() {
        let (report, _) = read(
            "running 2 tests\ntest a ... SKIPPED: one thread\nok\ntest b ... ok\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(report.closing_line(), "1 passed, 0 failed, 1 skipped");

        let mut reader = Reader::new();
        reader.stderr("warning: SKIPPED: not at the start");
        reader.stderr("SKIPPED: on standard error");
        assert_eq!(reader.finish().0.skipped, ["on standard error"]);
    }

    #[test]
    fn a_binary_that_dies_is_a_failure_with_its_last_words() {
        let (report, shown) = read(
            "running 9 tests\ntest a ... ok\nthread 'b' has overflowed its stack\n\
             running 1 test\ntest c ... ok\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\nrunning 1 test\n",
        );
        assert_eq!(report.closing_line(), "1 passed, 2 failed, 0 skipped");
        assert!(shown.iter().any(|line| line.contains("overflowed its stack")));
    }

    #[test]
    fn the_kept_lines_are_bounded() {
        let noise = "x\n".repeat(KEPT_LINES_MAX * 3);
        let (_, shown) = read(&format!("running 1 test\n{noise}"));
        assert_eq!(shown.len(), KEPT_LINES_MAX + 1);
    }
}
