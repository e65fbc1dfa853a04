//! The steps of a flow: one file and one line each.
//!
//! A step is compiled once (paths, conditions, regexes) and then called for each record of a batch. It
//! edits the record in place, drops it, splits it, or fails; what happens to a failed record is
//! decided by the step's `onError`, outside. Steps never look at other records.

pub mod camel_case;
pub mod cast;
pub mod debezium_unwrap;
mod decimal;
pub mod extract_field;
mod fields;
pub mod filter;
pub mod flatten;
pub mod headers_to_payload;
pub mod hoist_field;
pub mod insert_field;
mod keys;
#[cfg(test)]
mod laws;
pub mod mask;
mod ordered_map;
pub mod remove;
pub mod replace_field;
pub mod router;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod second_laws;
pub mod select;
pub mod snake_case;
pub mod struct_flatten;
#[cfg(test)]
mod testing;
mod time_format;
pub mod timestamp;
pub mod timezone;

use levada_model::{Record, RecordBatch, RecordError, Timestamp};
use levada_registry::{FieldPath, Named, Node, Report, Unknown};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

/// What a step tells the system about itself. One implementation per file; its fields are the settings.
pub trait TransformSpec: DeserializeOwned + JsonSchema + Default + Send + Sync + 'static {
    /// The wire name, e.g. `snakeCase`.
    const NAME: &'static str;
    /// One line for help and documents.
    const SUMMARY: &'static str;
    /// A small manifest fragment that shows the settings, for the reference page.
    const EXAMPLE: &'static str;
    /// The original has this type, so unknown fields warn instead of failing.
    const OF_ORIGINAL: bool = true;

    /// Reports what is wrong with the settings; `at` is the path of the block.
    fn check(&self, at: &FieldPath, report: &mut Report);

    /// Compiles the step; called once per worker.
    ///
    /// Errors: what `check` would have reported.
    fn build(&self, ctx: &TransformContext) -> Result<Box<dyn Transform>, String>;
}

/// What a step may know when it is compiled.
#[derive(Clone, Debug, Default)]
pub struct TransformContext {
    /// Do as the original does where ours is deliberately different.
    pub compat: bool,
    /// The first route index of this step, when it is a router.
    pub route_base: u16,
}

/// A compiled step.
pub trait Transform: Send {
    /// Handles the record at `index` of the batch.
    ///
    /// Errors: why the record cannot pass; it is then as it was before, as far as anybody can see.
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError>;
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, edited or not.
    Keep,
    /// It ends here, as filtered.
    Drop,
    /// The records in [`Scope::children`] go on in its place.
    Split,
}

/// What steps share while a batch passes: time and reusable memory.
#[derive(Debug, Default)]
pub struct Scope {
    /// The time at which this batch is processed.
    pub now: Timestamp,
    /// Memory for text under construction; empty it before use.
    pub scratch: Vec<u8>,
    /// Where a step that answers [`Verdict::Split`] puts the records; emptied by the caller.
    pub children: Vec<Record>,
    /// Members that a step dropped because another one got the same name; taken by the caller.
    pub collisions: u64,
}

/// A decoded step, its type erased.
pub trait AnyTransform: Send + Sync {
    /// See [`TransformSpec::build`].
    fn build(&self, ctx: &TransformContext) -> Result<Box<dyn Transform>, String>;
}

/// The line of a step in the table.
pub struct TransformEntry {
    /// The wire name.
    pub name: &'static str,
    /// One line for help and documents.
    pub summary: &'static str,
    /// A manifest fragment.
    pub example: &'static str,
    /// Gives the schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Decodes and checks its settings.
    pub decode: fn(&Node, &FieldPath, &mut Report) -> Option<Box<dyn AnyTransform>>,
}

/// Makes the table line of a step.
pub const fn entry<T: TransformSpec>() -> TransformEntry {
    TransformEntry {
        name: T::NAME,
        summary: T::SUMMARY,
        example: T::EXAMPLE,
        schema: |generator| generator.subschema_for::<T>(),
        decode: |node, at, report| {
            let unknown = if T::OF_ORIGINAL { Unknown::Warn } else { Unknown::Error };
            let spec: T = levada_registry::decode(node, at, unknown, report)?;
            spec.check(at, report);
            Some(Box::new(Typed(spec)))
        },
    }
}

struct Typed<T>(T);

impl<T: TransformSpec> AnyTransform for Typed<T> {
    fn build(&self, ctx: &TransformContext) -> Result<Box<dyn Transform>, String> {
        self.0.build(ctx)
    }
}

impl Named for TransformEntry {
    fn name(&self) -> &'static str {
        self.name
    }
}

/// Every step, in the order of the documentation.
pub static TRANSFORMS: &[TransformEntry] = &[
    entry::<timestamp::Spec>(),
    entry::<flatten::Spec>(),
    entry::<filter::Spec>(),
    entry::<mask::Spec>(),
    entry::<router::Spec>(),
    entry::<select::Spec>(),
    entry::<remove::Spec>(),
    entry::<snake_case::Spec>(),
    entry::<camel_case::Spec>(),
    entry::<debezium_unwrap::Spec>(),
    entry::<replace_field::Spec>(),
    entry::<headers_to_payload::Spec>(),
    entry::<struct_flatten::Spec>(),
    entry::<extract_field::Spec>(),
    entry::<hoist_field::Spec>(),
    entry::<cast::Spec>(),
    entry::<timezone::Spec>(),
    entry::<insert_field::Spec>(),
];
