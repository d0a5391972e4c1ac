//! From the terms that decided an event to what it was.

use super::rhythm::BeatFault;
use crate::detect::exact::exact;
use crate::event::{Detail, Kind};

/// A tail probability below this says that a term finds the sound improbable.
const IMPROBABLE: f64 = 1e-2;
/// A density this many times less probable than all temporal terms decides alone.
const MUCH: f64 = 1e-3;
/// Deviations by which a band stands out.
pub(crate) const STANDS_OUT: f32 = 4.0;
/// Seconds below the floor after which the background has stopped, where it has no rhythm.
const STOPPED_S: f64 = 0.2;
/// Beats missing one after another that are a stop.
const STOPPED_BEATS: u32 = 3;
/// Seconds after which a sound that goes on is a change, and the share of the bands that such a change moves.
const CHANGE_S: f64 = 2.0;
const CHANGE_SHARE: f32 = 0.6;
/// Changes of pitch below this, in percent, are not reported.
const LEAST_PITCH: f64 = 1.0;

/// Tail probability of each term per second of normal sound, 0 to 1; 1 for a term that has nothing to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TermProbabilities {
    /// How usual the bands of the last 0.1 to 2 s are, whatever came before.
    pub(crate) density: f64,
    /// What was predicted from the last 0.3 s.
    pub(crate) short_prediction: f64,
    /// What was predicted from the last 2 s or more.
    pub(crate) long_prediction: f64,
    /// −PMI: usual by itself, unusual here and now.
    pub(crate) pmi: f64,
}

exact!(TermProbabilities { density, short_prediction, long_prediction, pmi });

impl Default for TermProbabilities {
    fn default() -> Self {
        Self { density: 1.0, short_prediction: 1.0, long_prediction: 1.0, pmi: 1.0 }
    }
}

impl TermProbabilities {
    /// Whether order and time decide, and neither the sound itself nor what the last 0.3 s predicted.
    pub(crate) fn is_led_by_context(&self) -> bool {
        self.temporal() < self.density.min(self.short_prediction)
    }

    /// The least of those that see order and time.
    fn temporal(&self) -> f64 {
        self.long_prediction.min(self.pmi)
    }
}

/// What is known of an event, or of one of its frames: everything that [`classify`] goes by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct EventFeatures {
    /// The smallest probability of each term.
    pub(crate) p: TermProbabilities,
    /// Seconds for which the event has lasted, 0 or more.
    pub(crate) lasts_s: f64,
    /// Level over the last 0.5 s less the median of calibration, dB; the one farthest from 0.
    pub(crate) level_change_db: f64,
    /// Seconds for which that level was below all but 1 % of calibration, the longest stretch.
    pub(crate) below_floor_s: f64,
    /// Seconds for which the background had run before it fell below that, where it did.
    pub(crate) ran_s: Option<f64>,
    /// How far the loudest band lies above normal, deviations, 0 or more.
    pub(crate) band_above: f32,
    /// How far the quietest band lies below normal, deviations, 0 or more.
    pub(crate) band_below: f32,
    /// Share of the bands that stand out, up or down, 0 to 1.
    pub(crate) band_share: f32,
    /// Seconds from beat to beat, where the site has a rhythm.
    pub(crate) period_s: Option<f64>,
    /// What was wrong with a beat; the first.
    pub(crate) beat: Option<BeatFault>,
    /// Most beats that were missing one after another.
    pub(crate) missed_beats: u32,
    /// How much faster the rhythm is, percent, at most; none where it is as usual or not known.
    pub(crate) tempo_percent: Option<f64>,
    /// How much higher the pitch of the background is, percent, at most; none where it is as usual or not known.
    pub(crate) pitch_percent: Option<f64>,
}

exact!(EventFeatures {
    p,
    lasts_s,
    level_change_db,
    below_floor_s,
    ran_s,
    band_above,
    band_below,
    band_share,
    period_s,
    beat,
    missed_beats,
    tempo_percent,
    pitch_percent
});

impl EventFeatures {
    /// Takes the clues of a later frame of the same event in.
    pub(crate) fn add(&mut self, later: &Self) {
        let (p, q) = (&mut self.p, &later.p);
        p.density = p.density.min(q.density);
        p.short_prediction = p.short_prediction.min(q.short_prediction);
        p.long_prediction = p.long_prediction.min(q.long_prediction);
        p.pmi = p.pmi.min(q.pmi);
        self.lasts_s = self.lasts_s.max(later.lasts_s);
        if later.level_change_db.abs() > self.level_change_db.abs() {
            self.level_change_db = later.level_change_db;
        }
        if later.below_floor_s > self.below_floor_s {
            (self.below_floor_s, self.ran_s) = (later.below_floor_s, later.ran_s);
        }
        self.band_above = self.band_above.max(later.band_above);
        self.band_below = self.band_below.max(later.band_below);
        self.band_share = self.band_share.max(later.band_share);
        self.period_s = later.period_s.or(self.period_s);
        // the first, unless more is known of that one
        let stays = |a: BeatFault| later.beat.is_none_or(|b| a.due_s() != b.due_s());
        self.beat = self.beat.filter(|&a| stays(a)).or(later.beat);
        self.missed_beats = self.missed_beats.max(later.missed_beats);
        self.tempo_percent = farther(self.tempo_percent, later.tempo_percent);
        self.pitch_percent = farther(self.pitch_percent, later.pitch_percent);
    }
}

/// The one that is farther from 0.
fn farther(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).max_by(|a, b| a.abs().total_cmp(&b.abs()))
}

/// What it was, with its figures. A function of the clues alone; of what fits, the first in this order:
///
/// 1. `stopped`: the level stayed below the floor of calibration for longer than a single missing beat explains, or three
///    beats are missing one after another and no band is louder than normal.
/// 2. `foreign`: bands stand out upward and the density is far less probable than order and time are.
/// 3. `missing`, `early`, `late`: what was wrong with a beat, where the terms do not say that the sound itself is unusual.
/// 4. `changed`: rhythm or pitch are others, or most bands have moved for 2 s or more, or bands have moved downward.
/// 5. `missing` without a due time: order and time decide, and a sound has gone that was expected.
/// 6. `out_of_order`: order and time decide, and the sound itself is usual.
/// 7. `foreign`.
pub(crate) fn classify(clues: &EventFeatures) -> (Kind, Detail) {
    let none = Detail::default();
    let temporal = clues.p.temporal();
    let louder = clues.band_above >= STANDS_OUT && clues.band_above > clues.band_below;
    if has_stopped(clues) {
        return (Kind::Stopped, Detail { ran_s: clues.ran_s, ..none });
    }
    if louder && clues.p.density < MUCH * temporal && !is_lasting_change(clues) {
        return (Kind::Foreign, none);
    }
    let is_usual_sound = clues.p.density >= IMPROBABLE || temporal <= clues.p.density || !louder;
    if let Some(beat) = clues.beat.filter(|_| is_usual_sound) {
        return of_beat(beat);
    }
    if is_lasting_change(clues) || (clues.p.density < IMPROBABLE && clues.band_below > clues.band_above) {
        let pitch_percent = clues.pitch_percent.filter(|percent| percent.abs() >= LEAST_PITCH);
        return (Kind::Changed, Detail { tempo_percent: clues.tempo_percent, pitch_percent, ..none });
    }
    let by_time = temporal < IMPROBABLE && temporal <= clues.p.density.min(clues.p.short_prediction);
    if by_time && clues.band_below >= STANDS_OUT && !louder {
        return (Kind::Missing, none);
    }
    if by_time && !(louder && clues.p.density < IMPROBABLE) {
        return (Kind::OutOfOrder, none);
    }
    (Kind::Foreign, none)
}

fn has_stopped(clues: &EventFeatures) -> bool {
    // windows of 0.5 s hold a beat of every shorter period, and none while one is missing
    let gap_s = clues.period_s.map_or(STOPPED_S, |period| (2.0 * period - 0.4).clamp(0.3, 0.7));
    clues.below_floor_s > gap_s || (clues.missed_beats >= STOPPED_BEATS && clues.band_above < STANDS_OUT)
}

fn is_lasting_change(clues: &EventFeatures) -> bool {
    let pitch = clues.pitch_percent.is_some_and(|percent| percent.abs() >= LEAST_PITCH);
    let moved = clues.band_share >= CHANGE_SHARE && clues.lasts_s >= CHANGE_S;
    clues.tempo_percent.is_some() || pitch || moved
}

fn of_beat(beat: BeatFault) -> (Kind, Detail) {
    let (kind, due_s, offset_ms) = match beat {
        BeatFault::Missing { due_s } => (Kind::Missing, due_s, None),
        BeatFault::Early { due_s, offset_ms } => (Kind::Early, due_s, Some(offset_ms)),
        BeatFault::Late { due_s, offset_ms } => (Kind::Late, due_s, Some(offset_ms)),
    };
    (kind, Detail { due_s: Some(due_s), offset_ms, ..Detail::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(density: f64, temporal: f64) -> TermProbabilities {
        TermProbabilities { density, long_prediction: temporal, pmi: temporal, ..Default::default() }
    }

    fn kind(clues: EventFeatures) -> Kind {
        classify(&clues).0
    }

    #[test]
    fn a_sound_with_its_own_bands_is_foreign() {
        let bell = EventFeatures {
            p: terms(1e-9, 0.2),
            band_above: 12.0,
            band_share: 0.1,
            ..EventFeatures::default()
        };
        assert_eq!(classify(&bell), (Kind::Foreign, Detail::default()));
        // it also hides a beat
        let hides = EventFeatures { beat: Some(BeatFault::Missing { due_s: 3.0 }), ..bell };
        assert_eq!(kind(hides), Kind::Foreign);
        // a slam moves all bands, but not for long
        assert_eq!(kind(EventFeatures { band_share: 0.9, lasts_s: 0.4, ..bell }), Kind::Foreign);
        // without any term of the site that sees time
        let p = TermProbabilities { density: 0.3, short_prediction: 1e-6, ..Default::default() };
        assert_eq!(kind(EventFeatures { p, band_above: 5.0, ..EventFeatures::default() }), Kind::Foreign);
        assert_eq!(kind(EventFeatures::default()), Kind::Foreign, "nothing is known");
    }

    #[test]
    fn silence_is_a_stop_with_how_long_it_ran() {
        let p = terms(1e-9, 1e-9);
        let stop = EventFeatures {
            p,
            below_floor_s: 0.5,
            ran_s: Some(11_520.0),
            band_below: 9.0,
            ..EventFeatures::default()
        };
        assert_eq!(classify(&stop), (Kind::Stopped, Detail { ran_s: Some(11_520.0), ..Detail::default() }));
        assert_eq!(kind(EventFeatures { below_floor_s: 0.1, ..stop }), Kind::Changed, "not for long enough");
        let beats = EventFeatures { below_floor_s: 0.0, missed_beats: 3, period_s: Some(0.8), ..stop };
        assert_eq!(
            kind(EventFeatures { beat: Some(BeatFault::Missing { due_s: 4.0 }), ..beats }),
            Kind::Stopped
        );
        // a loud sound hides the beats
        assert_eq!(kind(EventFeatures { band_above: 20.0, p: terms(1e-9, 1.0), ..beats }), Kind::Foreign);
    }

    #[test]
    fn a_single_missing_beat_is_no_stop() {
        let beat = Some(BeatFault::Missing { due_s: 12.34 });
        for (period, quiet) in [(0.3, 0.1), (0.45, 0.4), (0.5, 0.5)] {
            let p = terms(1e-4, 1e-7);
            let clues = EventFeatures {
                p,
                period_s: Some(period),
                below_floor_s: quiet,
                beat,
                ..EventFeatures::default()
            };
            let (found, detail) = classify(&clues);
            assert_eq!((found, detail.due_s), (Kind::Missing, Some(12.34)), "period {period}");
            assert_eq!(kind(EventFeatures { below_floor_s: 1.0, ..clues }), Kind::Stopped);
        }
    }

    #[test]
    fn a_beat_at_another_time_is_early_or_late() {
        let p = terms(0.3, 1e-6);
        let early = Some(BeatFault::Early { due_s: 5.0, offset_ms: -150.0 });
        let clues = EventFeatures { p, period_s: Some(0.8), beat: early, ..EventFeatures::default() };
        let detail = Detail { due_s: Some(5.0), offset_ms: Some(-150.0), ..Detail::default() };
        assert_eq!(classify(&clues), (Kind::Early, detail));
        let late = Some(BeatFault::Late { due_s: 5.0, offset_ms: 90.0 });
        assert_eq!(kind(EventFeatures { beat: late, ..clues }), Kind::Late);
        // the beat itself is loud, but no louder than it should be
        assert_eq!(kind(EventFeatures { beat: late, band_above: 6.0, ..clues }), Kind::Late);
    }

    #[test]
    fn known_sounds_in_another_order_are_reported_by_the_temporal_terms() {
        let swapped = EventFeatures { p: terms(0.4, 1e-8), ..EventFeatures::default() };
        assert_eq!(classify(&swapped), (Kind::OutOfOrder, Detail::default()));
        let p = TermProbabilities { pmi: 1e-5, ..Default::default() };
        assert_eq!(kind(EventFeatures { p, ..EventFeatures::default() }), Kind::OutOfOrder);
        let gone = EventFeatures { band_below: 5.0, ..swapped };
        assert_eq!(classify(&gone), (Kind::Missing, Detail::default()));
    }

    #[test]
    fn a_background_that_sounds_different_has_changed() {
        let p = terms(1e-8, 1e-3);
        let detuned = EventFeatures {
            p,
            pitch_percent: Some(3.0),
            band_above: 6.0,
            band_below: 6.5,
            ..EventFeatures::default()
        };
        let (found, detail) = classify(&detuned);
        assert_eq!((found, detail.pitch_percent, detail.tempo_percent), (Kind::Changed, Some(3.0), None));
        let slower =
            EventFeatures { p: terms(0.2, 1e-5), tempo_percent: Some(-6.0), ..EventFeatures::default() };
        assert_eq!(classify(&slower).1.tempo_percent, Some(-6.0));
        let louder =
            EventFeatures { p, lasts_s: 4.0, band_above: 9.0, band_share: 0.9, ..EventFeatures::default() };
        assert_eq!(kind(louder), Kind::Changed);
        assert_eq!(kind(EventFeatures { band_share: 0.2, ..louder }), Kind::Foreign, "a long foreign sound");
        let quieter = EventFeatures { p, band_below: 7.0, band_above: 1.0, ..EventFeatures::default() };
        assert_eq!(kind(quieter), Kind::Changed);
    }

    #[test]
    fn clues_of_an_event_are_the_strongest_of_its_frames() {
        let mut all =
            EventFeatures { p: terms(0.1, 1e-6), level_change_db: -3.0, ..EventFeatures::default() };
        all.add(&EventFeatures {
            p: terms(1e-5, 0.5),
            below_floor_s: 0.3,
            ran_s: Some(60.0),
            level_change_db: 2.0,
            beat: Some(BeatFault::Missing { due_s: 1.0 }),
            missed_beats: 1,
            ..EventFeatures::default()
        });
        all.add(&EventFeatures {
            beat: Some(BeatFault::Late { due_s: 1.0, offset_ms: 80.0 }),
            ..EventFeatures::default()
        });
        assert_eq!((all.p.density, all.p.pmi, all.level_change_db), (1e-5, 1e-6, -3.0));
        assert_eq!((all.below_floor_s, all.ran_s, all.missed_beats), (0.3, Some(60.0), 1));
        assert_eq!(all.beat, Some(BeatFault::Late { due_s: 1.0, offset_ms: 80.0 }));
    }
}
