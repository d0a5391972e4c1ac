//! Knows the sound of an event again by the examples of labels.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, TryLockError};

use super::label_example::LabelExample;
use crate::event::{Event, Phase};

/// Labels in a form that is fast to compare with. It does not change, but for the counts.
#[derive(Debug, Default)]
pub(super) struct Recogniser {
    labels: Vec<Known>,
}

/// A label by the examples of one model.
#[derive(Debug)]
struct Known {
    label: String,
    model: String,
    heard: Arc<AtomicU64>,
    /// Mean of the directions of its examples, of length 1.
    direction: Vec<f32>,
}

impl Recogniser {
    pub(super) fn new(examples: impl Iterator<Item = (LabelExample, Arc<AtomicU64>)>) -> Self {
        let mut labels: Vec<Known> = Vec::new();
        for (LabelExample { label, model, embedding, .. }, heard) in examples {
            let direction = direction(&embedding);
            let same = |known: &&mut Known| {
                known.label == label && known.model == model && known.direction.len() == direction.len()
            };
            match labels.iter_mut().find(same) {
                Some(known) => known.direction.iter_mut().zip(direction).for_each(|(sum, x)| *sum += x),
                None => labels.push(Known { label, model, heard, direction }),
            }
        }
        labels.iter_mut().for_each(|known| shorten(&mut known.direction));
        Self { labels }
    }

    /// The label that is most alike, and the cosine.
    fn find(&self, model: &str, embedding: &[i8]) -> Option<(&Known, f64)> {
        let wanted = direction(embedding);
        let alike = |known: &&Known| known.model == model && known.direction.len() == wanted.len();
        let cosine = |known: &Known| -> f64 {
            known.direction.iter().zip(&wanted).map(|(a, b)| f64::from(a * b)).sum()
        };
        let found = self.labels.iter().filter(alike).map(|known| (known, cosine(known)));
        found.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

pub(super) fn direction(embedding: &[i8]) -> Vec<f32> {
    let mut direction: Vec<f32> = embedding.iter().map(|&x| f32::from(x)).collect();
    shorten(&mut direction);
    direction
}

/// To length 1.
fn shorten(direction: &mut [f32]) {
    let length = direction.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
    direction.iter_mut().for_each(|x| *x /= length);
}

/// The recogniser in force, which the thread `events` replaces.
pub(super) type InForce = Arc<Mutex<Arc<Recogniser>>>;

/// A reader that never waits: where the recogniser is being replaced, it uses the one before.
#[derive(Debug, Clone)]
pub(super) struct LabelReader {
    in_force: InForce,
    last: Arc<Recogniser>,
    /// Cosine from which an event has a label.
    least: f64,
}

impl LabelReader {
    pub(super) fn new(in_force: InForce, least: f64) -> Self {
        Self { in_force, last: Arc::default(), least }
    }

    /// Gives an event that is over the label that it is like; one that is like none gets none.
    pub(super) fn label(&mut self, event: &mut Event) {
        match self.in_force.try_lock() {
            Ok(now) => self.last = Arc::clone(&now),
            Err(TryLockError::Poisoned(now)) => self.last = Arc::clone(&now.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
        let Some(embedding) = event.finding.embedding.as_ref().filter(|_| event.finding.phase == Phase::End)
        else {
            return;
        };
        let found = self.last.find(&event.model, embedding).filter(|(_, cosine)| *cosine >= self.least);
        if let Some((known, cosine)) = found {
            event.label = Some(known.label.clone());
            event.similarity = Some((cosine * 1e3).round() / 1e3);
            event.heard = u32::try_from(known.heard.fetch_add(1, Relaxed) + 1).unwrap_or(u32::MAX);
        }
    }
}
