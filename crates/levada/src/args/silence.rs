//! Arguments of `silence`.

use clap::{Args, Subcommand};

/// What to do with silences.
#[derive(Subcommand, Debug)]
pub(crate) enum Silence {
    /// List silences; ended ones are kept for a week
    #[command(after_help = "\
Examples:
  levada silence list
  levada silence list --state active --output json")]
    List(SilenceList),
    /// Make a silence, and print its ID
    #[command(after_help = "\
Examples:
  levada silence add tag.host=db1 --for 2h --comment 'new disks'
  levada silence add 'task=~^net_' 'level!=CRITICAL' --start 2026-03-01T22:00:00Z --end 2026-03-02T02:00:00Z

A matcher is SUBJECT, =, !=, =~ or !~, and a text or a pattern. Subjects are tag.NAME, field.NAME,
task, topic, level, id and name (the measurement). All matchers of a silence must match.")]
    Add(SilenceAdd),
    /// End silences now
    #[command(
        visible_alias = "remove",
        after_help = "Example:\n  levada silence expire 6f2c9e1ab0d34785"
    )]
    Expire(SilenceExpire),
}

#[derive(Args, Debug)]
pub(crate) struct ServerArgs {
    /// The Levada server [default: the setting client.server]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Believe any TLS certificate of the server
    #[arg(long)]
    pub(crate) skip_verify: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SilenceList {
    /// Only those that are pending, active or expired
    #[arg(long, value_name = "STATE", value_parser = ["pending", "active", "expired"])]
    pub(crate) state: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SilenceAdd {
    /// What must match, such as `tag.host=db1`
    #[arg(required = true, value_name = "MATCHER")]
    pub(crate) matchers: Vec<String>,
    /// From when, such as `2026-03-01T10:00:00Z`; now when absent
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<String>,
    /// Until when
    #[arg(
        long,
        value_name = "TIME",
        required_unless_present = "duration",
        conflicts_with = "duration"
    )]
    pub(crate) end: Option<String>,
    /// How long, such as `2h`, instead of --end
    #[arg(long = "for", id = "duration", value_name = "DURATION")]
    pub(crate) duration: Option<String>,
    /// Who asks; the user of the server's URL when absent
    #[arg(long, value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SilenceExpire {
    /// Their IDs
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}
