//! The search for the parameters: Nelder and Mead's simplex, from several starts.

use super::model::Model;

/// Where each of the first four parameters starts.
const STARTS: [f64; 2] = [0.3, 0.3 + 0.4];
const REFLECTION: f64 = 1.0;
const CONTRACTION: f64 = 0.5;
const EXPANSION: f64 = 2.0;
const SHRINK: f64 = 2.0;
const ITERATIONS_MAX: usize = 1_000;
/// The search ends when the values of the corners deviate by less.
const PRECISION: f64 = 1e-4;

/// Steps of arithmetic that one search may take, about a second's.
///
/// - Source: ours. Upstream always takes its thousand rounds; where they cost more than this there are fewer here.
const WORK_MAX: usize = 500_000_000;

/// Gives the best parameters.
///
/// - Errors: there are so many values and parameters that the corners alone cost too much.
pub(super) fn best(model: &Model) -> Result<Vec<f64>, String> {
    let dimensions = model.dimensions();
    let searches = STARTS.len().pow(4);
    let for_corners = searches * (dimensions + 1) * model.len();
    if for_corners > WORK_MAX {
        return Err(format!(
            "holtWinters cannot fit {} intervals to {dimensions} parameters",
            model.len()
        ));
    }
    let per_round = 2 * model.len() + dimensions * dimensions;
    let rounds = (WORK_MAX / (searches * per_round)).clamp(1, ITERATIONS_MAX);

    let start = model.start();
    let mut least = f64::INFINITY;
    let mut best = start.clone();
    for alpha in STARTS {
        for beta in STARTS {
            for gamma in STARTS {
                for phi in STARTS {
                    let mut from = start.clone();
                    from[..4].copy_from_slice(&[alpha, beta, gamma, phi]);
                    let (error, found) = search(model, &from, rounds);
                    if error < least {
                        least = error;
                        best = found;
                    }
                }
            }
        }
    }
    Ok(best)
}

/// Gives the least value that was found, and where.
fn search(model: &Model, start: &[f64], rounds: usize) -> (f64, Vec<f64>) {
    let dimensions = start.len();
    let count = dimensions as f64;
    let far = ((count + 1.0).sqrt() - 1.0 + count) / (count * 2f64.sqrt());
    let near = ((count + 1.0).sqrt() - 1.0) / (count * 2f64.sqrt());

    let mut corners = vec![start.to_vec()];
    for corner in 0..dimensions {
        let offset = |place: usize| if place == corner { far } else { near };
        corners.push(start.iter().enumerate().map(|(at, from)| from + offset(at)).collect());
    }
    let mut values: Vec<f64> = corners.iter_mut().map(|corner| model.error(corner)).collect();

    for _ in 0..rounds {
        let ranks = Ranks::of(&values);
        let middle = middle(&corners, ranks.worst);
        let between = |from: &[f64], factor: f64, to: &[f64]| -> Vec<f64> {
            let pairs = middle.iter().zip(from.iter().zip(to));
            pairs.map(|(middle, (from, to))| middle + factor * (to - from)).collect()
        };

        let mut reflected = between(&corners[ranks.worst], REFLECTION, &middle);
        let reflected_value = model.error(&mut reflected);
        if reflected_value < values[ranks.best] {
            let mut expanded = between(&middle, EXPANSION, &reflected);
            let expanded_value = model.error(&mut expanded);
            if expanded_value < reflected_value {
                corners[ranks.worst] = expanded;
                values[ranks.worst] = expanded_value;
            } else {
                corners[ranks.worst] = reflected;
                values[ranks.worst] = reflected_value;
            }
        } else if reflected_value < values[ranks.second_worst] {
            corners[ranks.worst] = reflected;
            values[ranks.worst] = reflected_value;
        } else {
            let mut contracted = if reflected_value < values[ranks.worst] {
                between(&middle, CONTRACTION, &reflected)
            } else {
                between(&corners[ranks.worst], -CONTRACTION, &middle)
            };
            let contracted_value = model.error(&mut contracted);
            if contracted_value < values[ranks.worst] {
                corners[ranks.worst] = contracted;
                values[ranks.worst] = contracted_value;
            } else {
                shrink(model, &mut corners, &mut values, &ranks);
            }
        }
        if deviation(&values) < PRECISION {
            break;
        }
    }
    let best = Ranks::of(&values).best;
    (values[best], corners.swap_remove(best))
}

/// Which corners are the best and the worst two.
struct Ranks {
    best: usize,
    worst: usize,
    second_worst: usize,
}

impl Ranks {
    fn of(values: &[f64]) -> Ranks {
        let (mut best, mut worst) = (0, 0);
        for (at, value) in values.iter().enumerate() {
            if *value > values[worst] {
                worst = at;
            }
            if *value < values[best] {
                best = at;
            }
        }
        let mut second_worst = best;
        for (at, value) in values.iter().enumerate() {
            if at != worst && *value > values[second_worst] {
                second_worst = at;
            }
        }
        Ranks { best, worst, second_worst }
    }
}

/// The middle of all corners but one.
fn middle(corners: &[Vec<f64>], without: usize) -> Vec<f64> {
    let mut middle = vec![0.0; corners[0].len()];
    for (at, corner) in corners.iter().enumerate() {
        if at != without {
            for (sum, part) in middle.iter_mut().zip(corner) {
                *sum += part;
            }
        }
    }
    let count = (corners.len() - 1) as f64;
    for part in &mut middle {
        *part /= count;
    }
    middle
}

/// Moves all corners half way to the best one.
fn shrink(model: &Model, corners: &mut [Vec<f64>], values: &mut [f64], ranks: &Ranks) {
    let best = corners[ranks.best].clone();
    for (at, corner) in corners.iter_mut().enumerate() {
        if at != ranks.best {
            for (part, to) in corner.iter_mut().zip(&best) {
                *part = to + (*part - to) / SHRINK;
            }
        }
    }
    for at in [ranks.worst, ranks.second_worst] {
        values[at] = model.error(&mut corners[at]);
    }
}

fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (squares / (count - 1.0)).sqrt()
}
