//! The recent sound of a stream, from which clips are cut.

use std::collections::VecDeque;

use crate::event::{Finding, Phase};
use crate::units::{BANDS, FRAME_RATE, HOP, seconds_to_samples, to_i16};

/// Frames that are kept: enough for the longest event of the defaults with its pre-roll, and the delay until its end is
/// reported.
const REMEMBERED: usize = 45 * FRAME_RATE as usize;
/// Longest clip, frames.
const LONGEST: u64 = 32 * FRAME_RATE as u64;
/// Samples of a clip after the offset: half a second.
const POST_ROLL: u64 = HOP as u64 * FRAME_RATE as u64 / 2;

/// The parts of the sound that are kept for every stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecentAudioConfig {
    /// The bands of each frame.
    pub(crate) bands: bool,
    /// The samples.
    pub(crate) samples: bool,
    /// Seconds before the onset that belong to an event.
    pub(crate) pre_roll_s: f64,
}

/// The sound of an ended event.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Number of the event in its stream.
    pub number: u64,
    /// Frames from the first of the clip to the onset; negative where the onset is not kept any more.
    pub onset: i64,
    /// Frames from the first of the clip to the offset; may lie past the end of a long event's clip.
    pub offset: i64,
    /// Log-mel bands of each frame, from the lowest band up; none where they are not kept.
    pub bands: Vec<[f32; BANDS]>,
    /// Samples at 16 kHz; none where they are not kept.
    pub samples: Vec<i16>,
}

/// An ended event whose last half second has not arrived yet.
#[derive(Debug, Clone, Copy)]
struct PendingClip {
    number: u64,
    onset: u64,
    offset: u64,
}

/// The last 45 s of one stream.
#[derive(Debug)]
pub(crate) struct RecentAudio {
    keep: RecentAudioConfig,
    /// Number of the frame after the last.
    next: u64,
    /// Consecutive frames, the last of them `next - 1`.
    count: usize,
    bands: VecDeque<[f32; BANDS]>,
    hops: VecDeque<[i16; HOP]>,
    due: VecDeque<PendingClip>,
}

impl RecentAudio {
    pub(crate) fn new(keep: RecentAudioConfig) -> Self {
        Self { keep, next: 0, count: 0, bands: VecDeque::new(), hops: VecDeque::new(), due: VecDeque::new() }
    }

    /// Appends frame `index`. A frame that does not follow the last one restarts the buffer.
    pub(crate) fn push(&mut self, index: u64, bands: &[f32], hop: &[f32; HOP]) {
        if index != self.next {
            self.forget();
        }
        if self.count >= REMEMBERED {
            self.bands.pop_front();
            self.hops.pop_front();
            self.count -= 1;
        }
        if self.keep.bands {
            let mut row = [0.0; BANDS];
            row.iter_mut().zip(bands).for_each(|(to, from)| *to = *from);
            self.bands.push_back(row);
        }
        if self.keep.samples {
            self.hops.push_back(hop.map(to_i16));
        }
        self.count += 1;
        self.next = index + 1;
    }

    /// Records an ended event.
    pub(crate) fn record(&mut self, finding: &Finding) {
        if finding.phase == Phase::End {
            let onset = finding.onset_sample;
            let offset = finding.offset_sample.unwrap_or_else(|| seconds_to_samples(finding.emitted_s));
            self.due.push_back(PendingClip { number: finding.number, onset, offset: offset.max(onset) });
        }
    }

    /// The next recorded event whose sound is complete, or as complete as it will be if nothing `follows`.
    pub(crate) fn cut(&mut self, follows: bool) -> Option<Clip> {
        let received = self.next * HOP as u64;
        let due = *self.due.front().filter(|due| !follows || due.offset + POST_ROLL <= received)?;
        self.due.pop_front();
        Some(self.excerpt(due))
    }

    /// The last seconds of sound.
    pub(crate) fn last(&self, seconds: u32) -> Clip {
        let offset = self.next * HOP as u64;
        let onset = offset.saturating_sub(seconds_to_samples(f64::from(seconds)));
        let pre_roll = seconds_to_samples(self.keep.pre_roll_s);
        self.excerpt(PendingClip { number: u64::MAX, onset: (onset + pre_roll).min(offset), offset })
    }

    /// Discards all sound, since a gap follows.
    pub(crate) fn forget(&mut self) {
        self.count = 0;
        self.bands.clear();
        self.hops.clear();
    }

    fn excerpt(&self, due: PendingClip) -> Clip {
        let hop = HOP as u64;
        let oldest = self.next - self.count as u64;
        let mut from = due.onset.saturating_sub(seconds_to_samples(self.keep.pre_roll_s)) / hop;
        let mut to = (due.offset + POST_ROLL).div_ceil(hop).min(self.next);
        // of a long event the beginning, or the kept part of its end
        if from >= oldest {
            to = to.min(from + LONGEST);
        } else {
            from = oldest.max(to.saturating_sub(LONGEST)).min(to);
        }
        let (skip, take) = (from.saturating_sub(oldest) as usize, to.saturating_sub(from) as usize);
        let after = |sample: u64| (sample / hop) as i64 - from as i64;
        Clip {
            number: due.number,
            onset: after(due.onset),
            offset: after(due.offset),
            bands: self.bands.iter().skip(skip).take(take).copied().collect(),
            samples: self.hops.iter().skip(skip).take(take).flatten().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;

    const KEEP: RecentAudioConfig = RecentAudioConfig { bands: true, samples: true, pre_roll_s: 1.0 };

    /// Frames of a stream whose bands and samples tell their number.
    fn hear(recent: &mut RecentAudio, frames: std::ops::Range<u64>) {
        for index in frames {
            let value = (index % 10_000) as f32;
            recent.push(index, &[value; BANDS], &[value / f32::from(i16::MAX); HOP]);
        }
    }

    fn over(number: u64, onset: u64, offset: u64) -> Finding {
        let hop = HOP as u64;
        Finding {
            phase: Phase::End,
            onset_sample: onset * hop,
            offset_sample: Some(offset * hop),
            ..samples::finding(number)
        }
    }

    /// First and last frame of the excerpt; the two kinds of content agree.
    fn range(excerpt: &Clip) -> (u64, u64) {
        let number = |row: Option<&[f32; BANDS]>| row.unwrap()[0] as u64;
        assert_eq!(excerpt.samples.len(), excerpt.bands.len() * HOP);
        let (first, last) = (number(excerpt.bands.first()), number(excerpt.bands.last()));
        assert_eq!(excerpt.samples.first().map(|&x| x as u64), Some(first));
        assert_eq!(excerpt.samples.last().map(|&x| x as u64), Some(last));
        (first, last)
    }

    #[test]
    fn an_event_is_cut_once_half_a_second_has_followed_it() {
        let mut recent = RecentAudio::new(KEEP);
        hear(&mut recent, 0..540);
        recent.record(&Finding { phase: Phase::New, ..over(3, 300, 500) });
        recent.record(&over(3, 300, 500));
        assert_eq!(recent.cut(true), None);
        hear(&mut recent, 540..549);
        assert_eq!(recent.cut(true), None);
        hear(&mut recent, 549..600);
        let excerpt = recent.cut(true).unwrap();
        assert_eq!(range(&excerpt), (200, 549));
        assert_eq!((excerpt.number, excerpt.onset, excerpt.offset), (3, 100, 300));
        assert_eq!(recent.cut(true), None);
    }

    #[test]
    fn clips_end_at_gaps_and_at_the_end() {
        let mut recent = RecentAudio::new(KEEP);
        hear(&mut recent, 0..100);
        recent.forget();
        hear(&mut recent, 150..320);
        recent.record(&over(0, 200, 310));
        assert_eq!(recent.cut(true), None);
        let excerpt = recent.cut(false).unwrap();
        assert_eq!((range(&excerpt), excerpt.onset), ((150, 319), 50));
        // a jump in the numbers is a gap, too
        hear(&mut recent, 400..410);
        recent.record(&over(1, 402, 408));
        assert_eq!(range(&recent.cut(false).unwrap()), (400, 409));
        recent.forget();
        recent.record(&over(2, 402, 408));
        assert_eq!(recent.cut(false).unwrap().bands, [[0.0; BANDS]; 0]);
    }

    #[test]
    fn long_events_keep_their_beginning_or_what_is_left_of_their_end() {
        let mut recent = RecentAudio::new(KEEP);
        hear(&mut recent, 0..4_600);
        recent.record(&over(0, 400, 4_000));
        let excerpt = recent.cut(true).unwrap();
        assert_eq!((range(&excerpt), excerpt.onset, excerpt.offset), ((300, 3_499), 100, 3_700));
        recent.record(&over(1, 150, 4_500));
        let excerpt = recent.cut(true).unwrap();
        assert_eq!((range(&excerpt), excerpt.onset, excerpt.offset), ((1_350, 4_549), -1_200, 3_150));
    }

    #[test]
    fn no_more_is_remembered_than_asked_for() {
        let mut recent = RecentAudio::new(RecentAudioConfig { samples: false, ..KEEP });
        hear(&mut recent, 0..9_000);
        assert_eq!((recent.bands.len(), recent.hops.len(), recent.count), (REMEMBERED, 0, REMEMBERED));
        let mut recent = RecentAudio::new(RecentAudioConfig { bands: false, ..KEEP });
        hear(&mut recent, 0..9_000);
        assert_eq!((recent.bands.len(), recent.hops.len()), (0, REMEMBERED));
        recent.record(&over(0, 8_000, 8_100));
        let excerpt = recent.cut(true).unwrap();
        assert_eq!((excerpt.bands.len(), excerpt.samples.len()), (0, 250 * HOP));
    }
}
