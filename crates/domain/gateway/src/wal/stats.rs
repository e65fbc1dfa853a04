//! What a queue did with its files.

/// Counts since the queue was opened, and sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Writes of one or more records.
    pub writes: u64,
    /// Bytes of records written.
    pub written_bytes: u64,
    /// Files of records flushed.
    pub flushes: u64,
    /// Flushes that failed: what they should have made durable may be lost with the power.
    pub flush_failures: u64,
    /// Writes that failed for another reason than a full disk; nobody was told that those records were taken.
    pub write_failures: u64,
    /// Times that the disk was full.
    pub disk_full: u64,
    /// Records read back from files.
    pub reads: u64,
    /// Attempts to open or list files that failed and are repeated.
    pub read_failures: u64,
    /// Times that progress was noted.
    pub cursor_writes: u64,
    /// Times that progress could not be noted.
    pub cursor_failures: u64,
    /// Segments that were removed because everything in them was finished.
    pub segments_removed: u64,
    /// Damaged regions met.
    pub damaged_regions: u64,
    /// Bytes of damaged regions that were kept in the quarantine.
    pub quarantined_bytes: u64,
    /// Bytes cut off the end of the log when it was opened: writes that a crash interrupted.
    pub torn_bytes: u64,
    /// Records that sending failed for and that wait again.
    pub retries: u64,
}
