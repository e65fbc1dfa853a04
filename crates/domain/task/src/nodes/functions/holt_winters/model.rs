//! The model: a damped trend with a multiplied season.

/// What forecasts are made of: the values, and how long a season is.
pub(super) struct Model {
    values: Vec<f64>,
    /// 0 without a season.
    season: usize,
}

/// The places of the parameters; the season follows them.
const ALPHA: usize = 0;
const BETA: usize = 1;
const GAMMA: usize = 2;
const PHI: usize = 3;
const LEVEL: usize = 4;
const TREND: usize = 5;
const SEASON: usize = 6;

// === impl Model ===

impl Model {
    pub(super) fn new(values: Vec<f64>, season: usize) -> Self {
        Model { values, season }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many parameters there are.
    pub(super) fn dimensions(&self) -> usize {
        SEASON + self.season
    }

    /// Gives parameters to begin with; the first four are left to the caller.
    pub(super) fn start(&self) -> Vec<f64> {
        let mut parameters = vec![0.0; self.dimensions()];
        let values = &self.values;
        if self.season == 0 {
            parameters[LEVEL] = 0.5 * values[0];
            parameters[TREND] = 0.5 * (values[1] - values[0]);
            return parameters;
        }
        let season = self.season as f64;
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        for place in 0..self.season {
            if !at(place).is_nan() {
                parameters[LEVEL] += 1.0 / season * at(place);
            }
            let change = at(self.season + place) - at(place);
            if !change.is_nan() {
                parameters[TREND] += 1.0 / (season * season) * change;
            }
        }
        for place in 0..self.season {
            let share = at(place) / parameters[LEVEL];
            parameters[SEASON + place] = if at(place).is_nan() { 0.0 } else { share };
        }
        parameters
    }

    /// Gives a value for each of `values` and for `count` more.
    ///
    /// - Changes the parameters: the first four are brought into their range, and the season moves on. The search for
    ///   the best parameters goes on with what it finds, as upstream's does, so that the digits agree.
    pub(super) fn forecast(&self, count: usize, parameters: &mut [f64]) -> Vec<f64> {
        let mut given = Vec::with_capacity(self.values.len() + count);
        self.each(count, parameters, |_, value| given.push(value));
        given
    }

    /// Gives the sum of the squared errors; infinite where there is no forecast for a value.
    pub(super) fn error(&self, parameters: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        let mut has_hole = false;
        // All steps are taken after a hole, too, since each moves the season on.
        self.each(0, parameters, |step, forecast| {
            let value = self.values[step];
            if !value.is_nan() {
                has_hole |= forecast.is_nan();
                sum += (forecast - value) * (forecast - value);
            }
        });
        if has_hole { f64::INFINITY } else { sum }
    }

    fn each(&self, count: usize, parameters: &mut [f64], mut take: impl FnMut(usize, f64)) {
        for parameter in &mut parameters[..LEVEL] {
            // NaN stays.
            *parameter = parameter.clamp(0.0, 1.0);
        }
        let (alpha, beta) = (parameters[ALPHA], parameters[BETA]);
        let (gamma, phi) = (parameters[GAMMA], parameters[PHI]);
        let (mut level, mut trend) = (parameters[LEVEL], parameters[TREND]);
        let ring = &mut parameters[SEASON..];
        let season = self.season;
        let mut moved = season.saturating_sub(1);
        let mut damped = phi;
        let mut forecast = self.values[0];
        take(0, forecast);
        for step in 1..self.values.len() + count {
            let (old, ahead) = if season == 0 {
                (1.0, 1.0)
            } else {
                let at = step + moved - season;
                (ring[at % season], ring[(at + step % season) % season])
            };
            let expected = level + phi * trend;
            let new_level = alpha * (forecast / old) + (1.0 - alpha) * expected;
            let new_trend = beta * (new_level - level) + (1.0 - beta) * phi * trend;
            let new = gamma * (forecast / expected) + (1.0 - gamma) * old;
            forecast = (new_level + damped * new_trend) * ahead;
            level = new_level;
            trend = new_trend;
            damped += phi.powf(step as f64);
            if season > 0 {
                ring[(step + moved) % season] = new;
                moved += 1;
            }
            take(step, forecast);
        }
    }
}
