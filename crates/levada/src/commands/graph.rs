//! `levada graph`: draws a flow.

use levada_flow::graph;

use crate::args::Graph;
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::output;

pub(super) fn run(args: &Graph) -> Exit {
    let loaded = Loaded::read(std::slice::from_ref(&args.file));
    load::complain(&loaded.findings, false);
    if loaded.has_errors() {
        return Exit::Invalid;
    }
    match loaded.only_flow(args.flow.as_deref()) {
        Ok((loaded, _)) => {
            let picture = graph::render(&loaded.flow, args.format);
            output::bytes(picture.as_bytes());
            if !picture.ends_with('\n') {
                output::bytes(b"\n");
            }
            Exit::Done
        }
        Err(message) => {
            output::note(&format!("error: {message}"));
            Exit::Invalid
        }
    }
}
