//! What an alert is told about reporting.

use levada_model::ErrorKind;
use thiserror::Error;

/// Levels that are remembered unless the script says otherwise.
///
/// Source: kapacitor: pipeline/alert.go.
pub const HISTORY_DEFAULT: usize = 21;

/// The longest history. Ours: 256 bytes per group; upstream has no bound.
pub const HISTORY_MAX: usize = 1024;

/// The shortest history: one change needs two levels.
const HISTORY_MIN: usize = 2;

/// When a group counts as flapping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flapping {
    /// Below it flapping ends.
    pub low: f64,
    /// Above it flapping starts.
    pub high: f64,
}

/// What an alert is told about reporting.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionSettings {
    /// Levels that are remembered; used by `flapping` only.
    pub history: usize,
    /// Events are held back while the level changes too often.
    pub flapping: Option<Flapping>,
    /// Only changes are reported.
    pub state_changes_only: bool,
    /// With `state_changes_only`: report again after so many nanoseconds; 0 is never.
    pub silence: i64,
    /// Recoveries are not reported.
    pub no_recoveries: bool,
    /// A batch has the level that all of its points have.
    pub all: bool,
    /// Compat: the change ratio as upstream computes it, with its mistakes (U-21).
    pub is_literal_flapping: bool,
    /// Compat: a change that happened while flapping is never reported (U-33).
    pub forgets_changes: bool,
}

/// Settings that cannot work.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A threshold is above 1, or no number.
    #[error("alert flap thresholds are percentages and should be between 0 and 1")]
    Thresholds,
    /// The history is too long.
    #[error("alert history of {0} is too long; at most {HISTORY_MAX} levels are remembered")]
    History(usize),
    /// The silence is negative.
    #[error("alert stateChangesOnly duration must not be negative")]
    Silence,
}

// === impl SettingsError ===

impl SettingsError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl DecisionSettings ===

impl Default for DecisionSettings {
    fn default() -> Self {
        DecisionSettings {
            history: HISTORY_DEFAULT,
            flapping: None,
            state_changes_only: false,
            silence: 0,
            no_recoveries: false,
            all: false,
            is_literal_flapping: false,
            forgets_changes: false,
        }
    }
}

impl DecisionSettings {
    /// Gives the settings of a task with `compat = "1.8"`.
    pub fn with_compat_1_8(self) -> Self {
        DecisionSettings { is_literal_flapping: true, forgets_changes: true, ..self }
    }

    /// Says what cannot work.
    pub fn check(&self) -> Result<(), SettingsError> {
        if let Some(Flapping { low, high }) = self.flapping {
            let is_share = |value: f64| (0.0..=1.0).contains(&value);
            if !is_share(low) || !is_share(high) {
                return Err(SettingsError::Thresholds);
            }
        }
        if self.history > HISTORY_MAX {
            return Err(SettingsError::History(self.history));
        }
        if self.silence < 0 {
            return Err(SettingsError::Silence);
        }
        Ok(())
    }

    /// Gives how many levels are kept: without `flapping` only the last one is ever looked at.
    pub(super) fn levels(&self) -> usize {
        match self.flapping {
            Some(_) => self.history.clamp(HISTORY_MIN, HISTORY_MAX),
            None => HISTORY_MIN,
        }
    }

    /// Says whether `stateChangesOnly` holds an event back.
    pub(super) fn is_repeated(&self, is_new: bool, is_expired: bool) -> bool {
        self.state_changes_only && !is_new && !is_expired
    }
}
