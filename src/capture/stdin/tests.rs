use std::io;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::intake::ChannelSelection;
use super::*;
use crate::capture::{PcmFormat, SourceCounters};
use crate::ring::{Read as Found, ring};

/// A pipe that gives its bytes in odd pieces, these again and again.
struct Pipe(Vec<u8>, usize, Vec<usize>);

impl io::Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.2[self.1 % self.2.len()].min(self.0.len()).min(out.len());
        self.1 += 1;
        out[..count].copy_from_slice(&self.0[..count]);
        self.0.drain(..count);
        Ok(count)
    }
}

/// A pipe that gives 100 ms of sound as time goes, and stalls once.
struct Stalling {
    rounds: usize,
    stall: (usize, Duration),
}

impl io::Read for Stalling {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.rounds += 1;
        thread::sleep(Duration::from_millis(100));
        if self.rounds == self.stall.0 {
            thread::sleep(self.stall.1);
        }
        let count = if self.rounds > 25 { 0 } else { 1600.min(out.len()) };
        out[..count].fill(1);
        Ok(count)
    }
}

#[test]
fn a_pipe_that_stalls_is_offline_and_its_time_is_a_gap() {
    let form = PcmForm { rate: 8000, channels: 1, format: PcmFormat::S16le };
    let counters = Arc::new(SourceCounters::default());
    let (sender, notices) = crossbeam_channel::unbounded();
    let link = SourceLink {
        source: "stdin".into(),
        streams: ["stdin".to_owned()].into(),
        notices: sender,
        stop: Arc::default(),
        counters: Arc::clone(&counters),
    };
    let (writer, mut reader) = ring(100_000);
    let mut intake = Intake::new(vec![writer], ChannelSelection::Mix, counters).unwrap();
    intake.expect(1, 8000).unwrap();
    let stall = Duration::from_millis(2600);
    run(Stalling { rounds: 0, stall: (15, stall) }, form, &mut intake, &link);
    drop(intake);
    let changes: Vec<SourceChange> = notices.try_iter().map(|notice| notice.change).collect();
    let [
        SourceChange::Online { .. },
        SourceChange::Offline { .. },
        SourceChange::Online { .. },
        SourceChange::Ended { .. },
    ] = &changes[..]
    else {
        panic!("{changes:?}")
    };
    let (mut lost, mut out, mut last) = (0, [0.0; 100], None);
    loop {
        match reader.read(&mut out) {
            Found::Gap { lost: more } => lost += more,
            Found::Samples(_) => last = reader.captured_at(),
            Found::Closed => break,
            _ => {}
        }
    }
    assert!((18_000..26_000).contains(&lost), "{lost} samples of {stall:?} at 8 kHz");
    let late = last.unwrap().elapsed();
    assert!(late < Duration::from_millis(500), "the last sample is said to be {late:?} old");
}

#[test]
fn a_container_is_read_as_what_it_is() {
    let wav = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = wav;
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..2 * 5000i16).for_each(|i| writer.write_sample(i / 2).unwrap());
    writer.finalize().unwrap();
    let (samples, end) = received(
        PcmForm { channels: 2, ..PcmForm::default() },
        ChannelSelection::Each(vec![1]),
        bytes.into_inner(),
    );
    assert_eq!(samples, (0..5000).map(|i| i as f32 / 32_768.0).collect::<Vec<_>>());
    assert_eq!(end, SourceChange::Ended { frames: 5000, failure: None });

    let (samples, end) =
        received(PcmForm::default(), ChannelSelection::Mix, b"fLaC and then nothing of that kind".to_vec());
    let SourceChange::Ended { frames: 0, failure: Some(why) } = end else { panic!("{end:?}") };
    assert!(samples.is_empty() && why.contains("FLAC"), "{why}");
}

fn received(form: PcmForm, pick: ChannelSelection, bytes: Vec<u8>) -> (Vec<f32>, SourceChange) {
    heard_in(form, pick, bytes, vec![7, 20, 33, 46, 59])
}

fn heard_in(
    form: PcmForm,
    pick: ChannelSelection,
    bytes: Vec<u8>,
    pieces: Vec<usize>,
) -> (Vec<f32>, SourceChange) {
    let counters = Arc::new(SourceCounters::default());
    let (sender, notices) = crossbeam_channel::unbounded();
    let link = SourceLink {
        source: "stdin".into(),
        streams: ["stdin".to_owned()].into(),
        notices: sender,
        stop: Arc::default(),
        counters: Arc::clone(&counters),
    };
    let (writer, mut reader) = ring(100_000);
    let mut intake = Intake::new(vec![writer], pick, counters).unwrap();
    intake.expect(form.channels, form.rate).unwrap();
    run(Pipe(bytes, 0, pieces), form, &mut intake, &link);
    drop(intake);
    let (mut all, mut out) = (Vec::new(), [0.0; 100]);
    loop {
        match reader.read(&mut out) {
            Found::Samples(n) => all.extend_from_slice(&out[..n]),
            Found::Closed => return (all, notices.try_iter().last().unwrap().change),
            _ => {}
        }
    }
}

#[test]
fn both_formats_arrive_whole_however_the_pipe_cuts_them() {
    let form = PcmForm { rate: 8000, channels: 2, format: PcmFormat::S16le };
    let bytes: Vec<u8> = (0..6000i16).flat_map(|i| [i, -1].map(i16::to_le_bytes).concat()).collect();
    let (samples, end) = received(form, ChannelSelection::Each(vec![0]), bytes);
    assert_eq!(samples, (0..6000).map(|i| i as f32 / 32_768.0).collect::<Vec<_>>());
    assert_eq!(end, SourceChange::Ended { frames: 6000, failure: None });

    let form = PcmForm { rate: 8000, channels: 1, format: PcmFormat::F32le };
    let mut bytes: Vec<u8> = (0..6000).flat_map(|i| (i as f32).to_le_bytes()).collect();
    bytes.push(1);
    let (samples, end) = received(form, ChannelSelection::Mix, bytes);
    assert_eq!(samples, (0..6000).map(|i| i as f32).collect::<Vec<_>>());
    let SourceChange::Ended { frames: 6000, failure: Some(why) } = end else { panic!("{end:?}") };
    assert!(why.contains("1 bytes after"), "{why}");
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_whole_frames_and_a_rest_that_is_told(
        bytes in proptest::collection::vec(any::<u8>(), 0..4000),
        pieces in proptest::collection::vec(1usize..300, 1..6),
        channels in 1u16..5,
        float: bool,
    ) {
        let format = if float { PcmFormat::F32le } else { PcmFormat::S16le };
        let frame = format.bytes() * usize::from(channels);
        let (whole, rest) = (bytes.len() / frame, bytes.len() % frame);
        let (samples, end) = heard_in(PcmForm { rate: 8000, channels, format }, ChannelSelection::Mix, bytes, pieces);
        prop_assert_eq!(samples.len(), whole);
        prop_assert!(samples.iter().all(|x| !x.is_infinite()), "what is no number was let through");
        let SourceChange::Ended { frames, failure } = end else { panic!("{end:?}") };
        prop_assert_eq!(frames, whole as u64);
        prop_assert_eq!(failure.is_some(), rest > 0);
    }
}
