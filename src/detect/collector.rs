//! What calibration keeps of the sound until it is fitted.

use super::calibration::{CALIBRATION_VERSION, Calibration};
use super::config::DetectConfig;
use super::novelty;
use super::pool::EVERY;
use super::surprise::{Smooth, Surprise, median};
use super::tail::Tail;
use crate::error::Result;
use crate::frame::{Frame, FrameShape};
use crate::units::FRAME_RATE;

/// Most blocks of 1 s whose novelty windows are kept; past it every second block is dropped, again and again.
const MOST_BLOCKS: u64 = 600;
/// Most novelty windows that the covariance is fitted to.
const MOST_FITTED: usize = 4096;

/// Collects usable frames. A block is 100 of them, gaps between them or not.
///
/// Memory is bounded: K floats a frame for at most an hour, and 20 vectors of d floats for at most 600 s.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    shape: FrameShape,
    blocks: u64,
    frames: u64,
    pmi: Vec<f32>,
    levels: Vec<f64>,
    /// Novelty windows of the blocks that are multiples of `stride`, and the block of each.
    windows: Vec<f32>,
    window_blocks: Vec<u64>,
    stride: u64,
}

impl Collector {
    pub(crate) fn new(config: &DetectConfig, shape: FrameShape) -> Self {
        Self {
            shape,
            blocks: config.calibrate_seconds.ceil() as u64,
            frames: 0,
            pmi: Vec::new(),
            levels: Vec::new(),
            windows: Vec::new(),
            window_blocks: Vec::new(),
            stride: 1,
        }
    }

    /// Adds a usable frame, and the novelty window that ends with it if it is time for one.
    pub(crate) fn push(&mut self, frame: &Frame, window: Option<&[f32]>) {
        let block = self.frames / u64::from(FRAME_RATE);
        self.frames += 1;
        self.pmi.extend_from_slice(&frame.pmi);
        self.levels.push(f64::from(frame.level_dbfs));
        if block.is_multiple_of(self.stride)
            && let Some(window) = window
        {
            self.windows.extend_from_slice(window);
            self.window_blocks.push(block);
        }
        if block / self.stride >= MOST_BLOCKS {
            self.thin_out();
        }
    }

    /// Share of the wanted seconds that was heard, 0 to 1.
    pub(crate) fn done(&self) -> f32 {
        self.frames as f32 / (self.blocks * u64::from(FRAME_RATE)) as f32
    }

    pub(crate) fn is_full(&self) -> bool {
        self.frames >= self.blocks * u64::from(FRAME_RATE)
    }

    /// Learns what is normal. Takes time in proportion to windows · d².
    pub(crate) fn fit(&mut self, config: &DetectConfig, model: &str) -> Result<Calibration> {
        let FrameShape { horizons, latent, .. } = self.shape;
        let surprise = Surprise::fit(&self.pmi, horizons, config.skip_k);
        let block_frames = FRAME_RATE as usize * horizons;
        let mut smooth = Smooth::new(config.windows().0 as usize);
        let surprise_maxima = self.pmi.chunks(block_frames).filter_map(|block| {
            let frames = block.chunks(horizons).filter_map(|pmi| surprise.score(pmi));
            frames.filter_map(|s| smooth.push(s)).max_by(f64::total_cmp)
        });
        let surprise_tail = Tail::fit(surprise_maxima.collect())?;

        let stride = self.window_blocks.len().div_ceil(MOST_FITTED);
        let fitted = novelty::fit(&self.windows, latent, stride, novelty::TRIM)?;
        let mut novelty_maxima: Vec<f64> = Vec::new();
        let mut current = None;
        for (&block, &score) in self.window_blocks.iter().zip(&fitted.scores) {
            match novelty_maxima.last_mut() {
                Some(highest) if current == Some(block) => *highest = highest.max(score),
                _ => novelty_maxima.push(score),
            }
            current = Some(block);
        }
        Ok(Calibration {
            version: CALIBRATION_VERSION,
            model: model.to_owned(),
            shape: self.shape,
            windows: config.windows(),
            seconds: self.frames as f64 / f64::from(FRAME_RATE),
            background_dbfs: median(&mut self.levels) as f32,
            surprise,
            surprise_tail,
            novelty: fitted.novelty,
            novelty_tail: Tail::fit(novelty_maxima)?,
        })
    }

    fn thin_out(&mut self) {
        self.stride *= 2;
        let width = self.shape.latent;
        let mut kept = 0;
        for i in 0..self.window_blocks.len() {
            if self.window_blocks[i].is_multiple_of(self.stride) {
                self.windows.copy_within(i * width..(i + 1) * width, kept * width);
                self.window_blocks[kept] = self.window_blocks[i];
                kept += 1;
            }
        }
        self.windows.truncate(kept * width);
        self.window_blocks.truncate(kept);
    }
}

const _: () =
    assert!((FRAME_RATE as u64).is_multiple_of(EVERY), "a block holds a whole number of novelty windows");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_keeps_whole_blocks_and_bounded_memory() {
        let shape = FrameShape { horizons: 3, latent: 1, context: 1 };
        let config = DetectConfig { calibrate_seconds: 3600.0, ..Default::default() };
        let mut collector = Collector::new(&config, shape);
        let frame = Frame {
            index: 0,
            pmi: vec![0.0; 3],
            z: vec![0.0],
            c: vec![0.0],
            bands: vec![0.0; 64],
            level_dbfs: -40.0,
        };
        for i in 0..360_000u64 {
            assert!(!collector.is_full());
            let block = (i / 100) as f32;
            collector.push(&frame, i.is_multiple_of(EVERY).then_some(&[block]));
        }
        assert!(collector.is_full());
        assert_eq!(collector.stride, 8);
        assert_eq!(collector.window_blocks.len(), 450 * 20);
        for (i, &block) in collector.window_blocks.iter().enumerate() {
            assert_eq!(block, (i / 20 * 8) as u64);
            assert_eq!(collector.windows[i], block as f32);
        }
    }
}
