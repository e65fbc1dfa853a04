//! What runs: sources that hand out batches, sinks that answer for every record.

use std::ops::Range;

use async_trait::async_trait;
use levada_model::{ErrorClass, Position, RecordBatch, RecordError, value::Str};
use thiserror::Error;

/// Reads batches of records from somewhere.
#[async_trait]
pub trait Source: Send {
    /// Connects, and goes to where each partition was left; a partition that is not listed starts as the
    /// settings say.
    ///
    /// Called again after a failure, with newer positions.
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError>;

    /// Fills `batch`, which is empty, with what is there now, and waits only when nothing is.
    ///
    /// Every record refers to an origin added with [`RecordBatch::push_origin`], whose position is where
    /// to go on when this record and all before it are finished. `Ok(false)`: the source has ended and
    /// `batch` is empty. Cancel-safe: dropping the future loses nothing that a later call would not give.
    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError>;

    /// Tells the source that everything up to these positions is finished and stored.
    async fn commit(&mut self, _upto: &[(Str, Position)]) -> Result<(), SourceError> {
        Ok(())
    }

    /// Sets the positions that the outside keeps for this source (a consumer group), so that the next
    /// [`Source::open`] starts there; an empty list makes it start as the settings say.
    ///
    /// Called before `open`, while nobody reads. `false`: nothing is kept outside.
    async fn rewind(&mut self, _to: &[(Str, Position)]) -> Result<bool, SourceError> {
        Ok(false)
    }

    /// Gives how far behind the source is, in the source's own unit (bytes, records), when it is known.
    fn lag(&self) -> Option<u64> {
        None
    }
}

/// Writes records somewhere and answers for each of them.
#[async_trait]
pub trait Sink: Send {
    /// Connects. Called before the first write and again after a failure.
    async fn open(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Writes the records of a batch.
    ///
    /// `Ok`: every record is resolved in `outcomes`. An error concerns the records that are not: when it
    /// is transient they are written again, else they are rejected. Records are resolved in any order.
    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError>;

    /// Makes durable what was written; called before positions are stored.
    async fn sync(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Ends the work: everything written becomes visible under its final name.
    async fn close(&mut self) -> Result<(), SinkError> {
        self.sync().await
    }

    /// Gives the sink as one that keeps positions together with records, if it is one.
    fn transactional(&mut self) -> Option<&mut dyn Transactional> {
        None
    }
}

/// A sink that writes records and the source's positions in one transaction, so that each record is
/// there exactly once.
///
/// ```text
/// open → stored ─▶ (prepare* → commit) …      an error of prepare or commit: open → stored, and again
/// ```
/// Nothing that was prepared is visible before `commit` returns. After a failed `commit` nobody knows
/// whether it happened: the engine opens the sink again and asks for the stored positions.
///
/// Several processes may run one flow, each with partitions of its own. A commit therefore goes through
/// only when the stored position of each of its partitions is still the one that this process saw last. An
/// error of class [`ErrorClass::ContextCanceled`] says that it is not: the engine throws away what is under
/// way and starts from what is stored.
#[async_trait]
pub trait Transactional: Send {
    /// Gives the positions that are stored for this flow. Called after [`Sink::open`].
    ///
    /// An error of class [`ErrorClass::AuthError`] means that this sink may not keep positions at all.
    async fn stored(&mut self) -> Result<Vec<(Str, Position)>, SinkError>;

    /// Writes records inside the transaction under way, beginning one when there is none.
    ///
    /// Every record is resolved in `outcomes`, as by [`Sink::write`]; a rejected record leaves no trace in
    /// the transaction. An error undoes the whole transaction, but what is rejected stays so: the engine
    /// prepares the others again.
    async fn prepare(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError>;

    /// Makes what was prepared durable and visible, and these positions with it.
    async fn commit(&mut self, positions: &[(Str, Position)]) -> Result<(), SinkError>;

    /// Tells whether the positions are kept by the source's own outside (a consumer group), so that
    /// `stored` gives none, and only opening the source again shows what became of a commit.
    fn keeps_positions_of_source(&self) -> bool {
        false
    }

    /// Undoes what was prepared.
    async fn rollback(&mut self) -> Result<(), SinkError>;

    /// Replaces the stored positions by these; partitions that are not listed have none any more.
    ///
    /// Called after [`Transactional::stored`], while nothing is prepared.
    async fn rewind(&mut self, to: &[(Str, Position)]) -> Result<(), SinkError>;
}

/// How the engine gathers records before it calls [`Sink::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkBatching {
    /// Records at most; 0: batches are handed on as they come.
    pub records: usize,
    /// Payload bytes at most.
    pub bytes: usize,
    /// How long the first record of a batch waits for others.
    pub linger: std::time::Duration,
}

impl SinkBatching {
    /// Batches are handed on as they come, without waiting and without copying.
    pub const PASS: SinkBatching =
        SinkBatching { records: 0, bytes: 0, linger: std::time::Duration::ZERO };

    /// Gathers up to `records` records or 4 MiB, for at most one second.
    ///
    /// Source: dataflow-operator.md §10.11 (100, 1 s) for connectors of the original.
    pub const fn records(records: usize) -> SinkBatching {
        SinkBatching { records, bytes: 4 << 20, linger: std::time::Duration::from_secs(1) }
    }
}

/// What became of each record of a batch.
#[derive(Debug, Default)]
pub struct Outcomes {
    delivered: Vec<Range<usize>>,
    rejected: Vec<(usize, RecordError)>,
}

impl Outcomes {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.delivered.clear();
        self.rejected.clear();
    }

    /// Counts a range of records as written.
    pub fn delivered(&mut self, range: Range<usize>) {
        if let Some(last) = self.delivered.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
        } else if !range.is_empty() {
            self.delivered.push(range);
        }
    }

    /// Gives up one record, with the reason.
    pub fn rejected(&mut self, index: usize, error: RecordError) {
        self.rejected.push((index, error));
    }

    /// Gives the ranges that were written.
    pub fn delivered_ranges(&self) -> &[Range<usize>] {
        &self.delivered
    }

    /// Gives the records that were given up.
    pub fn rejected_records(&self) -> &[(usize, RecordError)] {
        &self.rejected
    }

    /// Gives how many records are resolved.
    pub fn resolved(&self) -> usize {
        self.delivered.iter().map(ExactSizeIterator::len).sum::<usize>() + self.rejected.len()
    }

    /// Tells of each of `count` records whether it is resolved.
    pub fn resolved_flags(&self, count: usize) -> Vec<bool> {
        let mut flags = vec![false; count];
        for range in &self.delivered {
            for flag in flags.iter_mut().take(range.end).skip(range.start) {
                *flag = true;
            }
        }
        for (index, _) in &self.rejected {
            if let Some(flag) = flags.get_mut(*index) {
                *flag = true;
            }
        }
        flags
    }
}

/// Why a source cannot go on.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct SourceError {
    /// Transient classes are tried again with back-off; others end the flow.
    pub class: ErrorClass,
    /// What happened, for people.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Why a sink cannot write now.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct SinkError {
    /// Transient classes are tried again with back-off; others stop the flow or reject the records.
    pub class: ErrorClass,
    /// What happened, for people.
    pub message: String,
    /// The error concerns the records and not the sink: they are rejected, and the sink goes on.
    pub is_about_records: bool,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// Makes an error without a cause.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        SourceError { class, message: message.into(), source: None }
    }

    /// Makes an error of the operating system; see [`class_of_io`].
    pub fn io(message: impl Into<String>, error: std::io::Error) -> Self {
        SourceError {
            class: class_of_io(&error),
            message: message.into(),
            source: Some(Box::new(error)),
        }
    }
}

impl SinkError {
    /// Makes an error of the sink without a cause.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        SinkError { class, message: message.into(), is_about_records: false, source: None }
    }

    /// Makes an error of the operating system; see [`class_of_io`].
    pub fn io(message: impl Into<String>, error: std::io::Error) -> Self {
        SinkError {
            class: class_of_io(&error),
            message: message.into(),
            is_about_records: false,
            source: Some(Box::new(error)),
        }
    }
}

/// Gives the class of an operating system's error.
///
/// A full disk counts as transient: space comes back, and no record is at fault.
pub fn class_of_io(error: &std::io::Error) -> ErrorClass {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::TimedOut | Io::WouldBlock => ErrorClass::Timeout,
        Io::ConnectionRefused
        | Io::ConnectionReset
        | Io::ConnectionAborted
        | Io::NotConnected
        | Io::BrokenPipe
        | Io::HostUnreachable
        | Io::NetworkUnreachable
        | Io::UnexpectedEof => ErrorClass::ConnectionError,
        Io::PermissionDenied => ErrorClass::AuthError,
        Io::InvalidData => ErrorClass::InvalidData,
        Io::Interrupted | Io::StorageFull | Io::QuotaExceeded | Io::ResourceBusy => {
            ErrorClass::Transient
        }
        _ => ErrorClass::Unknown,
    }
}
