//! `where`: keeps the points that an expression is true for.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point};
use levada_tick::lambda::Program;
use levada_tick::script::{CallError, Value};

use super::predicate::{Predicate, has_inner_lambda};
use crate::property::types::{exactly, lambda_argument};
use crate::property::{Lambda, PropertyCall};
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Set, Spec};
use crate::spec_json;

/// `|where(lambda: …)`
#[derive(Clone, Debug, Default)]
pub struct Where {
    expression: Lambda,
}

crate::properties! { Where { "lambda" => expression } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "where",
    type_name: "WhereNode",
    desc: "where",
    json_type: "where",
    summary: "keeps the points that an expression is true for",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let [expression] = exactly::<1>(args)?;
        let expression = Lambda(Some(lambda_argument(expression)?));
        builder.add(parent, Box::new(Where { expression }))
    },
    empty: || Box::new(Where::default()),
};

struct Running {
    predicate: Predicate,
    /// The groups that came by.
    seen: PerGroup<()>,
    kept: Vec<Point>,
}

// === impl Where ===

impl Where {
    fn compile(&self) -> Result<Program, String> {
        let expression = self.expression.0.as_deref().ok_or("a where node needs an expression")?;
        Program::compile(expression)
            .map_err(|error| format!("Failed to compile expression in where clause: {error}"))
    }
}

impl Spec for Where {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    // The expression is an argument and no property.
    fn has_property(&self, _name: &str) -> bool {
        false
    }

    fn set(&mut self, name: &str, _args: Vec<Value>) -> Result<Set, CallError> {
        Err(CallError::Call(format!("no property {name}")))
    }

    fn read(&self, _name: &str) -> Option<Value> {
        None
    }

    fn calls(&self) -> Vec<PropertyCall> {
        Vec::new()
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }

    spec_json!();

    fn args(&self) -> Vec<Value> {
        self.expression.0.iter().map(|expression| Value::Lambda(Arc::clone(expression))).collect()
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.compile().map(|_| ())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let shares = self.expression.0.as_deref().is_some_and(has_inner_lambda);
        let predicate = Predicate::new(self.compile()?, ctx.seed);
        let predicate = predicate.shared(shares && ctx.compat.is_1_8);
        Ok(Box::new(Running { predicate, seen: PerGroup::default(), kept: Vec::new() }))
    }
}

// === impl Running ===

impl Running {
    fn keeps(&mut self, point: &Point, group: &Group, out: &mut Out<'_>) -> bool {
        match self.predicate.holds(point, group.slot, &out.ctx.env) {
            Ok(holds) => holds,
            Err(error) => {
                out.error("error while evaluating expression", &error.to_string(), &[]);
                false
            }
        }
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        self.seen.entry(group.slot, || ());
        if self.keeps(point, group, out) { out.point(point, group) } else { Ok(()) }
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        self.seen.entry(batch.group.slot, || ());
        let mut kept = std::mem::take(&mut self.kept);
        for point in batch.points {
            if self.keeps(point, batch.group, out) {
                kept.push(point.clone());
            }
        }
        let result = out.batch(BatchRef { points: &kept, ..batch });
        kept.clear();
        self.kept = kept;
        result
    }

    fn forget(&mut self, slot: u32) {
        self.seen.remove(slot);
        self.predicate.forget(slot);
    }

    fn cardinality(&self) -> usize {
        self.seen.len()
    }

    fn save(&self, writer: &mut Writer<'_>) {
        self.predicate.save(writer);
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.predicate.load(reader)
    }
}
