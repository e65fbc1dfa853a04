//! A run that is fed what no timer can follow.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use levada_codec::line_protocol::Precision;

use super::{DryRun, DryRunError, DryRunOptions, StreamFormat};
use crate::capture::Lines;
use crate::definition::{DefineOptions, define};
use crate::runtime::context::{Compat, Limits};

struct Count(usize);

impl Lines for Count {
    fn line(&mut self, _line: &[u8]) {
        self.0 += 1;
    }

    fn problem(&mut self, node: &str, text: &str) {
        panic!("{node}: {text}");
    }
}

#[test]
fn a_time_that_jumps_too_far_ends_the_run() {
    let definition = define("stream|from()|stats(1s)|log()", &DefineOptions::default()).unwrap();
    let options = DryRunOptions {
        task: "t".to_owned(),
        database: None,
        retention: None,
        compat: Compat::default(),
        limits: Limits::default(),
        watermark: None,
        is_local: false,
        udfs: None,
    };
    let run = |points: &str| {
        let lines = Arc::new(Mutex::new(Count(0)));
        let mut run = DryRun::start(&definition, &options, Arc::clone(&lines)).unwrap();
        run.playback.set_ticks_max(100);
        let ended = run.stream(points.as_bytes(), StreamFormat::Lines, Precision::Seconds);
        let count = lines.lock().unwrap().0;
        (ended, count)
    };
    let (ended, count) = run("m v=1 1\nm v=1 101\nm v=1 201");
    assert!(ended.is_ok());
    assert_eq!(count, 200);
    let (ended, count) = run("m v=1 1\nm v=1 102");
    assert_eq!(count, 100);
    let Err(DryRunError::Input(problem)) = ended else { panic!("{ended:?}") };
    let text = "an item is at 102 s, and more than 100 ticks of timers are due before it";
    assert_eq!(problem.to_string(), text);
}
