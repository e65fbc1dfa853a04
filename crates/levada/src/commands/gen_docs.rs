//! `levada gen-docs`: the reference pages, rendered from the tables.

use std::path::Path;

use crate::exit::Exit;
use crate::output;

mod pages;

pub(super) fn run(folder: &Path) -> Exit {
    for (name, text) in pages::all() {
        let path = folder.join(name);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text));
        if let Err(error) = written {
            output::note(&format!("error: `{}` cannot be written: {error}", path.display()));
            return Exit::Failed;
        }
    }
    Exit::Done
}
