//! What the operator has declared normal, and by what it is known again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::budget::Verdict;
use crate::event::Nearest;

/// Events that can still be judged, and kinds of sound that are remembered as normal.
const MOST: usize = 64;
/// Cosine from which two directions are one kind of sound.
const ALIKE: f64 = 0.98;
/// Windows over which the background is averaged: 60 s at 20 a second.
const BACKGROUND: u32 = 1200;
/// Windows without which there is no background: 5 s.
const LEAST_BACKGROUND: u32 = 100;

/// A direction in the space of z, in 127ths of its largest part: an eighth of the space of floats, and exact to a
/// cosine of about 0.999 at 512 parts.
type Direction = Vec<i8>;

/// An event that may be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    number: u64,
    direction: Option<Direction>,
    /// First and last of its blocks under the calibration in force.
    blocks: Option<(u64, u64)>,
}

/// A kind of sound that is normal, and the event that was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    number: u64,
    direction: Direction,
}

/// The last 64 events, and the last 64 kinds of sound that were declared normal.
///
/// A sound is known by the direction in which it moves the pooled z from the background: pooled z of any two moments
/// of one room point nearly the same way, and their difference from the background does not. The background is the
/// slow mean of windows in which nothing was improbable.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declared {
    background: Vec<f32>,
    /// Windows in it, at most 1200.
    seen: u32,
    events: VecDeque<Remembered>,
    normal: VecDeque<Kind>,
}

impl Declared {
    /// Whether anything was declared normal.
    pub(crate) fn is_any(&self) -> bool {
        !self.normal.is_empty()
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

    /// The place is another: its background is learnt anew, and blocks are counted anew.
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

    /// Whether a window is of a kind that was declared normal.
    pub(crate) fn knows(&self, window: &[f32]) -> bool {
        let Some(direction) = self.direction(window) else { return false };
        self.normal.iter().any(|kind| cosine(&kind.direction, &direction) >= ALIKE)
    }

    /// The event that a window is most like, of those that are remembered.
    pub(crate) fn nearest(&self, window: &[f32]) -> Option<Nearest> {
        let direction = self.direction(window)?;
        let like = |e: &Remembered| Some((e.number, cosine(e.direction.as_ref()?, &direction)));
        let most = self.events.iter().filter_map(like).max_by(|a, b| a.1.total_cmp(&b.1));
        most.filter(|(_, cosine)| *cosine > 0.0).map(|(number, cosine)| Nearest { number, cosine })
    }

    /// Remembers a told event by its farthest window.
    pub(crate) fn remember(&mut self, number: u64, window: Option<&[f32]>, blocks: (u64, u64)) {
        if self.events.len() >= MOST {
            self.events.pop_front();
        }
        let direction = window.and_then(|window| self.direction(window));
        self.events.push_back(Remembered { number, direction, blocks: Some(blocks) });
    }

    /// The operator's verdict on an event; its blocks if it is remembered. What is normal is known from here on, what
    /// is an anomaly after all is not any more.
    pub(crate) fn judge(&mut self, number: u64, verdict: Verdict) -> Option<Option<(u64, u64)>> {
        let event = self.events.iter().rev().find(|event| event.number == number)?;
        self.normal.retain(|kind| kind.number != number);
        if let (Verdict::Normal, Some(direction)) = (verdict, &event.direction) {
            if self.normal.len() >= MOST {
                self.normal.pop_front();
            }
            self.normal.push_back(Kind { number, direction: direction.clone() });
        }
        Some(event.blocks)
    }

    /// Whether this could have come about by the functions above, for windows of `width`.
    pub(crate) fn is_whole(&self) -> bool {
        self.seen <= BACKGROUND
            && self.events.len() <= MOST
            && self.normal.len() <= MOST
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

/// 0 where the widths differ.
fn cosine(a: &[i8], b: &[i8]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let dot =
        |a: &[i8], b: &[i8]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_room() -> Declared {
        let mut declared = Declared::default();
        (0..200).for_each(|i| declared.hear_background(&[10.0 + (i % 2) as f32, 10.0, 10.0, 9.5]));
        declared
    }

    #[test]
    fn a_kind_is_known_by_its_direction_from_the_background() {
        let mut declared = in_a_room();
        let (door, bell) = ([14.0, 12.0, 10.0, 9.5], [10.5, 10.0, 13.0, 9.0]);
        declared.remember(3, Some(&door), (7, 8));
        assert!(!declared.knows(&door) && !declared.is_any());
        assert_eq!(declared.judge(4, Verdict::Normal), None);
        assert_eq!(declared.judge(3, Verdict::Normal), Some(Some((7, 8))));
        assert!(declared.knows(&door) && declared.knows(&[12.2, 11.0, 10.0, 9.5]));
        assert!(!declared.knows(&bell) && !declared.knows(&[10.5, 10.0, 10.0, 9.5]));
        declared.judge(3, Verdict::Normal);
        assert_eq!(declared.normal.len(), 1);
        let json = serde_json::to_string(&declared).unwrap();
        assert_eq!(serde_json::from_str::<Declared>(&json).unwrap(), declared);
        declared.judge(3, Verdict::Anomaly);
        assert!(!declared.knows(&door));
    }

    #[test]
    fn memory_is_bounded_and_without_a_background_nothing_is_known() {
        let mut declared = in_a_room();
        for number in 0..200 {
            declared.remember(number, Some(&[10.0 + number as f32, 0.0, 0.0, 0.0]), (0, 0));
            declared.judge(number, Verdict::Normal);
        }
        assert!(declared.is_whole() && declared.events.len() == MOST && declared.normal.len() == MOST);
        assert_eq!(declared.judge(100, Verdict::Normal), None);
        declared.move_on();
        assert!(!declared.knows(&[209.0, 0.0, 0.0, 0.0]));
        assert_eq!(declared.judge(199, Verdict::Anomaly), Some(None));
    }
}
