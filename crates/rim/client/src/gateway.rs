//! `levada gateway`: how the gateway of a server is, and what to do about what it could not deliver.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::format::Format;
use crate::table::{Table, fixed, longest, size};
use crate::world::World;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What came in, and what became of it.
    Status,
    /// All queues.
    Queues,
    /// One queue.
    Queue(String),
    /// Wait until queues are empty.
    Wait {
        /// Only this one.
        queue: Option<String>,
        /// How long at most.
        timeout: Option<Duration>,
    },
    /// What receivers refused for good.
    Letters {
        /// Only of this queue.
        queue: Option<String>,
    },
    /// One of them.
    Letter {
        /// Its queue.
        queue: String,
        /// Its number.
        number: u64,
    },
    /// Send some again.
    Replay(Which),
    /// Give some up.
    Drop(Which),
}

/// Some dead letters of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// The queue.
    pub queue: String,
    /// Their numbers; none means all.
    pub numbers: Vec<u64>,
}

/// What is done where, and what it looks like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL of the server.
    pub server: String,
    /// The token or password stands in the URL; believe any TLS certificate.
    pub skip_verify: bool,
    /// What results look like.
    pub format: Format,
    /// Nothing on standard error but errors.
    pub is_quiet: bool,
    /// What to do.
    pub command: Command,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is done.
    Done,
    /// Something of it could not be: there is none, or points do not agree.
    Refused,
    /// The server cannot be reached, or does not do it; the time was over.
    Failed,
}

/// The first part of the paths.
const GATEWAY: &str = "gateway";

/// Does it, and says how it ended.
pub fn run(options: &Options, world: &mut World<'_>) -> Ended {
    let result = Api::new(&options.server, options.skip_verify, world.answer_timeout)
        .map_err(|message| ApiError { message, status: None })
        .and_then(|api| act(&api, options, world));
    match result {
        Ok(ended) => ended,
        Err(error) => {
            world.note(&format!("error: {}", error.message));
            match error.status {
                Some(400..500) => Ended::Refused,
                _ => Ended::Failed,
            }
        }
    }
}

fn act(api: &Api, options: &Options, world: &mut World<'_>) -> Result<Ended, ApiError> {
    match &options.command {
        Command::Status => {
            let status = api.own(Method::GET, &[GATEWAY, "status"], &[])?;
            print(world, options, &status, status_text)?;
            match status["balanced"].as_bool() {
                Some(false) => {
                    world.note("error: the points of a destination do not add up");
                    Ok(Ended::Refused)
                }
                _ => Ok(Ended::Done),
            }
        }
        Command::Queues => {
            let queues = api.own(Method::GET, &[GATEWAY, "queues"], &[])?;
            let list = list(&queues, "queues");
            print_each(world, options, list, || queue_table(list).render())
        }
        Command::Queue(name) => {
            let queue = api.own(Method::GET, &[GATEWAY, "queues", name], &[])?;
            print(world, options, &queue, queue_text)?;
            Ok(Ended::Done)
        }
        Command::Wait { queue, timeout } => wait(api, options, world, queue.as_deref(), *timeout),
        Command::Letters { queue } => {
            let letters = letters(api, queue.as_deref())?;
            let ended = print_each(world, options, &letters, || letter_table(&letters).render())?;
            if !options.is_quiet {
                world.note(&format!("{} dead letters", letters.len()));
            }
            Ok(ended)
        }
        Command::Letter { queue, number } => {
            let path = [GATEWAY, "dead-letters", queue, &number.to_string()];
            let letter = api.own(Method::GET, &path, &[])?;
            print(world, options, &letter, pairs_text)?;
            Ok(Ended::Done)
        }
        Command::Replay(which) => each(api, options, world, which, "replayed", |path| {
            let mut path = path.to_vec();
            path.push("replay");
            api.own(Method::POST, &path, &[]).map(drop)
        }),
        Command::Drop(which) => each(api, options, world, which, "dropped", |path| {
            api.own(Method::DELETE, path, &[]).map(drop)
        }),
    }
}

/// Does something with each letter; one that fails stops no other.
fn each(
    api: &Api,
    options: &Options,
    world: &mut World<'_>,
    which: &Which,
    done: &str,
    act: impl Fn(&[&str]) -> Result<(), ApiError>,
) -> Result<Ended, ApiError> {
    let numbers = match which.numbers.is_empty() {
        true => letters(api, Some(&which.queue))?
            .iter()
            .filter_map(|letter| letter["number"].as_u64())
            .collect(),
        false => which.numbers.clone(),
    };
    let (mut count, mut failed) = (0_usize, 0_usize);
    for number in &numbers {
        let text = number.to_string();
        match act(&[GATEWAY, "dead-letters", &which.queue, &text]) {
            Ok(()) => {
                count += 1;
                if options.format == Format::Json {
                    let value = json!({"queue": which.queue, "number": number, "action": done});
                    write(world, &format!("{value}\n"))?;
                }
            }
            // Nobody answers: the others would fail, too.
            Err(error) if error.status.is_none() => return Err(error),
            Err(error) => {
                failed += 1;
                world.note(&format!("error: {}", error.message));
            }
        }
    }
    if options.format != Format::Json {
        write(
            world,
            &format!("{done} {count} of {} dead letters of {}\n", numbers.len(), which.queue),
        )?;
    }
    Ok(if failed == 0 { Ended::Done } else { Ended::Refused })
}

/// Looks at queues until they are empty, and tells how it goes.
fn wait(
    api: &Api,
    options: &Options,
    world: &mut World<'_>,
    queue: Option<&str>,
    timeout: Option<Duration>,
) -> Result<Ended, ApiError> {
    let started = world.clock.monotonic();
    let mut first: Option<(Duration, u64)> = None;
    let mut last = None;
    loop {
        let queues = match queue {
            Some(name) => vec![api.own(Method::GET, &[GATEWAY, "queues", name], &[])?],
            None => {
                let queues = api.own(Method::GET, &[GATEWAY, "queues"], &[])?;
                list(&queues, "queues").to_vec()
            }
        };
        let sum = |key: &str| queues.iter().map(|queue| number(queue, key)).sum::<u64>();
        let (queued, delivered) = (sum("queued"), sum("delivered"));
        let now = world.clock.monotonic();
        let (since, before) = *first.get_or_insert((now, delivered));
        if queued == 0 {
            return print_each(world, options, &queues, || queue_table(&queues).render());
        }
        if !options.is_quiet && last != Some(queued) {
            let seconds = now.saturating_sub(since).as_secs_f64();
            let rate = (delivered.saturating_sub(before)) as f64 / seconds;
            let rest = match rate.is_finite() && rate > 0.0 {
                true => format!(", {rate:.0}/s, {:.0} s left", queued as f64 / rate),
                false => String::new(),
            };
            let bytes = size(sum("queued_bytes"));
            world.note(&format!("{queued} points wait ({bytes}){rest}"));
            last = Some(queued);
        }
        if timeout.is_some_and(|timeout| now.saturating_sub(started) >= timeout) {
            world.note(&format!("error: {queued} points still wait"));
            return Ok(Ended::Failed);
        }
        let (clock, pause) = (&world.clock, world.poll_interval);
        // A sleep begins within the runtime.
        api.wait(async move { clock.sleep(pause).await });
    }
}

/// Gives all letters, page by page.
fn letters(api: &Api, queue: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let names = match queue {
        Some(queue) => vec![queue.to_owned()],
        None => {
            let queues = api.own(Method::GET, &[GATEWAY, "queues"], &[])?;
            list(&queues, "queues").iter().map(|queue| text(queue, "name")).collect()
        }
    };
    let mut all = Vec::new();
    for name in names {
        let mut after = String::new();
        loop {
            let query = [("queue", &*name), ("after", &*after)];
            let answer = api.own(Method::GET, &[GATEWAY, "dead-letters"], &query)?;
            let page = list(&answer, "dead_letters");
            all.extend_from_slice(page);
            let next = page.last().map(|letter| text(letter, "number"));
            match next {
                Some(next) if answer["more"] == true && next != after => after = next,
                _ => break,
            }
        }
    }
    Ok(all)
}

fn print(
    world: &mut World<'_>,
    options: &Options,
    value: &Value,
    show: fn(&Value) -> String,
) -> Result<(), ApiError> {
    let text = match options.format {
        Format::Json => format!("{value}\n"),
        Format::Yaml => crate::format::yaml(value),
        Format::Text => show(value),
    };
    write(world, &text)
}

fn print_each(
    world: &mut World<'_>,
    options: &Options,
    values: &[Value],
    show: impl Fn() -> String,
) -> Result<Ended, ApiError> {
    let text = match options.format {
        Format::Json => values.iter().map(|value| format!("{value}\n")).collect(),
        Format::Yaml => crate::format::yaml(&Value::Array(values.to_vec())),
        Format::Text => trimmed(&show()),
    };
    write(world, &text)?;
    Ok(Ended::Done)
}

fn write(world: &mut World<'_>, text: &str) -> Result<(), ApiError> {
    let written = world.print(text).and_then(|()| world.out.flush());
    written.map_err(|error| ApiError {
        message: format!("the output cannot be written: {error}"),
        status: None,
    })
}

fn status_text(status: &Value) -> String {
    let received = &status["received"];
    let mut text = format!(
        "received   {} points in {} bodies, {} bodies refused\n",
        number(received, "points"),
        number(received, "bodies"),
        number(received, "refused_bodies"),
    );
    text.push_str(&format!(
        "           routed {}, filtered {}, without a field {}, wanted by nobody {}\n\n",
        number(received, "routed"),
        number(received, "filtered"),
        number(received, "no_field"),
        number(received, "nowhere"),
    ));
    text.push_str(&trimmed(&queue_table(list(status, "destinations")).render()));
    let rules = &status["rules"];
    let mut table = Table::new([longest("RULE"), longest("POINTS"), fixed("FILTER", 0)]);
    let (sinkers, filters) = (list(rules, "sinkers"), list(rules, "filters"));
    for sinker in sinkers {
        table.row([text_of("sinker", sinker, "name"), self::text(sinker, "points"), String::new()]);
    }
    for filter in filters {
        let name = text_of("drop", filter, "category");
        table.row([name, self::text(filter, "points"), self::text(filter, "filter")]);
    }
    if !(sinkers.is_empty() && filters.is_empty()) {
        text.push('\n');
        text.push_str(&trimmed(&table.render()));
    }
    if let Some(at) = rules["last_reload"].as_str() {
        let (done, refused) = (number(rules, "reloads"), number(rules, "reload_errors"));
        text.push_str(&format!(
            "\nrules      {done} changes, {refused} refused, the last at {at}\n"
        ));
        if let Some(error) = rules["last_error"].as_str() {
            text.push_str(&format!("           they stay as they were: {error}\n"));
        }
    }
    let balanced = match status["balanced"].as_bool() {
        Some(false) => "the sums do NOT agree",
        _ => "the sums agree: accepted = delivered + dropped + dead + queued",
    };
    text.push_str(&format!("\n{balanced}\n"));
    text
}

fn queue_text(queue: &Value) -> String {
    let mut text = trimmed(&queue_table(std::slice::from_ref(queue)).render());
    let mut table = Table::new([longest("ENDPOINT"), fixed("STATE", 0)]);
    for endpoint in list(queue, "endpoints") {
        table.row([self::text(endpoint, "endpoint"), self::text(endpoint, "state")]);
    }
    text.push('\n');
    text.push_str(&trimmed(&table.render()));
    if let Some(dropped) = queue["dropped"].as_object().filter(|dropped| !dropped.is_empty()) {
        let mut table = Table::new([longest("DROPPED"), fixed("POINTS", 0)]);
        for (reason, points) in dropped {
            table.row([reason.clone(), points.to_string()]);
        }
        text.push('\n');
        text.push_str(&trimmed(&table.render()));
    }
    text.push('\n');
    for (name, key) in [
        ("bodies that wait", "queued_bodies"),
        ("requests", "requests"),
        ("repeated", "retries"),
        ("halved", "splits"),
        ("files", "segments"),
    ] {
        text.push_str(&format!("{name:<17} {}\n", number(queue, key)));
    }
    if queue["stalled"] == true {
        text.push_str("the disk is full, and writers wait\n");
    }
    text
}

fn queue_table(queues: &[Value]) -> Table {
    let mut table = Table::new([
        longest("DESTINATION"),
        longest("STATE"),
        longest("ACCEPTED"),
        longest("DELIVERED"),
        longest("DROPPED"),
        longest("DEAD"),
        longest("QUEUED"),
        longest("BYTES"),
        fixed("SUM", 0),
    ]);
    for queue in queues {
        let states = list(queue, "endpoints").iter().map(|endpoint| text(endpoint, "state"));
        let mut states: Vec<String> = states.collect();
        states.dedup();
        if queue["leaving"] == true {
            states.push("leaving".to_owned());
        }
        table.row([
            text(queue, "name"),
            states.join(","),
            text(queue, "accepted"),
            text(queue, "delivered"),
            text(queue, "dropped_total"),
            text(queue, "dead_lettered"),
            text(queue, "queued"),
            size(number(queue, "queued_bytes")),
            (if queue["balanced"] == false { "WRONG" } else { "ok" }).to_owned(),
        ]);
    }
    table
}

fn letter_table(letters: &[Value]) -> Table {
    let mut table = Table::new([
        longest("QUEUE"),
        longest("NUMBER"),
        longest("AT"),
        longest("CATEGORY"),
        longest("POINTS"),
        longest("BYTES"),
        fixed("REASON", 0),
    ]);
    for letter in letters {
        table.row([
            text(letter, "queue"),
            text(letter, "number"),
            text(letter, "at"),
            text(letter, "category"),
            text(letter, "points"),
            size(number(letter, "bytes")),
            text(letter, "reason"),
        ]);
    }
    table
}

fn pairs_text(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, _)| format!("{key:<9} {}\n", text(value, key))).collect()
}

fn trimmed(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(0)
}

/// Gives a value as text on one line.
fn text(value: &Value, key: &str) -> String {
    let text = match &value[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn text_of(word: &str, value: &Value, key: &str) -> String {
    format!("{word} {}", text(value, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Value {
        json!({
            "name": "team-a", "accepted": 10, "delivered": 4, "dropped": {"expired": 1},
            "dropped_total": 1, "dead_lettered": 2, "queued": 3, "queued_bytes": 1_500, "balanced": true,
            "endpoints": [{"endpoint": "http://a:9528", "state": "open"}], "requests": 7, "retries": 2,
        })
    }

    #[test]
    fn queues_are_shown_in_a_table() {
        let text = queue_text(&queue());
        let start = "DESTINATION STATE ACCEPTED DELIVERED DROPPED DEAD QUEUED BYTES  SUM\n\
            team-a      open  10       4         1       2    3      1.5 kB ok\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("expired 1\n") && text.contains("http://a:9528 open\n"), "{text}");
    }

    #[test]
    fn a_status_says_whether_the_sums_agree() {
        let status = json!({
            "received": {"points": 10, "bodies": 2}, "balanced": true, "destinations": [queue()],
            "rules": {"sinkers": [{"name": "s", "points": 4}], "filters": []},
        });
        let text = status_text(&status);
        assert!(text.starts_with("received   10 points in 2 bodies, 0 bodies refused\n"), "{text}");
        assert!(text.contains("sinker s 4"), "{text}");
        assert!(text.ends_with("the sums agree: accepted = delivered + dropped + dead + queued\n"));
        let wrong = json!({"balanced": false});
        assert!(status_text(&wrong).ends_with("the sums do NOT agree\n"));
    }
}
