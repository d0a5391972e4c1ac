//! Streams through detectors.

use std::time::Instant;

use super::bootstrap::Resampler;
use super::outcome::{Alarm, Outcome};
use super::summary::{Report, Summary};
use crate::corpus::rare::{Recipe, Stream};
use crate::detect::{DetectConfig, alarms_of};
use crate::error::Result;
use crate::eval::rivals::{ROW, Rival, Sound};
use crate::units::seconds_to_frames;

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

/// Measures every contender on every stream; the first is the one that the others are compared with. `watch` is called
/// with what is done now, how much is done and how much there is, and with each stream's scores.
///
/// # Errors
/// When a contender fails.
pub fn measure(
    recipe: &Recipe,
    streams: &[Stream],
    contenders: &mut [Box<dyn Contender>],
    options: &Options,
    progress: &mut dyn FnMut(&str, usize, usize),
    keep: &mut dyn FnMut(&Stream, &str, &Judged),
) -> Result<(Report, Vec<Vec<Outcome>>)> {
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); contenders.len()];
    let mut seconds = vec![0.0; contenders.len()];
    let in_all = streams.len() * contenders.len();
    for (done, stream) in streams.iter().enumerate() {
        let sound = Sound::of(&stream.samples)?;
        let all = contenders.iter_mut().zip(&mut outcomes).zip(&mut seconds).enumerate();
        for (number, ((contender, outcomes), seconds)) in all {
            let name = contender.name();
            progress(&format!("{}: {name}", stream.name), done * in_all / streams.len() + number, in_all);
            let started = Instant::now();
            let judged = contender.judge(stream, &sound, options)?;
            *seconds += started.elapsed().as_secs_f64();
            keep(stream, &name, &judged);
            outcomes.push(Outcome::of(stream, &judged.rows, &judged.alarms));
        }
    }
    let hours = streams.iter().map(|s| s.samples.len() as f64).sum::<f64>() / 16_000.0 / 3600.0;
    let mut detectors = Vec::new();
    for ((contender, own), seconds) in contenders.iter().zip(&outcomes).zip(seconds) {
        progress("intervals", detectors.len(), contenders.len());
        let first = outcomes.first().filter(|_| !detectors.is_empty()).map(Vec::as_slice);
        let summary = Summary::of(&contender.name(), own, first, options.resampler);
        detectors.push(Summary { seconds_per_hour: seconds / hours, ..summary });
    }
    let events = streams.iter().map(|s| s.events.len()).sum();
    Ok((Report { recipe: recipe.clone(), streams: (streams.len(), events, hours), detectors }, outcomes))
}
