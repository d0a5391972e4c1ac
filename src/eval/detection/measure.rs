//! Streams through detectors.

use std::collections::BTreeMap;
use std::time::Instant;

use super::estimate::Resampler;
use super::outcome::{Alarm, Outcome};
use super::summary::{FamilyStreams, Report, Summary};
use crate::corpus::rare::{Family, Recipe, Stream, StreamPlan};
use crate::detect::{DetectConfig, alarms_of};
use crate::error::Result;
use crate::eval::rivals::{ROW, Rival, Sound};
use crate::units::{samples_to_seconds, seconds_to_frames};

/// What a detector made of a stream.
#[derive(Debug, Clone)]
pub struct Judged {
    /// A score for each row of [`ROW`] frames.
    pub rows: Vec<f64>,
    /// Alarms at each budget.
    pub alarms: Vec<(f64, Vec<Alarm>)>,
}

/// Something that takes part.
pub trait Contender {
    /// What it is called.
    fn name(&self) -> String;

    /// Scores and alarms of a stream, at each budget of `options`.
    ///
    /// # Errors
    /// When it fails.
    fn judge(&mut self, stream: &Stream, sound: &Sound, options: &Options) -> Result<Judged>;
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

impl Contender for Box<dyn Rival> {
    fn name(&self) -> String {
        self.as_ref().name().to_owned()
    }

    fn judge(&mut self, stream: &Stream, sound: &Sound, options: &Options) -> Result<Judged> {
        let quiet = seconds_to_frames(stream.quiet_s) / ROW;
        let rows = self.scores(sound, quiet)?;
        let alarms = options.budgets.iter().map(|&budget| {
            let detect = DetectConfig { events_per_hour: budget, ..options.detect.clone() };
            let found = alarms_of(&rows, quiet, ROW, &detect)?;
            let alarm = |(onset_s, emitted_s)| Alarm { onset_s, emitted_s };
            Ok((budget, found.into_iter().map(alarm).collect()))
        });
        let alarms = alarms.collect::<Result<_>>()?;
        Ok(Judged { rows, alarms })
    }
}

/// Takes a stream and what each detector makes of it.
pub type Keep<'a> = dyn FnMut(&Stream, &[(String, Judged)]) -> Result<()> + 'a;

/// Measures every contender on every stream, one after the other; the first contender is the one that the others are
/// compared with. `progress` is called with what is done now, how much is done and how much there is, `keep` with each
/// stream and what every contender made of it.
///
/// # Errors
/// When a contender or `keep` fails.
pub fn measure(
    recipe: &Recipe,
    plans: &[StreamPlan<'_>],
    contenders: &mut [Box<dyn Contender>],
    options: &Options,
    progress: &mut dyn FnMut(&str, usize, usize),
    keep: &mut Keep<'_>,
) -> Result<(Report, Vec<Vec<Outcome>>)> {
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); contenders.len()];
    let mut seconds = vec![0.0; contenders.len()];
    let mut families: BTreeMap<Family, FamilyStreams> = BTreeMap::new();
    let in_all = plans.len() * contenders.len();
    for (done, plan) in plans.iter().enumerate() {
        let stream = plan.stream();
        count(&mut families, &stream);
        let sound = Sound::of(&stream.samples)?;
        let mut all = Vec::with_capacity(contenders.len());
        let each = contenders.iter_mut().zip(&mut outcomes).zip(&mut seconds).enumerate();
        for (number, ((contender, outcomes), seconds)) in each {
            let name = contender.name();
            progress(&format!("{}: {name}", stream.name), done * in_all / plans.len() + number, in_all);
            let started = Instant::now();
            let judged = contender.judge(&stream, &sound, options)?;
            *seconds += started.elapsed().as_secs_f64();
            outcomes.push(Outcome::of(&stream, &judged.rows, &judged.alarms));
            all.push((name, judged));
        }
        keep(&stream, &all)?;
    }
    let hours: f64 = families.values().map(|f| f.hours).sum();
    let (mut detectors, mut first) = (Vec::new(), None);
    for ((contender, own), seconds) in contenders.iter().zip(&outcomes).zip(seconds) {
        progress("intervals", detectors.len(), contenders.len());
        let (summary, estimates) = Summary::of(&contender.name(), own, first.as_ref(), options.resampler);
        detectors.push(Summary { seconds_per_hour: seconds / hours, ..summary });
        first.get_or_insert(estimates);
    }
    let streams = families.into_values().collect();
    Ok((Report { recipe: recipe.clone(), streams, detectors }, outcomes))
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
