//! How many streams this machine analyses, by a measurement of all that is done with their sound.

use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Engine;
use crate::detect::{DetectConfig, StreamState};
use crate::error::{Error, Result};
use crate::units::FRAME_RATE;

/// Streams that are measured together, as a step of the model serves several.
const STREAMS: usize = 8;
/// Rate of their sound, Hz: that of most microphones.
const RATE: u32 = 48_000;
/// Seconds of sound that their detectors learn from, and the most until they watch.
const LEARNT_S: f64 = 10.0;
const MOST_S: usize = 20;
/// Blocks of hops that are measured.
const BLOCKS: usize = 10;
/// Hops of a block: detectors work every fifth hop.
const BLOCK: usize = 10;
/// Pause before each hop, as threads have it that look at the sound of all streams in intervals: meanwhile caches fill with
/// other things, and what follows takes up to twice as long.
const PAUSE: Duration = Duration::from_millis(5);
/// The share of the time that streams may fill: the rest is for moments in which there is more to do.
pub(super) const SHARE: f64 = 0.7;

/// The capacity of this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Capacity {
    /// Share of the time of a thread that a stream takes, resampler, model and detector; more than 1 where it takes longer than
    /// its sound lasts.
    pub(crate) stream_share: f64,
    /// Threads that analyse sound.
    pub(crate) threads: usize,
}

impl Capacity {
    /// Measures the model and the settings of `engine` by noise, within about a second; none where its device serves all streams
    /// with one step, so that a thread by itself says nothing.
    ///
    /// # Errors
    /// When the model or a detector fails.
    pub(crate) fn measure(engine: &Engine, threads: usize) -> Result<Option<Self>> {
        let Some(mut probe) = engine.with_same_weights()? else { return Ok(None) };
        let mut noise = Noise(ChaCha8Rng::seed_from_u64(1));
        let state = learn(&mut probe, &mut noise)?;
        let streams =
            (0..STREAMS).map(|number| probe.add(format!("measured {number}"), RATE, Some(state.clone())));
        let streams = streams.collect::<Result<Vec<_>>>()?;
        let mut blocks = [0.0; BLOCKS];
        for block in &mut blocks {
            let sound: Vec<_> = (0..BLOCK * STREAMS).map(|_| noise.hop()).collect();
            for hop in sound.chunks(STREAMS) {
                thread::sleep(PAUSE);
                let begun = Instant::now();
                for (&stream, samples) in streams.iter().zip(hop) {
                    probe.feed(stream, samples)?;
                }
                probe.run(&mut |_| {})?;
                *block += begun.elapsed().as_secs_f64();
            }
        }
        blocks.sort_by(f64::total_cmp);
        // the quickest quarter: other work of the machine comes and goes
        let block = blocks[BLOCKS / 4];
        let lasted = BLOCK as f64 / f64::from(FRAME_RATE);
        Ok(Some(Self { stream_share: block / (lasted * STREAMS as f64), threads: threads.max(1) }))
    }

    /// Streams that fill 70 % of all threads; one at least.
    pub(crate) fn streams(&self) -> usize {
        ((SHARE * self.threads as f64 / self.stream_share) as usize).max(1)
    }
}

/// Noise in pieces of a hop.
struct Noise(ChaCha8Rng);

impl Noise {
    fn hop(&mut self) -> Vec<f32> {
        (0..RATE / FRAME_RATE).map(|_| self.0.random_range(-0.03..0.03)).collect()
    }
}

/// The state of a detector that has learnt from noise.
fn learn(probe: &mut Engine, noise: &mut Noise) -> Result<StreamState> {
    probe.learners = None;
    probe.detect = DetectConfig { calibrate_seconds: LEARNT_S, ..probe.detect.clone() };
    let stream = probe.add("learnt", RATE, None)?;
    for _ in 0..MOST_S * FRAME_RATE as usize {
        probe.feed(stream, &noise.hop())?;
        probe.run(&mut |_| {})?;
        let state = probe.pipeline(stream).and_then(|pipeline| pipeline.detector().snapshot());
        if let Some(state) = state {
            return Ok(state);
        }
    }
    Err(Error::internal(format!("a detector that hears noise has learnt nothing within {MOST_S} s of it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_fill_most_of_all_threads() {
        let of = |stream_share, threads| Capacity { stream_share, threads }.streams();
        assert_eq!((of(0.011, 1), of(0.011, 3), of(0.3, 1), of(2.0, 1)), (63, 190, 2, 1));
    }
}
