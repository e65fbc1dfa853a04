//! `log`: prints items and hands them on.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point};
use levada_tick::script::Value;

use crate::effect::{Effect, LogItem, Logged};
use crate::property::Text;
use crate::property::types::exactly;
use crate::runtime::{Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|log()`
#[derive(Clone, Debug)]
pub struct Log {
    level: Text,
    prefix: Text,
}

crate::properties! { Log { "level" => level, "prefix" => prefix } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "log",
    type_name: "LogNode",
    desc: "log",
    json_type: "log",
    summary: "prints points and batches",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(Log::default()))
    },
    empty: || Box::new(Log::default()),
};

struct Running {
    level: &'static str,
    prefix: String,
}

// === impl Log ===

impl Default for Log {
    fn default() -> Self {
        Log { level: Text("INFO".to_owned()), prefix: Text::default() }
    }
}

impl Spec for Log {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        // Differs: WARN is a level of its own (U-26); anything unknown is INFO, as upstream has it.
        let level = match self.level.0.to_ascii_uppercase().as_str() {
            "DEBUG" => "DEBUG",
            "WARN" => "WARN",
            "ERROR" => "ERROR",
            _ => "INFO",
        };
        Ok(Box::new(Running { level, prefix: self.prefix.0.clone() }))
    }
}

// === impl Running ===

impl Running {
    fn print(&self, data: Logged<'_>, out: &mut Out<'_>) {
        let item = LogItem { level: self.level, prefix: &self.prefix, data };
        if let Err(cause) = out.effect(Effect::Log(item)) {
            out.error("failed to log", &cause, &[]);
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
        self.print(Logged::Point(point, group), out);
        out.point(point, group)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        self.print(Logged::Batch(batch), out);
        out.batch(batch)
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
