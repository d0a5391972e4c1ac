//! How grave an event is, from 0 to 100, by four figures of its document.

use super::Finding;

/// Points for each factor of 10 by which the event is rarer than the budget, and the most of them.
const DECADE: f64 = 5.0;
const MOST_RARE: f64 = 40.0;
/// Points for each dB between the event's level and the background, and the most of them.
const DECIBEL: f64 = 1.0;
const MOST_LEVEL: f64 = 25.0;
/// Points for each factor of 10 of the duration over `SHORTEST_S`, and the most of them.
const TENFOLD: f64 = 7.0;
const MOST_DURATION: f64 = 20.0;
/// Seconds below which the duration counts little.
const SHORTEST_S: f64 = 0.1;
/// Points of a sound that the stream has never had before.
const MOST_NEW: f64 = 15.0;

/// The inputs of severity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gravity {
    /// Smallest tail probability, per second of normal sound, 0 to 1.
    pub p: f64,
    /// The false-alarm budget, events an hour, above 0.
    pub budget_per_hour: f64,
    /// Highest level within the event over the median of calibration, dB; negative where it is quieter.
    pub level_change_db: f64,
    /// How long the event lasts, or has lasted so far, seconds.
    pub duration_s: f64,
    /// How often the stream has had such a sound before.
    pub repeats: u32,
}

impl Gravity {
    /// The figures of `finding`: the duration is that until its offset, or until it was emitted.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        Self {
            p: finding.p,
            budget_per_hour: finding.budget_per_hour,
            level_change_db: f64::from(finding.level_change_db),
            duration_s: finding.offset_s.unwrap_or(finding.emitted_s) - finding.onset_s,
            repeats: finding.repeats,
        }
    }

    /// The severity, 0 to 100: the sum, to the nearest, of
    ///
    /// - 5 for each factor of 10 by which `p` is below the budget's probability `budget_per_hour`/3600, at most 40,
    /// - 1 for each dB between the event and the background, louder or quieter, at most 25,
    /// - 7·log10(1 + duration/0.1 s), at most 20, which is 72 s,
    /// - 15/(1 + `repeats`).
    ///
    /// It falls in no figure but `p` and `repeats`, and rises in neither of them. Figures that are not finite add nothing.
    #[must_use]
    pub fn severity(self) -> u8 {
        let beyond = (self.budget_per_hour / 3600.0).log10() - self.p.max(1e-300).log10();
        let tenfold = (1.0 + self.duration_s.max(0.0) / SHORTEST_S).log10();
        let parts = [
            points(beyond * DECADE, MOST_RARE),
            points(self.level_change_db.abs() * DECIBEL, MOST_LEVEL),
            points(tenfold * TENFOLD, MOST_DURATION),
            MOST_NEW / (1.0 + f64::from(self.repeats)),
        ];
        parts.iter().sum::<f64>().round() as u8
    }
}

fn points(x: f64, most: f64) -> f64 {
    if x.is_nan() { 0.0 } else { x.clamp(0.0, most) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gravity() -> impl Strategy<Value = Gravity> {
        (-14.0..0.0f64, 0.01..3600.0f64, -90.0..90.0f64, 0.0..900.0f64, 0..50u32).prop_map(
            |(log_p, budget_per_hour, level_change_db, duration_s, repeats)| Gravity {
                p: 10f64.powf(log_p),
                budget_per_hour,
                level_change_db,
                duration_s,
                repeats,
            },
        )
    }

    proptest! {
        #[test]
        fn severity_is_monotone_in_each_figure(
            of in gravity(), factor in 1.0..1e4f64, more in 0.0..40.0f64, times in 0..9u32,
        ) {
            let severity = of.severity();
            prop_assert!(severity <= 100);
            prop_assert!(Gravity { p: of.p / factor, ..of }.severity() >= severity, "rarer");
            prop_assert!(Gravity { budget_per_hour: of.budget_per_hour * factor, ..of }.severity() >= severity, "budget");
            let further = of.level_change_db + more.copysign(of.level_change_db);
            prop_assert!(Gravity { level_change_db: further, ..of }.severity() >= severity, "level");
            prop_assert!(Gravity { duration_s: of.duration_s + more, ..of }.severity() >= severity, "longer");
            prop_assert!(Gravity { repeats: of.repeats + times, ..of }.severity() <= severity, "heard more often");
        }
    }

    #[test]
    fn each_figure_moves_it_and_the_ends_are_reached() {
        let at_budget = Gravity {
            p: 1.0 / 3600.0,
            budget_per_hour: 1.0,
            level_change_db: 0.0,
            duration_s: 0.0,
            repeats: 99,
        };
        assert_eq!(at_budget.severity(), 0);
        assert_eq!(Gravity { p: 1e-4 / 3600.0, ..at_budget }.severity(), 20);
        assert_eq!(Gravity { level_change_db: -12.0, ..at_budget }.severity(), 12);
        assert_eq!(Gravity { duration_s: 0.9, ..at_budget }.severity(), 7);
        assert_eq!(Gravity { repeats: 0, ..at_budget }.severity(), 15);
        let worst =
            Gravity { p: 0.0, budget_per_hour: 1.0, level_change_db: 60.0, duration_s: 600.0, repeats: 0 };
        assert_eq!(worst.severity(), 100);
        let broken = Gravity { level_change_db: f64::NAN, duration_s: f64::NAN, p: f64::NAN, ..at_budget };
        assert!(broken.severity() <= 40);
    }
}
