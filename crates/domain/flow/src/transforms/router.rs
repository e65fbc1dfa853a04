//! `router`: sends records to the sink of the first route whose condition they meet.
//!
//! A matched record carries its route with it; later steps still see it, and a later router may
//! send it elsewhere. Routes are known by position and name, so two routes with the same condition
//! do not disturb each other. With `continue: true` a route takes a copy and the search goes on; a
//! record that several routes take leaves once for each.

use std::sync::Arc;

use levada_condition::condition::{Condition, Input};
use levada_model::{Meta, RecordBatch, RecordError, Root, Value};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// The wire name.
pub const NAME: &str = "router";

/// The metadata key that holds the condition of the matched route.
pub const ROUTED_CONDITION: &str = "routed_condition";

/// Sends records to the sink of the first route whose condition they meet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The routes, tried in order; a record that meets none goes to the main sink.
    pub routes: Vec<RouteSpec>,
}

/// One route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteSpec {
    /// The name in metrics and results. Default: `routes[<index>]`.
    pub name: Option<String>,
    /// Which records take this route.
    pub condition: String,
    /// Where they go: a sink as in `spec.sink`.
    pub sink: Sink,
    /// Takes a copy and goes on searching. Default: false.
    pub r#continue: bool,
}

/// The sink of a route; the flow decodes it.
#[derive(Debug, Default)]
pub struct Sink;

impl<'de> Deserialize<'de> for Sink {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Sink)
    }
}

impl JsonSchema for Sink {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sink".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "$ref": "#/$defs/Sink" })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl TransformSpec for Spec {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "sends records to the sink of the first route they match";
    const EXAMPLE: &'static str = "\
type: router
config:
  routes:
    - name: slow
      condition: $.latency_ms > 500
      sink: { type: file, config: { path: slow.ndjson } }
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        for (index, route) in self.routes.iter().enumerate() {
            let at = at.child("routes").index(index).child("condition");
            if route.condition.trim().is_empty() {
                report.required(&at, "condition is required");
            } else if let Err(error) = Condition::compile(&route.condition) {
                report.invalid(&at, route.condition.as_str(), &error.to_string());
            }
        }
    }

    fn build(&self, ctx: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let routes = self.routes.iter().enumerate().map(|(index, route)| {
            Ok(CompiledRoute {
                condition: Condition::compile(&route.condition).map_err(|e| e.to_string())?,
                text: Value::Str(route.condition.as_str().into()),
                goes_on: route.r#continue,
                index: ctx.route_base + index as u16,
                last: None,
            })
        });
        Ok(Box::new(Router { routes: routes.collect::<Result<_, String>>()?, matched: Vec::new() }))
    }
}

struct Router {
    routes: Vec<CompiledRoute>,
    /// Routes that take the record at hand; kept to avoid allocation.
    matched: Vec<usize>,
}

struct CompiledRoute {
    condition: Condition,
    text: Value,
    goes_on: bool,
    index: u16,
    /// The last metadata seen and its copy with the condition set: records of a batch mostly share theirs.
    last: Option<(Option<Arc<Meta>>, Arc<Meta>)>,
}

impl Transform for Router {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let root = batch.document(index);
        self.matched.clear();
        for (number, route) in self.routes.iter().enumerate() {
            let meta = batch.meta(index);
            let input = Input { text: &batch.text, tree: &batch.tree, root, meta };
            if route.condition.eval(input) {
                self.matched.push(number);
                if !route.goes_on {
                    break;
                }
            }
        }
        match self.matched.as_slice() {
            [] => Ok(Verdict::Keep),
            [only] => {
                self.routes[*only].take(batch, index);
                Ok(Verdict::Keep)
            }
            several => {
                settle(batch, index, &mut scope.scratch)?;
                let parent = batch.records[index];
                for &number in several {
                    batch.records[index] = parent;
                    self.routes[number].take(batch, index);
                    scope.children.push(batch.records[index]);
                }
                Ok(Verdict::Split)
            }
        }
    }
}

impl CompiledRoute {
    fn take(&mut self, batch: &mut RecordBatch, index: usize) {
        batch.records[index].route = self.index;
        let before = batch.meta_arc(index);
        let is_same = |known: &Option<Arc<Meta>>| match (known, &before) {
            (Some(known), Some(before)) => Arc::ptr_eq(known, before),
            (None, None) => true,
            _ => false,
        };
        let after = match &self.last {
            Some((known, after)) if is_same(known) => after.clone(),
            _ => {
                let mut meta = before.as_deref().cloned().unwrap_or_default();
                meta.set(ROUTED_CONDITION, self.text.clone());
                let after = Arc::new(meta);
                self.last = Some((before, after.clone()));
                after
            }
        };
        batch.set_meta(index, Some(after));
    }
}

/// Prints the edits of a record, so that copies of it may be edited apart.
fn settle(batch: &mut RecordBatch, index: usize, scratch: &mut Vec<u8>) -> Result<(), RecordError> {
    if let Root::Node(root) = batch.records[index].root
        && batch.tree.is_dirty(root)
    {
        scratch.clear();
        batch.print(index, scratch);
        if !batch.has_room(scratch.len()) {
            return Err(RecordError::transform("router: the batch has no room for more copies"));
        }
        batch.set_payload(index, scratch);
    }
    batch.records[index].root = Root::Unparsed;
    Ok(())
}
