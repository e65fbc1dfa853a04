//! What a connector tells the system about itself.

use levada_registry::{FieldPath, Named, Node, Report, Unknown};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::context::BuildContext;
use crate::traits::{Sink, SinkBatching, Source};

/// Why a connector cannot be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The type is known and checked, but this program cannot run it.
    #[error(
        "{role} type `{name}` is not built in; this version checks such flows but cannot run them"
    )]
    NotBuiltIn {
        /// `source` or `sink`.
        role: &'static str,
        /// The type.
        name: &'static str,
    },
    /// A setting that only shows to be wrong when it is used.
    #[error("{0}")]
    Invalid(String),
}

/// A source type. One implementation per file; its fields are the settings.
pub trait SourceSpec: DeserializeOwned + JsonSchema + Default + Send + Sync + 'static {
    /// The wire name, e.g. `hostMetrics`.
    const NAME: &'static str;
    /// One line for help and documents.
    const SUMMARY: &'static str;
    /// Other wire names for the same.
    const ALIASES: &'static [&'static str] = &[];
    /// The original has this type: it was built for manifests that already exist, so unknown fields warn.
    const OF_ORIGINAL: bool = false;
    /// This program can run it.
    const BUILT_IN: bool = true;
    /// The source polls a store and may read rows again after a restart.
    const POLLS: bool = false;

    /// Gives what the reference page says beside the settings, in Markdown.
    fn notes() -> String {
        String::new()
    }

    /// Reports what is wrong with the settings; `at` is the path of the block.
    fn check(&self, at: &FieldPath, report: &mut Report);

    /// Makes the source; connects to nothing.
    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError>;
}

/// A sink type. One implementation per file; its fields are the settings.
pub trait SinkSpec: DeserializeOwned + JsonSchema + Default + Send + Sync + 'static {
    /// The wire name, e.g. `file`.
    const NAME: &'static str;
    /// One line for help and documents.
    const SUMMARY: &'static str;
    /// Other wire names for the same.
    const ALIASES: &'static [&'static str] = &[];
    /// The original has this type; see [`SourceSpec::OF_ORIGINAL`].
    const OF_ORIGINAL: bool = false;
    /// This program can run it.
    const BUILT_IN: bool = true;

    /// Reports what is wrong with the settings; `at` is the path of the block.
    fn check(&self, at: &FieldPath, report: &mut Report);

    /// Tells whether writing a record twice leaves one; `None` where the question does not arise.
    fn is_idempotent(&self) -> Option<bool> {
        None
    }

    /// Gives how records are gathered before they are written.
    fn batching(&self) -> SinkBatching {
        SinkBatching::PASS
    }

    /// Tells whether records of a source of this type can be written exactly once: the sink then is a
    /// [`Transactional`](crate::traits::Transactional) one when the context asks for it.
    fn can_be_exactly_once(&self, _source: &str) -> bool {
        false
    }

    /// Makes the sink; connects to nothing.
    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError>;
}

/// A decoded source specification, its type erased.
pub trait AnySource: Send + Sync {
    /// Makes the source; see [`SourceSpec::build`].
    fn build(self: Box<Self>, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError>;
}

/// A decoded sink specification, its type erased.
pub trait AnySink: Send + Sync {
    /// See [`SinkSpec::is_idempotent`].
    fn is_idempotent(&self) -> Option<bool>;
    /// See [`SinkSpec::batching`].
    fn batching(&self) -> SinkBatching;
    /// See [`SinkSpec::can_be_exactly_once`].
    fn can_be_exactly_once(&self, source: &str) -> bool;
    /// Makes the sink; see [`SinkSpec::build`].
    fn build(self: Box<Self>, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError>;
}

/// The line of a source type in the table.
pub struct SourceEntry {
    /// The wire name.
    pub name: &'static str,
    /// One line for help and documents.
    pub summary: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// The original has it.
    pub of_original: bool,
    /// This program can run it.
    pub built_in: bool,
    /// It polls.
    pub polls: bool,
    /// Gives what the reference page says beside the settings.
    pub notes: fn() -> String,
    /// Gives the schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Decodes and checks its settings.
    pub decode: fn(&Node, &FieldPath, &mut Report) -> Option<Box<dyn AnySource>>,
}

/// The line of a sink type in the table.
pub struct SinkEntry {
    /// The wire name.
    pub name: &'static str,
    /// One line for help and documents.
    pub summary: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// The original has it.
    pub of_original: bool,
    /// This program can run it.
    pub built_in: bool,
    /// Gives the schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Decodes and checks its settings.
    pub decode: fn(&Node, &FieldPath, &mut Report) -> Option<Box<dyn AnySink>>,
}

/// Makes the table line of a source type.
pub const fn source<T: SourceSpec>() -> SourceEntry {
    SourceEntry {
        name: T::NAME,
        summary: T::SUMMARY,
        aliases: T::ALIASES,
        of_original: T::OF_ORIGINAL,
        built_in: T::BUILT_IN,
        polls: T::POLLS,
        notes: T::notes,
        schema: |generator| generator.subschema_for::<T>(),
        decode: |node, at, report| {
            let spec: T = levada_registry::decode(node, at, unknown(T::OF_ORIGINAL), report)?;
            spec.check(at, report);
            Some(Box::new(TypedSource(spec)))
        },
    }
}

/// Makes the table line of a sink type.
pub const fn sink<T: SinkSpec>() -> SinkEntry {
    SinkEntry {
        name: T::NAME,
        summary: T::SUMMARY,
        aliases: T::ALIASES,
        of_original: T::OF_ORIGINAL,
        built_in: T::BUILT_IN,
        schema: |generator| generator.subschema_for::<T>(),
        decode: |node, at, report| {
            let spec: T = levada_registry::decode(node, at, unknown(T::OF_ORIGINAL), report)?;
            spec.check(at, report);
            Some(Box::new(TypedSink(spec)))
        },
    }
}

fn unknown(of_original: bool) -> Unknown {
    if of_original { Unknown::Warn } else { Unknown::Error }
}

struct TypedSource<T>(T);

impl<T: SourceSpec> AnySource for TypedSource<T> {
    fn build(self: Box<Self>, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        if !T::BUILT_IN {
            return Err(BuildError::NotBuiltIn { role: "source", name: T::NAME });
        }
        self.0.build(ctx)
    }
}

struct TypedSink<T>(T);

impl<T: SinkSpec> AnySink for TypedSink<T> {
    fn is_idempotent(&self) -> Option<bool> {
        self.0.is_idempotent()
    }

    fn batching(&self) -> SinkBatching {
        self.0.batching()
    }

    fn can_be_exactly_once(&self, source: &str) -> bool {
        self.0.can_be_exactly_once(source)
    }

    fn build(self: Box<Self>, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        if !T::BUILT_IN {
            return Err(BuildError::NotBuiltIn { role: "sink", name: T::NAME });
        }
        self.0.build(ctx)
    }
}

impl Named for SourceEntry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }
}

impl Named for SinkEntry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }
}
