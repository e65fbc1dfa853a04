//! Prints what an evaluation of a filter costs: `cargo run --release -p levada-condition --example filter_bench`.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::time::Instant;

use levada_condition::filter::{
    Compat, Filter, FilterIndex, FilterList, Key, Keys, Lookup, Record, Value,
};
use levada_model::{Category, FieldValue};

const CONDITIONS: &[&str] = &[
    "host = 'web-17'",
    "env != 'dev'",
    "status >= 500",
    "region in ['eu-1', 'eu-2', 'us-1']",
    "host match ['^web-', '^db-']",
    "path = re('^/api/v[0-9]+/orders$')",
    "user notin ['root', 'admin']",
    "load > 0.5 and load < 8",
    "message match ['refused', 'time.?out']",
    "source = 'nginx' or source = 'envoy'",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let record = record();
    for condition in CONDITIONS {
        print_line(
            condition,
            &Filter::parse(&format!("{{ {condition} }}"), Compat::Strict)?,
            &record,
        );
    }
    for compat in [Compat::Seed, Compat::Head, Compat::Strict] {
        let filter = Filter::parse(&format!("{{ {} }}", CONDITIONS.join(", ")), compat)?;
        print_line(&format!("all ten, {compat}"), &filter, &record);
    }
    let regions: Vec<String> = (0..1_000).map(|n| format!("'region-{n}'")).collect();
    let long = Filter::parse(&format!("{{ region in [{}] }}", regions.join(", ")), Compat::Strict)?;
    print_line("a list of 1,000 texts", &long, &record);
    sinkers(&record)
}

/// 100 sinkers of ten conditions each, looked up by name and by number.
fn sinkers(record: &Record) -> Result<(), Box<dyn std::error::Error>> {
    let mut keys = Keys::default();
    let mut lists = Vec::new();
    for number in 0..100 {
        // The last condition decides, so that all ten are looked at.
        let text = format!("{{ {}, tenant = 'tenant-{number}' }}", CONDITIONS[..9].join(", "));
        lists.push(FilterList::parse(&[text], Compat::Strict, &mut keys).map_err(|_| "a filter")?);
    }
    let by_name = measure(|| lists.iter().filter(|list| list.matches(record)).count());
    println!("{by_name:9.1} ns  100 sinkers of 10 conditions, keys by name");
    let by_number = measure(|| {
        let point = Numbered::new(record, &keys);
        lists.iter().filter(|list| list.matches(&point)).count()
    });
    println!("{by_number:9.1} ns  100 sinkers of 10 conditions, keys by number");
    let index = FilterIndex::new(lists);
    let mut found = Vec::new();
    let by_index = measure(|| {
        index.matches(record, &mut found);
        found.len()
    });
    println!("{by_index:9.1} ns  100 sinkers of 10 conditions, by index");
    Ok(())
}

/// A point with the place of each key resolved once.
struct Numbered<'r> {
    record: &'r Record,
    tags: [Option<&'r str>; 16],
    fields: [Option<Value<'r>>; 16],
}

impl<'r> Numbered<'r> {
    fn new(record: &'r Record, keys: &Keys) -> Self {
        let mut point = Numbered { record, tags: [None; 16], fields: [None; 16] };
        for (name, value) in &record.tags {
            if let Some(id) = keys.id(name) {
                point.tags[id as usize] = Some(value);
            }
        }
        for (name, value) in &record.fields {
            if let Some(id) = keys.id(name) {
                point.fields[id as usize] = Value::of_field(value);
            }
        }
        point
    }
}

impl Lookup for Numbered<'_> {
    fn name(&self) -> &str {
        &self.record.name
    }

    fn category(&self) -> Option<Category> {
        self.record.category
    }

    fn tag(&self, key: &Key) -> Option<&str> {
        self.tags[key.id as usize]
    }

    fn field(&self, key: &Key) -> Option<Value<'_>> {
        self.fields[key.id as usize]
    }
}

fn print_line(label: &str, filter: &Filter, record: &Record) {
    let nanoseconds = measure(|| filter.matches(black_box(record)));
    println!("{nanoseconds:9.1} ns  {:5}  {label}", filter.matches(record));
}

/// Gives the best of five averages, in nanoseconds.
fn measure<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (started, mut rounds) = (Instant::now(), 0);
        while started.elapsed().as_millis() < 50 {
            for _ in 0..100 {
                black_box(run());
            }
            rounds += 100;
        }
        best = best.min(started.elapsed().as_nanos() as f64 / f64::from(rounds));
    }
    best
}

fn record() -> Record {
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Record {
        name: "nginx".into(),
        category: Some(Category::Logging),
        tags: vec![
            tag("env", "prod"),
            tag("host", "web-17"),
            tag("region", "eu-2"),
            tag("user", "orders"),
        ],
        fields: vec![
            ("load".into(), FieldValue::Float(1.25)),
            ("message".into(), FieldValue::Str("upstream: connection refused".into())),
            ("path".into(), FieldValue::Str("/api/v1/orders".into())),
            ("status".into(), FieldValue::Int(502)),
        ],
    }
}
