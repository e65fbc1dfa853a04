//! From the text of a script to what can run, with the errors of the original in its order.

use std::sync::Arc;

use levada_model::Str;
use levada_tick::vars::Vars;
use levada_tick::{declared, syntax};

use super::TaskService;
use super::error::ServiceError;
use crate::definition::{DefineOptions, Definition, define_program};
use crate::pipeline::TaskType;

/// A script that was understood.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) task_type: TaskType,
    pub(super) definition: Arc<Definition>,
}

impl TaskService {
    /// Understands the script of a task.
    pub(super) fn compile(&self, script: &str, vars: &Vars) -> Result<Compiled, ServiceError> {
        self.compile_as(script, vars, false)
    }

    /// Understands the script of a template, whose variables may lack values.
    pub(super) fn compile_template(&self, script: &str) -> Result<Compiled, ServiceError> {
        self.compile_as(script, &Vars::new(), true)
    }

    fn compile_as(
        &self,
        script: &str,
        vars: &Vars,
        is_template: bool,
    ) -> Result<Compiled, ServiceError> {
        let program =
            syntax::parse(script).map_err(|error| ServiceError::Script(error.to_string()))?;
        let task_type = declared::task_type(&program).ok_or(ServiceError::Type)?;
        let known = &self.0.deps.define;
        let options = DefineOptions {
            task_type: Some(task_type),
            vars: vars.clone(),
            is_template,
            deadman: known.deadman.clone(),
            udfs: known.udfs.clone(),
        };
        let definition = define_program(program, &options)
            .map_err(|error| ServiceError::Script(error.to_string()))?;
        Ok(Compiled { task_type, definition: Arc::new(definition) })
    }

    /// Compiles on a thread of its own: a script may be long.
    pub(super) async fn compile_apart(
        &self,
        script: &str,
        vars: &Vars,
    ) -> Result<Compiled, ServiceError> {
        let (own, script, vars) = (self.clone(), script.to_owned(), vars.clone());
        self.blocking("script", move || own.compile(&script, &vars)).await?
    }
}

/// Gives the databases of a task that is made: named in the script or beside it.
pub(super) fn dbrps(
    compiled: &Compiled,
    given: Vec<(Str, Str)>,
) -> Result<Vec<(Str, Str)>, ServiceError> {
    let named = &compiled.definition.dbrps;
    match (named.is_empty(), given.is_empty()) {
        (true, true) => Err(ServiceError::NoDbrp),
        (false, false) => Err(ServiceError::TwoDbrps),
        (false, true) => Ok(named.clone()),
        (true, false) => Ok(given),
    }
}
