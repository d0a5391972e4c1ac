//! Events that are remembered: what the operator has declared normal, what comes again, and by what it is known.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::recurring::{ALIKE, Direction, Extent, RecurringSounds, Repeat, cosine};
use crate::detect::exact::exact;
use crate::event::{Nearest, Verdict};

/// Events that can still be judged, and sounds that are remembered as normal.
const MOST: usize = 64;
/// Windows over which the background is averaged: 60 s at 20 a second.
const BACKGROUND: u32 = 1200;
/// Windows without which there is no background: 5 s.
const LEAST_BACKGROUND: u32 = 100;

/// An event that may be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    number: u64,
    direction: Option<Direction>,
    /// First and last of its blocks under the calibration in force.
    blocks: Option<(u64, u64)>,
    /// How far it went; unknown in states of before.
    #[serde(default)]
    extent: Option<Extent>,
}

exact!(Remembered { number, direction, blocks, extent });

/// A sound that is normal, and the event that was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalSound {
    number: u64,
    direction: Direction,
    #[serde(default)]
    extent: Option<Extent>,
}

exact!(NormalSound { number, direction, extent });

/// The last 64 events, the last 64 sounds that were declared normal, and the last 64 sounds that were reported.
///
/// A sound is known by the direction in which it moves the pooled z from the background: pooled z of any two moments
/// of one room point nearly the same way, and their difference from the background does not. The background is the
/// slow mean of windows in which nothing was improbable.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownNormal {
    background: Vec<f32>,
    /// Windows in it, at most 1200.
    seen: u32,
    events: VecDeque<Remembered>,
    normal: VecDeque<NormalSound>,
    #[serde(default)]
    recurring: RecurringSounds,
}

exact!(KnownNormal { background, seen, events, normal, recurring });

impl KnownNormal {
    /// Whether there is any sound of which events may be withheld: one that was declared normal, or, where `repeats` rest,
    /// one that was reported often.
    pub(crate) fn is_any(&self, repeats: bool) -> bool {
        !self.normal.is_empty() || (repeats && self.recurring.is_any_frequent())
    }

    /// A frame passes, received or not.
    pub(crate) fn advance(&mut self) {
        self.recurring.advance();
    }

    /// A window in which nothing was improbable.
    pub(crate) fn hear_background(&mut self, window: &[f32]) {
        if self.background.len() != window.len() {
            (self.background, self.seen) = (vec![0.0; window.len()], 0);
        }
        self.seen = (self.seen + 1).min(BACKGROUND);
        let share = 1.0 / self.seen as f32;
        self.background.iter_mut().zip(window).for_each(|(b, x)| *b += share * (x - *b));
    }

    /// The site is another: its background is learnt anew, and blocks are counted anew.
    pub(crate) fn move_on(&mut self) {
        self.seen = 0;
        self.background.clear();
        self.events.iter_mut().for_each(|event| event.blocks = None);
    }

    /// Distance of a window from the background, squared; none while that is not known.
    pub(crate) fn distance(&self, window: &[f32]) -> Option<f64> {
        if self.seen < LEAST_BACKGROUND || self.background.len() != window.len() {
            return None;
        }
        let apart = window.iter().zip(&self.background).map(|(x, b)| f64::from(x - b).powi(2));
        Some(apart.sum())
    }

    /// How far an event may go whose sound in a window was declared normal, and is `extent` by now; none where there is no
    /// such sound, or it has gone beyond it.
    pub(crate) fn knows(&self, window: &[f32], extent: Extent) -> Option<Extent> {
        let direction = self.direction(window)?;
        let alike = self.normal.iter().filter(|sound| cosine(&sound.direction, &direction) >= ALIKE);
        let any = Extent { novelty: f64::INFINITY, score: f64::INFINITY, kind: extent.kind };
        let extents = alike.map(|sound| sound.extent.unwrap_or(any));
        extents.filter(|known| !extent.exceeds(*known)).reduce(Extent::max)
    }

    /// What is known of the sound in a window and of the kind of `extent`, if it occurred before.
    pub(crate) fn repeat(&self, window: &[f32], extent: Extent) -> Option<Repeat> {
        self.recurring.find(&self.direction(window)?, extent)
    }

    /// The event that a window is most like, of those that are remembered.
    pub(crate) fn nearest(&self, window: &[f32]) -> Option<Nearest> {
        let direction = self.direction(window)?;
        let like = |e: &Remembered| Some((e.number, cosine(e.direction.as_ref()?, &direction)));
        let most = self.events.iter().filter_map(like).max_by(|a, b| a.1.total_cmp(&b.1));
        most.filter(|(_, cosine)| *cosine > 0.0).map(|(number, cosine)| Nearest { number, cosine })
    }

    /// Remembers a reported event by its farthest window, for a verdict.
    pub(crate) fn remember(
        &mut self,
        number: u64,
        window: Option<&[f32]>,
        blocks: (u64, u64),
        extent: Extent,
    ) {
        if self.events.len() >= MOST {
            self.events.pop_front();
        }
        let direction = window.and_then(|window| self.direction(window));
        self.events.push_back(Remembered { number, direction, blocks: Some(blocks), extent: Some(extent) });
    }

    /// An event is over that was reported under a number or was not.
    pub(crate) fn note(&mut self, window: &[f32], extent: Extent, reported: Option<u64>) {
        if let Some(direction) = self.direction(window) {
            self.recurring.note(direction, extent, reported);
        }
    }

    /// The operator's verdict on an event; its blocks if it is remembered. What is normal is known from here on, what
    /// is an anomaly after all is not any more.
    pub(crate) fn judge(&mut self, number: u64, verdict: Verdict) -> Option<Option<(u64, u64)>> {
        let event = self.events.iter().rev().find(|event| event.number == number)?;
        self.normal.retain(|sound| sound.number != number);
        if let Some(direction) = &event.direction {
            self.recurring.judge(direction, verdict == Verdict::Anomaly);
            if verdict == Verdict::Normal {
                if self.normal.len() >= MOST {
                    self.normal.pop_front();
                }
                let (direction, extent) = (direction.clone(), event.extent);
                self.normal.push_back(NormalSound { number, direction, extent });
            }
        }
        Some(event.blocks)
    }

    /// Whether this could have come about by the functions above, for windows of `width`.
    pub(crate) fn is_whole(&self) -> bool {
        self.seen <= BACKGROUND
            && self.events.len() <= MOST
            && self.normal.len() <= MOST
            && self.recurring.is_whole()
            && self.background.iter().all(|x| x.is_finite())
            && self.events.iter().all(|event| event.blocks.is_none_or(|(first, last)| first <= last))
    }

    fn direction(&self, window: &[f32]) -> Option<Direction> {
        self.distance(window)?;
        let apart: Vec<f32> = window.iter().zip(&self.background).map(|(x, b)| x - b).collect();
        let largest = apart.iter().fold(0f32, |most, x| most.max(x.abs()));
        (largest > 0.0).then(|| apart.iter().map(|x| (x / largest * 127.0).round() as i8).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    const EXTENT: Extent = Extent { novelty: 2.0, score: 5.0, kind: Kind::Foreign };

    fn in_a_room() -> KnownNormal {
        let mut declared = KnownNormal::default();
        (0..200).for_each(|i| declared.hear_background(&[10.0 + (i % 2) as f32, 10.0, 10.0, 9.5]));
        declared
    }

    #[test]
    fn a_sound_is_known_by_its_direction_from_the_background() {
        let mut declared = in_a_room();
        let (door, bell) = ([14.0, 12.0, 10.0, 9.5], [10.5, 10.0, 13.0, 9.0]);
        declared.remember(3, Some(&door), (7, 8), EXTENT);
        assert!(declared.knows(&door, EXTENT).is_none() && !declared.is_any(true));
        assert_eq!(declared.judge(4, Verdict::Normal), None);
        assert_eq!(declared.judge(3, Verdict::Normal), Some(Some((7, 8))));
        assert_eq!(
            (declared.knows(&door, EXTENT), declared.knows(&[12.2, 11.0, 10.0, 9.5], EXTENT)),
            (Some(EXTENT), Some(EXTENT))
        );
        assert!(
            declared.knows(&bell, EXTENT).is_none()
                && declared.knows(&[10.5, 10.0, 10.0, 9.5], EXTENT).is_none()
        );
        declared.judge(3, Verdict::Normal);
        assert_eq!(declared.normal.len(), 1);
        let json = serde_json::to_string(&declared).unwrap();
        assert_eq!(serde_json::from_str::<KnownNormal>(&json).unwrap(), declared);
        declared.judge(3, Verdict::Anomaly);
        assert!(declared.knows(&door, EXTENT).is_none());
    }

    #[test]
    fn states_of_before_are_read_and_what_they_call_normal_stays_normal() {
        let mut declared = in_a_room();
        let door = [14.0, 12.0, 10.0, 9.5];
        declared.remember(3, Some(&door), (7, 8), EXTENT);
        declared.judge(3, Verdict::Normal);
        let mut json = serde_json::to_value(&declared).unwrap();
        json.as_object_mut().unwrap().remove("recurring").unwrap();
        json["normal"][0].as_object_mut().unwrap().remove("extent").unwrap();
        json["events"][0].as_object_mut().unwrap().remove("extent").unwrap();
        let old: KnownNormal = serde_json::from_value(json).unwrap();
        let far = Extent { novelty: 1e6, score: 12.0, kind: Kind::Stopped };
        assert!(old.is_whole() && old.knows(&door, far).is_some() && declared.knows(&door, far).is_none());
    }

    #[test]
    fn memory_is_bounded_and_without_a_background_nothing_is_known() {
        let mut declared = in_a_room();
        for number in 0..200 {
            declared.remember(number, Some(&[10.0 + number as f32, 0.0, 0.0, 0.0]), (0, 0), EXTENT);
            declared.judge(number, Verdict::Normal);
        }
        assert!(declared.is_whole() && declared.events.len() == MOST && declared.normal.len() == MOST);
        assert_eq!(declared.judge(100, Verdict::Normal), None);
        declared.move_on();
        assert!(declared.knows(&[209.0, 0.0, 0.0, 0.0], EXTENT).is_none());
        assert_eq!(declared.judge(199, Verdict::Anomaly), Some(None));
    }
}
