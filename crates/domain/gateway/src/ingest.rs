//! From a body to records: checked, filtered, split by destination, encoded.
//!
//! ```text
//! body ─ coding ─▶ text ─ scan ─▶ line ─ checks ─▶ rules ─▶ bucket of its destinations ─ encode ─▶ records
//! ```
//! Nothing leaves before the whole body has been read: one bad line refuses all of it, and a refused body has left no
//! trace. A line that needs no change is never taken apart. A body whose lines all go to the same destinations, none of
//! them changed, is not even copied; if it came compressed as it will be sent, it is sent as it came.
//!
//! All of this is work for the processor only: no I/O, no waiting.

mod body;
mod bucket;
mod encode;
mod lines;
mod lookup;
mod points;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use levada_codec::compression::CompressionError;
use levada_codec::points::checks::{Warning, Warnings};
use levada_codec::points::json::JsonError;
use levada_codec::points::line::BodyError;
use levada_codec::points::otlp_json::OtlpJsonError;
use levada_codec::points::protobuf::ProtobufError;
use levada_codec::points::{Checks, Unit, otlp, otlp_json, remote_write_v2};
use levada_model::{Category, ErrorKind, Timestamp};
use thiserror::Error;

pub use self::body::Coding;
pub use self::bucket::Buckets;
pub use self::encode::{
    EncodeWatch, Encoder, Form, GLOBAL_TAGS, HOPS, Outgoing, PACKAGE_ID, STORAGE_INDEX, Split,
    can_join,
};
pub use self::lookup::PointLookup;

use crate::rules::{RuleSet, Scratch};
use crate::wal::Encoding;

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Line protocol, dialect `point`.
    #[default]
    Lines,
    /// Version 2.
    Protobuf,
    /// JSON of either shape.
    Json,
    /// Remote write 1.0 of Prometheus; its coding is [`Coding::Snappy`].
    RemoteWrite,
    /// Remote write 2.0.
    RemoteWriteV2,
    /// Metrics of OTLP/HTTP, in Protocol Buffers.
    OtlpMetrics,
    /// Logs of OTLP/HTTP, in Protocol Buffers.
    OtlpLogs,
    /// Metrics of OTLP/HTTP, in JSON.
    OtlpMetricsJson,
    /// Logs of OTLP/HTTP, in JSON.
    OtlpLogsJson,
}

/// A body that somebody wants to be delivered.
#[derive(Clone, Debug)]
pub struct Write {
    /// What its points are about.
    pub category: Category,
    /// As it came.
    pub body: Bytes,
    /// How it is written.
    pub format: Format,
    /// How it is compressed.
    pub coding: Coding,
    /// The unit of its times.
    pub unit: Unit,
    /// The time of points without one.
    pub now: Timestamp,
    /// What its points must keep; `None` stands for the rules of the category.
    pub checks: Option<Checks>,
    /// Whether a warning refuses the body.
    pub is_strict: bool,
    /// `X-Global-Tags` that came with it and goes on with it.
    pub global_tags: Option<Box<str>>,
    /// The index that its points are stored in.
    pub storage_index: Option<Box<str>>,
    /// How often its points have left the gateway for a flow and come back.
    pub hops: u8,
}

/// How often points may come back to the gateway: more flows in a row are a circle.
pub const HOPS_MAX: u8 = 16;

/// Bounds of bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a body as it comes. Source: `max_http_body_bytes`.
    pub body_bytes_max: usize,
    /// Bytes of a body when it is no longer compressed, and of its points when each has what they share.
    pub plain_bytes_max: usize,
    /// Bytes of a body that is sent, before it is compressed; a point that is larger is sent alone.
    ///
    /// Source: `max_raw_body_size`.
    pub record_bytes_max: usize,
    /// A smaller record is not compressed when it is queued but when it is sent, together with others.
    pub compress_bytes_min: usize,
}

/// Why a body is refused; nothing of it was taken, but for [`WriteError::Partial`].
#[derive(Debug, Error)]
pub enum WriteError {
    /// No byte.
    #[error("empty body")]
    Empty,
    /// Bytes, but no point.
    #[error("no points")]
    NoPoints,
    /// Larger than is taken.
    #[error("body of {bytes} bytes is too large, at most {bytes_max} are taken")]
    TooLarge {
        /// How large.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
    /// What its points share makes it larger than is taken, once each has it.
    #[error("the points of the body have more than {bytes_max} bytes together, send fewer at once")]
    Expands {
        /// How many they may have.
        bytes_max: usize,
    },
    /// It cannot be decompressed.
    #[error("decode body failed")]
    Decode(#[source] CompressionError),
    /// It cannot be unpacked from `deflate` or `br`.
    #[error("decode body failed")]
    Inflate(#[source] std::io::Error),
    /// It is larger than is taken once it is unpacked from `deflate` or `br`.
    #[error("decode body failed: it has more than {bytes_max} bytes")]
    Inflated {
        /// How many it may have.
        bytes_max: usize,
    },
    /// It is no Snappy block, or a bomb.
    #[error("decode body failed: {0}")]
    Snappy(&'static str),
    /// Bad lines.
    #[error(transparent)]
    Lines(#[from] BodyError),
    /// Not the JSON of points.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not the JSON of OTLP.
    #[error(transparent)]
    OtlpJson(#[from] OtlpJsonError),
    /// Not the messages of points.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// A warning, and the sender is strict.
    #[error("{} warning(s), the first is {}: {}", .total, .first.kind.name(), .first.message)]
    Warning {
        /// How many.
        total: u64,
        /// The first.
        first: Box<Warning>,
    },
    /// Headers that cannot be kept.
    #[error("headers of the points are too long")]
    Headers,
    /// The library that compresses failed.
    #[error("cannot encode the body")]
    Encode(#[source] CompressionError),
    /// Its points go round.
    #[error("the points have come back to the gateway from a flow {HOPS_MAX} times: they go round")]
    Circle,
    /// It was to go to a destination that is no longer there.
    #[error("there is no destination `{0}`")]
    NoDestination(String),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopped,
    /// There is no room in a queue now.
    #[error("the queues of destinations are full, try again later")]
    Full,
    /// A queue does not take it now.
    #[error(transparent)]
    Queue(#[from] crate::wal::AppendError),
    /// A queue did not take its part, others have taken theirs.
    #[error("destination `{destination}` did not take its part; taken for {}, where points are doubled if they are sent again", names(.taken))]
    Partial {
        /// The destination whose queue failed.
        destination: String,
        /// Destinations that have their part, and how many points that is.
        taken: Vec<(String, u64)>,
        /// Why.
        source: crate::wal::AppendError,
    },
}

fn names(taken: &[(String, u64)]) -> String {
    let parts = taken.iter().map(|(name, points)| format!("`{name}` ({points} points)"));
    parts.collect::<Vec<_>>().join(", ")
}

/// What became of the points of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Points in the body.
    pub points: u64,
    /// Points that a filter dropped.
    pub filtered: u64,
    /// Points that had no field, or none that may stay.
    pub no_field: u64,
    /// Points that no sinker and no default wants.
    pub nowhere: u64,
    /// Samples that say that a series ended, histograms of other models, samples without a name: they are no points.
    pub skipped: u64,
    /// Samples of remote write 2.0, for its answer.
    pub samples: u64,
    /// Points that go somewhere.
    pub routed: u64,
    /// Copies of points, one for each destination.
    pub copies: u64,
    /// Copies that a queue dropped, as its settings say.
    pub dropped: u64,
    /// Points that sinkers took, once for each sinker.
    pub sunk: u64,
    /// Bodies that they became, one or more for each destination.
    pub bodies: u64,
    /// Values of `X-Global-Tags` among them.
    pub groups: u64,
    /// How long drop filters looked at them.
    pub filters_took: Duration,
    /// How long they waited for room.
    pub waited: Duration,
    /// How often they waited for room.
    pub waits: u32,
    /// What was changed.
    pub warnings: Warnings,
}

/// What is kept from body to body to avoid allocation.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) scratch: Scratch,
    pub(crate) text: Vec<u8>,
    pub(crate) header: String,
    /// Memory for a body that comes compressed.
    unpacked: Vec<u8>,
}

/// A buffer that became larger than this is not kept: twice the largest usual body.
const BUFFER_BYTES_MAX: usize = 2 << 20;

/// Reads a body and splits it.
pub fn prepare(
    write: &Write,
    rules: &RuleSet,
    bounds: &Bounds,
    workspace: &mut Workspace,
) -> Result<(Buckets, Written), WriteError> {
    if write.body.is_empty() {
        return Err(WriteError::Empty);
    }
    let plain = body::plain(write, bounds, &mut workspace.unpacked)?;
    let mut written = Written::default();
    let checks = write.checks.clone().unwrap_or_else(|| Checks::of(write.category));
    let native = match write.format {
        Format::Lines => Encoding::LineProtocol,
        _ => Encoding::Protobuf,
    };
    let mut buckets = Buckets::new(plain.bytes.clone(), native, bounds.record_bytes_max);
    let room = Some(if write.format.shares() { bounds.plain_bytes_max } else { usize::MAX });
    let mut split =
        points::Splitter { write, rules, checks: &checks, workspace, written: &mut written, room };
    match write.format {
        Format::Lines => {
            let text = plain.text();
            lines::read(&text, &mut split, &mut buckets)?;
        }
        Format::Protobuf => points::read_protobuf(&plain.bytes, &mut split, &mut buckets)?,
        Format::Json => points::read_json(&plain.bytes, &mut split, &mut buckets)?,
        Format::RemoteWrite => points::read_remote_write(&plain.bytes, &mut split, &mut buckets)?,
        Format::RemoteWriteV2 => {
            let take = &mut |point| split.point(point, &mut buckets);
            let read = remote_write_v2::read(&plain.bytes, take)?;
            split.written.samples = read.samples;
            split.written.skipped += read.stale + read.skipped;
        }
        Format::OtlpMetricsJson => {
            let bytes = otlp_json::metrics(&plain.bytes)?;
            let take = &mut |point| split.point(point, &mut buckets);
            split.written.skipped += otlp::metrics(&bytes, write.now, take)?;
        }
        Format::OtlpLogsJson => {
            let bytes = otlp_json::logs(&plain.bytes)?;
            otlp::logs(&bytes, write.now, &mut |point| split.point(point, &mut buckets))?;
        }
        Format::OtlpMetrics => {
            let take = &mut |point| split.point(point, &mut buckets);
            split.written.skipped += otlp::metrics(&plain.bytes, write.now, take)?;
        }
        Format::OtlpLogs => {
            otlp::logs(&plain.bytes, write.now, &mut |point| split.point(point, &mut buckets))?;
        }
    }
    if split.room.is_none() {
        return Err(WriteError::Expands { bytes_max: bounds.plain_bytes_max });
    }
    if plain.is_repaired {
        let kind = levada_codec::points::WarningKind::InvalidUtf8String;
        written.warnings.add(kind, || "invalid utf8 string, replaced".to_owned());
    }
    if written.points == 0 && written.skipped == 0 {
        return Err(WriteError::NoPoints);
    }
    if write.is_strict
        && let Some(first) = written.warnings.first().first()
    {
        let first = Box::new(first.clone());
        return Err(WriteError::Warning { total: written.warnings.total(), first });
    }
    buckets.freeze();
    written.copies = buckets.copies();
    written.groups = buckets.groups();
    if write.format == Format::Lines && !plain.is_repaired {
        buckets.note_origin(write);
    }
    Ok((buckets, written))
}

// === impl Format ===

impl Format {
    /// Says whether points share what stands in a body once, so that they may be larger than the body.
    fn shares(self) -> bool {
        !matches!(self, Format::Lines | Format::Protobuf | Format::Json)
    }
}

// === impl Workspace ===

impl Workspace {
    /// Takes back the memory of a body that is done with, unless records still have parts of it.
    ///
    /// Threads come and go, and the allocator keeps for each of them what it gave up last: a buffer that goes with the work
    /// is needed once for each body at a time, not once for each thread.
    pub(crate) fn reclaim(&mut self, buckets: Buckets) {
        if let Ok(body) = buckets.into_unpacked().try_into_mut() {
            self.unpacked = body.into();
            self.unpacked.clear();
            self.unpacked.shrink_to(BUFFER_BYTES_MAX);
        }
    }
}

// === impl Write ===

impl Write {
    /// Makes a write of lines that are not compressed, with everything else as usual.
    pub fn lines(category: Category, body: impl Into<Bytes>, now: Timestamp) -> Self {
        Write {
            category,
            body: body.into(),
            format: Format::Lines,
            coding: Coding::Identity,
            unit: Unit::Dynamic,
            now,
            checks: None,
            is_strict: false,
            global_tags: None,
            storage_index: None,
            hops: 0,
        }
    }
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            body_bytes_max: 64 << 20,
            plain_bytes_max: 256 << 20,
            record_bytes_max: 1 << 20,
            compress_bytes_min: 16 << 10,
        }
    }
}

// === impl WriteError ===

impl WriteError {
    /// Says of what kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            WriteError::TooLarge { .. } | WriteError::Expands { .. } => ErrorKind::TooLarge,
            WriteError::Protobuf(ProtobufError::Points | ProtobufError::Entries) => {
                ErrorKind::TooLarge
            }
            WriteError::Decode(CompressionError::ExpansionLimit { .. })
            | WriteError::Inflated { .. } => ErrorKind::TooLarge,
            WriteError::Json(JsonError::TooLarge(_))
            | WriteError::OtlpJson(OtlpJsonError::TooLarge(_)) => ErrorKind::TooLarge,
            WriteError::Encode(_) => ErrorKind::Internal,
            WriteError::Full => ErrorKind::Busy,
            // Whatever the queue says, a part was taken: it is no fault of the body.
            WriteError::Partial { .. } => ErrorKind::Unavailable,
            WriteError::Queue(error) => error.kind(),
            WriteError::Stopped | WriteError::NoDestination(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        }
    }

    /// Gives the word that upstream answers with: `datakit.` and this.
    ///
    /// Source: dataway reference §9.1.
    pub fn code(&self) -> &'static str {
        match self {
            WriteError::Empty => "emptyBody",
            WriteError::NoPoints => "noPoints",
            WriteError::TooLarge { .. } | WriteError::Expands { .. } => "bodyTooLarge",
            WriteError::Decode(_)
            | WriteError::Inflate(_)
            | WriteError::Inflated { .. }
            | WriteError::Snappy(_) => "decodeBodyFailed",
            WriteError::Lines(BodyError::Empty) => "emptyBody",
            WriteError::Lines(_) => "invalidLinePoint",
            WriteError::Json(_) | WriteError::OtlpJson(_) => "invalidJsonPoint",
            WriteError::Protobuf(_) => "invalidProtobufPoint",
            WriteError::Warning { .. } => "pointGotWarning",
            WriteError::Headers => "invalidHeader",
            WriteError::Circle => "circle",
            WriteError::Encode(_) => "internal",
            WriteError::Full
            | WriteError::Queue(_)
            | WriteError::Partial { .. }
            | WriteError::NoDestination(_)
            | WriteError::Stopped => "queueNotAvailable",
        }
    }
}
