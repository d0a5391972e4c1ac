//! Streams from material.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::background::{Background, Material};
use super::cut::LEVEL_DBFS;
use super::family::{ControlKind, Family};
use super::playback::Playback;
use super::recipe::{Control, Planted, SceneRecipe};
use super::rhythm::Rhythm;
use super::{controls, faults, foreign, machine};
use crate::units::{samples_to_seconds, seconds_to_samples};

/// A machine that can stop is this much louder than the ambience behind it, dB.
const OVER_AMBIENCE_DB: (f32, f32) = (12.0, 25.0);

/// A calibration without repeats that is shorter says nothing of a detector, seconds.
const LEAST_QUIET_S: f64 = 20.0;

/// A stream and the truth about it.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Family, background and number.
    pub name: String,
    /// Its family.
    pub family: Family,
    /// Name of the background.
    pub background: String,
    /// The collection that the background is from.
    pub collection: String,
    /// Description of the machine with a beat over the background, if there is one.
    pub detail: String,
    /// Mono samples at 16 kHz in [-1, 1].
    pub samples: Vec<f32>,
    /// Seconds without anomalies at the start.
    pub quiet_s: f64,
    /// Seconds of the quiet part that are not played again from a recording that is too short for it. Clips are joined at random, so
    /// that theirs is the quiet part.
    pub learnt_s: f64,
    /// Seconds of the background that were played before in the stream.
    pub repeated_s: f64,
    /// Anomalies, in order of time.
    pub events: Vec<Planted>,
    /// Controls: joins, then the others in order of time.
    pub controls: Vec<Control>,
}

/// The parts of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Foreign,
    Rhythm,
    Stop,
    Fault,
    State,
    Benign,
}

/// A stream before it is made.
#[derive(Debug, Clone, Copy)]
pub struct StreamPlan<'a> {
    recipe: &'a SceneRecipe,
    material: &'a Material,
    background: &'a Background,
    family: Family,
    scene: Scene,
    take: usize,
    number: usize,
}

impl SceneRecipe {
    /// The streams of `material`, family after family.
    #[must_use]
    pub fn plans<'a>(&'a self, material: &'a Material) -> Vec<StreamPlan<'a>> {
        let mut all = Vec::new();
        for &family in &self.families {
            let scenes: Vec<(Scene, &Background)> = match family {
                Family::Foreign if material.foreign.is_empty() => Vec::new(),
                Family::Foreign => material.backgrounds.iter().map(|b| (Scene::Foreign, b)).collect(),
                Family::Context => {
                    let rhythms = material.backgrounds.iter().filter(|_| !material.strokes.is_empty());
                    let stops = material.machines().into_iter().map(|b| (Scene::Stop, b));
                    rhythms.map(|b| (Scene::Rhythm, b)).chain(stops).collect()
                }
                Family::Faults => {
                    let states = material.states.iter().filter(|_| material.states.len() > 1);
                    let machines = material.machines().into_iter().map(|b| (Scene::Fault, b));
                    machines.chain(states.map(|b| (Scene::State, b))).collect()
                }
                // machines first: a gain step is hardest to tell from an event while one runs
                Family::Benign => {
                    let (machines, others): (Vec<_>, Vec<_>) =
                        material.backgrounds.iter().partition(|b| b.machine);
                    machines.into_iter().chain(others).map(|b| (Scene::Benign, b)).collect()
                }
            };
            let enough = |b: &Background| self.repeat_quiet || self.unrepeated_s(b) >= LEAST_QUIET_S;
            let scenes: Vec<_> = scenes.into_iter().filter(|(_, background)| enough(background)).collect();
            let takes = scenes.iter().flat_map(|s| (0..self.takes).map(move |take| (s, take)));
            let plans: Vec<StreamPlan<'a>> = takes
                .enumerate()
                .map(|(number, (&(scene, background), take))| StreamPlan {
                    recipe: self,
                    material,
                    background,
                    family,
                    scene,
                    take,
                    number,
                })
                .collect();
            let most = self.most_streams.unwrap_or(plans.len()).min(plans.len());
            all.extend((0..most).filter_map(|i| plans.get(i * plans.len() / most)).copied());
        }
        all
    }

    /// Seconds of a quiet part without repeats over a background.
    fn unrepeated_s(&self, background: &Background) -> f64 {
        let [quiet, tested] =
            [self.quiet_s, self.seconds - self.quiet_s].map(|s| seconds_to_samples(s) as usize);
        samples_to_seconds(background.unrepeated(quiet, tested) as u64).floor()
    }

    /// The settings of a stream over a background: the part after the quiet one is as long as ever.
    fn over(&self, background: &Background) -> Self {
        if self.repeat_quiet {
            return self.clone();
        }
        let quiet_s = self.unrepeated_s(background);
        Self { quiet_s, seconds: self.seconds - self.quiet_s + quiet_s, ..self.clone() }
    }

    /// All streams of `material` at once; [`SceneRecipe::plans`] gives them one by one.
    #[must_use]
    pub fn streams(&self, material: &Material) -> Vec<Stream> {
        self.plans(material).iter().map(StreamPlan::stream).collect()
    }
}

impl StreamPlan<'_> {
    /// Its family.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        let scene = match self.scene {
            Scene::Rhythm => " rhythm",
            Scene::Stop => " stop",
            _ => "",
        };
        format!("{}{scene} {} {}", self.family, self.background.name, self.take + 1)
    }

    /// Makes the stream. The same plan gives the same samples.
    #[must_use]
    pub fn stream(&self) -> Stream {
        let recipe = &self.recipe.over(self.background);
        let seed = recipe.seed.wrapping_mul(1_000_003).wrapping_add(self.number as u64);
        let seed = seed ^ (self.family as u64) << 56;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (quiet, length) =
            (seconds_to_samples(recipe.quiet_s) as usize, seconds_to_samples(recipe.seconds) as usize);
        let Playback { mut samples, joins, repeated_s, .. } =
            self.background.play(&mut rng, quiet, length, self.take % 2 == 1);
        let (event_slots, control_slots) = self.slots(recipe, &mut rng);
        let kinds = self.control_kinds();
        let mut controls = controls::plan(&mut rng, &control_slots, &kinds, recipe.seconds, recipe.slot_s);
        if let Some(second) = &self.background.second {
            for control in controls.iter_mut().filter(|c| c.kind == ControlKind::SecondClip) {
                controls::replace(&mut rng, &mut samples, second, control);
            }
        }
        let mut detail = String::new();
        let foreign = &self.material.foreign;
        let events = match self.scene {
            Scene::Foreign => foreign::plant_all(&mut rng, recipe, &mut samples, foreign, &event_slots),
            Scene::Rhythm => {
                let (events, words) = self.rhythm(&mut rng, &mut samples, &event_slots);
                detail = words;
                events
            }
            Scene::Stop => {
                let events = machine::stop(&mut rng, &mut samples, &event_slots);
                self.add_ambience(recipe.quiet_s, &mut rng, &mut samples);
                events
            }
            Scene::Fault => faults::plant_all(
                &mut rng,
                recipe,
                &mut samples,
                &event_slots,
                self.number * event_slots.len(),
            ),
            Scene::State => {
                let states = &self.material.states;
                machine::change_state(&mut rng, &mut samples, self.background, states, &event_slots)
            }
            Scene::Benign => Vec::new(),
        };
        foreign::contaminate(recipe, &mut samples, foreign, seed);
        controls::microphone(&mut rng, &mut samples, &controls, recipe.gain_step_db);
        Stream {
            name: self.name(),
            family: self.family,
            background: self.background.name.clone(),
            detail,
            collection: self.background.collection.clone(),
            samples,
            quiet_s: recipe.quiet_s,
            learnt_s: recipe.unrepeated_s(self.background),
            repeated_s,
            events,
            controls: joins.into_iter().chain(controls).collect(),
        }
    }

    /// Times of anomalies and of controls: slots in turn; a benign stream has controls alone.
    fn slots(&self, recipe: &SceneRecipe, rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>) {
        let count = ((recipe.seconds - recipe.quiet_s) / recipe.slot_s) as usize;
        let start = |slot: usize| recipe.quiet_s + slot as f64 * recipe.slot_s;
        let (mut events, mut controls) = (Vec::new(), Vec::new());
        // longer anomalies begin earlier
        let latest = if self.scene == Scene::Foreign { 0.7 } else { 0.3 };
        for slot in 0..count {
            if slot % 2 == 1 || self.scene == Scene::Benign {
                controls.push(start(slot) + rng.random_range(0.1..0.3) * recipe.slot_s);
            } else {
                events.push(start(slot) + rng.random_range(0.1..latest) * recipe.slot_s);
            }
        }
        (events, controls)
    }

    fn control_kinds(&self) -> Vec<ControlKind> {
        let mut kinds = vec![ControlKind::GainStep];
        kinds.extend(self.background.second.as_ref().map(|_| ControlKind::SecondClip));
        kinds.push(ControlKind::Swell);
        // these change what is normal for the rest of the stream
        if self.scene == Scene::Benign {
            kinds.extend([ControlKind::MicrophoneColour, ControlKind::Weather]);
        }
        kinds
    }

    fn rhythm(&self, rng: &mut ChaCha8Rng, samples: &mut [f32], at_s: &[f64]) -> (Vec<Planted>, String) {
        let Some(rhythm) = Rhythm::new(rng, &self.material.strokes) else {
            return (Vec::new(), String::new());
        };
        let ratios = &self.recipe.beat_ratios_db;
        let ratio_db = ratios[self.number % ratios.len()];
        let kinds = rhythm.kinds();
        let kind = |i: usize| kinds[(self.number * at_s.len() + i) % kinds.len()];
        let wanted: Vec<_> = at_s.iter().enumerate().map(|(i, &at_s)| (at_s, kind(i))).collect();
        (rhythm.play(rng, samples, ratio_db, &wanted), format!("{} at {ratio_db:+.0} dB", rhythm.describe()))
    }

    /// Adds an ambience that continues while the machine stands still.
    fn add_ambience(&self, quiet_s: f64, rng: &mut ChaCha8Rng, samples: &mut [f32]) {
        let others: Vec<&Background> = self.material.backgrounds.iter().filter(|b| !b.machine).collect();
        let gain = 10f32.powf(-rng.random_range(OVER_AMBIENCE_DB.0..OVER_AMBIENCE_DB.1) / 20.0);
        if let Some(ambience) = others.get(rng.random_range(0..others.len().max(1))) {
            let quiet = seconds_to_samples(quiet_s) as usize;
            let playback = ambience.play(rng, quiet, samples.len(), false);
            samples.iter_mut().zip(&playback.samples).for_each(|(to, from)| *to += gain * from);
        } else {
            // no ambience at hand: the noise of a microphone
            let peak = gain * 10f32.powf(LEVEL_DBFS / 20.0) * 3f32.sqrt();
            samples.iter_mut().for_each(|x| *x += rng.random_range(-peak..peak));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::rare::AnomalyKind;

    fn streams(seed: u64) -> Vec<Stream> {
        SceneRecipe { seed, ..SceneRecipe::slice() }.streams(&Material::synthetic(1))
    }

    #[test]
    fn the_same_seed_gives_the_same_streams() {
        let (a, b, c) = (streams(1), streams(1), streams(2));
        assert!(a.iter().zip(&b).all(|(a, b)| a.samples == b.samples && a.events == b.events));
        assert!(a.iter().zip(&c).all(|(a, c)| a.samples != c.samples));
    }

    #[test]
    fn contamination_is_in_the_quiet_part_alone() {
        let material = Material::synthetic(1);
        let recipe = SceneRecipe { seed: 4, families: vec![Family::Foreign], ..SceneRecipe::slice() };
        let dirty = SceneRecipe { contamination: 0.05, ..recipe.clone() }.streams(&material);
        let mut changed = 0;
        for (a, b) in recipe.streams(&material).iter().zip(&dirty) {
            let quiet = seconds_to_samples(a.quiet_s) as usize;
            // a colour of the microphone is a filter: what went before fades, but slowly
            let far = quiet + 16_000;
            assert!(a.samples[far..].iter().zip(&b.samples[far..]).all(|(x, y)| (x - y).abs() < 1e-5));
            assert!(a.events == b.events);
            changed += a.samples[..quiet].iter().zip(&b.samples).filter(|(x, y)| x != y).count();
        }
        let share = changed as f64 / (dirty.len() as f64 * 60.0 * 16_000.0);
        assert!((0.03..0.12).contains(&share), "{share}");
    }

    #[test]
    fn every_family_has_its_anomalies_and_controls() {
        let all = streams(3);
        let kinds = |family: Family| -> Vec<AnomalyKind> {
            let events = all.iter().filter(|s| s.family == family).flat_map(|s| &s.events);
            events.map(|e| e.kind).collect()
        };
        assert!(kinds(Family::Foreign).iter().all(|k| *k == AnomalyKind::ForeignSound));
        for kind in [AnomalyKind::MissingBeat, AnomalyKind::LateBeat, AnomalyKind::Stop] {
            assert!(kinds(Family::Context).contains(&kind), "{kind}");
        }
        for kind in AnomalyKind::FAULTS.into_iter().chain([AnomalyKind::OtherState]) {
            assert!(kinds(Family::Faults).contains(&kind), "{kind}");
        }
        assert!(kinds(Family::Benign).is_empty());
        let controls = |family: Family, kind: ControlKind| {
            let own = all.iter().filter(|s| s.family == family).flat_map(|s| &s.controls);
            own.filter(|c| c.kind == kind && c.onset_s >= 60.0).count()
        };
        for family in Family::ALL {
            for kind in [ControlKind::GainStep, ControlKind::Swell] {
                assert!(controls(family, kind) >= 1, "{family}: {kind}");
            }
        }
        for kind in [ControlKind::MicrophoneColour, ControlKind::Weather] {
            assert!(controls(Family::Benign, kind) >= 1, "{kind}");
        }
        assert!(controls(Family::Foreign, ControlKind::SecondClip) >= 1);
    }

    #[test]
    fn the_quiet_part_is_quiet_and_slots_do_not_touch() {
        for stream in streams(3) {
            assert_eq!(stream.samples.len(), 150 * 16_000);
            assert!(stream.samples.iter().all(|x| x.abs() <= 1.0));
            let benign = stream.family == Family::Benign;
            assert!(benign || stream.events.len() >= 4, "{}: {} events", stream.name, stream.events.len());
            for event in &stream.events {
                assert!(event.onset_s >= stream.quiet_s && event.offset_s <= 150.0);
                assert!(event.onset_s <= event.known_from_s && event.offset_s <= event.unclear_until_s);
                for c in stream.controls.iter().filter(|c| c.kind != ControlKind::Join) {
                    assert!(c.onset_s >= stream.quiet_s);
                    assert!(c.offset_s <= event.onset_s || c.onset_s >= event.offset_s, "{}", stream.name);
                }
            }
        }
    }

    #[test]
    fn without_repeats_the_quiet_part_is_as_long_as_its_sound() {
        let material = Material::synthetic(1);
        let recipe = SceneRecipe { repeat_quiet: false, ..SceneRecipe::slice() };
        let plans = recipe.plans(&material);
        let fan = plans.iter().find(|plan| plan.name() == "foreign fan 1").unwrap().stream();
        // 24 of 40 s are learnt from, and 90 s tested
        assert_eq!((fan.quiet_s, fan.samples.len()), (24.0, 114 * 16_000));
        assert!(fan.events.iter().all(|e| e.onset_s >= 24.0 && e.offset_s <= 114.0) && fan.events.len() >= 4);
        let all = SceneRecipe::slice();
        assert!(plans.len() <= all.plans(&material).len());
    }

    #[test]
    fn streams_are_spread_over_backgrounds() {
        let material = Material::synthetic(1);
        let recipe = SceneRecipe { most_streams: Some(2), takes: 3, ..SceneRecipe::slice() };
        let plans = recipe.plans(&material);
        assert_eq!(plans.len(), 8);
        let mut names: Vec<String> = plans.iter().map(StreamPlan::name).collect();
        assert!(plans[0].background.name != plans[1].background.name);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 8, "each has a name of its own");
    }
}
