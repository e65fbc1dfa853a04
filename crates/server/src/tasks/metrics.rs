//! The metrics of tasks, one series per task each.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use levada_model::Str;
use levada_task::engine::{Master, TaskStatus};
use levada_telemetry::metrics::{CounterFamily, IntGaugeFamily, MetricsError, Registry};

/// What is shown of tasks.
pub(super) struct TaskMetrics {
    counters: Vec<(CounterFamily<1>, ReadCounter)>,
    gauges: Vec<(IntGaugeFamily<1>, ReadGauge)>,
    /// What the counters of a task showed last.
    last: HashMap<Str, [u64; COUNTERS.len()]>,
}

/// How long a scrape waits for a task that is at work; what it counts meanwhile is seen by the next one.
const PATIENCE: Duration = Duration::from_millis(2);

type ReadCounter = fn(&TaskStatus) -> u64;
type ReadGauge = fn(&TaskStatus) -> i64;
type CounterRow = (&'static str, &'static str, ReadCounter);
type GaugeRow = (&'static str, &'static str, ReadGauge);

const COUNTERS: &[CounterRow] = &[
    ("levada_task_points_total", "Points that a task worked on.", |status| status.processed),
    ("levada_task_points_dropped_total", "Points that a full queue dropped.", |status| {
        status.dropped
    }),
    (
        "levada_task_late_points_dropped_total",
        "Points that came later than the watermark and were dropped.",
        |status| status.usage.late_points,
    ),
    (
        "levada_task_groups_refused_total",
        "Points whose group would have been one too many.",
        |status| status.usage.refused_groups,
    ),
    (
        "levada_task_points_refused_total",
        "Points that nodes would have had to hold back above their bound.",
        |status| status.usage.refused_points,
    ),
    ("levada_task_errors_total", "Problems with single items, reported by nodes.", |status| {
        sum(status, "errors")
    }),
    ("levada_task_alerts_total", "Alert events.", |status| sum(status, "alerts_triggered")),
    ("levada_task_failures_total", "Times that a task ended by itself.", |status| {
        u64::from(status.failures)
    }),
];

const GAUGES: &[GaugeRow] = &[
    ("levada_task_executing", "1 while a task works on points, 0 after it failed.", |status| {
        i64::from(status.is_executing)
    }),
    ("levada_task_queue_points", "Points that wait in front of a task.", |status| {
        status.queued as i64
    }),
    ("levada_task_groups", "Groups of a task.", |status| status.usage.groups as i64),
    ("levada_task_buffered_points", "Points that nodes hold back.", |status| {
        status.usage.buffered as i64
    }),
];

fn sum(status: &TaskStatus, key: &str) -> u64 {
    status.nodes.values().filter_map(|node| node.get(key)?.as_u64()).sum()
}

// === impl TaskMetrics ===

impl TaskMetrics {
    /// Shows the tasks of a master with each scrape.
    pub(super) fn register(registry: &Registry, master: Master) -> Result<(), MetricsError> {
        let metrics = Mutex::new(TaskMetrics::new(registry)?);
        registry.before_render(move || {
            // Whoever comes while another one looks shows what that one has seen.
            let Ok(mut metrics) = metrics.try_lock() else { return };
            metrics.refresh(&master);
        });
        Ok(())
    }

    fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counters = COUNTERS.iter().map(|(name, help, read)| {
            registry.counter_family(name, help, &["task"]).map(|family| (family, *read))
        });
        let gauges = GAUGES.iter().map(|(name, help, read)| {
            registry.int_gauge_family(name, help, &["task"]).map(|family| (family, *read))
        });
        Ok(TaskMetrics {
            counters: counters.collect::<Result<_, _>>()?,
            gauges: gauges.collect::<Result<_, _>>()?,
            last: HashMap::new(),
        })
    }

    fn refresh(&mut self, master: &Master) {
        let ids = master.ids();
        let gone = self.last.keys().filter(|id| ids.binary_search(id).is_err());
        let gone: Vec<Str> = gone.cloned().collect();
        gone.iter().for_each(|id| self.forget(id));
        for id in ids {
            if let Some(status) = master.status_within(&id, PATIENCE) {
                self.show(&id, &status);
            }
        }
    }

    /// Shows what is known of a task.
    fn show(&mut self, task: &Str, status: &TaskStatus) {
        let last = self.last.entry(Str::clone(task)).or_default();
        for ((family, read), last) in self.counters.iter().zip(last) {
            let now = read(status);
            // What cannot be seen now must not count a second time when it can.
            if now < *last && !status.is_complete {
                continue;
            }
            // A task that was started again counts from 0.
            let more = if now >= *last { now - *last } else { now };
            *last = now;
            family.with(&[&**task]).add(more);
        }
        for (family, read) in &self.gauges {
            family.with(&[&**task]).set(read(status));
        }
    }

    fn forget(&mut self, task: &Str) {
        self.last.remove(task);
        for (family, _) in &self.counters {
            family.remove(&[&**task]);
        }
        for (family, _) in &self.gauges {
            family.remove(&[&**task]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_task::engine::Usage;

    use super::*;

    fn status(errors: u64, is_complete: bool) -> TaskStatus {
        let nodes = match is_complete {
            true => serde_json::json!({"alert2": {"errors": errors}}),
            false => serde_json::json!({}),
        };
        TaskStatus {
            is_executing: true,
            error: None,
            processed: 7,
            queued: 0,
            dropped: 0,
            shards: 1,
            failures: 0,
            throughput: 0.0,
            is_complete,
            usage: Usage::default(),
            nodes: nodes.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn a_task_that_hangs_for_a_while_counts_nothing_twice() {
        let registry = Registry::default();
        let mut metrics = TaskMetrics::new(&registry).unwrap();
        for status in [status(5, true), status(0, false), status(6, true)] {
            metrics.show(&"t".into(), &status);
        }
        let family = registry.counter_family(COUNTERS[5].0, COUNTERS[5].1, &["task"]).unwrap();
        assert_eq!(family.with(&["t"]).value(), 6);
        // One that was started again begins anew.
        metrics.show(&"t".into(), &status(2, true));
        assert_eq!(family.with(&["t"]).value(), 8);
        metrics.forget(&"t".into());
        assert!(!registry.render().contains("task=\"t\""), "{}", registry.render());
    }
}
