//! Sounds that come again: how often each occurred and was reported.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::detect::exact::{exact, exact_names};
use crate::event::Kind;
use crate::units::FRAME_RATE;

/// Sounds that are remembered.
const MOST: usize = 64;
/// Cosine from which two directions are one sound.
pub(super) const ALIKE: f64 = 0.95;
const HOUR: u64 = 3600 * FRAME_RATE as u64;
/// A sound was reported often if it was so many times ...
const OFTEN: usize = 3;
/// ... within so many frames.
const WITHIN: u64 = 24 * HOUR;
/// Beyond so many times the novelty of what was reported, or so far above its score, it is another matter.
const NOVELTY_FACTOR: f64 = 3.0;
const SCORE_MARGIN: f64 = 4.0;

/// A direction in the space of z, in 127ths of its largest part: an eighth of the space of floats, and exact to a
/// cosine of about 0.999 at 512 parts.
pub(super) type Direction = Vec<i8>;

/// 0 where the widths differ.
pub(super) fn cosine(a: &[i8], b: &[i8]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let dot =
        |a: &[i8], b: &[i8]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1.0)
}

/// How far an event went.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extent {
    /// Highest novelty, 0 or more.
    pub(crate) novelty: f64,
    /// Highest score, −log10 p, 0 to 12.
    pub(crate) score: f64,
    /// What it was.
    pub(crate) kind: Kind,
}

exact_names!(Kind { Foreign, Missing, Early, Late, OutOfOrder, Stopped, Changed });
exact!(Extent { novelty, score, kind });

impl Extent {
    /// The farther of both, of the later kind.
    pub(crate) fn max(self, later: Self) -> Self {
        let (novelty, score) = (self.novelty.max(later.novelty), self.score.max(later.score));
        Self { novelty, score, kind: later.kind }
    }

    /// Whether this is severe in a way that `known` was not: more than three times as novel, ten thousand times less
    /// probable, or another kind of thing.
    pub(crate) fn exceeds(self, known: Self) -> bool {
        self.novelty > NOVELTY_FACTOR * known.novelty
            || self.score > known.score + SCORE_MARGIN
            || !self.is_of_the_kind(known)
    }

    /// Whether both are sounds, both beats at a wrong time, or both a stop.
    fn is_of_the_kind(self, other: Self) -> bool {
        let group = |kind| match kind {
            Kind::Foreign | Kind::OutOfOrder | Kind::Changed => 0,
            Kind::Missing | Kind::Early | Kind::Late => 1,
            Kind::Stopped => 2,
        };
        group(self.kind) == group(other.kind)
    }

    fn is_whole(self) -> bool {
        self.novelty.is_finite() && self.score.is_finite()
    }
}

/// What is known of a sound that occurred before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repeat {
    /// Number of the first event that it was.
    pub(crate) of: u64,
    /// How often it occurred before.
    pub(crate) times: u32,
    /// How far those went that were reported.
    pub(crate) extent: Extent,
    /// Whether it was reported so often that it is reported now and then, and does not count against the budget.
    pub(crate) is_frequent: bool,
    /// Frames since it was reported last.
    pub(crate) since: u64,
}

exact!(Repeat { of, times, extent, is_frequent, since });

/// A sound that events were of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sound {
    /// Number of the first event.
    first: u64,
    direction: Direction,
    /// How often it occurred, reported or not.
    heard: u32,
    /// When the last three events of it were reported.
    reported: VecDeque<u64>,
    extent: Extent,
    /// The operator has called one of them an anomaly: all are reported.
    anomaly: bool,
}

exact!(Sound { first, direction, heard, reported, extent, anomaly });

impl Sound {
    /// Whether it was reported so often that it is reported only now and then from here on.
    fn is_frequent(&self, now: u64) -> bool {
        let first = self.reported.front().filter(|_| self.reported.len() >= OFTEN);
        !self.anomaly && first.is_some_and(|&at| now.saturating_sub(at) <= WITHIN)
    }
}

/// The last 64 sounds that were reported.
///
/// A sound that was reported three times within 24 hours of the stream is frequent, as long as it comes, but for what the
/// operator called an anomaly.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecurringSounds {
    /// Frames that have passed.
    now: u64,
    sounds: VecDeque<Sound>,
}

exact!(RecurringSounds { now, sounds });

impl RecurringSounds {
    /// A frame passes.
    pub(super) fn advance(&mut self) {
        self.now += 1;
    }

    /// Whether any sound is frequent.
    pub(super) fn is_any_frequent(&self) -> bool {
        self.sounds.iter().any(|sound| sound.is_frequent(self.now))
    }

    /// What is known of the sound in this direction and of the kind of `extent`.
    pub(super) fn find(&self, direction: &Direction, extent: Extent) -> Option<Repeat> {
        let sound = self.sounds.get(self.place(direction, extent)?)?;
        let since = sound.reported.back().map_or(u64::MAX, |&at| self.now.saturating_sub(at));
        let (of, times, extent) = (sound.first, sound.heard, sound.extent);
        Some(Repeat { of, times, extent, is_frequent: sound.is_frequent(self.now), since })
    }

    /// An event in this direction is over. It was reported under a number, or it was not; a sound that is new is remembered
    /// only where it was.
    pub(super) fn note(&mut self, direction: Direction, extent: Extent, reported: Option<u64>) {
        let sound = self.place(&direction, extent).and_then(|place| self.sounds.remove(place));
        let mut sound = match (sound, reported) {
            (Some(sound), _) => sound,
            (None, Some(first)) => {
                let reported = VecDeque::new();
                Sound { first, direction, heard: 0, reported, extent, anomaly: false }
            }
            (None, None) => return,
        };
        sound.heard = sound.heard.saturating_add(1);
        if reported.is_some() {
            if sound.reported.len() >= OFTEN {
                sound.reported.pop_front();
            }
            sound.reported.push_back(self.now);
            sound.extent = sound.extent.max(extent);
        }
        if self.sounds.len() >= MOST {
            self.sounds.pop_front();
        }
        self.sounds.push_back(sound);
    }

    /// The operator has called an event in this direction an anomaly, or taken that back.
    pub(super) fn judge(&mut self, direction: &Direction, anomaly: bool) {
        let alike = |sound: &&mut Sound| cosine(&sound.direction, direction) >= ALIKE;
        self.sounds.iter_mut().filter(alike).for_each(|sound| sound.anomaly = anomaly);
    }

    /// Whether this could have come about by the functions above.
    pub(super) fn is_whole(&self) -> bool {
        let whole = |sound: &Sound| {
            sound.extent.is_whole()
                && sound.reported.len() <= OFTEN
                && sound.reported.iter().all(|&at| at <= self.now)
        };
        self.sounds.len() <= MOST && self.sounds.iter().all(whole)
    }

    /// The sound of this kind that is most alike.
    fn place(&self, direction: &Direction, extent: Extent) -> Option<usize> {
        let same = self.sounds.iter().enumerate().filter(|(_, sound)| sound.extent.is_of_the_kind(extent));
        let cosines = same.map(|(place, sound)| (place, cosine(&sound.direction, direction)));
        let most = cosines.max_by(|a, b| a.1.total_cmp(&b.1))?;
        (most.1 >= ALIKE).then_some(most.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent { novelty: 2.0, score: 5.0, kind: Kind::Foreign };

    fn after(sounds: &mut RecurringSounds, frames: u64) {
        sounds.now += frames;
    }

    #[test]
    fn three_reports_in_a_day_make_a_sound_frequent_until_the_day_is_over() {
        let (bell, door) = (vec![127, 0, 10], vec![0, 127, 0]);
        let mut sounds = RecurringSounds::default();
        assert_eq!(sounds.find(&bell, EXTENT), None);
        for number in 0..3 {
            after(&mut sounds, HOUR / 4);
            sounds.note(bell.clone(), EXTENT, Some(number));
            assert_eq!(sounds.is_any_frequent(), number == 2);
        }
        sounds.note(door.clone(), EXTENT, Some(3));
        let repeat = Repeat { of: 0, times: 3, extent: EXTENT, is_frequent: true, since: 0 };
        assert_eq!(sounds.find(&bell, EXTENT), Some(repeat));
        assert_eq!(sounds.find(&vec![126, 3, 12], EXTENT), Some(repeat), "much the same");
        assert!(
            !sounds.find(&door, EXTENT).unwrap().is_frequent
                && sounds.find(&vec![90, 90, 0], EXTENT).is_none()
        );
        let stop = Extent { kind: Kind::Stopped, ..EXTENT };
        assert_eq!(sounds.find(&bell, stop), None, "another kind of thing");
        // what is not reported is counted
        sounds.note(bell.clone(), EXTENT, None);
        assert_eq!(sounds.find(&bell, EXTENT).unwrap().times, 4);
        after(&mut sounds, HOUR);
        assert_eq!(sounds.find(&bell, EXTENT).unwrap().since, HOUR);
        sounds.note(bell.clone(), EXTENT, Some(4));
        assert_eq!(sounds.find(&bell, EXTENT).unwrap(), Repeat { times: 5, ..repeat });
        // the day is over
        after(&mut sounds, WITHIN);
        assert!(!sounds.is_any_frequent() && !sounds.find(&bell, EXTENT).unwrap().is_frequent);
    }

    #[test]
    fn an_anomaly_is_never_frequent() {
        let bell = vec![127, 0, 10];
        let mut sounds = RecurringSounds::default();
        (0..3).for_each(|number| sounds.note(bell.clone(), EXTENT, Some(number)));
        sounds.judge(&bell, true);
        assert!(!sounds.find(&bell, EXTENT).unwrap().is_frequent && !sounds.is_any_frequent());
        sounds.judge(&bell, false);
        assert!(sounds.find(&bell, EXTENT).unwrap().is_frequent);
    }

    #[test]
    fn far_more_than_what_was_reported_is_another_matter() {
        let of = |novelty, score| Extent { novelty, score, kind: Kind::Changed };
        assert!(Extent { kind: Kind::Stopped, ..EXTENT }.exceeds(EXTENT), "it did not stop before");
        assert!(!of(6.0, 9.0).exceeds(EXTENT));
        assert!(of(6.1, 5.0).exceeds(EXTENT) && of(1.0, 9.1).exceeds(EXTENT));
        assert_eq!(EXTENT.max(of(1.0, 7.0)), of(2.0, 7.0), "of the later kind");
    }

    #[test]
    fn memory_is_bounded_and_survives_json() {
        let mut sounds = RecurringSounds::default();
        sounds.note(vec![1, 2, 3], EXTENT, None);
        assert!(sounds.sounds.is_empty(), "what was never reported is not remembered");
        for number in 0..200u64 {
            let mut direction = vec![0i8; 100];
            direction[(number % 100) as usize] = 127;
            sounds.note(direction, EXTENT, Some(number));
            sounds.advance();
        }
        assert_eq!((sounds.sounds.len(), sounds.is_whole()), (MOST, true));
        let json = serde_json::to_string(&sounds).unwrap();
        assert_eq!(serde_json::from_str::<RecurringSounds>(&json).unwrap(), sounds);
        sounds.sounds[0].reported.push_back(sounds.now + 1);
        assert!(!sounds.is_whole());
    }
}
