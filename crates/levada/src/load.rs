//! Reads manifest files and sorts what they declare.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use levada_flow::cases;
use levada_flow::spec::secrets::Secrets;
use levada_flow::spec::{self, Flow};
use levada_registry::report::locate;
use levada_registry::{Document, FieldPath, Node, Report, Severity, manifest};
use levada_task::cases as task_cases;
use serde_json::json;

use crate::args::OutputFormat;
use crate::output;
use crate::script::{self, Script, ScriptOptions};

/// Everything that files declare, and everything that is wrong with it.
#[derive(Default)]
pub(crate) struct Loaded {
    /// The flows, those with errors left out.
    pub(crate) flows: Vec<LoadedFlow>,
    /// How many flows the files declare.
    pub(crate) declared: usize,
    /// The scripts; their findings are among those of the files.
    pub(crate) scripts: Vec<(PathBuf, Script)>,
    /// The documents with cases of flows, with the name of their file.
    pub(crate) cases: Vec<(String, cases::Cases)>,
    /// The documents with cases of tasks, with their file.
    pub(crate) task_cases: Vec<(PathBuf, task_cases::Cases)>,
    /// The secrets.
    pub(crate) secrets: Secrets,
    /// The problems, in file order.
    pub(crate) findings: Vec<Finding>,
}

/// A checked flow and where it came from.
pub(crate) struct LoadedFlow {
    pub(crate) flow: Flow,
    /// The folder that its paths are relative to.
    pub(crate) base_dir: PathBuf,
    /// The file as it was named.
    pub(crate) file: String,
    document: Document,
}

/// A problem and its place.
pub(crate) struct Finding {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// Empty when the file is no manifest at all.
    pub(crate) path: String,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    /// The line of the file with a mark under the place; empty when there is none to show.
    pub(crate) excerpt: String,
    /// What is probably meant; part of the excerpt.
    pub(crate) hint: Option<String>,
}

/// The kinds of documents that are understood.
const KINDS: [&str; 4] = [spec::KIND, "Secret", cases::KIND, task_cases::KIND];

impl Loaded {
    /// Reads files; whatever is wrong is in `findings`.
    pub(crate) fn read(files: &[PathBuf]) -> Self {
        let mut loaded = Loaded::default();
        for file in files {
            loaded.read_file(file);
        }
        loaded
    }

    /// Reads files, manifests and scripts.
    pub(crate) fn read_all(files: &[PathBuf], options: &ScriptOptions) -> Self {
        let mut loaded = Loaded::default();
        for file in files {
            match script::is_script(file) {
                true => loaded.take_script(file, Script::read(file, options)),
                false => loaded.read_manifest(file, Some(options)),
            }
        }
        loaded
    }

    fn take_script(&mut self, file: &Path, mut script: Script) {
        self.findings.append(&mut script.findings);
        self.scripts.push((file.to_owned(), script));
    }

    /// Reads one file.
    pub(crate) fn read_file(&mut self, file: &Path) {
        self.read_manifest(file, None);
    }

    /// Reads a manifest; with options, standard input may be a script as well.
    fn read_manifest(&mut self, file: &Path, options: Option<&ScriptOptions>) {
        let name = file_name(file);
        let bytes = match read_bytes(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.findings.push(Finding::of_file(&name, format!("cannot be read: {error}")));
                return;
            }
        };
        if let Some(options) = options
            && file == Path::new("-")
            && (options.task_type.is_some() || script::looks_like_script(&bytes))
        {
            return self.take_script(file, Script::understand(file, &bytes, options));
        }
        let documents = match manifest::parse_bytes(&bytes) {
            Ok(documents) => documents,
            Err(error) => {
                self.findings.push(Finding {
                    file: name,
                    line: error.line,
                    column: error.column,
                    path: String::new(),
                    severity: Severity::Error,
                    message: error.message,
                    excerpt: String::new(),
                    hint: None,
                });
                return;
            }
        };
        if documents.is_empty() {
            self.findings.push(Finding::of_file(&name, "the file declares nothing".into()));
        }
        for document in documents {
            self.take(file, &name, document);
        }
    }

    fn take(&mut self, file: &Path, name: &str, document: Document) {
        let mut report = Report::new();
        if spec::is_flow(&document) {
            self.declared += 1;
            let stem = match file.file_stem() {
                Some(stem) if file != Path::new("-") => stem.to_string_lossy(),
                _ => "flow".into(),
            };
            if let Some(flow) = spec::check(&document, &stem, &mut report) {
                let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                let base_dir = parent.unwrap_or(Path::new(".")).to_owned();
                let document = document.clone();
                self.flows.push(LoadedFlow { flow, base_dir, file: name.to_owned(), document });
            }
        } else if Secrets::is_secret(&document) {
            self.secrets.add(&document, &mut report);
        } else if cases::is_cases(&document) {
            if let Some(cases) = cases::decode(&document, &mut report) {
                self.cases.push((name.to_owned(), cases));
            }
        } else if task_cases::is_cases(&document) {
            if let Some(cases) = task_cases::decode(&document, &mut report) {
                self.task_cases.push((file.to_owned(), cases));
            }
        } else {
            let at = FieldPath::field("kind");
            match document.root.get("kind").and_then(Node::scalar_text) {
                Some(kind) => report.unsupported(&at, &kind, KINDS),
                None => report.required(&at, "kind is required, such as DataFlow"),
            }
        }
        self.add_findings(name, &document, &report);
    }

    /// Resolves the references to secrets of every flow; only the problems are kept.
    pub(crate) fn resolve_secrets(&mut self, folder: Option<PathBuf>) {
        let secrets = self.secrets.clone().with_folder(folder);
        let mut findings = Vec::new();
        for loaded in &self.flows {
            let flow = &loaded.flow;
            let namespace = &flow.object.namespace;
            let mut report = Report::new();
            let sinks = std::iter::once(&flow.sink)
                .chain(flow.routes.iter().map(|route| &route.sink))
                .chain(flow.errors.iter().map(|errors| &errors.sink));
            let blocks = sinks.map(|sink| (&sink.block, &sink.path));
            let source = std::iter::once((&flow.source.block, &flow.source.path));
            for (block, path) in source.chain(blocks) {
                secrets.resolve(block, namespace, path, &mut report);
            }
            findings.push((loaded.file.clone(), loaded.document.clone(), report));
        }
        for (file, document, report) in findings {
            self.add_findings(&file, &document, &report);
        }
    }

    fn add_findings(&mut self, name: &str, document: &Document, report: &Report) {
        for problem in report.problems() {
            let (line, column) = locate(&document.root, &problem.path);
            self.findings.push(Finding {
                file: name.to_owned(),
                line,
                column,
                path: problem.path.to_string(),
                severity: problem.severity,
                message: problem.text.clone(),
                excerpt: String::new(),
                hint: None,
            });
        }
    }

    /// Tells whether anything refuses a file.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Gives the flow that a command is about, or says why there is none.
    pub(crate) fn only_flow(mut self, name: Option<&str>) -> Result<(LoadedFlow, Secrets), String> {
        let names: Vec<String> =
            self.flows.iter().map(|loaded| loaded.flow.object.name.clone()).collect();
        if let Some(name) = name {
            self.flows.retain(|loaded| loaded.flow.object.name == name);
            if self.flows.is_empty() {
                return Err(format!("unknown flow `{name}`; known: {}", names.join(", ")));
            }
        }
        match self.flows.len() {
            0 => Err("the file declares no DataFlow".into()),
            1 => Ok((self.flows.remove(0), self.secrets)),
            _ => Err(format!(
                "the file declares several flows ({}); choose one with --flow",
                names.join(", ")
            )),
        }
    }

    /// Shares the secrets.
    pub(crate) fn shared_secrets(&self, folder: Option<PathBuf>) -> Arc<Secrets> {
        Arc::new(self.secrets.clone().with_folder(folder))
    }
}

impl Finding {
    pub(crate) fn of_file(file: &str, message: String) -> Self {
        Finding {
            file: file.to_owned(),
            line: 1,
            column: 1,
            path: String::new(),
            severity: Severity::Error,
            message,
            excerpt: String::new(),
            hint: None,
        }
    }

    /// Gives the problem in one line: file, line, column, path, text; in text, with the excerpt below.
    pub(crate) fn render(&self, format: OutputFormat) -> String {
        let Finding { file, line, column, path, severity, message, excerpt, hint } = self;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match format {
            OutputFormat::Json => {
                let mut line = json!({
                    "file": file, "line": line, "column": column, "path": path,
                    "severity": severity, "message": message,
                });
                if let Some(hint) = hint {
                    line["hint"] = json!(hint);
                }
                line.to_string()
            }
            OutputFormat::Text => {
                let mark = if severity == "warning" { "warning: " } else { "" };
                let colon = if path.is_empty() { "" } else { ": " };
                let line_end = if excerpt.is_empty() { "" } else { "\n" };
                format!("{file}:{line}:{column}: {mark}{path}{colon}{message}{line_end}{excerpt}")
            }
        }
    }
}

/// Prints findings to standard error, one per line; warnings only when asked.
pub(crate) fn complain(findings: &[Finding], with_warnings: bool) {
    for finding in findings {
        if with_warnings || finding.severity == Severity::Error {
            output::note(&finding.render(OutputFormat::Text));
        }
    }
}

/// Reads a file, or standard input for `-`, up to the bound of manifests.
pub(crate) fn read_bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let limit = manifest::FILE_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Gives a file as messages name it.
pub(crate) fn file_name(file: &Path) -> String {
    match file == Path::new("-") {
        true => "<stdin>".to_owned(),
        false => file.display().to_string(),
    }
}
