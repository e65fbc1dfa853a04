//! A `DataFlow` as it is written, checked and brought into one form.
//!
//! Both generations are accepted: a connector's or step's settings stand in a block named like the type,
//! or in `config`. In memory there is one form: the table entry, the block and its path. Problems go to
//! a [`Report`]; nothing is contacted and no secret is read.
//!
//! Source: dataflow CRD, first and second generation; rules and texts of its admission webhook.

mod block;
mod fields;
mod maintenance;
mod quantity;
pub mod schema;
pub mod secrets;

use levada_connectors::{SINKS, SOURCES, SinkEntry, SourceEntry};
use levada_model::ObjectRef;
use levada_registry::{Document, FieldPath, Node, Report, Segment};

use crate::transforms::{AnyTransform, TRANSFORMS, TransformContext, TransformEntry};
use block::{Block, Role};
pub use fields::{AckGranularity, AckPolicy, Delivery, FlowFields, OnError};

/// The API version of the original, which is ours for flows too.
pub const API_VERSION: &str = "dataflow.dataflow.io/v1";
/// The kind of a flow.
pub const KIND: &str = "DataFlow";

/// A checked flow.
pub struct Flow {
    /// Its name.
    pub object: ObjectRef,
    /// Where it reads.
    pub source: SourceRef,
    /// What it does with each record.
    pub steps: Vec<Step>,
    /// The routes of all routers, in order; a record's route is an index into this list.
    pub routes: Vec<Route>,
    /// Where records without a route go.
    pub sink: SinkRef,
    /// Where records go that cannot be processed.
    pub errors: Option<Errors>,
    /// Everything else.
    pub fields: FlowFields,
    delivery: Delivery,
}

impl Flow {
    /// Gives how often each record is to be delivered: at least once wherever nothing else is possible.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }
}

/// A source of a flow.
pub struct SourceRef {
    /// Its type.
    pub entry: &'static SourceEntry,
    /// Its settings as they were written.
    pub block: Node,
    /// The path of the settings.
    pub path: FieldPath,
    /// What happens to input that is not what the source promises.
    pub on_error: Option<OnError>,
}

/// A sink of a flow.
#[derive(Clone)]
pub struct SinkRef {
    /// Its type.
    pub entry: &'static SinkEntry,
    /// Its settings as they were written.
    pub block: Node,
    /// The path of the settings.
    pub path: FieldPath,
}

/// A step of a flow.
pub struct Step {
    /// Its type.
    pub entry: &'static TransformEntry,
    /// Its settings as they were written.
    pub block: Node,
    /// Its decoded settings.
    pub spec: Box<dyn AnyTransform>,
    /// Only records that meet this condition are touched.
    pub when: Option<String>,
    /// What happens to records that it cannot handle.
    pub on_error: Option<OnError>,
    /// What it may know when it is compiled.
    pub context: TransformContext,
}

/// A route of a router.
pub struct Route {
    /// Its name, or `routes[<index>]`.
    pub label: String,
    /// The condition as it was written.
    pub condition: String,
    /// Where its records go.
    pub sink: SinkRef,
}

/// The error sink and its policies.
pub struct Errors {
    /// Where failed records go.
    pub sink: SinkRef,
    /// When the position of a failed record is committed.
    pub ack_policy: AckPolicy,
    /// The flow stops when more than this share of its records fails.
    pub max_ratio: Option<f64>,
}

/// Tells whether a document declares a flow.
pub fn is_flow(document: &Document) -> bool {
    document.root.get("kind").and_then(Node::text) == Some(KIND)
}

/// Checks a `DataFlow` document and gives the flow when nothing refuses it.
pub fn check(document: &Document, default_name: &str, report: &mut Report) -> Option<Flow> {
    let root = &document.root;
    let version = root.get("apiVersion").and_then(Node::scalar_text).unwrap_or_default();
    if version != API_VERSION {
        report.unsupported(&FieldPath::field("apiVersion"), &version, [API_VERSION]);
    }
    for entry in root.map().unwrap_or_default() {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&entry.key.as_str()) {
            let known = "apiVersion, kind, metadata, spec, status";
            let text = format!("unknown field `{}`; known: {known} (ignored)", entry.key);
            report.warning(&FieldPath::field(&entry.key), text);
        }
    }
    let object = object_ref(root, default_name, report);
    let at = FieldPath::field("spec");
    match root.get("spec") {
        Some(spec) => check_spec(spec, &at, object, report),
        None => {
            report.required(&at, "spec is required");
            None
        }
    }
}

/// Checks the `spec` of a flow, as the processor gets it, and gives the flow when nothing refuses it.
pub fn check_spec(
    spec: &Node,
    at: &FieldPath,
    object: ObjectRef,
    report: &mut Report,
) -> Option<Flow> {
    if spec.map().is_none() {
        report.invalid(at, spec.to_json(), "must be a map");
        return None;
    }
    let uses_config = uses_config(spec);
    let fields = FlowFields::decode(spec, at, report);
    let source = check_source(spec, at, uses_config, report);
    let sink_at = at.child("sink");
    let sink = check_sink(spec.get("sink"), &sink_at, uses_config, report);
    let errors =
        spec.get("errors").map(|node| check_errors(node, &at.child("errors"), uses_config, report));
    let mut routes = Vec::new();
    let steps = check_steps(spec, at, fields.compat, uses_config, &mut routes, report);
    fields.check(at, report);
    if let Some(source) = &source {
        fields.check_source(source.entry, at, report);
        check_idempotency(spec, source, sink.as_ref(), errors.as_ref(), &routes, report, at);
    }
    let errors = match errors {
        Some(None) => return None,
        Some(errors) => errors,
        None => None,
    };
    let (source, sink) = (source?, sink?);
    let delivery = check_delivery(&fields, &source, &sink, errors.as_ref(), &routes, at, report);
    if !report.is_ok() {
        return None;
    }
    Some(Flow { object, source, steps, routes, sink, errors, fields, delivery })
}

/// Gives what can be promised of what is asked for; refuses `exactlyOnce` where it is impossible.
fn check_delivery(
    fields: &FlowFields,
    source: &SourceRef,
    sink: &SinkRef,
    errors: Option<&Errors>,
    routes: &[Route],
    at: &FieldPath,
    report: &mut Report,
) -> Delivery {
    let mut ignored = Report::new();
    let can = (sink.entry.decode)(&sink.block, &sink.path, &mut ignored)
        .is_some_and(|spec| spec.can_be_exactly_once(source.entry.name));
    let obstacle = if !routes.is_empty() {
        Some(
            "a flow with routes writes to several sinks, which have no transaction in common"
                .into(),
        )
    } else if !can {
        let (source, sink) = (source.entry.name, sink.entry.name);
        Some(format!(
            "a {sink} sink with these settings cannot keep the positions of a {source} source"
        ))
    } else if errors.is_some_and(|errors| errors.ack_policy != AckPolicy::AfterWrite) {
        Some("it needs `errors.ackPolicy: afterWrite`".into())
    } else if fields.checkpoint_persistence == Some(false) {
        Some("`checkpointPersistence: false` keeps no positions".into())
    } else {
        None
    };
    match (fields.delivery(), obstacle) {
        (Delivery::ExactlyOnce, Some(obstacle)) => {
            report.invalid(&at.child("delivery"), "exactlyOnce", &obstacle);
            Delivery::AtLeastOnce
        }
        (Delivery::Auto, Some(_)) => Delivery::AtLeastOnce,
        (asked, _) => asked,
    }
}

fn object_ref(root: &Node, default_name: &str, report: &mut Report) -> ObjectRef {
    let metadata = root.get("metadata");
    let text = |key: &str| metadata.and_then(|node| node.get(key)).and_then(Node::scalar_text);
    let name = text("name").filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let text = format!("name is missing; `{default_name}` is used");
        report.warning(&FieldPath::field("metadata").child("name"), text);
        default_name.to_owned()
    });
    let namespace = text("namespace").filter(|name| !name.is_empty());
    ObjectRef::new(KIND, namespace.as_deref().unwrap_or("default"), &name)
}

/// Tells whether a spec is written in the second generation's shape.
fn uses_config(spec: &Node) -> bool {
    let has = |node: Option<&Node>| node.is_some_and(|node| node.entry("config").is_some());
    let steps = spec.get("transformations").and_then(Node::list).unwrap_or_default();
    has(spec.get("source"))
        || has(spec.get("sink"))
        || has(spec.get("errors"))
        || steps.iter().any(|step| has(Some(step)))
}

fn check_source(
    spec: &Node,
    at: &FieldPath,
    uses_config: bool,
    report: &mut Report,
) -> Option<SourceRef> {
    let at = at.child("source");
    let node = spec.get("source");
    let block = Block::find(Role::Source, SOURCES, node, &at, uses_config, report)?;
    block.warn_about_others(SOURCES, &["onError"], report);
    let on_error = fields::on_error(node, &at, report);
    (block.entry.decode)(block.node, &block.path, report)?;
    Some(SourceRef { entry: block.entry, block: block.node.clone(), path: block.path, on_error })
}

fn check_sink(
    node: Option<&Node>,
    at: &FieldPath,
    uses_config: bool,
    report: &mut Report,
) -> Option<SinkRef> {
    let block = Block::find(Role::Sink, SINKS, node, at, uses_config, report)?;
    block.warn_about_others(SINKS, &["ackPolicy", "maxRatio"], report);
    (block.entry.decode)(block.node, &block.path, report)?;
    Some(SinkRef { entry: block.entry, block: block.node.clone(), path: block.path })
}

fn check_errors(
    node: &Node,
    at: &FieldPath,
    uses_config: bool,
    report: &mut Report,
) -> Option<Errors> {
    let sink = check_sink(Some(node), at, uses_config, report);
    let ack_policy = fields::ack_policy(node, at, report);
    let max_ratio = fields::max_ratio(node, at, report);
    Some(Errors { sink: sink?, ack_policy, max_ratio })
}

fn check_steps(
    spec: &Node,
    at: &FieldPath,
    compat: bool,
    uses_config: bool,
    routes: &mut Vec<Route>,
    report: &mut Report,
) -> Vec<Step> {
    let at = at.child("transformations");
    let Some(list) = spec.get("transformations") else { return Vec::new() };
    let Some(items) = list.list() else {
        report.invalid(&at, list.to_json(), "must be a list");
        return Vec::new();
    };
    let mut steps = Vec::new();
    for (index, node) in items.iter().enumerate() {
        let at = at.index(index);
        let role = Role::Transformation;
        let Some(block) = Block::find(role, TRANSFORMS, Some(node), &at, uses_config, report)
        else {
            continue;
        };
        block.warn_about_others(TRANSFORMS, &["when", "onError"], report);
        let when = fields::when(node, &at, report);
        let on_error = fields::on_error(Some(node), &at, report);
        let context = TransformContext { compat, route_base: routes.len() as u16 };
        let spec = (block.entry.decode)(block.node, &block.path, report);
        if block.entry.name == crate::transforms::router::NAME {
            check_routes(&block, routes, report);
        }
        if let Some(spec) = spec {
            let (entry, block) = (block.entry, block.node.clone());
            steps.push(Step { entry, block, spec, when, on_error, context });
        }
    }
    steps
}

fn check_routes(block: &Block<'_, TransformEntry>, routes: &mut Vec<Route>, report: &mut Report) {
    // A record carries its route in 16 bits.
    const ROUTES_MAX: usize = 1000;
    let at = block.path.child("routes");
    // The sinks of routes are expected in the shape in which the router itself is written.
    let uses_config = block.path.segments().last() == Some(&Segment::Field("config".into()));
    let items = block.node.get("routes").and_then(Node::list).unwrap_or_default();
    if routes.len() + items.len() > ROUTES_MAX {
        report.invalid(&at, items.len(), &format!("a flow has at most {ROUTES_MAX} routes"));
        return;
    }
    let mut names: Vec<String> = Vec::new();
    for (index, node) in items.iter().enumerate() {
        let at = at.index(index);
        let name = node.get("name").and_then(Node::scalar_text).filter(|name| !name.is_empty());
        if let Some(name) = &name {
            if names.contains(name) {
                report.error(&at.child("name"), format!("Duplicate value: {name:?}"));
            }
            names.push(name.clone());
        }
        let sink = check_sink(node.get("sink"), &at.child("sink"), uses_config, report);
        if let Some(sink) = sink {
            routes.push(Route {
                label: name.unwrap_or_else(|| format!("routes[{index}]")),
                condition: node.get("condition").and_then(Node::scalar_text).unwrap_or_default(),
                sink,
            });
        }
    }
}

/// Refuses, or warns about, a polling source before sinks that keep duplicates.
///
/// Source: dataflow-operator.md §7.2, row idempotency.
fn check_idempotency(
    spec: &Node,
    source: &SourceRef,
    sink: Option<&SinkRef>,
    errors: Option<&Option<Errors>>,
    routes: &[Route],
    report: &mut Report,
    at: &FieldPath,
) {
    if !source.entry.polls {
        return;
    }
    let is_strict = spec.get("strictIdempotency").map(Node::to_json) == Some(true.into());
    let errors = errors.and_then(|errors| errors.as_ref()).map(|errors| &errors.sink);
    let roles = [("main sink", sink), ("error sink", errors)]
        .into_iter()
        .chain(routes.iter().map(|route| ("router route sink", Some(&route.sink))));
    for (role, sink) in roles {
        let Some(sink) = sink else { continue };
        let mut ignored = Report::new();
        let decoded = (sink.entry.decode)(&sink.block, &sink.path, &mut ignored);
        if decoded.and_then(|sink| sink.is_idempotent()) != Some(false) {
            continue;
        }
        if is_strict {
            let text = format!(
                "strictIdempotency is enabled but {role} is not idempotent (enable upsertMode and conflictKey for postgresql/trino/clickhouse sinks)"
            );
            report.invalid(&at.child("strictIdempotency"), true, &text);
        } else {
            let text = format!(
                "polling source with non-idempotent {role} may produce duplicates on restart; enable upsertMode and conflictKey, or set strictIdempotency to refuse such flows"
            );
            report.warning(&sink.path, text);
        }
    }
}
