//! Prints what an evaluation costs: `cargo run --release -p levada-condition --example condition_bench`.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::time::Instant;

use levada_condition::{Condition, Input};
use levada_model::tree::Tree;

const RECORD: &str = r#"{"id":184467,"ts":"2026-02-07T10:30:00.5Z","service":"checkout","host":"web-17","method":"POST",
"path":"/api/v1/orders","status":404,"duration_ms":12.50,"user":{"id":99,"email":"a.person@example.org","tier":"gold"},
"items":[{"sku":"A","qty":1},{"sku":"B","qty":2}],"ok":true,"message":"order refused"}"#;

const CONDITIONS: &[&str] = &[
    "status < 500",
    "$.status == 404",
    "$.status == '404'",
    "duration_ms >= 12.5",
    "service == 'checkout'",
    "user.email == 'a.person@example.org'",
    "message",
    "missing == 'x'",
    "status >= 400 && status < 500 && service != 'probe'",
    "method in (GET, PUT, 'POST')",
    "path =~ '^/api/v[0-9]+/orders$'",
    "items.#(sku==\"B\").qty == 2",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = RECORD.as_bytes();
    let mut tree = Tree::default();
    let root = tree.parse(text, 0, text.len() as u32)?;
    let input = Input { text, tree: &tree, root: Some(root), meta: None };
    for written in CONDITIONS {
        let condition = Condition::compile(written)?;
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            const ROUNDS: u32 = 1_000_000;
            let started = Instant::now();
            for _ in 0..ROUNDS {
                black_box(black_box(&condition).eval(black_box(input)));
            }
            best = best.min(started.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
        }
        println!("{best:7.1} ns  {:5}  {written}", condition.eval(input));
    }
    Ok(())
}
