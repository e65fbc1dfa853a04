//! `deadman`: a chain of `stats`, `derivative` and `alert` under one name.
//!
//! ```text
//! x|deadman(100.0, 10s) = x|stats(10s).align()
//!                          |derivative('emitted').unit(10s).nonNegative()
//!                          |alert().id(…).message(…).crit(lambda: "emitted" <= 100.0)
//! ```
//!
//! - Source: kapacitor reference §5.20.

use std::sync::Arc;

use levada_tick::script::{CallError, Objects, Value};
use levada_tick::syntax::ast::{Kind as Syntax, Position};
use levada_tick::syntax::{Node as Expression, Operator};

use super::alert::Alert;
use super::stats;
use crate::pipeline::{Builder, NodeIndex};
use crate::property::types::{duration_argument, float_argument, lambda_arguments, text, too_few};
use crate::spec::{EdgeRule, Kind};

/// The chaining method; it makes no node of its own.
pub static KIND: Kind = Kind {
    name: "deadman",
    type_name: "AlertNode",
    desc: "alert",
    json_type: "alert",
    summary: "reports groups that are silent",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let mut args = args.into_iter();
        let threshold = float_argument(args.next().ok_or_else(too_few)?)?;
        let interval = duration_argument(args.next().ok_or_else(too_few)?)?;
        add(builder, parent, threshold, interval, lambda_arguments(args.collect())?)
    },
    empty: || Box::new(Alert::default()),
};

/// The field that is judged.
const EMITTED: &str = "emitted";

/// Adds the three nodes; `extra` must hold, too, for an alert.
pub fn add(
    builder: &mut Builder,
    parent: NodeIndex,
    threshold: f64,
    interval: i64,
    extra: Vec<Arc<Expression>>,
) -> Result<NodeIndex, CallError> {
    // The name is fixed here, before the stats node gives the parent another child.
    let name = builder.fix_name(parent);
    let id = builder.deadman.id.replacen("NODE_NAME", &name, 1);
    let duration = levada_template::go::duration::text(interval);
    let message = builder.deadman.message.replacen("INTERVAL", &duration, 1);

    let stats = stats::add(builder, parent, interval, true)?;
    let stats = builder.object_of(stats);
    let derivative = builder.chain(stats, "derivative", vec![text(EMITTED)])?;
    builder.property(derivative, "unit", vec![Value::Duration(interval)])?;
    builder.property(derivative, "nonNegative", Vec::new())?;

    let mut alert = Alert::default();
    alert.set_texts(id, message);
    alert.set_crit(extra.into_iter().fold(Arc::new(at_most(threshold)), both));
    let derivative = builder
        .node_argument(&Value::Object(derivative))
        .ok_or_else(|| CallError::Call("a derivative is no node".to_owned()))?;
    builder.add(derivative, Box::new(alert))
}

/// Adds a deadman to the source of a pipeline, when the settings say that every task has one.
pub fn add_global(builder: &mut Builder) -> Result<(), CallError> {
    let (is_global, threshold, interval) =
        (builder.deadman.is_global, builder.deadman.threshold, builder.deadman.interval);
    // A script without nodes is refused for having none.
    if is_global && builder.pipeline().nodes().nth(1).is_some() {
        add(builder, NodeIndex(0), threshold, interval, Vec::new())?;
    }
    Ok(())
}

fn at_most(threshold: f64) -> Expression {
    let number = node(Syntax::Float(threshold.abs()));
    let right = if threshold.is_sign_negative() && threshold != 0.0 {
        node(Syntax::Unary { operator: Operator::Minus, operand: Box::new(number) })
    } else {
        number
    };
    binary(Operator::LessEqual, node(Syntax::Reference(EMITTED.into())), right)
}

fn both(one: Arc<Expression>, other: Arc<Expression>) -> Arc<Expression> {
    let left = Arc::unwrap_or_clone(one);
    let right = in_parens(Arc::unwrap_or_clone(other));
    Arc::new(binary(Operator::And, left, right))
}

fn in_parens(mut expression: Expression) -> Expression {
    if let Syntax::Binary { in_parens, .. } = &mut expression.kind {
        *in_parens = true;
    }
    expression
}

fn binary(operator: Operator, left: Expression, right: Expression) -> Expression {
    node(Syntax::Binary {
        operator,
        left: Box::new(left),
        right: Box::new(right),
        in_parens: false,
        is_multi_line: false,
    })
}

fn node(kind: Syntax) -> Expression {
    Expression::new(Position::default(), kind)
}
