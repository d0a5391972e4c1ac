//! Streams through detectors.

use std::collections::BTreeMap;
use std::time::Instant;

use super::alarms_of_scores::alarms_of;
use super::estimate::Resampler;
use super::outcome::{Alarm, Outcome};
use super::summary::{DetectionReport, FamilyStreams, StreamAlarms, Summary};
use crate::corpus::rare::{Family, SceneRecipe, Stream, StreamPlan};
use crate::detect::DetectConfig;
use crate::error::Result;
use crate::eval::baselines::{Baseline, ROW, StreamFeatures};
use crate::units::{samples_to_seconds, seconds_to_frames};

/// The output of a detector on a stream.
#[derive(Debug, Clone)]
pub struct DetectorOutput {
    /// A score for each row of [`ROW`] frames.
    pub rows: Vec<f64>,
    /// Alarms at each budget.
    pub alarms: Vec<(f64, Vec<Alarm>)>,
}

/// A detector that is measured.
pub trait DetectorUnderTest {
    /// Its name.
    fn name(&self) -> String;

    /// Scores and alarms of a stream, at each budget of `options`.
    ///
    /// # Errors
    /// When it fails.
    fn run(&mut self, stream: &Stream, sound: &StreamFeatures, options: &Options) -> Result<DetectorOutput>;
}

/// How detectors are measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// How events are made of scores.
    pub detect: DetectConfig,
    /// Budgets, events an hour.
    pub budgets: Vec<f64>,
    /// How intervals are made.
    pub resampler: Resampler,
}

impl DetectorUnderTest for Box<dyn Baseline> {
    fn name(&self) -> String {
        self.as_ref().name().to_owned()
    }

    fn run(&mut self, stream: &Stream, sound: &StreamFeatures, options: &Options) -> Result<DetectorOutput> {
        let quiet = seconds_to_frames(stream.quiet_s) / ROW;
        let rows = self.scores(sound, quiet)?;
        let alarms = options.budgets.iter().map(|&budget| {
            let detect = DetectConfig { events_per_hour: budget, ..options.detect.clone() };
            let found = alarms_of(&rows, quiet, ROW, &detect)?;
            let alarm = |(onset_s, emitted_s)| Alarm { onset_s, emitted_s };
            Ok((budget, found.into_iter().map(alarm).collect()))
        });
        let alarms = alarms.collect::<Result<_>>()?;
        Ok(DetectorOutput { rows, alarms })
    }
}

/// Called with a stream and the output of each detector.
pub type Keep<'a> = dyn FnMut(&Stream, &[(String, DetectorOutput)]) -> Result<()> + 'a;

/// Measures every detector on every stream, one after the other; the others are compared with the first. `progress` is
/// called with the name of the phase, the work done and the whole work, `keep` with each stream and the output of every
/// detector.
///
/// # Errors
/// When a detector or `keep` fails.
pub fn measure(
    recipe: &SceneRecipe,
    plans: &[StreamPlan<'_>],
    tested: &mut [Box<dyn DetectorUnderTest>],
    options: &Options,
    progress: &mut dyn FnMut(&str, usize, usize),
    keep: &mut Keep<'_>,
) -> Result<(DetectionReport, Vec<Vec<Outcome>>)> {
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); tested.len()];
    let mut seconds = vec![0.0; tested.len()];
    let mut families: BTreeMap<Family, FamilyStreams> = BTreeMap::new();
    let in_all = plans.len() * tested.len();
    let mut by_stream = Vec::with_capacity(plans.len());
    for (done, plan) in plans.iter().enumerate() {
        let stream = plan.stream();
        count(&mut families, &stream);
        let sound = StreamFeatures::of(&stream.samples)?;
        let mut all = Vec::with_capacity(tested.len());
        let each = tested.iter_mut().zip(&mut outcomes).zip(&mut seconds).enumerate();
        for (number, ((detector, outcomes), seconds)) in each {
            let name = detector.name();
            progress(&format!("{}: {name}", stream.name), done * in_all / plans.len() + number, in_all);
            let started = Instant::now();
            let judged = detector.run(&stream, &sound, options)?;
            *seconds += started.elapsed().as_secs_f64();
            outcomes.push(Outcome::of(&stream, &judged.rows, &judged.alarms));
            all.push((name, judged));
        }
        let first = outcomes.first().and_then(|own| own.last()?.verdicts.first());
        by_stream.extend(first.map(|result| StreamAlarms::of(&stream, result)));
        keep(&stream, &all)?;
    }
    let hours: f64 = families.values().map(|f| f.hours).sum();
    let (mut detectors, mut first) = (Vec::new(), None);
    for ((detector, own), seconds) in tested.iter().zip(&outcomes).zip(seconds) {
        progress("intervals", detectors.len(), tested.len());
        let (summary, estimates) = Summary::of(&detector.name(), own, first.as_ref(), options.resampler);
        detectors.push(Summary { seconds_per_hour: seconds / hours, ..summary });
        first.get_or_insert(estimates);
    }
    let streams = families.into_values().collect();
    Ok((DetectionReport { recipe: recipe.clone(), streams, by_stream, detectors }, outcomes))
}

fn count(families: &mut BTreeMap<Family, FamilyStreams>, stream: &Stream) {
    let hours = samples_to_seconds(stream.samples.len() as u64) / 3600.0;
    let own = families.entry(stream.family).or_insert(FamilyStreams {
        family: stream.family,
        streams: 0,
        anomalies: 0,
        hours: 0.0,
        repeated_hours: 0.0,
    });
    own.streams += 1;
    own.anomalies += stream.events.len();
    own.hours += hours;
    own.repeated_hours += stream.repeated_s / 3600.0;
}
