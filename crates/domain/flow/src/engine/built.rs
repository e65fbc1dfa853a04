//! Makes the source and the sinks of a flow from its settings, secrets resolved.

use levada_connectors::{AnySink, BuildContext, BuildError, Links, Sink, SinkBatching, Source};
use levada_registry::Report;

use super::limits::Limits;
use super::processor::Deps;
use super::report::FlowError;
use crate::spec::{Delivery, Flow, SinkRef};

/// The source and sinks of a flow, built but not opened.
pub(super) struct Built {
    pub(super) source: Box<dyn Source>,
    pub(super) sinks: Vec<(BuiltSink, String)>,
    pub(super) errors: Option<BuiltSink>,
    pub(super) delivery: Planned,
}

/// What a flow tries to promise.
pub(super) enum Planned {
    AtLeastOnce,
    /// With what is used when the sink may not keep positions; nothing: then the flow fails.
    ExactlyOnce {
        fallback: Option<Box<dyn Sink>>,
    },
}

pub(super) struct BuiltSink {
    pub(super) sink: Box<dyn Sink>,
    pub(super) batching: SinkBatching,
    pub(super) kind: &'static str,
}

impl Built {
    pub(super) fn new(
        flow: &Flow,
        source: Option<Box<dyn Source>>,
        limits: &Limits,
        deps: &Deps,
        keeps_positions: bool,
        links: Links,
    ) -> Result<Self, FlowError> {
        let delivery = match keeps_positions {
            true => flow.delivery(),
            false => Delivery::AtLeastOnce,
        };
        let ctx = BuildContext {
            flow: flow.object.clone(),
            base_dir: deps.base_dir.clone(),
            clock: deps.clock.clone(),
            metrics: deps.metrics.clone(),
            tasks: deps.tasks.clone(),
            batch_records: limits.batch_records,
            batch_bytes: limits.batch_bytes,
            is_exactly_once: delivery != Delivery::AtLeastOnce,
            is_compat: flow.fields.compat,
            links,
        };
        let mut report = Report::new();
        let namespace = flow.object.namespace.as_str();
        let resolve =
            |sink: &SinkRef, report: &mut Report| -> Option<(Box<dyn AnySink>, &'static str)> {
                let block = deps.secrets.resolve(&sink.block, namespace, &sink.path, report);
                Some(((sink.entry.decode)(&block, &sink.path, report)?, sink.entry.name))
            };
        let source_block =
            deps.secrets.resolve(&flow.source.block, namespace, &flow.source.path, &mut report);
        let spec = (flow.source.entry.decode)(&source_block, &flow.source.path, &mut report);
        let mut specs = vec![(resolve(&flow.sink, &mut report), "default".to_owned())];
        for route in &flow.routes {
            specs.push((resolve(&route.sink, &mut report), route.label.clone()));
        }
        let errors = flow.errors.as_ref().map(|errors| resolve(&errors.sink, &mut report));
        if !report.is_ok() {
            let texts: Vec<String> = report
                .problems()
                .iter()
                .filter(|problem| problem.severity == levada_registry::Severity::Error)
                .map(ToString::to_string)
                .collect();
            return Err(FlowError::Build(texts.join("\n")));
        }
        let broken = || FlowError::Build("the settings could not be decoded".into());
        let plain = BuildContext { is_exactly_once: false, ..ctx.clone() };
        let build_sink = |spec: Option<(Box<dyn AnySink>, &'static str)>, ctx: &BuildContext| {
            let (spec, kind) = spec.ok_or_else(broken)?;
            let batching = spec.batching();
            let sink = spec.build(ctx).map_err(build_error)?;
            Ok::<BuiltSink, FlowError>(BuiltSink { sink, batching, kind })
        };
        let delivery = match delivery {
            Delivery::AtLeastOnce => Planned::AtLeastOnce,
            Delivery::ExactlyOnce => Planned::ExactlyOnce { fallback: None },
            Delivery::Auto => {
                let again = resolve(&flow.sink, &mut report);
                Planned::ExactlyOnce { fallback: Some(build_sink(again, &plain)?.sink) }
            }
        };
        let mut sinks = Vec::new();
        let source = match source {
            Some(source) => source,
            None => spec.ok_or_else(broken)?.build(&ctx).map_err(build_error)?,
        };
        for (spec, route) in specs {
            sinks.push((build_sink(spec, &ctx)?, route));
        }
        let errors = match errors {
            Some(spec) => Some(build_sink(spec, &plain)?),
            None => None,
        };
        Ok(Built { source, sinks, errors, delivery })
    }
}

fn build_error(error: BuildError) -> FlowError {
    match error {
        BuildError::NotBuiltIn { .. } => FlowError::NotBuiltIn(error.to_string()),
        BuildError::Invalid(text) => FlowError::Build(text),
    }
}
