//! The InfluxQL functions: one file each, one line each in [`FUNCTIONS`].
//!
//! ```text
//! reduce.rs     many points become one result: aggregates, selectors, multi-point functions
//! transform.rs  each point becomes at most one
//! ```
//!
//! - Source: kapacitor reference §6.

mod arguments;
mod count;
mod cumulative_sum;
mod difference;
mod distinct;
mod elapsed;
mod first_last;
mod holt_winters;
mod mean;
mod median;
mod min_max;
mod mode;
mod moving_average;
mod number;
mod output;
mod percentile;
mod reduce;
mod spec;
mod spread;
mod stddev;
mod sum;
#[cfg(test)]
mod tests;
mod top_bottom;
mod transform;
mod trouble;

use arguments::{Argument, Arguments};
use spec::InfluxQl;

use crate::property::is_same_name;
use crate::runtime::Node;
use crate::spec::{Edge, EdgeRule, Kind};

/// All functions, in the order of the docs.
pub static FUNCTIONS: &[&Function] = &[
    &count::COUNT,
    &distinct::DISTINCT,
    &mean::MEAN,
    &median::MEDIAN,
    &mode::MODE,
    &spread::SPREAD,
    &sum::SUM,
    &stddev::STDDEV,
    &first_last::FIRST,
    &first_last::LAST,
    &min_max::MIN,
    &min_max::MAX,
    &percentile::PERCENTILE,
    &top_bottom::TOP,
    &top_bottom::BOTTOM,
    &elapsed::ELAPSED,
    &difference::DIFFERENCE,
    &moving_average::MOVING_AVERAGE,
    &cumulative_sum::CUMULATIVE_SUM,
    &holt_winters::HOLT_WINTERS,
    &holt_winters::HOLT_WINTERS_WITH_FIT,
];

/// Finds the kind of a function by its chaining method.
pub fn kind(method: &str) -> Option<&'static Kind> {
    let mut functions = FUNCTIONS.iter();
    functions.find(|function| is_same_name(function.kind.name, method)).map(|found| &found.kind)
}

/// Gives the kinds of all functions.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    FUNCTIONS.iter().map(|function| &function.kind)
}

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its node.
    pub kind: Kind,
    /// The arguments of its chaining method, the name of the field among them.
    arguments: &'static [Argument],
    /// Checks the arguments when a task is defined.
    check: fn(&Arguments) -> Result<(), String>,
    /// Makes the node.
    start: fn(Start<'_>) -> Box<dyn Node>,
}

/// What the node of a function is made with.
struct Start<'s> {
    definition: &'s InfluxQl,
    wants: Edge,
}

/// Gives a kind; the functions differ in few of its members.
const fn kind_of(
    name: &'static str,
    desc: &'static str,
    summary: &'static str,
    provides: EdgeRule,
    chain: super::Chain,
    empty: fn() -> Box<dyn crate::spec::Spec>,
) -> Kind {
    Kind {
        name,
        type_name: "InfluxQLNode",
        desc,
        json_type: name,
        summary,
        wants: EdgeRule::SameAsParent,
        provides,
        chain,
        empty,
    }
}

/// Makes the static of a function.
macro_rules! function {
    (
        $static:ident, $name:literal, as $desc:literal, $summary:literal, $provides:expr,
        [$($argument:expr),* $(,)?], $check:expr, $start:expr $(,)?
    ) => {
        #[doc = concat!("`|", $name, "()`: ", $summary, ".")]
        pub(super) static $static: $crate::nodes::functions::Function =
            $crate::nodes::functions::Function {
                kind: $crate::nodes::functions::kind_of(
                    $name,
                    $desc,
                    $summary,
                    $provides,
                    |builder, parent, _name, args| {
                        let spec =
                            $crate::nodes::functions::spec::InfluxQl::new(&$static, args)?;
                        builder.add(parent, Box::new(spec))
                    },
                    || Box::new($crate::nodes::functions::spec::InfluxQl::empty(&$static)),
                ),
                arguments: &[$($argument),*],
                check: $check,
                start: $start,
            };
    };
}
use function;

/// A function that gives single points.
const STREAM: EdgeRule = EdgeRule::Fixed(Edge::Stream);
/// A function that gives batches.
const BATCH: EdgeRule = EdgeRule::Fixed(Edge::Batch);
/// A function that gives what it takes.
const SAME: EdgeRule = EdgeRule::SameAsParent;

/// The check of functions whose arguments can all be.
fn anything(_arguments: &Arguments) -> Result<(), String> {
    Ok(())
}
