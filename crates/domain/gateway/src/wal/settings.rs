//! What a queue can be told.

use std::time::Duration;

use levada_model::Category;

/// What makes records durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// A record is on the disk before it is accepted; all that wait share one flush.
    Always,
    /// A record is with the system before it is accepted, which outlives the process, and on the disk this much later.
    Interval(Duration),
    /// A record is with the system before it is accepted; the system decides when it writes.
    None,
}

/// What happens to new records when nothing more fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// They wait.
    Block,
    /// They are dropped, with a count.
    DropNew,
    /// The oldest ones are dropped, with a count.
    DropOld,
}

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// In files; memory holds the latest ones as well.
    Disk,
    /// In memory only: what is queued when the process ends is lost, with a count.
    Memory,
}

/// A set of categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(u32);

/// How a queue behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    /// Where records are kept.
    pub keep: Keep,
    /// What makes records durable.
    pub sync: Sync,
    /// Most bytes that wait; files hold up to a segment more at each end, and the reserve.
    pub bytes_max: u64,
    /// Longest time that a record waits, by the time of its package; `None` is for ever.
    pub age_max: Option<Duration>,
    /// What happens to new records when `bytes_max` or the disk is full.
    pub when_full: WhenFull,
    /// Categories that wait when the queue is full, whatever `when_full` says.
    pub never_dropped: Categories,
    /// Categories that are given up when sending fails; the original keeps only some unless it is told `cache_all`.
    pub not_kept: Categories,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Age at which a segment ends even when it is small.
    pub segment_age: Duration,
    /// Bytes of the file that is given up so that a full disk can still note what was delivered.
    pub reserve_bytes: u64,
    /// Most bytes of bodies that are kept in memory as well, so that senders that keep up need not read them.
    pub memory_bytes_max: u64,
    /// Most bytes that wait to be written.
    pub pending_bytes_max: u64,
    /// Most bytes that are read ahead for senders that lag.
    pub read_ahead_bytes_max: u64,
    /// Most records under way at once.
    pub leases_max: usize,
    /// Age at which what waits becomes backlog.
    pub fresh_age: Duration,
    /// Percent of the bytes sent that are fresh ones while there is a backlog.
    pub fresh_share: u8,
    /// Longest time until what was delivered is noted.
    pub cursor_interval: Duration,
    /// Most records delivered until that is noted.
    pub cursor_records: u32,
    /// Most bytes of the dead-letter store; zero is no store: such records are dropped.
    pub dead_letter_bytes_max: u64,
    /// Most records in the dead-letter store.
    pub dead_letters_max: usize,
    /// Most bytes of damaged regions that are kept for people.
    pub quarantine_bytes_max: u64,
}

// === impl Categories ===

impl Categories {
    /// The categories that the original does not cache unless it is told `cache_all`.
    ///
    /// Source: dataway reference §6.1.
    pub const NOT_CACHED: Categories = Categories::of(&[
        Category::Metric,
        Category::Metrics,
        Category::Object,
        Category::CustomObject,
        Category::DialTesting,
        Category::DynamicDataway,
    ]);

    /// Makes a set.
    pub const fn of(categories: &[Category]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < categories.len() {
            bits |= 1 << categories[at] as u32;
            at += 1;
        }
        Categories(bits)
    }

    /// Tells whether the category is in the set.
    pub const fn contains(self, category: Category) -> bool {
        self.0 & (1 << category as u32) != 0
    }
}

// === impl QueueSettings ===

impl Default for QueueSettings {
    /// The numbers of dataway reference §11.4 where it has one.
    fn default() -> Self {
        QueueSettings {
            keep: Keep::Disk,
            sync: Sync::Interval(Duration::from_millis(20)),
            bytes_max: 2 << 30,
            age_max: Some(Duration::from_secs(12 * 3_600)),
            when_full: WhenFull::Block,
            never_dropped: Categories::default(),
            not_kept: Categories::default(),
            segment_bytes: 32 << 20,
            segment_age: Duration::from_secs(600),
            reserve_bytes: 1 << 20,
            memory_bytes_max: 8 << 20,
            pending_bytes_max: 16 << 20,
            read_ahead_bytes_max: 4 << 20,
            leases_max: 256,
            fresh_age: Duration::from_secs(60),
            fresh_share: 70,
            cursor_interval: Duration::from_millis(100),
            cursor_records: 100,
            dead_letter_bytes_max: 256 << 20,
            dead_letters_max: 10_000,
            quarantine_bytes_max: 64 << 20,
        }
    }
}

impl QueueSettings {
    /// Gives the bytes of one segment: no more than an eighth of what may wait, so that whole files follow it closely.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.min(self.bytes_max / 8).max(SEGMENT_BYTES_MIN)
    }
}

/// Smallest segment, bytes; below it headers would weigh.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
