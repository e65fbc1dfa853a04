//! `levada positions`: shows where flows go on, and changes it.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use levada_flow::engine::Start;
use levada_flow::spec::{Delivery, Flow};
use levada_model::{Position, Str, with_causes};
use levada_server::flows::{Host, Job};
use serde_json::json;

use super::run::job;
use crate::args::{Common, OutputFormat, Positions, PositionsOf, PositionsRewind};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::{log, output};

/// Why a command ends without doing what it was asked for.
enum Failed {
    /// The flow or the arguments are wrong.
    Invalid(String),
    /// It could not be done now.
    Runtime(String),
}

pub(super) fn run(args: Positions, common: &Common) -> Exit {
    let result = match &args {
        Positions::Show(of) => show(of, common),
        Positions::Reset(of) => change(of, None, common),
        Positions::Rewind(PositionsRewind { of, to }) => {
            parse(to).and_then(|to| change(of, Some(&to), common))
        }
    };
    let (exit, message) = match result {
        Ok(()) => return Exit::Done,
        Err(Failed::Invalid(message)) => (Exit::Invalid, message),
        Err(Failed::Runtime(message)) => (Exit::Failed, message),
    };
    output::note(&format!("error: {message}"));
    exit
}

/// Reads `PARTITION=POSITION`; a position that is not JSON is a text.
fn parse(to: &[String]) -> Result<Vec<(Str, Position)>, Failed> {
    to.iter()
        .map(|text| {
            // Partitions may hold `=`; positions begin behind the last one outside of JSON.
            let (partition, position) = text
                .split_once("={")
                .map(|(partition, rest)| (partition, format!("{{{rest}")))
                .or_else(|| text.rsplit_once('=').map(|(name, at)| (name, at.to_owned())))
                .ok_or_else(|| Failed::Invalid(format!("`{text}` is not PARTITION=POSITION")))?;
            let position = serde_json::from_str(&position).unwrap_or(Position::String(position));
            Ok((Str::from(partition), position))
        })
        .collect()
}

/// Loads the only flow of a file.
fn load_job(of: &PositionsOf) -> Result<Job, Failed> {
    let loaded = Loaded::read(std::slice::from_ref(&of.file));
    load::complain(&loaded.findings, false);
    if loaded.has_errors() {
        return Err(Failed::Invalid(format!("`{}` has problems", of.file.display())));
    }
    let secrets = loaded.shared_secrets(of.secrets.clone());
    let (one, _) = loaded.only_flow(of.flow.as_deref()).map_err(Failed::Invalid)?;
    Ok(job(one.flow, Start::default(), secrets, one.base_dir))
}

fn host(common: &Common) -> Result<Host, Failed> {
    let settings = log::settings(common).map_err(Failed::Invalid)?;
    Host::new(settings).map_err(|error| Failed::Runtime(with_causes(&error)))
}

fn show(of: &PositionsOf, common: &Common) -> Result<(), Failed> {
    let job = load_job(of)?;
    let name = name_of(&job.flow);
    let found =
        host(common)?.checkpoint(&name).map_err(|error| Failed::Runtime(with_causes(&error)))?;
    let mut positions = BTreeMap::new();
    let mut epoch = None;
    if let Some(found) = found {
        if let Some(warning) = &found.warning {
            output::note(&format!("warning: {warning}"));
        }
        epoch = Some(found.checkpoint.epoch);
        for (partition, position) in found.checkpoint.sources.into_values().flatten() {
            positions.insert(Str::from(partition), position);
        }
    }
    let guarantee = match job.flow.delivery() {
        Delivery::AtLeastOnce => "at-least-once",
        Delivery::ExactlyOnce => "exactly-once",
        Delivery::Auto => "exactly-once if the sink may keep positions",
    };
    if common.output == OutputFormat::Json {
        let positions: serde_json::Map<String, Position> =
            positions.into_iter().map(|(name, at)| (name.to_string(), at)).collect();
        let line =
            json!({"flow": name, "guarantee": guarantee, "epoch": epoch, "positions": positions});
        output::line(&line.to_string());
        return Ok(());
    }
    output::note(&format!("{name}: {guarantee}"));
    match positions.is_empty() {
        true => output::note("no position is stored: the next run starts as its source says"),
        false => output::line(&table(&positions, None)),
    }
    Ok(())
}

fn change(of: &PositionsOf, to: Option<&[(Str, Position)]>, common: &Common) -> Result<(), Failed> {
    let job = load_job(of)?;
    let name = name_of(&job.flow);
    let host = host(common)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::Runtime(error.to_string()))?;
    let rewound = runtime
        .block_on(host.rewind(job, to))
        .map_err(|error| Failed::Runtime(error.to_string()))?;
    if common.output == OutputFormat::Json {
        let map = |positions: &BTreeMap<Str, Position>| -> serde_json::Value {
            positions.iter().map(|(name, at)| (name.to_string(), at.clone())).collect()
        };
        let (before, after) = (map(&rewound.before), map(&rewound.after));
        let line =
            json!({"flow": name, "before": before, "after": after, "places": rewound.places});
        output::line(&line.to_string());
        return Ok(());
    }
    if !rewound.before.is_empty() || !rewound.after.is_empty() {
        output::line(&table(&rewound.before, Some(&rewound.after)));
    }
    output::note(&format!("{name}: positions changed in {}", rewound.places.join(", ")));
    Ok(())
}

fn name_of(flow: &Flow) -> String {
    format!("{}/{}", flow.object.namespace, flow.object.name)
}

/// Draws positions, and what they became.
fn table(before: &BTreeMap<Str, Position>, after: Option<&BTreeMap<Str, Position>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["PARTITION", "POSITION", "NOW"].iter().take(2 + usize::from(after.is_some())));
    let mut names: Vec<&Str> =
        before.keys().chain(after.into_iter().flatten().map(|(n, _)| n)).collect();
    names.sort();
    names.dedup();
    let cell = |positions: &BTreeMap<Str, Position>, name: &Str| match positions.get(name) {
        Some(Position::String(text)) => text.clone(),
        Some(position) => position.to_string(),
        None => "-".to_owned(),
    };
    for name in names {
        let mut row = vec![name.to_string(), cell(before, name)];
        row.extend(after.map(|after| cell(after, name)));
        table.add_row(row);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_json_or_texts_and_partitions_may_hold_anything() {
        let parsed = |text: &str| parse(&[text.to_owned()]).ok().and_then(|mut all| all.pop());
        assert_eq!(parsed("orders/0=100"), Some(("orders/0".into(), 100.into())));
        assert_eq!(parsed("a=b.log=7"), Some(("a=b.log".into(), 7.into())));
        let tuple = serde_json::json!({"change": "2026-01-01", "order": "5"});
        let text = format!("public.t={tuple}");
        assert_eq!(parsed(&text), Some(("public.t".into(), tuple)));
        assert_eq!(parsed("p=abc"), Some(("p".into(), "abc".into())));
        assert!(parsed("nothing").is_none());
    }
}
