//! One execution of a query: the request and what its answer becomes.

use levada_clients::ClientError;
use levada_clients::influxdb::{FluxQuery, InfluxDb, Query};
use levada_influxql::{DecodeError, flux, result};
use levada_model::Timestamp;

use super::QuerySettings;
use super::known::Known;
use crate::engine::input::OwnedBatch;
use crate::nodes::query::answer::{Conversion, of_series, of_table};
use crate::nodes::query::plan::{QueryKind, QueryPlan};

/// What an answer holds.
#[derive(Debug, Default)]
pub struct Asked {
    /// In the order of the answer.
    pub batches: Vec<OwnedBatch>,
    /// What is wrong with results that are errors.
    pub problems: Vec<String>,
}

/// Asks for the range of a tick; for recordings, and whoever else asks once.
///
/// - Errors: there was no answer, or it cannot be read.
pub async fn ask(
    plan: &QueryPlan,
    tick: Timestamp,
    client: &dyn InfluxDb,
    settings: &QuerySettings,
) -> Result<Asked, String> {
    let text = fetch(plan, tick, client).await.map_err(|error| error.to_string())?;
    read(plan, tick, &text, settings, &mut Known::default()).map_err(|error| error.to_string())
}

/// Gets the text of the answer.
pub(super) async fn fetch(
    plan: &QueryPlan,
    tick: Timestamp,
    client: &dyn InfluxDb,
) -> Result<String, ClientError> {
    let range = plan.range(tick);
    match &plan.kind {
        QueryKind::InfluxQl { .. } => {
            client.query(&Query { text: plan.text(range), ..Query::default() }).await
        }
        QueryKind::Flux { text, org, org_id } => {
            let (text, now) = (text.clone(), range.stop);
            let (org, org_id) = (org.clone(), org_id.clone());
            client.flux(&FluxQuery { text, now, org, org_id }).await
        }
    }
}

/// Reads the text of an answer.
pub(super) fn read(
    plan: &QueryPlan,
    tick: Timestamp,
    text: &str,
    settings: &QuerySettings,
    known: &mut Known,
) -> Result<Asked, DecodeError> {
    known.begin();
    let mut asked = Asked::default();
    match &plan.kind {
        QueryKind::InfluxQl { .. } => {
            let options = result::Options {
                keep_integers: settings.keep_integers,
                cells_max: settings.cells_max,
                ..result::Options::default()
            };
            let conversion = Conversion {
                by_name: plan.by_name(),
                is_grouped_by_time: plan.is_grouped_by_time(),
                stop: plan.range(tick).stop,
            };
            for result in result::decode(text, options)? {
                match result {
                    Ok(series) => asked.batches.extend(
                        series.iter().map(|series| known.share(of_series(series, conversion))),
                    ),
                    Err(error) => asked.problems.push(error.to_string()),
                }
            }
        }
        QueryKind::Flux { .. } => {
            let options =
                flux::Options { cells_max: settings.cells_max, ..flux::Options::default() };
            let tables = flux::decode(text, options)?;
            asked.batches.extend(tables.iter().map(|table| known.share(of_table(table, tick))));
        }
    }
    Ok(asked)
}
