//! Maintenance windows; the operator acts on them, the check knows their rules.

use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

/// When a flow pauses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Maintenance {
    /// Start of the first window, RFC 3339.
    pub start_time: Option<String>,
    /// Length of a window, such as `2h`.
    pub duration: Option<String>,
    /// `daily`, `weekly` or `monthly`; absent: once.
    pub repeat: Option<String>,
    /// IANA time zone. Default: UTC.
    pub timezone: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Pauses the flow now, whatever the window says.
    pub suspended: Option<bool>,
}

impl Maintenance {
    /// Reports what is wrong.
    ///
    /// Source: dataflow-operator.md §7.2, row maintenance.
    pub(super) fn check(&self, at: &FieldPath, report: &mut Report) {
        let start = self.start_time.as_deref().filter(|text| !text.is_empty());
        let duration = self.duration.as_deref().filter(|text| !text.is_empty());
        match (start, duration) {
            (None, Some(_)) => {
                let detail = "startTime is required when duration is set";
                report.required(&at.child("startTime"), detail);
            }
            (Some(_), None) => {
                let detail = "duration is required when startTime is set";
                report.required(&at.child("duration"), detail);
            }
            _ => {}
        }
        if let Some(text) = start
            && text.parse::<jiff::Timestamp>().is_err()
        {
            report.invalid(&at.child("startTime"), text, "must be RFC3339 timestamp");
        }
        if let Some(text) = duration {
            self.check_duration(text, &at.child("duration"), report);
        }
        if let Some(text) = self.repeat.as_deref().filter(|text| !text.is_empty())
            && !["daily", "weekly", "monthly"].contains(&text)
        {
            report.unsupported(&at.child("repeat"), text, ["daily", "weekly", "monthly"]);
        }
        if let Some(text) = self.timezone.as_deref().filter(|text| !text.is_empty())
            && jiff::tz::TimeZone::get(text).is_err()
        {
            report.invalid(&at.child("timezone"), text, "must be a valid IANA timezone");
        }
    }

    fn check_duration(&self, text: &str, at: &FieldPath, report: &mut Report) {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        match unsigned.parse::<levada_settings::Duration>() {
            Err(_) => report.invalid(at, text, "must be a valid Go duration (e.g. 2h, 30m)"),
            Ok(duration) if is_negative || std::time::Duration::from(duration).is_zero() => {
                report.invalid(at, text, "must be greater than zero");
            }
            Ok(_) => {}
        }
    }
}
