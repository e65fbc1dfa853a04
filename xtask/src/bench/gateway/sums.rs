//! Where all points are, as `/metrics` says at one instant.

use anyhow::{Context as _, Result, ensure};

use crate::bench::client::Client;

/// Points of all destinations together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) dropped: u64,
    pub(super) dead_lettered: u64,
    pub(super) queued: u64,
}

// === impl Sums ===

impl Sums {
    /// Asks a server; an error when the numbers of a destination do not add up.
    pub(super) fn read(client: &mut Client) -> Result<Sums> {
        Self::of(&client.ask("GET", "/metrics", "")?)
    }

    fn of(metrics: &str) -> Result<Sums> {
        let mut destinations: Vec<(&str, Sums)> = Vec::new();
        for line in metrics.lines().filter(|line| line.starts_with("levada_gateway_")) {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let pick: fn(&mut Sums) -> &mut u64 = match name {
                "levada_gateway_accepted_points_total" => |sums| &mut sums.accepted,
                "levada_gateway_delivered_points_total" => |sums| &mut sums.delivered,
                "levada_gateway_dropped_points_total" => |sums| &mut sums.dropped,
                "levada_gateway_dead_letter_points" => |sums| &mut sums.dead_lettered,
                "levada_gateway_queued_points" => |sums| &mut sums.queued,
                _ => continue,
            };
            let destination =
                rest.split_once("destination=\"").and_then(|it| it.1.split('"').next());
            let destination = destination.with_context(|| line.to_owned())?;
            let value = line.rsplit(' ').next().and_then(|text| text.parse().ok());
            let value: u64 = value.with_context(|| line.to_owned())?;
            let at = match destinations.iter().position(|(name, _)| *name == destination) {
                Some(at) => at,
                None => {
                    destinations.push((destination, Sums::default()));
                    destinations.len() - 1
                }
            };
            *pick(&mut destinations[at].1) += value;
        }
        ensure!(!destinations.is_empty(), "the server tells nothing of points");
        let mut all = Sums::default();
        for (name, sums) in destinations {
            let Sums { accepted, delivered, dropped, dead_lettered, queued } = sums;
            let sum = delivered + dropped + dead_lettered + queued;
            ensure!(
                accepted == sum,
                "of {name}, {accepted} points were accepted, not {sum}: {sums:?}"
            );
            all.accepted += accepted;
            all.delivered += delivered;
            all.dropped += dropped;
            all.dead_lettered += dead_lettered;
            all.queued += queued;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const METRICS: &str = "# TYPE levada_gateway_accepted_points_total counter
levada_gateway_accepted_points_total{destination=\"a\"} 10
levada_gateway_delivered_points_total{destination=\"a\"} 4
levada_gateway_dropped_points_total{destination=\"a\",reason=\"expired\"} 1
levada_gateway_dropped_points_total{destination=\"a\",reason=\"corrupt\"} 2
levada_gateway_queued_points{destination=\"a\"} 3
levada_gateway_accepted_points_total{destination=\"b\"} 1
levada_gateway_dead_letter_points{destination=\"b\"} 1
";

    #[test]
    fn sums_are_of_all_destinations_and_each_must_agree() {
        let expected = Sums { accepted: 11, delivered: 4, dropped: 3, dead_lettered: 1, queued: 3 };
        assert_eq!(Sums::of(METRICS).unwrap(), expected);
        // One point has gone from one place to the other.
        let wrong = METRICS
            .replace("\"a\"} 10", "\"a\"} 9")
            .replace("\"b\"} 1\nlevada_gateway_d", "\"b\"} 2\nlevada_gateway_d");
        let error = Sums::of(&wrong).unwrap_err().to_string();
        assert!(error.starts_with("of a, 9 points were accepted, not 10"), "{error}");
        assert!(Sums::of("").is_err());
    }
}
