//! From the text of a script to a checked pipeline.

use levada_model::Str;
use levada_tick::declared;
use levada_tick::script::{self, ScriptError, Warning};
use levada_tick::syntax::{self, Node, ParseError};
use levada_tick::vars::Vars;
use thiserror::Error;

use crate::pipeline::{Builder, Pipeline, TaskType};
use crate::runtime::services::Deadman;
use crate::udf::Udfs;

/// A script that was understood.
#[derive(Debug)]
pub struct Definition {
    /// Its graph.
    pub pipeline: Pipeline,
    /// Its syntax tree.
    pub program: Node,
    /// The databases and retention policies it names.
    pub dbrps: Vec<(Str, Str)>,
    /// Its variables with their defaults.
    pub vars: Vars,
    /// What is odd and no error.
    pub warnings: Vec<Warning>,
}

/// What a script is understood with.
#[derive(Debug, Default)]
pub struct DefineOptions {
    /// What feeds it; the script decides when absent.
    pub task_type: Option<TaskType>,
    /// Values of variables.
    pub vars: Vars,
    /// Variables may lack values.
    pub is_template: bool,
    /// The settings of deadman.
    pub deadman: Deadman,
    /// The functions that users have configured.
    pub udfs: Udfs,
}

/// Why a script was not understood.
#[derive(Debug, Error)]
pub enum DefineError {
    /// It does not parse.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A statement fails.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The graph is wrong.
    #[error("{0}")]
    Pipeline(String),
}

/// Understands a script.
pub fn define(text: &str, options: &DefineOptions) -> Result<Definition, DefineError> {
    let program = syntax::parse(text)?;
    define_program(program, options)
}

/// Understands a script that was parsed.
pub fn define_program(program: Node, options: &DefineOptions) -> Result<Definition, DefineError> {
    // A script that names no source, or both, fails with the name that a stream task does not know.
    let task_type =
        options.task_type.or_else(|| declared::task_type(&program)).unwrap_or(TaskType::Stream);
    let mut builder = Builder::new(task_type);
    builder.deadman = options.deadman.clone();
    builder.udfs = options.udfs.known();
    let source = builder.source();
    let outcome = script::evaluate(
        &program,
        &mut builder,
        &script::Options {
            source: (task_type.word(), source),
            vars: &options.vars,
            is_template: options.is_template,
            fold: &levada_tick::lambda::fold,
        },
    )?;
    crate::nodes::deadman::add_global(&mut builder)
        .map_err(|error| DefineError::Pipeline(format!("deadman: {error:?}")))?;
    let pipeline = builder.into_pipeline();
    pipeline.validate().map_err(DefineError::Pipeline)?;
    Ok(Definition {
        pipeline,
        dbrps: declared::dbrps(&program),
        program,
        vars: outcome.vars,
        warnings: outcome.warnings,
    })
}
