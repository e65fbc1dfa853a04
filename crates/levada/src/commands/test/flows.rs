//! Cases of flows.

use levada_flow::spec::Flow;
use levada_runtime::SystemClock;

use super::Reporter;
use crate::exit::Exit;
use crate::load::Loaded;
use crate::output;

pub(super) fn run(loaded: &Loaded, reporter: &mut Reporter) -> Result<(), Exit> {
    let clock = SystemClock::new();
    for (file, cases) in &loaded.cases {
        if cases.cases.is_empty() {
            continue;
        }
        let flow = match find(loaded, cases.flow.as_deref()) {
            Ok(flow) => flow,
            Err(message) => {
                output::note(&format!("{file}: {message}"));
                return Err(Exit::Invalid);
            }
        };
        for case in &cases.cases {
            let differences = match case.run(flow, &*clock) {
                Ok(result) => result.differences,
                Err(message) => vec![message],
            };
            reporter.report(file, "flow", &flow.object.name, &case.name, &differences);
        }
    }
    Ok(())
}

fn find<'l>(loaded: &'l Loaded, name: Option<&str>) -> Result<&'l Flow, String> {
    let names: Vec<&str> =
        loaded.flows.iter().map(|loaded| loaded.flow.object.name.as_str()).collect();
    let found = match name {
        Some(name) => loaded.flows.iter().find(|loaded| loaded.flow.object.name == name),
        None if names.len() == 1 => loaded.flows.first(),
        None => {
            return Err(format!(
                "`spec.flow` is needed, because there is not one flow; known: {}",
                names.join(", ")
            ));
        }
    };
    found.map(|loaded| &loaded.flow).ok_or_else(|| {
        format!("unknown flow `{}`; known: {}", name.unwrap_or_default(), names.join(", "))
    })
}
