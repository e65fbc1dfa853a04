//! What is asked for, and what is to be done about it; touches nothing.

use super::state::State;
use super::table::{SERVICES, Service};

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) task: Task,
    /// The servers meant, in the order of the table.
    pub(super) services: Vec<&'static Service>,
    /// PostgreSQL shall flush to disk.
    pub(super) durable: bool,
    /// Added to every port, instead of what the environment says.
    pub(super) port_offset: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Help,
    Up,
    Down { wipe: bool },
    Status,
}

/// What `up` does about one server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Up {
    Start,
    /// Nothing; holds why.
    Keep(String),
}

/// What `down` does about one server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Down {
    Stop,
    /// Nothing; holds why.
    Leave(&'static str),
}

/// The server that `--durable` is about.
const DURABLE: &str = "postgres";

// === impl Request ===

impl Request {
    /// Asks for a task with every server.
    pub(super) fn of(task: Task) -> Self {
        Self { task, services: SERVICES.iter().collect(), durable: false, port_offset: None }
    }
}

// === impl Up ===

impl Up {
    pub(super) fn starts(&self) -> bool {
        *self == Up::Start
    }
}

/// Reads the arguments behind `services`.
pub(super) fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut words = arguments.iter().map(String::as_str);
    let task = match words.next() {
        Some("up") => Task::Up,
        Some("down") => Task::Down { wipe: false },
        Some("status") => Task::Status,
        Some("help" | "--help" | "-h") => Task::Help,
        Some(other) => {
            return Err(format!("unknown word `{other}` behind services; known: up, down, status"));
        }
        None => return Err("services needs one of up, down, status; see --help".to_owned()),
    };
    let mut request = Request::of(task);
    let mut names = Vec::new();
    while let Some(word) = words.next() {
        match (word, &mut request.task) {
            ("--help" | "-h", _) => return Ok(Request::of(Task::Help)),
            ("--durable", Task::Up) => request.durable = true,
            ("--wipe", Task::Down { wipe }) => *wipe = true,
            ("--port-offset", _) => {
                request.port_offset = Some(offset(words.next().unwrap_or_default())?);
            }
            (option, _) if option.starts_with('-') => {
                let options = "known: --durable (up), --wipe (down), --help";
                return Err(format!("unknown option `{option}`; {options}"));
            }
            (name, _) => names.push(name),
        }
    }
    let known = |name: &&str| SERVICES.iter().any(|service| service.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        return Err(format!("unknown service `{unknown}`; known: {}", known.join(", ")));
    }
    if !names.is_empty() {
        request.services.retain(|service| names.contains(&service.name));
    }
    if request.durable && !request.services.iter().any(|service| service.name == DURABLE) {
        return Err(format!("--durable is about {DURABLE}, which is not among the names"));
    }
    Ok(request)
}

/// Reads what is added to every port.
pub(super) fn offset(text: &str) -> Result<u16, String> {
    let max =
        u16::MAX - SERVICES.iter().map(|service| service.port + service.ports).max().unwrap_or(0);
    match text.parse() {
        Ok(offset) if offset <= max => Ok(offset),
        _ => Err(format!("the port offset must be a whole number from 0 to {max}, not `{text}`")),
    }
}

/// Decides what `up` does.
pub(super) fn up(
    states: impl IntoIterator<Item = (&'static Service, State)>,
    durable: bool,
) -> Vec<(&'static Service, Up)> {
    let decide = |(service, state): (&'static Service, State)| {
        let is_durable = durable && service.name == DURABLE;
        let up = match state {
            State::Down => Up::Start,
            // Its script knows whether it is the one asked for.
            State::Running(_) if is_durable => Up::Start,
            State::Running(pid) => Up::Keep(format!("already runs (pid {pid})")),
            State::Foreign => {
                let unknown = if is_durable { "; whether it is durable is not known" } else { "" };
                Up::Keep(format!(
                    "is answered by something not started here, which is used{unknown}"
                ))
            }
        };
        (service, up)
    };
    states.into_iter().map(decide).collect()
}

/// Decides what `down` does.
pub(super) fn down(
    states: impl IntoIterator<Item = (&'static Service, State)>,
    wipe: bool,
) -> Vec<(&'static Service, Down)> {
    let decide = |(service, state): (&'static Service, State)| {
        let down = match state {
            State::Running(_) => Down::Stop,
            State::Down if wipe => Down::Stop,
            State::Down => Down::Leave("does not run"),
            State::Foreign => Down::Leave("runs but was not started here, left alone"),
        };
        (service, down)
    };
    states.into_iter().map(decide).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    fn names(request: &Request) -> Vec<&'static str> {
        request.services.iter().map(|service| service.name).collect()
    }

    #[test]
    fn names_and_options_are_understood() {
        let all = parsed("up").unwrap();
        assert_eq!((all.task, all.services.len()), (Task::Up, SERVICES.len()));
        let two = parsed("up postgres --durable kafka").unwrap();
        assert_eq!(names(&two), ["kafka", "postgres"]);
        assert!(two.durable);
        let wiped = parsed("down --wipe --port-offset 1000 trino").unwrap();
        assert_eq!(wiped.task, Task::Down { wipe: true });
        assert_eq!((wiped.port_offset, names(&wiped)), (Some(1000), vec!["trino"]));
        assert_eq!(parsed("status").unwrap().task, Task::Status);
        for help in ["--help", "help", "up --help", "down kafka -h"] {
            assert_eq!(parsed(help).unwrap().task, Task::Help, "{help}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named_with_what_would() {
        let unknown = parsed("up kafak").unwrap_err();
        assert!(
            unknown.starts_with("unknown service `kafak`; known: kafka, postgres, "),
            "{unknown}"
        );
        assert!(parsed("restart").unwrap_err().contains("up, down, status"));
        assert!(parsed("").unwrap_err().contains("up, down, status"));
        assert!(parsed("up --wipe").unwrap_err().contains("--wipe (down)"));
        assert!(parsed("down --durable").unwrap_err().contains("--durable (up)"));
        assert!(parsed("up --durable kafka").unwrap_err().contains("postgres"));
        for bad in ["", "-1", "x", "40000"] {
            assert!(parsed(&format!("up --port-offset {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_down_is_started() {
        let states = [State::Down, State::Running(7), State::Foreign];
        let plan = up(SERVICES.iter().zip(states), false);
        let [(_, start), (_, running), (_, foreign)] = plan.as_slice() else { panic!("{plan:?}") };
        assert!(start.starts());
        assert_eq!(*running, Up::Keep("already runs (pid 7)".to_owned()));
        assert!(matches!(foreign, Up::Keep(text) if text.contains("not started here")));
    }

    #[test]
    fn a_durable_one_is_asked_for_also_when_it_runs() {
        let postgres = SERVICES.iter().find(|service| service.name == DURABLE).unwrap();
        assert!(up([(postgres, State::Running(7))], true)[0].1.starts());
        assert!(!up([(postgres, State::Foreign)], true)[0].1.starts());
        assert!(!up([(&SERVICES[0], State::Running(7))], true)[0].1.starts());
    }

    #[test]
    fn nothing_foreign_is_stopped() {
        let states = [State::Running(7), State::Down, State::Foreign];
        let plan = |wipe| down(SERVICES.iter().zip(states), wipe);
        let stops =
            |wipe| plan(wipe).iter().map(|(_, down)| *down == Down::Stop).collect::<Vec<_>>();
        assert_eq!(stops(false), [true, false, false]);
        assert_eq!(stops(true), [true, true, false], "what is left of one that is down");
    }
}
