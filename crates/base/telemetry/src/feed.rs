//! Log lines for readers that come and go, such as a request that follows the log.
//!
//! A [`LogFeed`] is a layer of the subscriber: it sees events of every level, whatever the console shows, but only while somebody
//! reads. A reader that is too slow loses lines and is told how many; what logs never waits.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_model::Timestamp;
use levada_runtime::Clock;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Readers at a time.
pub const READERS_MAX: usize = 64;

/// Lines that wait for one reader.
pub const LINES_MAX: usize = 1_024;

/// Log lines for readers; cheap to clone.
#[derive(Clone)]
pub struct LogFeed(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    readers: Mutex<Vec<Reader>>,
    /// How many there are, to be seen without the lock.
    count: AtomicUsize,
    lost: AtomicU64,
    is_closed: AtomicBool,
}

struct Reader {
    wanted: Wanted,
    lines: mpsc::Sender<LogLine>,
    lost: Arc<AtomicU64>,
}

/// The lines of one reader, in their order.
pub struct LogLines {
    lines: mpsc::Receiver<LogLine>,
    lost: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

/// Which lines a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Fields and what they must be; `msg` is the message.
    pub fields: Vec<(String, String)>,
    /// One level, or all levels from one on.
    pub level: Option<WantedLevel>,
}

/// Which levels a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedLevel {
    /// The level.
    pub level: LineLevel,
    /// Those above it, too.
    pub and_above: bool,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineLevel {
    /// For those who look for a cause.
    Debug,
    /// What goes on.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
}

/// A log line.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When.
    pub time: Timestamp,
    /// How grave it is.
    pub level: LineLevel,
    /// What it says.
    pub message: String,
    /// What it says it of, in the order of the code.
    pub fields: Vec<(&'static str, LineValue)>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum LineValue {
    /// A text, or anything else as its text.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A large integer.
    UInt(u64),
    /// A number.
    Float(f64),
}

// === impl LogFeed ===

impl LogFeed {
    /// Makes a feed that takes the times of lines from a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        LogFeed(Arc::new(Shared {
            clock,
            readers: Mutex::default(),
            count: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        }))
    }

    /// Begins to read; nothing where there are [`READERS_MAX`] readers already, or the feed is closed.
    pub fn read(&self, wanted: Wanted) -> Option<LogLines> {
        let mut readers = self.readers();
        readers.retain(|reader| !reader.lines.is_closed());
        if readers.len() >= READERS_MAX || self.0.is_closed.load(Ordering::Acquire) {
            return None;
        }
        let (sender, lines) = mpsc::channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        readers.push(Reader { wanted, lines: sender, lost: Arc::clone(&lost) });
        self.0.count.store(readers.len(), Ordering::Release);
        Some(LogLines { lines, lost, clock: Arc::clone(&self.0.clock) })
    }

    /// Ends all readers after what waits for them.
    pub fn close(&self) {
        let mut readers = self.readers();
        self.0.is_closed.store(true, Ordering::Release);
        readers.clear();
        self.0.count.store(0, Ordering::Release);
    }

    /// Gives how many lines readers lost because they were too slow.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Makes the layer that fills it.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        Feeding(self.clone()).with_filter(Reading(self.clone()))
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, line: &LogLine) {
        let mut readers = self.readers();
        let before = readers.len();
        readers.retain(|reader| {
            if !reader.wanted.takes(line) {
                return !reader.lines.is_closed();
            }
            match reader.lines.try_send(line.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    reader.lost.fetch_add(1, Ordering::Relaxed);
                    self.0.lost.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
        if readers.len() != before {
            self.0.count.store(readers.len(), Ordering::Release);
        }
    }
}

impl fmt::Debug for LogFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFeed").field("readers", &self.0.count).finish_non_exhaustive()
    }
}

// === impl LogLines ===

impl LogLines {
    /// Waits for the next line; nothing when the feed is closed. Lines that were lost are told as one of their own.
    pub async fn next(&mut self) -> Option<LogLine> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            return Some(LogLine {
                time: self.clock.now(),
                level: LineLevel::Warn,
                message: "the reader was too slow and lost lines".to_owned(),
                fields: vec![("lost", LineValue::UInt(lost))],
            });
        }
        self.lines.recv().await
    }
}

impl fmt::Debug for LogLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogLines")
    }
}

// === impl Wanted ===

impl Wanted {
    /// Tells whether a line is wanted.
    pub fn takes(&self, line: &LogLine) -> bool {
        let is_level = self.level.is_none_or(|wanted| match wanted.and_above {
            true => line.level >= wanted.level,
            false => line.level == wanted.level,
        });
        is_level
            && self.fields.iter().all(|(name, value)| match &**name {
                "msg" => line.message == *value,
                name => line
                    .fields
                    .iter()
                    .any(|(known, found)| *known == name && found.to_string() == *value),
            })
    }
}

// === impl LineLevel ===

impl LineLevel {
    /// Reads the word of a level.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|level| level.word() == word)
    }

    /// Gives its word.
    pub fn word(self) -> &'static str {
        match self {
            LineLevel::Debug => "debug",
            LineLevel::Info => "info",
            LineLevel::Warn => "warn",
            LineLevel::Error => "error",
        }
    }

    fn of(metadata: &Metadata<'_>) -> Self {
        match *metadata.level() {
            Level::ERROR => LineLevel::Error,
            Level::WARN => LineLevel::Warn,
            Level::INFO => LineLevel::Info,
            _ => LineLevel::Debug,
        }
    }
}

// === impl LineValue ===

impl fmt::Display for LineValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineValue::Text(text) => f.write_str(text),
            LineValue::Bool(value) => value.fmt(f),
            LineValue::Int(number) => number.fmt(f),
            LineValue::UInt(number) => number.fmt(f),
            LineValue::Float(number) => number.fmt(f),
        }
    }
}

// === the layer ===

struct Feeding(LogFeed);

/// Lets events through while somebody reads.
struct Reading(LogFeed);

impl<S> Filter<S> for Reading {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_event()
            && *metadata.level() <= Level::DEBUG
            && self.0.0.count.load(Ordering::Acquire) > 0
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::DEBUG)
    }
}

impl<S: Subscriber> Layer<S> for Feeding {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = LogLine {
            time: self.0.0.clock.now(),
            level: LineLevel::of(event.metadata()),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        self.0.give(&line);
    }
}

impl LogLine {
    fn put(&mut self, field: &Field, value: LineValue) {
        match (field.name(), value) {
            ("message", value) => self.message = value.to_string(),
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, LineValue::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, LineValue::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, LineValue::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, LineValue::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, LineValue::UInt(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, LineValue::Float(value));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use levada_runtime::SystemClock;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn wanted(fields: &[(&str, &str)], level: Option<(LineLevel, bool)>) -> Wanted {
        let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let level = level.map(|(level, and_above)| WantedLevel { level, and_above });
        Wanted { fields: fields.collect(), level }
    }

    fn log() {
        tracing::debug!(task = "a", "one");
        tracing::info!(task = "a", node = 5, ok = true, "two");
        tracing::warn!(task = "b", "three");
        tracing::error!(task = %"a", "four");
        tracing::trace!(task = "a", "five");
    }

    async fn messages(lines: &mut LogLines) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(line) = lines.next().await {
            messages.push(line.message);
        }
        messages
    }

    #[tokio::test]
    async fn readers_get_what_they_want() {
        let cases = [
            (wanted(&[], None), "one two three four"),
            (wanted(&[("task", "a")], None), "one two four"),
            (wanted(&[("task", "a"), ("node", "5"), ("ok", "true")], None), "two"),
            (wanted(&[("msg", "three")], None), "three"),
            (wanted(&[("none", "")], None), ""),
            (wanted(&[], Some((LineLevel::Info, false))), "two"),
            (wanted(&[], Some((LineLevel::Info, true))), "two three four"),
            (wanted(&[("task", "a")], Some((LineLevel::Warn, true))), "four"),
        ];
        let feed = LogFeed::new(SystemClock::new());
        let mut readers: Vec<LogLines> =
            cases.iter().map(|(wanted, _)| feed.read(wanted.clone()).unwrap()).collect();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(feed.layer()), log);
        feed.close();
        for (lines, (wanted, expected)) in readers.iter_mut().zip(cases) {
            assert_eq!(messages(lines).await.join(" "), expected, "{wanted:?}");
        }
        assert!(feed.read(Wanted::default()).is_none(), "it is closed");
    }

    #[tokio::test]
    async fn a_slow_reader_loses_lines_and_is_told() {
        let feed = LogFeed::new(SystemClock::new());
        let mut lines = feed.read(Wanted::default()).unwrap();
        let subscriber = tracing_subscriber::registry().with(feed.layer());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..LINES_MAX + 3 {
                tracing::info!(number, "line");
            }
        });
        let first = lines.next().await.unwrap();
        assert_eq!(first.fields, [("lost", LineValue::UInt(3))]);
        feed.close();
        assert_eq!(messages(&mut lines).await.len(), LINES_MAX);
        assert_eq!(feed.lost(), 3);
    }

    #[test]
    fn readers_are_bounded_and_those_who_left_do_not_count() {
        let feed = LogFeed::new(SystemClock::new());
        let mut readers: Vec<LogLines> =
            (0..READERS_MAX).map(|_| feed.read(Wanted::default()).unwrap()).collect();
        assert!(feed.read(Wanted::default()).is_none());
        drop(readers.pop());
        assert!(feed.read(Wanted::default()).is_some());
    }
}
