//! `levada graph`: draws a flow or a task.

use levada_flow::graph::{self, Format};

use crate::args::Graph;
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::output;
use crate::script::{Script, ScriptOptions};

mod task;

pub(super) fn run(args: &Graph) -> Exit {
    let options = match ScriptOptions::of(&args.task) {
        Ok(options) => options,
        Err(problem) => {
            output::note(&format!("error: {problem}"));
            return Exit::Invalid;
        }
    };
    let mut loaded = Loaded::read_all(std::slice::from_ref(&args.file), &options);
    load::complain(&loaded.findings, false);
    if let Some((_, script)) = loaded.scripts.pop() {
        return draw_task(&script, args);
    }
    if loaded.has_errors() {
        return Exit::Invalid;
    }
    match loaded.only_flow(args.flow.as_deref()) {
        Ok((loaded, _)) => {
            print(&graph::render(&loaded.flow, args.format.unwrap_or(Format::Text)));
            Exit::Done
        }
        Err(message) => {
            output::note(&format!("error: {message}"));
            Exit::Invalid
        }
    }
}

fn draw_task(script: &Script, args: &Graph) -> Exit {
    // A task that cannot be enabled can be drawn all the same.
    let Some(definition) = &script.definition else { return Exit::Invalid };
    let pipeline = &definition.pipeline;
    match args.format.unwrap_or(Format::Dot) {
        Format::Dot => print(&pipeline.dot(&script.task)),
        Format::Text => print(&task::text(pipeline)),
        Format::Mermaid => print(&task::mermaid(pipeline)),
        Format::Svg => {
            let file = args.file.display();
            output::note(&format!(
                "error: a script is not drawn as svg here; `levada graph {file} | dot -Tsvg` does it"
            ));
            return Exit::Usage;
        }
    }
    Exit::Done
}

fn print(picture: &str) {
    output::bytes(picture.as_bytes());
    if !picture.ends_with('\n') {
        output::bytes(b"\n");
    }
}
