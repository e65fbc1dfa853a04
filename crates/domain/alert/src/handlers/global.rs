//! What services ask of alerts in general: `global` and `state-changes-only`.
//!
//! - Source: kapacitor: reference (server) §4.5.
//! - Differs: U-35; `state-changes-only` of a global service concerns its own handlers, not the whole alert.

use std::sync::Arc;

use super::HANDLERS;
use super::deps::HandlerDeps;
use super::kind::Kind;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::services::{Element, Section};
use crate::topics::{HandlerError, Matcher};

/// Lets changes of the level through while the service wants no more.
struct StateChanges(Section);

/// Gives the handlers that services add to an alert: one of each kind that is `global` and that the alert does not have.
///
/// As upstream, the settings count that hold when the task starts.
pub fn global_handlers(written: &[&HandlerSpec], deps: &HandlerDeps) -> Vec<HandlerSpec> {
    let is_written = |kind: &Kind| written.iter().any(|spec| std::ptr::eq(spec.kind, kind));
    let kinds = HANDLERS.iter().copied().filter(|kind| kind.is_global && !is_written(kind));
    // What is switched off keeps nothing else from running.
    let kinds = kinds.filter(|kind| deps.allow(kind).is_ok());
    let is_wanted =
        |kind: &Kind| section(kind, deps).is_some_and(|section| global(&section).is_some());
    kinds.filter(|kind| is_wanted(kind)).map(HandlerSpec::new).collect()
}

/// Gives what a handler of an alert gets, where its service may ask for changes of the level only.
///
/// The settings count that hold at the event.
pub fn state_changes(kind: &Kind, deps: &HandlerDeps) -> Option<Arc<dyn Matcher>> {
    let section = section(kind, deps).filter(|_| kind.has_state_changes_only)?;
    Some(Arc::new(StateChanges(section)))
}

fn section(kind: &Kind, deps: &HandlerDeps) -> Option<Section> {
    kind.section.map(|rule| Section::new(rule, deps))
}

/// Gives the default element when it is enabled and global.
fn global(section: &Section) -> Option<Element> {
    section.find("").ok().filter(|element| element.flag("global"))
}

impl Matcher for StateChanges {
    fn is_match(&self, event: &Event) -> Result<bool, HandlerError> {
        let has_changed = event.level != event.previous_level;
        let wants_all =
            || global(&self.0).is_none_or(|element| !element.flag("state-changes-only"));
        Ok(has_changed || wants_all())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::super::by_option_kind;
    use super::*;
    use crate::event::tests::event;
    use crate::level::Level;
    use crate::services::MemoryServices;

    fn names(specs: &[HandlerSpec]) -> Vec<&'static str> {
        specs.iter().map(|spec| spec.kind.option_kind).collect()
    }

    #[test]
    fn global_services_add_what_is_not_written() {
        let services = Arc::new(MemoryServices::default());
        let deps = HandlerDeps { services: services.clone(), ..HandlerDeps::default() };
        assert!(global_handlers(&[], &deps).is_empty());
        services.set(
            "slack",
            json!([
                {"enabled": true, "workspace": "a", "default": true, "global": true},
                {"enabled": true, "workspace": "b"},
            ]),
        );
        services.set(
            "discord",
            json!([
                {"enabled": true, "workspace": "a", "default": true},
                {"enabled": true, "workspace": "b", "global": true},
            ]),
        );
        services.set("teams", json!({"enabled": false, "global": true}));
        services.set("pagerduty", json!({"enabled": true, "global": true}));
        // Its service knows no `global`.
        services.set("alerta", json!({"enabled": true, "global": true}));
        assert_eq!(names(&global_handlers(&[], &deps)), ["pagerduty", "slack"]);
        let written = HandlerSpec::new(by_option_kind("slack").unwrap());
        assert_eq!(names(&global_handlers(&[&written], &deps)), ["pagerduty"]);
        let disabled_kinds = vec!["pagerduty".to_owned()].into();
        let deps = HandlerDeps { disabled_kinds, ..deps };
        assert_eq!(names(&global_handlers(&[], &deps)), ["slack"]);
    }

    #[test]
    fn global_services_may_want_changes_only() {
        let services = Arc::new(MemoryServices::default());
        let deps = HandlerDeps { services: services.clone(), ..HandlerDeps::default() };
        let kind = |name| by_option_kind(name).unwrap();
        assert!(state_changes(kind("pagerduty"), &deps).is_none());
        assert!(state_changes(kind("post"), &deps).is_none());
        let matcher = state_changes(kind("slack"), &deps).unwrap();
        let changed = event("a", Level::Critical);
        let same = Event { previous_level: Level::Critical, ..changed.clone() };
        let cases = [
            (json!({}), true),
            (json!({"enabled": true, "state-changes-only": true}), true),
            (json!({"enabled": true, "global": true}), true),
            (json!({"enabled": false, "global": true, "state-changes-only": true}), true),
            (json!({"enabled": true, "global": true, "state-changes-only": true}), false),
        ];
        for (settings, expected) in cases {
            services.set("slack", settings.clone());
            assert_eq!(matcher.is_match(&same), Ok(expected), "{settings}");
            assert_eq!(matcher.is_match(&changed), Ok(true), "{settings}");
        }
    }
}
