//! The gateway of `levada run`: that of the settings, when a flow or a script of this run has to do with it.

use levada_flow::spec::Flow;
use levada_model::with_causes;
use levada_runtime::Shutdown;
use levada_server::flows::{Host, Job};
use levada_server::gateway::GatewayHost;

use super::{Options, grouped};
use crate::args::Common;
use crate::output;

/// The type of sources and sinks, the name of the cluster and of the handler of scripts.
const NAME: &str = "gateway";

/// Starts the gateway if this run needs it.
///
/// Others leave it alone: its queues may belong to a server that runs beside, and hold what somebody else wrote.
pub(super) async fn start(
    host: &Host,
    jobs: &[Job],
    options: &Options,
    shutdown: &Shutdown,
) -> Result<Option<GatewayHost>, String> {
    let flow = jobs.iter().map(|job| &job.flow).find(|flow| has_to_do_with_it(flow));
    let scripts = &options.scripts;
    let is_named = |script: &levada_server::tasks::TaskJob| {
        script.definition.pipeline.to_json().to_string().contains(NAME)
    };
    if flow.is_none() && !scripts.iter().any(is_named) {
        return Ok(None);
    }
    host.joins.circles().set_flows(jobs.iter().map(|job| &job.flow));
    let started =
        GatewayHost::start(host, None, shutdown).await.map_err(|error| with_causes(&error))?;
    match (&started, flow) {
        (None, Some(flow)) => Err(format!(
            "flow `{}` has to do with the gateway, and the settings have none; add to levada.toml\n\n  \
             [gateway]\n  urls = [\"https://host?token=…\"]\n\n\
             or set LEVADA_GATEWAY_URLS",
            flow.object.name
        )),
        _ => Ok(started),
    }
}

fn has_to_do_with_it(flow: &Flow) -> bool {
    let routes = flow.routes.iter().map(|route| &route.sink);
    let errors = flow.errors.iter().map(|errors| &errors.sink);
    let mut sinks = std::iter::once(&flow.sink).chain(routes).chain(errors);
    flow.source.entry.name == NAME || sinks.any(|sink| sink.entry.name == NAME)
}

/// Says what waits for the next start.
pub(super) fn report(waiting: u64, common: &Common) {
    if waiting > 0 && !common.quiet {
        output::note(&format!(
            "gateway: {} points wait for the next start: their destination did not take them yet",
            grouped(waiting)
        ));
    }
}
