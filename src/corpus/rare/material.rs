//! The material of streams: backgrounds, foreign sounds, strokes and states of a motor.

use std::collections::BTreeMap;
use std::path::Path;

use super::background::{Background, Continuity, Material};
use super::cut::{active_part, equalise, one_shot, to_level, without_padding};
use super::source::{Role, role_of};
use super::synthetic;
use crate::corpus::{Clip, ClipRow, Selection, read_clips_up_to, read_rows};
use crate::error::{Error, Result};
use crate::units::seconds_to_samples;

/// A background has at least this much sound, seconds.
const LEAST_BACKGROUND_S: f64 = 4.0;
/// A recording of at least this length is a background by itself.
const LEAST_RECORDING_S: f64 = 14.0;
/// Longest recording that is read, seconds.
const LONGEST_RECORDING_S: usize = 1800;

/// Clips of one kind: whether that is a machine, and their samples.
type Kind = (bool, Vec<Vec<f32>>);

impl Material {
    /// The clips of a folder with a `manifest.csv` whose sets and labels are known ([`role_of`]); collections of
    /// `leave_out` are not read. `progress` is called with clips done and clips in all.
    ///
    /// # Errors
    /// When the manifest cannot be read, has no such collection, or has no backgrounds or nothing foreign in that
    /// split.
    pub fn read(
        folder: &Path,
        selection: Selection,
        leave_out: &[String],
        progress: impl FnMut(usize, usize),
    ) -> Result<Self> {
        let rows = read_rows(folder)?;
        if let Some(set) = leave_out.iter().find(|set| !rows.iter().any(|row| row.set == **set)) {
            let sets: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.set.as_str()).collect();
            return Err(Error::config(
                format!("{}: no set `{set}` to leave out", folder.display()),
                format!("give one of {}", sets.into_iter().collect::<Vec<_>>().join(", ")),
            ));
        }
        let wanted =
            |row: &&ClipRow| row.is(selection) && role_of(row).is_some() && !leave_out.contains(&row.set);
        let rows: Vec<&ClipRow> = rows.iter().filter(wanted).collect();
        let (clips, skipped) = read_clips_up_to(folder, &rows, LONGEST_RECORDING_S, progress);
        let mut material = Self { skipped, ..Self::default() };
        let mut kinds: BTreeMap<(String, String), Kind> = BTreeMap::new();
        let mut states: BTreeMap<(String, String), Vec<f32>> = BTreeMap::new();
        for clip in &clips {
            let (row, samples) = (&clip.row, clip.samples().collect::<Vec<_>>());
            match role_of(row) {
                Some(Role::Recording { machine }) => material.add_recording(clip, samples, machine),
                Some(Role::Clips { machine }) => {
                    let kind = kinds.entry((row.label.clone(), row.set.clone())).or_default();
                    kind.0 = machine;
                    kind.1.extend(to_level(without_padding(&samples)));
                }
                Some(Role::Foreign) => {
                    let part = active_part(&without_padding(&samples));
                    material.foreign.extend(part.map(|part| (row.label.clone(), part)));
                    // a knock is foreign, and a stroke of a rhythm too
                    if super::source::is_stroke(row) {
                        material.strokes.extend(one_shot(&samples).map(|shot| (row.label.clone(), shot)));
                    }
                }
                Some(Role::Stroke) => {
                    material.strokes.extend(one_shot(&samples).map(|shot| (row.label.clone(), shot)));
                }
                // clips of a state are in the order of their numbers
                Some(Role::State) => {
                    states.entry((row.label.clone(), row.set.clone())).or_default().extend(samples);
                }
                None => {}
            }
        }
        material.backgrounds.sort_by(|a, b| b.seconds().total_cmp(&a.seconds()));
        let clips = kinds.into_iter().filter_map(|(key, (machine, clips))| of_clips(key, machine, clips));
        material.backgrounds.extend(clips);
        material.disambiguate_names();
        let state = |((name, collection), samples): (_, Vec<f32>)| Background {
            name,
            collection,
            continuity: Continuity::State,
            machine: true,
            clips: vec![equalise(&samples)],
            second: None,
        };
        material.states = states.into_iter().map(state).collect();
        material.checked(folder)
    }

    /// Machines, weather, foreign sounds and strokes made from noise and oscillators: no data needed.
    #[must_use]
    pub fn synthetic(seed: u64) -> Self {
        synthetic::material(seed)
    }

    /// Backgrounds in which one machine runs: uninterrupted recordings, or clips where there are none. Clips of one kind
    /// are of different machines, so that every join is a change of the machine.
    #[must_use]
    pub fn machines(&self) -> Vec<&Background> {
        let of = |recording: bool| {
            let machines = self.backgrounds.iter().filter(|b| b.machine);
            let wanted = |b: &&Background| (b.continuity == Continuity::Recording) == recording;
            machines.filter(wanted).collect::<Vec<_>>()
        };
        let recordings = of(true);
        if recordings.is_empty() { of(false) } else { recordings }
    }

    fn add_recording(&mut self, clip: &Clip, samples: Vec<f32>, machine: bool) {
        if samples.len() < seconds_to_samples(LEAST_RECORDING_S) as usize {
            return;
        }
        let stem = Path::new(&clip.row.file).file_stem().unwrap_or_default().to_string_lossy();
        self.backgrounds.extend(to_level(samples).map(|samples| Background {
            name: stem.replace(['_', '-'], " "),
            collection: clip.row.set.clone(),
            continuity: Continuity::Recording,
            machine,
            clips: vec![samples],
            second: None,
        }));
    }

    /// Backgrounds of one name get that of their collection too.
    fn disambiguate_names(&mut self) {
        let names: Vec<String> = self.backgrounds.iter().map(|b| b.name.to_lowercase()).collect();
        for background in &mut self.backgrounds {
            let own = background.name.to_lowercase();
            if names.iter().filter(|name| **name == own).count() > 1 {
                background.name = format!("{} ({})", background.name, background.collection);
            }
        }
    }

    fn checked(self, folder: &Path) -> Result<Self> {
        if self.backgrounds.is_empty() {
            return Err(Error::config(
                format!("{}: no backgrounds in this split, at least one needed", folder.display()),
                "give a folder whose manifest.csv has long recordings or set = esc50 with the labels of ESC-50 \
                 (Rain, Dog, …), leave fewer collections out, or leave `--data` out for synthetic sound",
            ));
        }
        Ok(self)
    }
}

/// The last clip becomes the second recording where there are several.
fn of_clips(
    (name, collection): (String, String),
    machine: bool,
    mut clips: Vec<Vec<f32>>,
) -> Option<Background> {
    let second = if clips.len() > 2 { clips.pop() } else { None };
    let samples: usize = clips.iter().map(Vec::len).sum();
    let enough = samples >= seconds_to_samples(LEAST_BACKGROUND_S) as usize;
    enough.then_some(Background { name, collection, continuity: Continuity::Clips, machine, clips, second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_backgrounds_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manifest.csv"), "file,split,set\na.wav,train,x\n").unwrap();
        let read =
            |leave_out: &[String]| Material::read(folder.path(), Selection::Train, leave_out, |_, _| ());
        let error = read(&[]).unwrap_err();
        assert!(error.to_string().contains("no backgrounds"), "{error}");
        let error = read(&["y".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("no set `y`"), "{error}");
    }

    #[test]
    fn recordings_come_whole_and_before_clips() {
        let folder = tempfile::tempdir().unwrap();
        let tone: Vec<f32> = (0..16_000 * 70).map(|i| 0.1 * (i as f32 * 0.1).sin()).collect();
        let write = |name: &str, seconds: usize| {
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: 16_000,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            let mut wav = hound::WavWriter::create(folder.path().join(name), spec).unwrap();
            tone[..seconds * 16_000].iter().for_each(|x| wav.write_sample((x * 32767.0) as i16).unwrap());
            wav.finalize().unwrap();
        };
        for (name, seconds) in [("rain.wav", 20), ("Rain.wav", 5), ("fan.wav", 70), ("short.wav", 10)] {
            write(name, seconds);
        }
        let rows = "file,split,set,label\nRain.wav,eval,esc50,Rain\nfan.wav,eval,noixer,industrial_fan\n\
                    short.wav,eval,noixer,fan\nrain.wav,eval,noixer,rain\n";
        std::fs::write(folder.path().join("manifest.csv"), rows).unwrap();
        let read = |leave_out: &[String]| {
            Material::read(folder.path(), Selection::Eval, leave_out, |_, _| ()).unwrap()
        };
        let found = read(&[]).backgrounds;
        let names: Vec<&str> = found.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(names, ["fan", "rain (noixer)", "Rain (esc50)"], "10 s are no long recording");
        assert!((found[0].seconds() - 70.0).abs() < 0.02, "not cut: {}", found[0].seconds());
        assert!(found[0].machine && !found[1].machine && !found[2].machine);
        assert_eq!(read(&["noixer".to_owned()]).backgrounds.len(), 1);
    }
}
