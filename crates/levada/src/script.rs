//! Reads TICKscript files and finds everything that is wrong with them.

use std::path::{Path, PathBuf};

use levada_registry::Severity;
use levada_task::definition::{DefineError, DefineOptions, Definition, define_program};
use levada_task::dry_run::Unconfigured;
use levada_task::pipeline::start::StartOptions;
use levada_task::pipeline::{FindingKind, TaskType};
use levada_task::runtime::context::{Compat, Limits};
use levada_task::udf::Udfs;
use levada_tick::syntax::{self, CallKind, Kind, Node, Position, SCRIPT_BYTES_MAX, caret};
use levada_tick::vars::{self, Vars};

use crate::args::{ScriptType, TaskArgs};
use crate::load::{self, Finding};

/// The extension of scripts.
pub(crate) const EXTENSION: &str = "tick";

/// What a script is read with.
#[derive(Debug, Default)]
pub(crate) struct ScriptOptions {
    pub(crate) task_type: Option<TaskType>,
    pub(crate) vars: Vars,
    /// Queries may read what the `dbrp` statements name and nothing else; recorded input is not queried.
    pub(crate) checks_sources: bool,
    /// Variables may lack values; what depends on values is not checked then.
    pub(crate) is_template: bool,
    /// Functions that run outside, as far as they are known.
    pub(crate) udfs: Udfs,
}

/// A script and what was found about it.
pub(crate) struct Script {
    /// The name of the task: the file without its extension.
    pub(crate) task: String,
    /// What it says; nothing when it was not understood.
    pub(crate) definition: Option<Definition>,
    /// The problems, in the order of the text.
    pub(crate) findings: Vec<Finding>,
    /// What it needs and is not there: this build lacks it, or the settings.
    pub(crate) not_built_in: Vec<String>,
}

/// A position with the text it is a position of.
struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

/// Tells whether a file holds a script; standard input has no name to tell by.
pub(crate) fn is_script(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(EXTENSION))
}

/// Tells whether a text is a script rather than a manifest: it begins with a comment, a declaration or a source.
pub(crate) fn looks_like_script(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let word_end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (word, rest) = text.split_at(word_end);
    // A manifest may begin with a key of the same name.
    text.starts_with("//")
        || (matches!(word, "var" | "dbrp" | "stream" | "batch") && !rest.starts_with(':'))
}

/// Gives the name of the task in a file.
pub(crate) fn task_name(file: &Path) -> String {
    match file.file_stem() {
        Some(stem) if file != Path::new("-") => stem.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    }
}

/// Reads a file with variables.
pub(crate) fn read_vars(file: &Path) -> Result<Vars, String> {
    let shown = file.display();
    let bytes =
        load::read_bytes(file).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let json = serde_json::from_slice(&bytes)
        .map_err(|error| format!("`{shown}` is not a JSON document: {error}"))?;
    vars::from_json(&json).map_err(|error| format!("{shown}: {error}"))
}

// === impl ScriptOptions ===

impl ScriptOptions {
    /// Takes what the command line says; an error is about the file with variables.
    pub(crate) fn of(args: &TaskArgs) -> Result<Self, String> {
        let vars = args.vars.as_deref().map(read_vars).transpose()?;
        let task_type = args.task_type.map(ScriptType::task_type);
        Ok(ScriptOptions { task_type, vars: vars.unwrap_or_default(), ..ScriptOptions::default() })
    }
}

// === impl Script ===

impl Script {
    /// Reads a script; whatever is wrong is in its findings.
    pub(crate) fn read(file: &Path, options: &ScriptOptions) -> Self {
        match load::read_bytes(file) {
            Ok(bytes) => Script::understand(file, &bytes, options),
            Err(error) => {
                let text = format!("cannot be read: {error}");
                Script::unreadable(file, Finding::of_file(&load::file_name(file), text))
            }
        }
    }

    /// Understands a script that was read.
    pub(crate) fn understand(file: &Path, bytes: &[u8], options: &ScriptOptions) -> Self {
        let name = load::file_name(file);
        let text = match script_text(bytes) {
            Ok(text) => text,
            Err(problem) => return Script::unreadable(file, Finding::of_file(&name, problem)),
        };
        let mut script = Script {
            task: task_name(file),
            definition: None,
            findings: Vec::new(),
            not_built_in: Vec::new(),
        };
        script.define(&Source { file: &name, text }, options);
        script.findings.sort_by_key(|finding| (finding.line, finding.column));
        script
    }

    fn unreadable(file: &Path, finding: Finding) -> Self {
        Script {
            task: task_name(file),
            definition: None,
            findings: vec![finding],
            not_built_in: Vec::new(),
        }
    }

    /// Tells whether the task cannot be enabled.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn define(&mut self, source: &Source<'_>, options: &ScriptOptions) {
        let program = match syntax::parse(source.text) {
            Ok(program) => program,
            Err(error) => return self.findings.push(source.parse_error(&error)),
        };
        // The one call that may name something outside the script; looked at when it fails.
        let functions = outside_calls(&program);
        let define_options = DefineOptions {
            task_type: options.task_type,
            vars: options.vars.clone(),
            is_template: options.is_template,
            udfs: options.udfs.clone(),
            ..DefineOptions::default()
        };
        let definition = match define_program(program, &define_options) {
            Ok(definition) => definition,
            Err(error) => return self.take_define_error(source, &error, &functions),
        };
        for warning in &definition.warnings {
            let excerpt = warning.caret(source.text);
            let finding = source.finding(warning.position, Severity::Warning, &warning.message);
            self.findings.push(Finding { excerpt, ..finding });
        }
        if !options.is_template {
            self.check(source, &definition);
        }
        if options.checks_sources && !definition.dbrps.is_empty() {
            self.check_sources(source, &definition);
        }
        self.definition = Some(definition);
    }

    fn take_define_error(
        &mut self,
        source: &Source<'_>,
        error: &DefineError,
        functions: &[(Position, String)],
    ) {
        let text = error.to_string();
        let DefineError::Script(script_error) = error else {
            return self.findings.push(source.finding(None, Severity::Error, &text));
        };
        // Functions that run outside are known by the settings of who runs them.
        let outside = functions.iter().find(|(position, name)| {
            Some(*position) == script_error.position
                && text.contains(&format!("no method or property \"{name}\""))
        });
        if let Some((_, name)) = outside {
            let what = format!(
                "the function `{name}` runs outside and is not known here: it would be `[udf.functions.{name}]` of the settings"
            );
            let text = format!("{what}; what follows it is not checked");
            let finding = source.finding(script_error.position, Severity::Warning, &text);
            self.findings.push(finding);
            return self.not_built_in.push(what);
        }
        let finding = source.finding(script_error.position, Severity::Error, &text);
        let excerpt = script_error.caret(source.text);
        self.findings.push(Finding { excerpt, hint: script_error.hint.clone(), ..finding });
    }

    /// Finds queries that the original stops a task for.
    fn check_sources(&mut self, source: &Source<'_>, definition: &Definition) {
        let pipeline = &definition.pipeline;
        for named in pipeline.query_plans(false) {
            let Err(problem) = named.plan.check_sources(&definition.dbrps) else { continue };
            let node = pipeline.nodes().find(|(index, _)| pipeline.name(*index) == named.name);
            let position = node.and_then(|(_, node)| node.position);
            let finding = source.finding(position, Severity::Error, &problem);
            self.findings.push(Finding { path: named.name.to_string(), ..finding });
        }
    }

    /// Finds what upstream finds when the task is enabled.
    fn check(&mut self, source: &Source<'_>, definition: &Definition) {
        let findings = definition.pipeline.inspect(&StartOptions {
            task: self.task.as_str().into(),
            dbrps: &definition.dbrps,
            services: &Unconfigured::default(),
            limits: &Limits::default(),
            compat: Compat::default(),
            seed: 1,
        });
        for found in findings {
            let severity = match found.kind {
                FindingKind::Problem => Severity::Error,
                FindingKind::Warning | FindingKind::NotBuiltIn => Severity::Warning,
            };
            if found.kind == FindingKind::NotBuiltIn {
                self.not_built_in.push(format!("{}: {}", found.node, found.text));
            }
            let finding = source.finding(found.position, severity, &found.text);
            self.findings.push(Finding { path: found.node.to_string(), ..finding });
        }
    }
}

/// Takes the text of a script out of the bytes of its file.
pub(crate) fn script_text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > SCRIPT_BYTES_MAX {
        return Err(format!("the script has more than {SCRIPT_BYTES_MAX} bytes"));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| format!("the script is not UTF-8 at byte {}", error.valid_up_to()))
}

/// Gives the finding for a script that does not parse.
pub(crate) fn parse_finding(file: &str, text: &str, error: &syntax::ParseError) -> Finding {
    Source { file, text }.parse_error(error)
}

/// Finds the calls of functions that run outside: `@name()`.
fn outside_calls(program: &Node) -> Vec<(Position, String)> {
    let mut calls = Vec::new();
    let mut stack = vec![program];
    while let Some(node) = stack.pop() {
        if let Kind::Call(call) = &node.kind
            && call.kind == CallKind::Dynamic
        {
            calls.push((node.position, call.name.to_string()));
        }
        node.each_child(|child| stack.push(child));
    }
    calls
}

// === impl Source ===

impl Source<'_> {
    fn finding(&self, position: Option<Position>, severity: Severity, message: &str) -> Finding {
        let excerpt = position
            .map(|position| caret(self.text, position, word_end(self.text, position), None));
        let position = position.unwrap_or(Position { offset: 0, line: 1, column: 1 });
        Finding {
            file: self.file.to_owned(),
            line: position.line,
            column: position.column,
            path: String::new(),
            severity,
            message: message.to_owned(),
            excerpt: excerpt.unwrap_or_default(),
            hint: None,
        }
    }

    fn parse_error(&self, error: &syntax::ParseError) -> Finding {
        Finding {
            excerpt: error.caret(self.text),
            hint: error.hint.clone(),
            ..self.finding(Some(error.position), Severity::Error, &error.message)
        }
    }
}

/// Finds the end of the word that begins at a position.
fn word_end(text: &str, position: Position) -> u32 {
    let rest = text.get(position.offset as usize..).unwrap_or_default();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    position.offset + rest.find(|c| !is_part(c)).unwrap_or(rest.len()) as u32
}

// === impl ScriptType ===

impl ScriptType {
    fn task_type(self) -> TaskType {
        match self {
            ScriptType::Stream => TaskType::Stream,
            ScriptType::Batch => TaskType::Batch,
        }
    }
}

/// Adds the script beside a file with cases.
pub(crate) fn beside(cases: &Path) -> Option<PathBuf> {
    let name = cases.file_name()?.to_string_lossy().into_owned();
    let stem = [".test.yaml", ".test.yml"].iter().find_map(|end| name.strip_suffix(end))?;
    let script = cases.with_file_name(format!("{stem}.{EXTENSION}"));
    script.is_file().then_some(script)
}
