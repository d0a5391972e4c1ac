//! The work of the audio callback: convert, select or mix channels, push, count.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::counters::SourceCounters;
use crate::error::{Error, Result};
use crate::ring::RingWriter;
use crate::units::{from_i16, is_valid_sample};

/// Samples of one stream that are converted at a time.
const BLOCK: usize = 1024;
/// Share of invalid samples in a second, in percent, from which on they are passed on as NaN.
const INVALID_PERCENT: u64 = 1;

/// A sample as a device or file gives it.
pub trait Pcm: Copy {
    /// The amplitude in [-1, 1).
    fn amplitude(self) -> f32;
}

macro_rules! pcm {
    ($($type:ty => |$x:ident| $amplitude:expr),* $(,)?) => {
        $(impl Pcm for $type { fn amplitude(self) -> f32 { let $x = self; $amplitude } })*
    };
}

pcm! {
    i8 => |x| f32::from(x) / 128.0,
    u8 => |x| (f32::from(x) - 128.0) / 128.0,
    i16 => |x| from_i16(x),
    u16 => |x| (f32::from(x) - 32_768.0) / 32_768.0,
    i32 => |x| (f64::from(x) / 2_147_483_648.0) as f32,
    f32 => |x| x,
    f64 => |x| x as f32,
}

/// The selection of channels that become streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelSelection {
    /// One stream: the mean of all channels.
    Mix,
    /// One stream a channel, numbered from 0.
    Each(Vec<u16>),
}

impl ChannelSelection {
    /// Streams that come out.
    #[must_use]
    pub fn streams(&self) -> usize {
        match self {
            Self::Mix => 1,
            Self::Each(channels) => channels.len(),
        }
    }

    /// Channels that a device must have for this.
    #[must_use]
    pub fn channels_needed(&self) -> u16 {
        match self {
            Self::Mix => 1,
            Self::Each(channels) => channels.iter().max().map_or(1, |c| c.saturating_add(1)),
        }
    }
}

/// How many samples of a stream are invalid, second by second.
#[derive(Debug, Clone, Copy, Default)]
struct Validity {
    seen: u64,
    invalid: u64,
    /// The second before had too many invalid samples.
    broken: bool,
}

impl Validity {
    /// [`pass`](Self::pass) of each sample of a block; how many are invalid.
    fn pass_all(&mut self, block: &mut [f32], rate: u32) -> u64 {
        // nearly always, and in a pass of wide registers
        let seen = self.seen + block.len() as u64;
        if seen < u64::from(rate) && block.iter().fold(true, |all, &x| all & is_valid_sample(x)) {
            self.seen = seen;
            return 0;
        }
        let mut bad = 0;
        for x in block {
            bad += u64::from(!is_valid_sample(*x));
            *x = self.pass(*x, rate);
        }
        bad
    }

    /// The sample to pass on. Few invalid samples become 0. Where there are many, the stream is no sound: they become
    /// NaN, which the monitor of the input tells as `invalid`.
    fn pass(&mut self, sample: f32, rate: u32) -> f32 {
        let valid = is_valid_sample(sample);
        self.seen += 1;
        self.invalid += u64::from(!valid);
        if self.seen >= u64::from(rate.max(1)) {
            let broken = self.invalid * 100 >= self.seen * INVALID_PERCENT;
            *self = Self { broken, ..Self::default() };
        }
        match (valid, self.broken) {
            (true, _) => sample,
            (false, true) => f32::NAN,
            (false, false) => 0.0,
        }
    }
}

/// Takes interleaved samples in the form of the device and writes each stream to its ring.
///
/// Samples that are no numbers or beyond [`LARGEST_SAMPLE`](crate::units::LARGEST_SAMPLE) are counted and do not reach
/// the ring: they become 0, or NaN while they are 1 % of the samples of a second or more.
///
/// [`Intake::take`] runs in the audio callback: it never allocates, locks or logs.
pub struct Intake {
    writers: Vec<RingWriter>,
    pick: ChannelSelection,
    channels: usize,
    rate: u32,
    scratch: Box<[f32; BLOCK]>,
    validity: Box<[Validity]>,
    counters: Arc<SourceCounters>,
}

impl Intake {
    /// An intake for the streams of `pick`, with a writer for each.
    ///
    /// # Errors
    /// An internal error when writers and streams differ in number.
    pub fn new(
        writers: Vec<RingWriter>,
        pick: ChannelSelection,
        counters: Arc<SourceCounters>,
    ) -> Result<Self> {
        if writers.len() != pick.streams() || writers.is_empty() {
            return Err(Error::internal(format!("{} rings for {} streams", writers.len(), pick.streams())));
        }
        let validity = vec![Validity::default(); writers.len()].into();
        let scratch = Box::new([0.0; BLOCK]);
        Ok(Self { writers, pick, channels: 1, rate: 0, scratch, validity, counters })
    }

    /// Channels that the source must have.
    #[must_use]
    pub fn channels_needed(&self) -> u16 {
        self.pick.channels_needed()
    }

    /// Sets the format of what follows: interleaved `channels` at `rate` Hz. Called before the first sample and at each
    /// change.
    ///
    /// # Errors
    /// A device error when a picked channel does not exist.
    pub fn expect(&mut self, channels: u16, rate: u32) -> Result<()> {
        let needed = self.pick.channels_needed();
        if channels < needed {
            return Err(Error::device(
                format!("channel {} is wanted, but there are only {channels} (numbered from 0)", needed - 1),
                "list existing channels, or leave `channels` out to mix all",
            ));
        }
        self.channels = usize::from(channels);
        self.rate = rate;
        self.writers.iter_mut().for_each(|w| w.set_rate(rate));
        Ok(())
    }

    /// Corrects the rate of what follows to `rate` Hz; the format stays.
    pub fn correct(&mut self, rate: u32) {
        self.rate = rate;
        self.writers.iter_mut().for_each(|w| w.set_rate(rate));
    }

    /// The rate of what follows, in Hz.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Interleaved channels of what follows.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Takes interleaved samples; what finds no room is refused, counted and marked.
    pub fn take<T: Pcm>(&mut self, interleaved: &[T]) {
        self.each_block(interleaved, |writer, block| {
            writer.push(block);
            true
        });
    }

    /// Takes interleaved samples, waiting for room; false when the readers are gone or `keep_going` said no.
    pub fn take_blocking<T: Pcm>(&mut self, interleaved: &[T], keep_going: impl Fn() -> bool) -> bool {
        self.each_block(interleaved, |writer, block| writer.push_blocking(block, &keep_going))
    }

    /// Marks `lost` samples as missing in every stream.
    pub fn mark_gap(&mut self, lost: u64) {
        self.writers.iter_mut().for_each(|w| w.mark_gap(lost));
    }

    /// Sets the capture time of the next sample.
    pub fn anchor(&mut self, captured: Instant) {
        self.writers.iter_mut().for_each(|w| w.anchor(captured));
    }

    fn each_block<T: Pcm>(
        &mut self,
        interleaved: &[T],
        mut push: impl FnMut(&mut RingWriter, &[f32]) -> bool,
    ) -> bool {
        let mut bad = 0;
        let mut going = true;
        'blocks: for piece in interleaved.chunks(BLOCK * self.channels) {
            for ((stream, writer), validity) in self.writers.iter_mut().enumerate().zip(&mut self.validity) {
                let frames = piece.chunks_exact(self.channels);
                let block = &mut self.scratch[..frames.len()];
                match &self.pick {
                    _ if self.channels == 1 => {
                        block.iter_mut().zip(piece).for_each(|(out, x)| *out = x.amplitude());
                    }
                    ChannelSelection::Each(channels) => {
                        let channel = usize::from(channels[stream]);
                        block
                            .iter_mut()
                            .zip(frames)
                            .for_each(|(out, frame)| *out = frame[channel].amplitude());
                    }
                    ChannelSelection::Mix => {
                        block.iter_mut().zip(frames).for_each(|(out, frame)| *out = mean(frame));
                    }
                }
                bad += validity.pass_all(block, self.rate);
                going = push(writer, block);
                if !going {
                    break 'blocks;
                }
            }
        }
        if bad > 0 {
            self.counters.not_finite.fetch_add(bad, Ordering::Relaxed);
        }
        going
    }
}

/// The mean of a frame; NaN where one of its samples is invalid.
fn mean<T: Pcm>(frame: &[T]) -> f32 {
    let valid = frame.iter().all(|x| is_valid_sample(x.amplitude()));
    let sum = frame.iter().map(|x| x.amplitude()).sum::<f32>();
    if valid { sum / frame.len() as f32 } else { f32::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Read, RingReader, ring};

    fn intake(pick: ChannelSelection, channels: u16) -> (Intake, Vec<RingReader>, Arc<SourceCounters>) {
        let counters = Arc::new(SourceCounters::default());
        let (writers, readers) = (0..pick.streams()).map(|_| ring(10_000)).unzip();
        let mut intake = Intake::new(writers, pick, Arc::clone(&counters)).unwrap();
        intake.expect(channels, 48_000).unwrap();
        (intake, readers, counters)
    }

    fn drain(reader: &mut RingReader) -> Vec<f32> {
        let (mut all, mut out) = (Vec::new(), [0.0; 256]);
        loop {
            match reader.read(&mut out) {
                Read::Samples(n) => all.extend_from_slice(&out[..n]),
                Read::Rate(_) => {}
                Read::Empty | Read::Closed => return all,
                Read::Gap { lost } => panic!("{lost} lost"),
            }
        }
    }

    #[test]
    fn every_format_spans_the_same_range() {
        let (mut intake, mut readers, _) = intake(ChannelSelection::Mix, 1);
        intake.take(&[i8::MIN, 0, 64]);
        intake.take(&[0u8, 128, 192]);
        intake.take(&[i16::MIN, 0, 16_384]);
        intake.take(&[0u16, 32_768, 49_152]);
        intake.take(&[i32::MIN, 0, 1 << 30]);
        intake.take(&[-1.0f32, 0.0, 0.5]);
        intake.take(&[-1.0f64, 0.0, 0.5]);
        assert_eq!(drain(&mut readers[0]), [-1.0, 0.0, 0.5].repeat(7));
    }

    #[test]
    fn channels_go_their_own_way_or_mix() {
        let frames: Vec<f32> = (0..3000).flat_map(|i| [i as f32, -1.0, 0.5]).collect();
        let (mut each, mut readers, _) = intake(ChannelSelection::Each(vec![2, 0]), 3);
        each.take(&frames);
        assert_eq!(drain(&mut readers[0]), vec![0.5; 3000]);
        assert_eq!(drain(&mut readers[1]), (0..3000).map(|i| i as f32).collect::<Vec<_>>());
        let (mut mix, mut readers, _) = intake(ChannelSelection::Mix, 2);
        mix.take(&[1.0f32, 0.0, -1.0, 0.5]);
        assert_eq!(drain(&mut readers[0]), [0.5, -0.25]);
    }

    #[test]
    fn invalid_samples_become_silence_and_are_counted() {
        let (mut intake, mut readers, counters) = intake(ChannelSelection::Mix, 1);
        intake.take(&[0.1f32, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e25, -1.1e4, 9.9e3]);
        intake.take(&[1e300f64]);
        assert_eq!(drain(&mut readers[0]), [0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 9.9e3, 0.0]);
        assert_eq!(counters.not_finite(), 6);
        let (mut stereo, mut readers, counters) = self::intake(ChannelSelection::Mix, 2);
        stereo.take(&[1.0f32, 3e38, 0.5, 0.5]);
        assert_eq!((drain(&mut readers[0]), counters.not_finite()), (vec![0.0, 0.5], 1));
    }

    #[test]
    fn a_stream_of_invalid_samples_is_marked_until_a_second_without() {
        let (mut intake, mut readers, counters) = intake(ChannelSelection::Mix, 1);
        intake.expect(1, 1000).unwrap();
        let second =
            |every: usize| (0..1000).map(|i| if i % every == 0 { 1e30 } else { 0.5f32 }).collect::<Vec<_>>();
        for (every, invalid) in [(112, 0), (100, 0), (50, 20), (2000, 1), (2000, 0)] {
            intake.take(&second(every));
            let received = drain(&mut readers[0]);
            let marked = received.iter().filter(|x| x.is_nan()).count();
            assert_eq!(marked, invalid, "one of {every}");
        }
        assert_eq!(counters.not_finite(), 9 + 10 + 20 + 1 + 1);
    }

    #[test]
    fn a_channel_that_does_not_exist_is_refused() {
        let (mut intake, _, _) = intake(ChannelSelection::Each(vec![1]), 2);
        let error = intake.expect(1, 48_000).unwrap_err();
        assert!(error.to_string().contains("channel 1") && !error.fix().is_empty());
    }
}
