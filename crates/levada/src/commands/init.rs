//! `levada init`: a commented flow to start from.

use std::fs::OpenOptions;
use std::io::Write;

use crate::args::{Common, Init, Template};
use crate::exit::Exit;
use crate::output;

pub(super) fn run(args: &Init, common: &Common) -> Exit {
    let text = template(args.template);
    let Some(file) = &args.file else {
        output::bytes(text.as_bytes());
        return Exit::Done;
    };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => {
            if !common.quiet {
                let name = file.display();
                output::note(&format!(
                    "wrote {name}\nnext: levada check {name} && levada run {name}"
                ));
            }
            Exit::Done
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            output::note(&format!("error: `{}` exists; choose another name", file.display()));
            Exit::Invalid
        }
        Err(error) => {
            output::note(&format!("error: `{}` cannot be written: {error}", file.display()));
            Exit::Failed
        }
    }
}

fn template(template: Template) -> &'static str {
    match template {
        Template::Files => include_str!("../../templates/files.yaml"),
        Template::Metrics => include_str!("../../templates/metrics.yaml"),
        Template::Http => include_str!("../../templates/http.yaml"),
        Template::Kafka => include_str!("../../templates/kafka.yaml"),
    }
}
