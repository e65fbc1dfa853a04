//! The `hostMetrics` source: measurements of this host as JSON records.
//!
//! [`HostMetrics::sample`] runs the collectors of [`TABLE`] once and appends one compact JSON
//! object for each measured thing (a core, a mount, an interface):
//!
//! ```text
//! {"metric":"cpu","host":"web-1","time":"2026-01-02T03:04:05.678Z","tags":{"core":"0","env":"test"},"user":1.25,...}
//! ```
//! Tags hold the collector's own tags first, then the configured ones; fields are flat beside them.
//! Which fields a collector writes is documented at the top of its file, and as data in [`FIELDS`].
//!
//! ```text
//! files under root -> Files (bounded read) -> collector (parse, History for rates) -> Output (JSON) -> out, ends
//! ```
//! Invariants:
//! - a collector that fails never stops another one; a bad line never stops the other lines of its
//!   file;
//! - a file is read up to 4 MiB, a collector writes up to [`INSTANCES_MAX`] records, a sample adds
//!   up to 16 MiB; what is left out because of a limit is reported as a failure;
//! - no content of a file panics.
//!
//! `source.rs` adds the interval, the clock and the counting of failures. Start reading at
//! [`HostMetrics`], then `load.rs` (the shortest collector). A new collector is a file plus a `mod`
//! line and a line in [`TABLE`].

mod cpu;
mod disk;
mod error;
mod files;
mod history;
mod io;
mod load;
mod memory;
mod metrics;
mod network;
mod output;
mod processes;
mod source;
mod spec;
#[cfg(test)]
mod tests;
mod text;
mod uptime;

pub(crate) use error::{CollectError, Failure};
pub(crate) use spec::{HostMetricsSpec, SpecProblem};

use files::Files;
use output::{Output, write_string, write_time};

/// Most records that one collector writes in one sample. Ours: above the cores, mounts or
/// interfaces of any host that we know, and small enough that a broken file cannot flood the flow.
pub(crate) const INSTANCES_MAX: usize = 4096;

/// Name under which [`HostMetrics::sample`] reports that the host name could not be read.
pub(crate) const HOST_NAME_FAILURE: &str = "hostname";

/// Value of `host` when the host name could not be read.
const HOST_UNKNOWN: &[u8] = b"unknown";

/// Every collector, in the order of records and documents.
const TABLE: &[Entry] = &[
    entry::<cpu::Cpu>(),
    entry::<memory::Memory>(),
    entry::<disk::Disk>(),
    entry::<io::Io>(),
    entry::<network::Network>(),
    entry::<load::Load>(),
    entry::<processes::Processes>(),
    entry::<uptime::Uptime>(),
];

/// Names of all collectors, in table order.
pub(crate) const COLLECTORS: &[&str] = &{
    let mut names = [""; TABLE.len()];
    let mut index = 0;
    while index < TABLE.len() {
        names[index] = TABLE[index].name;
        index += 1;
    }
    names
};

/// Every field of every collector: collector, field, meaning with unit.
pub const FIELDS: &[(&str, &str, &str)] = &concat::<{ row_count(false) }>(false);

/// Every tag that collectors set themselves: collector, tag, meaning. A configured tag cannot have
/// such a name.
pub const TAGS: &[(&str, &str, &str)] = &concat::<{ row_count(true) }>(true);

/// Which instances are left out; the defaults are those of the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether `network` reports the loopback interface `lo`.
    pub(crate) include_loopback: bool,
    /// Whether `io` reports partitions, loop devices and RAM disks too.
    pub(crate) include_all_devices: bool,
}

/// Measures this host; keeps what rates and percentages need between samples.
pub(crate) struct HostMetrics {
    files: Files,
    collectors: Vec<Box<dyn Run>>,
    options: Options,
    /// The configured tags as JSON members, without braces.
    tags: Vec<u8>,
    host: Vec<u8>,
    /// What every record of the running sample has in common (`host`, `time`, the opening of
    /// `tags`).
    common: Vec<u8>,
}

/// What a collector works with during one sample.
pub(crate) struct Ctx<'a> {
    /// Reads files under the configured root.
    files: &'a mut Files,
    /// Takes the records.
    output: Output<'a>,
    /// Time of the sample, nanoseconds UTC.
    now: i64,
    /// Host name of the sample.
    host: &'a [u8],
    options: Options,
}

/// One kind of measurement; one implementation per file.
pub(crate) trait Collector: Default + Send + 'static {
    /// Name in the spec and in `metric`.
    const NAME: &'static str;
    /// Tags that the collector sets: name, meaning.
    const TAGS: &'static [(&'static str, &'static str)];
    /// Fields that the collector writes: name, meaning with unit.
    const FIELDS: &'static [(&'static str, &'static str)];

    /// Appends the records of one sample to `ctx.output`.
    ///
    /// - Errors: what kept records from being written; records written before the error stay.
    fn collect(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError>;
}

/// One line of [`TABLE`].
struct Entry {
    name: &'static str,
    tags: &'static [(&'static str, &'static str)],
    fields: &'static [(&'static str, &'static str)],
    build: fn() -> Box<dyn Run>,
}

/// [`Collector`] without its constants, so that the collectors of a sampler can be of different
/// types.
trait Run: Send {
    fn name(&self) -> &'static str;
    fn run(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError>;
}

// === impl HostMetrics ===

impl HostMetrics {
    /// Builds a sampler for the collectors, tags and root of `spec`; reads nothing yet.
    ///
    /// - Errors: every problem of `spec`, as [`HostMetricsSpec::problems`] gives them.
    pub(crate) fn new(spec: &HostMetricsSpec, options: Options) -> Result<Self, Vec<SpecProblem>> {
        let problems = spec.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let selected = |entry: &&Entry| spec.collectors.iter().any(|name| name == entry.name);
        let mut tags = Vec::new();
        for (name, value) in &spec.tags {
            output::write_member(&mut tags, name.as_bytes(), value.as_bytes());
        }
        Ok(Self {
            files: Files::new(&spec.root),
            collectors: TABLE.iter().filter(selected).map(|entry| (entry.build)()).collect(),
            options,
            tags,
            host: Vec::new(),
            common: Vec::new(),
        })
    }

    /// Appends one JSON object per measured thing to `out`, and the offset in `out` after each
    /// object to `ends`.
    ///
    /// Gives what could not be measured, at most one entry per collector and one for the host name;
    /// the records of everything else are there.
    ///
    /// - Shape: objects follow each other without a separator.
    /// - Units: `now_unix_nanos` is nanoseconds UTC. Rates divide by its difference to the sample
    ///   before, so a step of the clock distorts one sample; where it went back, one sample has no
    ///   rates.
    pub(crate) fn sample(
        &mut self,
        now_unix_nanos: i64,
        out: &mut Vec<u8>,
        ends: &mut Vec<u32>,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        if let Err(error) = self.read_host() {
            failures.push(Failure { collector: HOST_NAME_FAILURE, error });
        }
        self.common.clear();
        self.common.extend_from_slice(b"\"host\":");
        write_string(&mut self.common, &self.host);
        self.common.extend_from_slice(b",\"time\":\"");
        write_time(&mut self.common, now_unix_nanos);
        self.common.extend_from_slice(b"\",\"tags\":{");

        let mut ctx = Ctx {
            files: &mut self.files,
            output: Output::new(out, ends, &self.common, &self.tags),
            now: now_unix_nanos,
            host: &self.host,
            options: self.options,
        };
        for collector in &mut self.collectors {
            if let Err(error) = collector.run(&mut ctx) {
                failures.push(Failure { collector: collector.name(), error });
            }
        }
        failures
    }

    /// Reads the host name; on failure it is [`HOST_UNKNOWN`].
    ///
    /// Under another root, `/proc` answers with the name of our own UTS namespace (the container),
    /// so the file of the host comes first there.
    fn read_host(&mut self) -> Result<(), CollectError> {
        const OF_KERNEL: &str = "proc/sys/kernel/hostname";
        const OF_HOST: &str = "etc/hostname";
        let paths =
            if self.files.is_own_root() { [OF_KERNEL, OF_HOST] } else { [OF_HOST, OF_KERNEL] };
        self.host.clear();
        let read = self.files.read_name(&paths);
        self.host.extend_from_slice(read.as_ref().unwrap_or(&HOST_UNKNOWN));
        read.map(|_| ())
    }
}

// === impl Collector for the table ===

impl<T: Collector> Run for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn run(&mut self, ctx: &mut Ctx<'_>) -> Result<(), CollectError> {
        self.collect(ctx)
    }
}

/// Erases `T` into plain function pointers; `const`, so the table needs no life-before-main magic.
const fn entry<T: Collector>() -> Entry {
    Entry { name: T::NAME, tags: T::TAGS, fields: T::FIELDS, build: || Box::new(T::default()) }
}

/// Counts the tags or the fields of all collectors.
const fn row_count(tags: bool) -> usize {
    let mut count = 0;
    let mut index = 0;
    while index < TABLE.len() {
        count += if tags { TABLE[index].tags.len() } else { TABLE[index].fields.len() };
        index += 1;
    }
    count
}

/// Joins the tags or the fields of all collectors into one list.
const fn concat<const N: usize>(tags: bool) -> [(&'static str, &'static str, &'static str); N] {
    let mut rows = [("", "", ""); N];
    let mut filled = 0;
    let mut index = 0;
    while index < TABLE.len() {
        let own = if tags { TABLE[index].tags } else { TABLE[index].fields };
        let mut row = 0;
        while row < own.len() {
            rows[filled] = (TABLE[index].name, own[row].0, own[row].1);
            filled += 1;
            row += 1;
        }
        index += 1;
    }
    rows
}
