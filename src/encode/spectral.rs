//! Log-mel bands, normalised by running statistics of the site, then convolutions over time.

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;

use super::BandStatistics;
use crate::nn::{
    BatchState, BlockConv, BlockConvState, ChannelNorm, Geometry, LogMel, LogMelState, RunningNorm,
    RunningNormState, StreamingModule, WeightSource,
};

/// [`LogMel`], [`RunningNorm`], then convolution (2 frames wide), channel norm and rectifier for each entry of
/// `channels`. Input `[batch, samples]` in [-1, 1], output `[batch, samples / 160, d]`, every number ≥ 0.
#[derive(Debug, Clone)]
pub struct SpectralEncoder {
    bands: LogMel,
    site: RunningNorm,
    layers: Vec<(BlockConv, ChannelNorm)>,
}

/// State of the filterbank and of the running norm, and the last frame of each layer.
#[derive(Debug, Clone)]
pub struct SpectralEncoderState {
    bands: LogMelState,
    site: RunningNormState,
    layers: Vec<BlockConvState>,
}

impl BatchState for SpectralEncoderState {
    fn tensors(&self) -> Vec<&Tensor> {
        let mut all = self.bands.tensors();
        all.extend(self.site.tensors());
        all.extend(self.layers.iter().flat_map(BatchState::tensors));
        all
    }

    fn with_tensors(&self, mut tensors: Vec<Tensor>) -> Self {
        let mut rest = tensors.split_off(self.bands.tensors().len().min(tensors.len()));
        let layers = rest.split_off(self.site.tensors().len().min(rest.len()));
        Self {
            bands: self.bands.with_tensors(tensors),
            site: self.site.with_tensors(rest),
            layers: self.layers.iter().zip(layers).map(|(layer, t)| layer.with_tensors(vec![t])).collect(),
        }
    }
}

/// `(name, c_in, c_out)` of each layer.
fn plan(bands: usize, channels: &[usize]) -> impl Iterator<Item = (usize, usize, usize)> {
    let inputs = std::iter::once(bands).chain(channels.iter().copied());
    channels.iter().zip(inputs).enumerate().map(|(i, (&c_out, c_in))| (i, c_in, c_out))
}

impl SpectralEncoder {
    /// Reads `encoder.conv{i}.*` and `encoder.norm{i}.*` for each layer.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the statistics do not have `bands` values.
    pub fn load(
        source: WeightSource<'_>,
        bands: usize,
        channels: &[usize],
        site_seconds: u32,
        statistics: &BandStatistics,
    ) -> Result<Self> {
        if statistics.mean.len() != bands {
            candle_core::bail!("statistics of {} bands for {bands} bands", statistics.mean.len());
        }
        let layers = plan(bands, channels)
            .map(|(i, c_in, c_out)| {
                let conv = BlockConv::load(source, &format!("encoder.conv{i}"), c_in, c_out, 1)?;
                Ok((conv, ChannelNorm::load(source, &format!("encoder.norm{i}"), c_out)?))
            })
            .collect::<Result<Vec<_>>>()?;
        let Some((conv, _)) = layers.first() else { candle_core::bail!("an encoder without layers") };
        let device = conv.device();
        Ok(Self {
            bands: LogMel::new(bands, device)?,
            site: RunningNorm::new(&statistics.mean, &statistics.deviation, site_seconds, device)?,
            layers,
        })
    }

    /// Variables for a new encoder.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn init<R: Rng>(
        rng: &mut R,
        bands: usize,
        channels: &[usize],
        device: &Device,
    ) -> Result<Vec<(String, Var)>> {
        let mut vars = Vec::new();
        for (i, c_in, c_out) in plan(bands, channels) {
            vars.extend(BlockConv::init(rng, &format!("encoder.conv{i}"), (c_in, c_out, 1), device)?);
            vars.extend(ChannelNorm::init(&format!("encoder.norm{i}"), c_out, device)?);
        }
        Ok(vars)
    }
}

impl StreamingModule for SpectralEncoder {
    type State = SpectralEncoderState;

    /// The running statistics, which reach back further, are not counted.
    fn geometry(&self) -> Geometry {
        self.layers.iter().fold(self.bands.geometry(), |geometry, (conv, _)| geometry.then(conv.geometry()))
    }

    fn zero_state(&self, batch: usize) -> Result<SpectralEncoderState> {
        let layers =
            self.layers.iter().map(|(conv, _)| conv.zero_state(batch)).collect::<Result<Vec<_>>>()?;
        Ok(SpectralEncoderState {
            bands: self.bands.zero_state(batch)?,
            site: self.site.zero_state(batch)?,
            layers,
        })
    }

    fn step(&self, xs: &Tensor, state: &mut SpectralEncoderState) -> Result<Tensor> {
        self.step_with_bands(xs, state).map(|(latents, _)| latents)
    }
}

impl SpectralEncoder {
    /// The filterbank, the running norm, and the convolutions with the norm behind each.
    #[must_use]
    pub fn parts(&self) -> (&LogMel, &RunningNorm, &[(BlockConv, ChannelNorm)]) {
        (&self.bands, &self.site, &self.layers)
    }

    /// Log-mel bands.
    #[must_use]
    pub fn bands(&self) -> usize {
        self.bands.bands()
    }

    /// [`step`](StreamingModule::step), with the log-mel bands as they were before any normalisation.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn step_with_bands(&self, xs: &Tensor, state: &mut SpectralEncoderState) -> Result<(Tensor, Tensor)> {
        let bands = self.bands.step(xs, &mut state.bands)?;
        let mut xs = self.site.step(&bands, &mut state.site)?;
        for ((conv, norm), state) in self.layers.iter().zip(&mut state.layers) {
            xs = norm.forward(&conv.step(&xs, state)?)?.relu()?;
        }
        Ok((xs, bands))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Tensors;
    use crate::nn::streaming_properties::{
        assert_causal, assert_streams_independent, cuttings, difference_of_pieces, noise,
    };
    use crate::units::HOP;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn encoder(site_seconds: u32) -> SpectralEncoder {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let (bands, channels) = (16, [6, 8, 10]);
        let vars = SpectralEncoder::init(&mut rng, bands, &channels, &Device::Cpu).unwrap();
        let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        let statistics = BandStatistics::usual(bands);
        SpectralEncoder::load(WeightSource::new(&tensors), bands, &channels, site_seconds, &statistics)
            .unwrap()
    }

    #[test]
    fn a_frame_covers_its_window_and_the_frames_before() {
        assert_eq!(encoder(0).geometry(), Geometry { stride: HOP, receptive_field: 400 + 3 * HOP });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn steps_equal_forward(seed: u64, site in 0u32..4, pieces in cuttings()) {
            let xs = noise(seed, &[2, 12 * HOP]);
            prop_assert!(difference_of_pieces(&encoder(site), &xs, &pieces).unwrap() <= 1e-5);
        }

        #[test]
        fn sample_n_first_shows_in_frame_n_over_160(seed: u64, at in 0usize..1200) {
            assert_causal(&encoder(2), &noise(seed, &[1, 8 * HOP]), at).unwrap();
        }
    }

    #[test]
    fn streams_are_independent() {
        assert_streams_independent(&encoder(3), &noise(6, &[3, 8 * HOP])).unwrap();
    }
}
