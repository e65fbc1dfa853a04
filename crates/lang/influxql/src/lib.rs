//! The SELECT subset of `InfluxQL` that batch queries use, and cron schedules.
