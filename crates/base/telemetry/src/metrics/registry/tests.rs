#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use std::time::Duration;

use levada_model::Timestamp;
use levada_runtime::VirtualClock;

use super::*;

/// What is rendered, without the registry's own counter.
fn rendered(registry: &Registry) -> String {
    let own = format!(
        "# HELP {SERIES_DROPPED} Label combinations counted as `other` because their metric had too many series.\n\
         # TYPE {SERIES_DROPPED} counter\n{SERIES_DROPPED} 0\n"
    );
    let text = registry.render();
    assert!(text.contains(&own), "{text}");
    text.replace(&own, "")
}

#[test]
fn counters_are_exact_and_sorted_and_escaped() {
    let registry = Registry::new();
    let family =
        registry.counter_family("sent_total", "Sent \\ a\nb.", &["sink", "route"]).unwrap();
    family.with(&["kafka", "b"]).add(u64::MAX);
    family.with(&["kafka", "a\"\\\n"]).inc();
    family.clone().with(&["file", "z"]).add(1_000_000);
    registry.counter("a_total", "First.").unwrap();
    assert_eq!(
        rendered(&registry),
        "# HELP a_total First.\n# TYPE a_total counter\na_total 0\n\
         # HELP sent_total Sent \\\\ a\\nb.\n# TYPE sent_total counter\n\
         sent_total{sink=\"file\",route=\"z\"} 1000000\n\
         sent_total{sink=\"kafka\",route=\"a\\\"\\\\\\n\"} 1\n\
         sent_total{sink=\"kafka\",route=\"b\"} 18446744073709551615\n"
    );
}

#[test]
fn gauges_show_floats_as_go_does_and_integers_exactly() {
    let registry = Registry::new();
    let ratio = registry.gauge("ratio", "R.").unwrap();
    ratio.set(1_000_000.0);
    ratio.add(0.5);
    let depth = registry.int_gauge("depth", "D.").unwrap();
    depth.set(i64::MAX);
    depth.sub(1);
    depth.add(-6);
    let text = rendered(&registry);
    assert!(text.contains("# TYPE depth gauge\ndepth 9223372036854775800\n"), "{text}");
    assert!(text.contains("# TYPE ratio gauge\nratio 1.0000005e+06\n"), "{text}");
    ratio.set(f64::NAN);
    assert!(rendered(&registry).contains("\nratio NaN\n"));
}

#[test]
fn histograms_are_cumulative_and_end_at_infinity() {
    let registry = Registry::new();
    let family = registry
        .histogram_family("h_seconds", "H.", &["stage"], Buckets::exponential(0.5, 2.0, 3).unwrap())
        .unwrap();
    let histogram = family.with(&["read"]);
    for value in [0.25, 1.0, 1.5, 9.0] {
        histogram.observe(value);
    }
    assert_eq!(
        rendered(&registry),
        "# HELP h_seconds H.\n# TYPE h_seconds histogram\n\
         h_seconds_bucket{stage=\"read\",le=\"0.5\"} 1\n\
         h_seconds_bucket{stage=\"read\",le=\"1\"} 2\n\
         h_seconds_bucket{stage=\"read\",le=\"2\"} 3\n\
         h_seconds_bucket{stage=\"read\",le=\"+Inf\"} 4\n\
         h_seconds_sum{stage=\"read\"} 11.75\n\
         h_seconds_count{stage=\"read\"} 4\n"
    );
}

#[test]
fn summaries_forget_old_observations_in_their_quantiles_only() {
    let clock = VirtualClock::new(Timestamp(0));
    let registry = Registry::with_clock(10, clock.clone());
    let options =
        SummaryOptions { quantiles: vec![0.99, 0.5], max_age: Duration::from_secs(50), slots: 5 };
    let summary = registry.summary("s_ms", "S.", options).unwrap();
    let empty = "# HELP s_ms S.\n# TYPE s_ms summary\ns_ms{quantile=\"0.5\"} NaN\n\
                 s_ms{quantile=\"0.99\"} NaN\ns_ms_sum 0\ns_ms_count 0\n";
    assert_eq!(rendered(&registry), empty);

    for value in 1..=100 {
        summary.observe(f64::from(value));
    }
    summary.observe(f64::NAN);
    let text = rendered(&registry);
    assert!(
        text.contains(
            "s_ms{quantile=\"0.5\"} 50\ns_ms{quantile=\"0.99\"} 99\ns_ms_sum 5050\ns_ms_count 101\n"
        ),
        "{text}"
    );

    clock.advance(Duration::from_secs(49));
    summary.observe(1_000.0);
    assert_eq!(summary.quantiles(), [(0.5, 51.0), (0.99, 100.0)], "both slots take part");
    clock.advance(Duration::from_secs(1));
    assert_eq!(summary.quantiles(), [(0.5, 1_000.0), (0.99, 1_000.0)], "the first slot has left");
    clock.advance(Duration::from_secs(40));
    assert!(summary.quantiles()[0].1.is_nan(), "so has the second");
    assert_eq!((summary.count(), summary.sum()), (102, 6_050.0));
}

#[test]
fn a_summary_without_quantiles_shows_sum_and_count() {
    let registry = Registry::new();
    let family =
        registry.summary_family("s", "S.", &["a"], SummaryOptions::without_quantiles()).unwrap();
    family.with(&["x"]).observe(2.5);
    assert!(
        rendered(&registry).ends_with("# TYPE s summary\ns_sum{a=\"x\"} 2.5\ns_count{a=\"x\"} 1\n")
    );
}

#[test]
fn unusable_summaries_are_refused() {
    let registry = Registry::new();
    let with = |quantiles: &[f64], max_age, slots| {
        registry.summary("s", "S.", SummaryOptions { quantiles: quantiles.into(), max_age, slots })
    };
    let minute = Duration::from_secs(60);
    for result in [
        with(&[1.5], minute, 5),
        with(&[f64::NAN], minute, 5),
        with(&[0.5, 0.5], minute, 5),
        with(&[0.5; 33], minute, 5),
        with(&[0.5], minute, 0),
        with(&[0.5], minute, 61),
        with(&[0.5], Duration::from_nanos(4), 5),
    ] {
        assert!(matches!(result, Err(MetricsError::Summary { .. })));
    }
}

#[test]
fn the_same_shape_gives_the_same_series_and_another_shape_an_error() {
    let registry = Registry::new();
    registry.counter_family("x_total", "X.", &["a"]).unwrap().with(&["1"]).add(2);
    registry.clone().counter_family("x_total", "Other help.", &["a"]).unwrap().with(&["1"]).add(3);
    assert!(
        rendered(&registry)
            .contains("# HELP x_total X.\n# TYPE x_total counter\nx_total{a=\"1\"} 5\n")
    );

    let error = registry.counter_family("x_total", "X.", &["b"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric `x_total` is already registered as counter with labels `a`, not as counter with labels `b`; \
         register it with the same shape or choose another name"
    );
    assert!(matches!(registry.gauge("x_total", "X."), Err(MetricsError::Conflict { .. })));
    assert!(matches!(
        registry.gauge_fn("x_total", "X.", &[("a", "1")], || 0.0),
        Err(MetricsError::Conflict { .. })
    ));

    let first = Buckets::explicit(&[1.0]).unwrap();
    registry.histogram("h", "H.", first.clone()).unwrap().observe(0.5);
    assert_eq!(registry.histogram("h", "H.", first).unwrap().count(), 1);
    assert!(matches!(
        registry.histogram("h", "H.", Buckets::default()),
        Err(MetricsError::Conflict { .. })
    ));
}

#[test]
fn sample_names_of_two_metrics_never_meet() {
    let registry = Registry::new();
    registry.histogram("h", "H.", Buckets::default()).unwrap();
    let error = registry.counter("h_count", "C.").unwrap_err();
    assert!(
        matches!(&error, MetricsError::SampleTaken { sample, owner, .. } if sample == "h_count" && owner == "h")
    );
    registry.counter("s_sum", "C.").unwrap();
    assert!(matches!(
        registry.summary("s", "S.", SummaryOptions::default()),
        Err(MetricsError::SampleTaken { .. })
    ));
}

#[test]
fn malformed_names_are_refused() {
    let registry = Registry::new();
    for name in ["", "1x", "a-b", "a b", "ä"] {
        assert!(
            matches!(registry.counter(name, ""), Err(MetricsError::InvalidName { .. })),
            "{name}"
        );
    }
    registry.counter("a:b_1", "").unwrap();
    for label in ["", "1x", "a-b", "__x", "a:b"] {
        assert!(
            matches!(
                registry.counter_family("x", "", &[label]),
                Err(MetricsError::InvalidLabel { .. })
            ),
            "{label}"
        );
    }
    assert!(registry.counter_family("x", "", &["a", "a"]).is_err());
    assert!(registry.histogram_family("x", "", &["le"], Buckets::default()).is_err());
    assert!(registry.summary_family("x", "", &["quantile"], SummaryOptions::default()).is_err());
    registry.counter_family("x", "", &["le"]).unwrap();
}

#[test]
fn past_the_bound_values_are_counted_as_other() {
    let registry = Registry::with_series_max(2);
    let family = registry.counter_family("x_total", "X.", &["a", "b"]).unwrap();
    family.with(&["1", "1"]).inc();
    family.with(&["2", "2"]).inc();
    assert!(registry.render().contains(&format!("{SERIES_DROPPED} 0\n")), "two of two");
    family.with(&["3", "3"]).add(10);
    family.with(&["4", "4"]).add(5);
    family.with(&["1", "1"]).inc();
    let text = registry.render();
    assert!(text.contains("x_total{a=\"1\",b=\"1\"} 2\n"), "{text}");
    assert!(text.contains("x_total{a=\"other\",b=\"other\"} 15\n"), "{text}");
    assert!(text.contains(&format!("\n{SERIES_DROPPED} 2\n")), "{text}");
    assert!(!text.contains("\"3\""), "{text}");
    for index in 0..10_000_u32 {
        family.with(&[&index.to_string(), ""]).inc();
    }
    assert_eq!(registry.render().matches("x_total{").count(), 3);
}

#[test]
fn long_label_values_are_cut_at_a_character() {
    let registry = Registry::new();
    let family = registry.counter_family("x_total", "X.", &["a"]).unwrap();
    family.with(&[&"ä".repeat(5_000)]).inc();
    family.with(&[&format!("x{}", "ä".repeat(5_000))]).inc();
    let text = rendered(&registry);
    assert!(
        text.contains(&format!("\"{}\"", "ä".repeat(256)))
            && text.contains(&format!("\"x{}\"", "ä".repeat(255)))
    );
}

#[test]
fn callbacks_are_read_at_each_scrape_and_may_use_the_registry() {
    let registry = Registry::with_series_max(2);
    let value = Arc::new(AtomicU64::new(7));
    let (for_gauge, for_counter, inner) =
        (Arc::clone(&value), Arc::clone(&value), registry.clone());
    registry
        .gauge_fn("queue", "Q.", &[("kind", "in")], move || {
            inner.remove_series(&[("kind", "nothing")]);
            for_gauge.load(Ordering::Relaxed) as f64 / 2.0
        })
        .unwrap();
    registry.counter_fn("c_total", "C.", &[], move || for_counter.load(Ordering::Relaxed)).unwrap();
    assert!(registry.render().contains("# TYPE queue gauge\nqueue{kind=\"in\"} 3.5\n"));
    value.store(u64::MAX, Ordering::Relaxed);
    assert!(registry.render().contains("# TYPE c_total counter\nc_total 18446744073709551615\n"));

    registry.gauge_fn("queue", "Q.", &[("kind", "in")], || 1.0).unwrap();
    assert!(registry.render().contains("queue{kind=\"in\"} 1\n"), "replaced");
    registry.gauge_fn("queue", "Q.", &[("kind", "out")], || 1.0).unwrap();
    let error = registry.gauge_fn("queue", "Q.", &[("kind", "third")], || 1.0).unwrap_err();
    assert!(matches!(error, MetricsError::SeriesLimit { limit: 2, .. }));
}

#[test]
fn series_of_something_that_ended_can_be_removed() {
    let registry = Registry::new();
    let family = registry.counter_family("x_total", "X.", &["name", "route"]).unwrap();
    let held = family.with(&["a", "1"]);
    family.with(&["a", "2"]);
    family.with(&["b", "1"]);
    registry.gauge_fn("g", "G.", &[("name", "a")], || 1.0).unwrap();
    registry.counter("plain_total", "P.").unwrap();
    assert_eq!(registry.remove_series(&[]), 0);
    assert_eq!(registry.remove_series(&[("name", "a"), ("unknown", "1")]), 0);
    assert_eq!(registry.remove_series(&[("name", "a")]), 3);
    held.inc();
    assert!(family.remove(&["b", "1"]) && !family.remove(&["b", "1"]));
    assert_eq!(
        rendered(&registry),
        "# HELP plain_total P.\n# TYPE plain_total counter\nplain_total 0\n"
    );
    assert_eq!(family.with(&["a", "1"]).value(), 0, "a new series starts anew");
}

#[test]
fn handles_count_exactly_from_many_threads() {
    let registry = Registry::new();
    let counter = registry.counter("x_total", "X.").unwrap();
    let gauge = registry.gauge("g", "G.").unwrap();
    let histogram = registry.histogram("h", "H.", Buckets::explicit(&[1.0]).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    counter.inc();
                    gauge.add(0.5);
                    histogram.observe(2.0);
                }
            });
        }
    });
    assert_eq!((counter.value(), gauge.value()), (40_000, 20_000.0));
    assert_eq!((histogram.count(), histogram.sum()), (40_000, 80_000.0));
}

#[test]
fn what_is_refreshed_together_is_shown_together() {
    let registry = Registry::new();
    let [first, last] =
        ["a_points", "z_points"].map(|name| registry.int_gauge_family(name, "n", &[]).unwrap());
    let (first, last) = (first.with(&[]), last.with(&[]));
    let next = AtomicU64::new(0);
    registry.before_render(move || {
        let number = next.fetch_add(1, Ordering::Relaxed).cast_signed();
        first.set(number);
        last.set(number);
    });
    let scrape = || {
        for _ in 0..2_000 {
            let text = registry.render();
            let value = |name: &str| {
                let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
                lines.next().unwrap().to_owned()
            };
            assert_eq!(value("a_points "), value("z_points "));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(scrape);
        }
    });
}
