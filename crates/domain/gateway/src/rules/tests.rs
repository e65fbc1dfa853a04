use std::collections::HashMap;

use levada_condition::filter::Record;
use levada_model::FieldValue;

use super::*;

fn record(name: &str, tags: &[(&str, &str)]) -> Record {
    Record {
        name: name.to_owned(),
        category: Some(Category::Logging),
        tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        fields: vec![("f".into(), FieldValue::Int(1))],
    }
}

fn sinker(name: &str, filters: &[&str], id: DestinationId) -> SinkerSpec {
    SinkerSpec {
        name: name.into(),
        categories: vec![Category::Logging],
        filters: filters.iter().map(|text| (*text).into()).collect(),
        target: Target::Each(vec![id]),
    }
}

fn rules(spec: RulesSpec) -> RuleSet {
    RuleSet::new(spec, 10).unwrap()
}

/// Where a point goes: the targets, then the default so many times.
fn decide(rules: &RuleSet, record: &Record) -> Option<(Vec<DestinationId>, u32)> {
    let mut scratch = Scratch::default();
    let verdict = rules.decide(Category::Logging, record, &mut scratch);
    rules.count(&mut scratch);
    (verdict == Verdict::Send).then(|| (scratch.targets().to_vec(), scratch.default_copies()))
}

#[test]
fn every_mode_shares_as_it_says() {
    let (p1, p2) = (record("x", &[("fa", "a")]), record("x", &[("fb", "b")]));
    let (p3, both) = (record("x", &[]), record("x", &[("fa", "a"), ("fb", "b")]));
    let points = [p1, p2, p3, both];
    for (mode, expected) in [
        (SinkMode::All, [(vec![1], 0), (vec![2], 0), (vec![0], 0), (vec![1, 2], 0)]),
        (SinkMode::First, [(vec![1], 0), (vec![2], 0), (vec![0], 0), (vec![1], 0)]),
        (SinkMode::Remaining, [(vec![1], 0), (vec![2], 0), (vec![0], 0), (vec![1], 0)]),
        // Source: B4. Points that one of two sinkers takes go to the default as well, others twice.
        (SinkMode::Compat16, [(vec![1], 1), (vec![2], 1), (vec![], 2), (vec![1, 2], 0)]),
    ] {
        let rules = rules(RulesSpec {
            sink_mode: mode,
            sinkers: vec![sinker("a", &["{ fa = 'a' }"], 1), sinker("b", &["{ fb = 'b' }"], 2)],
            default: Some(Target::Each(vec![0])),
            ..RulesSpec::default()
        });
        for (point, expected) in points.iter().zip(expected) {
            assert_eq!(decide(&rules, point), Some(expected), "{mode:?} {point:?}");
        }
    }
}

#[test]
fn a_sinker_without_filters_takes_its_categories_and_only_those() {
    let rules = rules(RulesSpec {
        sinkers: vec![sinker("all", &[], 1), sinker("one", &["{ source = 'nginx' }"], 2)],
        default: Some(Target::Each(vec![0])),
        ..RulesSpec::default()
    });
    assert_eq!(decide(&rules, &record("nginx", &[])), Some((vec![1, 2], 0)));
    assert_eq!(decide(&rules, &record("other", &[])), Some((vec![1], 0)));
    let mut scratch = Scratch::default();
    let verdict = rules.decide(Category::Metric, &record("nginx", &[]), &mut scratch);
    assert_eq!((verdict, scratch.targets()), (Verdict::Send, &[0][..]));
    assert_eq!(rules.constant(Category::Metric), Some(&[0][..]));
    assert_eq!(rules.constant(Category::Logging), None);
}

#[test]
fn drop_filters_come_first_and_rules_count() {
    let spec = RulesSpec {
        drop_filters: vec![(Category::Logging, vec!["{ fa = 'a' }".into(), "{ fb = 'b' }".into()])],
        sinkers: vec![sinker("b", &["{ fc = 'c' }"], 1)],
        ..RulesSpec::default()
    };
    let first = rules(spec.clone());
    assert_eq!(decide(&first, &record("x", &[("fb", "b"), ("fc", "c")])), None);
    assert_eq!(decide(&first, &record("x", &[("fc", "c")])), Some((vec![1], 0)));
    assert_eq!(decide(&first, &record("x", &[])), None, "there is no default");
    let counts = |rules: &RuleSet| {
        let hits = rules.hits();
        [hits.drops(0, 0), hits.drops(0, 1), hits.sinker(0), hits.unmatched()]
    };
    assert_eq!(counts(&first), [0, 1, 1, 1]);
    // A rule that stays goes on counting, at whichever place it is.
    let mut second = rules(RulesSpec {
        drop_filters: vec![(Category::Logging, vec!["{ fb = 'b' }".into()])],
        ..spec
    });
    second.inherit(&first);
    assert_eq!(counts(&second), [1, 0, 1, 1]);
}

#[test]
fn sinkers_are_known_again_by_what_they_ask_or_by_their_name() {
    let spec = |sinkers: Vec<SinkerSpec>| RulesSpec { sinkers, ..RulesSpec::default() };
    let first = rules(spec(vec![
        sinker("sinker-1", &["{ fa = 'a' }"], 0),
        sinker("sinker-2", &["{ fb = 'b' }"], 1),
        sinker("mine", &["{ fc = 'c' }"], 1),
    ]));
    for field in ["fa", "fb", "fb", "fc", "fc", "fc"] {
        let value = field.trim_start_matches('f');
        assert!(decide(&first, &record("x", &[(field, value)])).is_some());
    }
    // Another one is put before them, which moves the names that say the place; one is changed and keeps its name.
    let mut second = rules(spec(vec![
        sinker("sinker-1", &["{ fd = 'd' }"], 0),
        sinker("sinker-2", &["{ fa = 'a' }"], 0),
        sinker("sinker-3", &["{ fb = 'b' }"], 1),
        sinker("mine", &["{ fe = 'e' }"], 1),
    ]));
    second.inherit(&first);
    let counts: Vec<u64> = (0..4).map(|at| second.hits().sinker(at)).collect();
    assert_eq!(counts, [0, 1, 2, 3]);
    // A body that was begun with the set before counts in the new one.
    assert!(decide(&first, &record("x", &[("fa", "a")])).is_some());
    assert_eq!(second.hits().sinker(1), 2);
}

#[test]
fn version_1_6_drops_what_it_cannot_filter() {
    let spec = RulesSpec {
        compat: Compat::Seed,
        drop_filters: vec![(Category::DialTesting, vec!["{ fa = 'a' }".into()])],
        default: Some(Target::Each(vec![0])),
        ..RulesSpec::default()
    };
    let verdict = |compat| {
        let rules = rules(RulesSpec { compat, ..spec.clone() });
        rules.decide(Category::DialTesting, &record("x", &[]), &mut Scratch::default())
    };
    assert_eq!(verdict(Compat::Seed), Verdict::Drop);
    assert_eq!(verdict(Compat::Head), Verdict::Send);
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let error = RuleSet::new(
        RulesSpec {
            drop_filters: vec![
                (Category::Metric, vec!["{ a = 'b' }".into()]),
                (Category::Rum, vec!["{ a = 'b' }".into(), "some-invalid-filter-expr".into()]),
                (Category::Metric, vec!["{ a = 'b' }".into()]),
            ],
            sinkers: vec![
                sinker("a", &["{ a = 'b' }", "{ a = re(`[`) }"], 1),
                sinker("b", &[""], 99),
                SinkerSpec { target: Target::Each(vec![]), ..sinker("c", &[], 1) },
                SinkerSpec {
                    target: Target::Hash { key: "host".into(), among: vec![(1, 0)] },
                    ..sinker("d", &[], 1)
                },
            ],
            ..RulesSpec::default()
        },
        10,
    )
    .unwrap_err();
    let mut paths: Vec<&str> = error.0.iter().map(|problem| &*problem.path).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "filters.metric",
            "filters.rum[1]",
            "sinkers[0].filters[1]",
            "sinkers[1]",
            "sinkers[1].filters[0]",
            "sinkers[2]",
            "sinkers[3]",
        ]
    );
}

#[test]
fn points_with_one_value_stay_together_and_few_move() {
    let target = |ids: &[DestinationId]| Target::Hash {
        key: "host".into(),
        among: ids.iter().map(|id| (*id, if *id == 3 { 2 } else { 1 })).collect(),
    };
    let with = |ids: &[DestinationId]| {
        rules(RulesSpec { default: Some(target(ids)), ..RulesSpec::default() })
    };
    let (three, two) = (with(&[1, 2, 3]), with(&[1, 3]));
    let mut counts = HashMap::new();
    for number in 0..4_000 {
        let point = record("x", &[("host", &format!("web-{number}"))]);
        let before = decide(&three, &point).unwrap().0;
        assert_eq!(decide(&three, &point).unwrap().0, before);
        *counts.entry(before[0]).or_insert(0) += 1;
        let after = decide(&two, &point).unwrap().0;
        assert!(before == [2] || before == after, "only points of what is gone move");
    }
    for (id, expected) in [(1, 1_000), (2, 1_000), (3, 2_000)] {
        assert!((expected - 150..expected + 150).contains(&counts[&id]), "{counts:?}");
    }
}

#[test]
fn headers_are_those_of_the_table() {
    // Source: dataway reference §3.4; the name of the category and of the point come last, texts in their order.
    type Texts = &'static [(&'static str, &'static str)];
    type Keys = &'static [&'static str];
    let cases: &[(Category, Texts, Keys, Keys, &str)] = &[
        (
            Category::Security,
            &[("category", "system")],
            &[],
            &["category"],
            "category=system,category=security",
        ),
        (
            Category::Object,
            &[("t1", "v1")],
            &[],
            &["class", "t1", "t2", "tag2"],
            "t1=v1,class=some",
        ),
        (
            Category::Object,
            &[("t1", "v1"), ("tag2", "new-value")],
            &[],
            &["class", "t1", "tag2"],
            "t1=v1,tag2=new-value,class=some",
        ),
        (Category::Object, &[], &[], &["class"], "class=some"),
        (Category::Object, &[], &[], &["namespace"], ""),
        (Category::Logging, &[("namespace", "ns1")], &[], &["namespace", "app"], "namespace=ns1"),
        (Category::Logging, &[("tag1", "new-value")], &["tag1"], &["namespace"], "tag1=new-value"),
        (Category::Logging, &[], &["tag1"], &[], ""),
        (Category::Tracing, &[], &[], &["source", "class", "measurement"], ""),
        // Source: B17.
        (Category::Logging, &[("a", "x,y=z\r\n")], &[], &["a"], "a=x_y_z__"),
    ];
    for (category, texts, tags, keys, expected) in cases {
        let rules = GlobalTags {
            tags: tags.iter().map(|key| ((*key).into(), "value1".into())).collect(),
            customer_keys: keys.iter().map(|key| (*key).into()).collect(),
            is_escaped: false,
        };
        let mut out = String::new();
        header_value(&rules, *category, "some", texts.iter().copied(), &mut out);
        assert_eq!(out, *expected, "{category:?} {texts:?}");
    }
    let escaped =
        GlobalTags { customer_keys: vec!["a".into()], is_escaped: true, ..GlobalTags::default() };
    let mut out = String::new();
    let texts = [("a", "x,é%")].into_iter();
    header_value(&escaped, Category::Logging, "m", texts, &mut out);
    assert_eq!(out, "a=x%2C%C3%A9%25");
    let tags = GlobalTags {
        tags: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        ..GlobalTags::default()
    };
    assert_eq!(tags.default_header(), "a=1,b=2");
}

#[test]
fn pulls_are_read() {
    let pulled = read_pull(
        br#"{"filters":{"logging":["{ source = 'x' }"],"metric":[],"new":["{}"],"rum":null},"pull_interval":10000000000,"remote_pipelines":null}"#,
    )
    .unwrap();
    assert_eq!(
        pulled.filters,
        [
            (Category::Logging, vec!["{ source = 'x' }".to_owned()]),
            (Category::Metric, vec![]),
            (Category::Rum, vec![]),
        ]
    );
    assert_eq!(pulled.interval, Some(std::time::Duration::from_secs(10)));
    assert_eq!(pulled.unknown, ["new"]);
    for (text, expected) in [
        ("{}", Some(None)),
        (r#"{"filters":null,"pull_interval":0}"#, Some(None)),
        (r#"{"pull_interval":-5}"#, Some(None)),
        (r#"{"pull_interval":1}"#, Some(Some(std::time::Duration::from_millis(1)))),
        (r#"{"filters":{"logging":"x"}}"#, None),
        ("", None),
    ] {
        assert_eq!(
            read_pull(text.as_bytes()).ok().map(|pulled| pulled.interval),
            expected,
            "{text}"
        );
    }
}

#[test]
fn modes_have_names() {
    for (word, mode) in [
        ("all", SinkMode::All),
        ("first", SinkMode::First),
        ("remaining", SinkMode::Remaining),
        ("compat-1.6", SinkMode::Compat16),
    ] {
        assert_eq!(word.parse(), Ok(mode));
    }
    assert!(
        "any"
            .parse::<SinkMode>()
            .unwrap_err()
            .ends_with("known: all, first, remaining, compat-1.6")
    );
}

/// Shows a millisecond more at each look.
#[derive(Debug, Default)]
struct Ticking(std::sync::atomic::AtomicU64);

impl levada_runtime::Clock for Ticking {
    fn now(&self) -> levada_model::Timestamp {
        levada_model::Timestamp(0)
    }

    fn monotonic(&self) -> std::time::Duration {
        let looks = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::time::Duration::from_millis(looks)
    }

    fn sleep(&self, _: std::time::Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn drop_filters_are_timed_by_samples() {
    let rules = rules(RulesSpec {
        drop_filters: vec![(Category::Logging, vec!["{ a = 'b' }".into()])],
        default: Some(Target::Each(vec![0])),
        ..RulesSpec::default()
    });
    let clock = std::sync::Arc::new(Ticking::default());
    let mut scratch = Scratch::default();
    scratch.set_clock(clock.clone());
    let point = record("x", &[]);
    for (points, looks) in [(1, 2), (64, 2), (65, 4), (1_000, 32)] {
        let before = clock.0.load(std::sync::atomic::Ordering::Relaxed);
        for _ in 0..points {
            rules.decide(Category::Logging, &point, &mut scratch);
        }
        let after = clock.0.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(after - before, looks, "looks at the clock for {points} points");
        assert_eq!(scratch.filters_took(), std::time::Duration::from_millis(points));
    }
    // What no filter looks at takes no time, and no look at the clock.
    rules.decide(Category::Metric, &point, &mut scratch);
    assert_eq!(scratch.filters_took(), std::time::Duration::ZERO);
}
