//! The windows of each training step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::augment::{Microphone, microphone};
use super::checkpointable_rng::{CheckpointableRng, RngPosition};
use crate::config::Compose;
use crate::corpus::Recording;
use crate::model::WINDOW;
use crate::units::HOP;

/// Samples before a window that its filters process first, so that they do not start in silence.
const RUN_IN: usize = 1024;

/// Position of one row of the batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowCursor {
    recording: usize,
    position: usize,
    gain: f32,
    /// Seed of the microphone, so that it can be made again.
    microphone: u64,
}

/// Settings of the draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    pub(super) lanes: usize,
    pub(super) gain_db: (f32, f32),
    pub(super) microphone_db: f32,
    pub(super) compose: Compose,
    pub(super) compose_windows: usize,
}

/// The windows of one step.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Window after window, [`WINDOW`] samples each.
    pub(super) samples: Vec<f32>,
    /// The recording of each.
    pub(super) recordings: Vec<u32>,
    /// Whether the row went on with another recording.
    pub(super) joined: Vec<bool>,
}

impl Batch {
    /// The window of row `index`.
    pub(super) fn window(&self, index: usize) -> &[f32] {
        self.samples.get(index * WINDOW..(index + 1) * WINDOW).unwrap_or(&[])
    }
}

/// Plays recordings in parallel rows, window after window, so that contexts can be carried over; a row that reaches
/// the end of its recording goes on with another one, at a random place, gain and microphone.
#[derive(Debug)]
pub(super) struct Sampler {
    recordings: Vec<Recording>,
    /// Likelihood of each: the square root of its length, so that long ones come up more often, but not as often.
    weights: Vec<f64>,
    /// Recordings that may share a batch.
    groups: Vec<Vec<usize>>,
    group: usize,
    left: usize,
    lanes: Vec<RowCursor>,
    sampling: Sampling,
    rng: CheckpointableRng,
}

/// Position of a sampler.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SamplerPosition {
    lanes: Vec<RowCursor>,
    group: usize,
    left: usize,
    #[serde(rename = "dice")]
    rng: RngPosition,
}

impl Sampler {
    /// Rows over `recordings`, of which those shorter than a window are never played.
    pub(super) fn new(recordings: Vec<Recording>, sampling: Sampling, seed: u64) -> Self {
        let recordings: Vec<Recording> = recordings.into_iter().filter(|r| r.len() >= WINDOW).collect();
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, recording) in recordings.iter().enumerate() {
            let named = |name: &str| if name.is_empty() { recording.set.clone() } else { name.to_owned() };
            let key = match sampling.compose {
                Compose::Uniform => String::new(),
                Compose::SameSet => recording.set.clone(),
                Compose::SameSpeaker => named(&recording.speaker),
                Compose::SameRecording => recording.id.clone(),
            };
            groups.entry(key).or_default().push(index);
        }
        let mut sampler = Self {
            weights: recordings.iter().map(|r| (r.len() as f64).sqrt()).collect(),
            groups: groups.into_values().collect(),
            group: 0,
            left: 0,
            lanes: vec![
                RowCursor { recording: usize::MAX, position: 0, gain: 1.0, microphone: 0 };
                sampling.lanes
            ],
            recordings,
            sampling,
            rng: CheckpointableRng::new(seed, 1),
        };
        sampler.regroup();
        sampler
    }

    /// Recordings long enough to be played.
    pub(super) fn recordings(&self) -> &[Recording] {
        &self.recordings
    }

    pub(super) fn position(&self) -> SamplerPosition {
        SamplerPosition {
            lanes: self.lanes.clone(),
            group: self.group,
            left: self.left,
            rng: self.rng.position(),
        }
    }

    /// Moves to a position of the same sampler.
    pub(super) fn seek(&mut self, place: SamplerPosition) {
        self.rng = CheckpointableRng::at(&place.rng);
        (self.lanes, self.group, self.left) = (place.lanes, place.group, place.left);
    }

    /// The next window of every row.
    pub(super) fn next_batch(&mut self, batch: &mut Batch) {
        let lanes = self.lanes.len();
        batch.samples.clear();
        batch.recordings.clear();
        batch.joined = vec![false; lanes];
        if self.groups.len() > 1 {
            if self.left == 0 {
                self.regroup();
                batch.joined.fill(true);
            }
            self.left -= 1;
        }
        for index in 0..lanes {
            if !self.read(index, &mut batch.samples) {
                self.move_on(index);
                if let Some(joined) = batch.joined.get_mut(index) {
                    *joined = true;
                }
                self.read(index, &mut batch.samples);
            }
            batch.samples.resize((index + 1) * WINDOW, 0.0);
            batch.recordings.push(self.lanes.get(index).map_or(0, |lane| lane.recording as u32));
        }
    }

    /// A window of any recording but one, through no microphone.
    pub(super) fn foreign(&self, not: u32, rng: &mut CheckpointableRng, window: &mut Vec<f32>) {
        window.clear();
        window.resize(WINDOW, 0.0);
        for _ in 0..8 {
            let index = rng.below(self.recordings.len());
            if index as u32 == not && self.recordings.len() > 1 {
                continue;
            }
            if let Some(recording) = self.recordings.get(index) {
                recording.copy_to(rng.below(recording.len() - WINDOW + 1), 1.0, window);
            }
            return;
        }
    }

    /// Appends the next window of a row; false at the end of its recording.
    fn read(&mut self, index: usize, samples: &mut Vec<f32>) -> bool {
        let Some(lane) = self.lanes.get_mut(index) else { return false };
        let Some(recording) = self.recordings.get(lane.recording) else { return false };
        let run_in = lane.position.min(RUN_IN);
        let mut window = vec![0.0; run_in + WINDOW];
        if !recording.copy_to(lane.position - run_in, lane.gain, &mut window) {
            return false;
        }
        lane.position += WINDOW;
        let microphone: Option<Microphone> =
            microphone(&mut CheckpointableRng::new(lane.microphone, 2), self.sampling.microphone_db);
        for filter in microphone.iter().flatten() {
            filter.run(&mut window);
        }
        samples.extend(window.iter().skip(run_in).map(|x| x.clamp(-1.0, 1.0)));
        true
    }

    /// Begins a batch of recordings that have something in common.
    fn regroup(&mut self) {
        let weight = |group: &Vec<usize>| group.iter().filter_map(|&i| self.weights.get(i)).sum();
        let weights: Vec<f64> = self.groups.iter().map(weight).collect();
        self.group = self.rng.weighted(&weights).unwrap_or(0);
        self.left = self.sampling.compose_windows;
        for index in 0..self.lanes.len() {
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.recording = usize::MAX;
            }
        }
        for index in 0..self.lanes.len() {
            self.move_on(index);
        }
    }

    /// Puts the row on a recording that no other row plays, if there is one: the windows of a batch are one
    /// another's negatives.
    fn move_on(&mut self, index: usize) {
        let Some(group) = self.groups.get(self.group) else { return };
        let weights: Vec<f64> = group.iter().filter_map(|&i| self.weights.get(i).copied()).collect();
        let mut choice = 0;
        for _ in 0..8 {
            choice = self.rng.weighted(&weights).and_then(|i| group.get(i).copied()).unwrap_or(0);
            let taken = self.lanes.iter().enumerate().any(|(i, lane)| i != index && lane.recording == choice);
            if !taken {
                break;
            }
        }
        let Some(recording) = self.recordings.get(choice) else { return };
        let position = self.rng.below(recording.len() - WINDOW + 1) / HOP * HOP;
        let gain = 10f32.powf(self.rng.between(self.sampling.gain_db) / 20.0);
        let microphone = self.rng.below(1 << 32) as u64;
        if let Some(lane) = self.lanes.get_mut(index) {
            *lane = RowCursor { recording: choice, position, gain, microphone };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sampler(compose: Compose, seed: u64) -> Sampler {
        let make = |i: usize| {
            let mut r = Recording::new(format!("{i}"));
            (r.set, r.speaker) = (format!("set {}", i % 3), format!("speaker {}", i % 5));
            r.push_clip(&vec![0.01 * (i + 1) as f32; WINDOW * (1 + i % 4) + 77]);
            r
        };
        let sampling =
            Sampling { lanes: 4, gain_db: (0.0, 0.0), microphone_db: 0.0, compose, compose_windows: 3 };
        Sampler::new((0..20).map(make).collect(), sampling, seed)
    }

    fn batches(sampler: &mut Sampler, count: usize) -> Vec<Batch> {
        (0..count)
            .map(|_| {
                let mut batch = Batch::default();
                sampler.next_batch(&mut batch);
                batch
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn batches_have_in_common_what_was_asked(seed: u64) {
            let common = |compose: Compose, of: fn(&Recording) -> String| {
                let mut sampler = sampler(compose, seed);
                let found = batches(&mut sampler, 12);
                found.iter().all(|b| {
                    let names: std::collections::BTreeSet<String> =
                        b.recordings.iter().map(|&r| of(&sampler.recordings()[r as usize])).collect();
                    names.len() == 1
                })
            };
            prop_assert!(common(Compose::SameSet, |r| r.set.clone()));
            prop_assert!(common(Compose::SameSpeaker, |r| r.speaker.clone()));
            prop_assert!(common(Compose::SameRecording, |r| r.id.clone()));
            prop_assert!(common(Compose::Uniform, |_| String::new()));
        }

        #[test]
        fn from_a_place_the_same_windows_follow(seed: u64, before in 0usize..9) {
            for compose in [Compose::Uniform, Compose::SameSpeaker] {
                let mut first = sampler(compose, seed);
                batches(&mut first, before);
                let place = serde_json::to_string(&first.position()).unwrap();
                let mut second = sampler(compose, seed ^ 1);
                second.seek(serde_json::from_str(&place).unwrap());
                for (a, b) in batches(&mut first, 6).into_iter().zip(batches(&mut second, 6)) {
                    prop_assert_eq!(a.samples, b.samples);
                    prop_assert_eq!(a.joined, b.joined);
                }
            }
        }
    }

    #[test]
    fn windows_of_a_row_follow_one_another() {
        let mut sampler = sampler(Compose::Uniform, 7);
        let mut last: Option<Batch> = None;
        for batch in batches(&mut sampler, 30) {
            if let Some(last) = last {
                for lane in 0..4 {
                    assert!(batch.joined[lane] || batch.recordings[lane] == last.recordings[lane]);
                }
            }
            assert_eq!(batch.samples.len(), 4 * WINDOW);
            last = Some(batch);
        }
    }
}
