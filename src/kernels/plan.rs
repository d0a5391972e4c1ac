//! A network as kernels read it.

use std::ops::Range;

/// Numbers in rows: `rows` inputs by `cols` outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Numbers a row.
    pub cols: usize,
    /// Row after row.
    pub data: Vec<f32>,
}

/// Gain and bias of a norm over the channels of a frame: `(x − μ) / sqrt(Σ(x − μ)² / (C − 1) + 1e-5) · gain + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// `[C]`.
    pub gain: Vec<f32>,
    /// `[C]`.
    pub bias: Vec<f32>,
}

/// `y_n = relu(norm(B_{n−1} · past + B_n · now + bias))` over blocks B of `stride` frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// `[stride · c_in, c_out]`.
    pub past: Matrix,
    /// `[stride · c_in, c_out]`.
    pub now: Matrix,
    /// `[c_out]`.
    pub bias: Vec<f32>,
    /// None where it is folded into the weights.
    pub norm: Option<Norm>,
    /// Frames that come out of it in a hop.
    pub frames: usize,
}

/// One GRU layer, gates in the order r, z, n, as [`Gru`](crate::nn::Gru) computes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recurrence {
    /// `[inputs, 3 h]`.
    pub input: Matrix,
    /// `[h, 3 h]`.
    pub hidden: Matrix,
    /// `[3 h]`.
    pub input_bias: Vec<f32>,
    /// `[3 h]`.
    pub hidden_bias: Vec<f32>,
}

/// Log-mel bands, encoder, context network, heads and bank of a model that can score.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Window times cosine, then window times sine, over 480 samples: `[480, 2 · bins]`; the first 80 rows are 0.
    pub fourier: Matrix,
    /// `[bins, 64]`; `bands = ln(power · mel + 1e-6)`.
    pub mel: Matrix,
    /// For an encoder on log-mel bands: least weight of a new frame in the running statistics of the site, 0 where they
    /// never change. `None` for an encoder on samples.
    pub site: Option<f32>,
    /// The encoder.
    pub convolutions: Vec<Convolution>,
    /// The context network.
    pub recurrences: Vec<Recurrence>,
    /// W_kᵀ times the scale of the logits for k = 1..=K, `[h, d]` each.
    pub heads: Vec<Matrix>,
    /// Negatives, `[d, N]`.
    pub bank: Matrix,
    /// The memory of a stream before its first sample; its parts are those of [`MemoryMap`].
    pub fresh: Vec<f32>,
}

/// Offsets of the parts of a stream's memory. The order is that of the tensors of [`CpcState`](crate::model::CpcState).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryMap {
    /// The last 320 samples, for the bands.
    pub sound: Range<usize>,
    /// Mean and variance of each band, then the frames they count for; empty on samples.
    pub site: Range<usize>,
    /// The last block of each convolution's input.
    pub blocks: Vec<Range<usize>>,
    /// h of each recurrent layer.
    pub hidden: Vec<Range<usize>>,
    /// The last K contexts, oldest first.
    pub contexts: Range<usize>,
    /// For each of them 0, or NaN where it is not real.
    pub missing: Range<usize>,
    /// Numbers a stream.
    pub len: usize,
}

/// Samples before the hop that the bands look at.
const SOUND: usize = 320;

impl MemoryMap {
    /// The same parts in the same order, each beginning at a multiple of `numbers`.
    #[must_use]
    pub fn aligned(&self, numbers: usize) -> Self {
        let mut parts = self.parts();
        parts.sort_by_key(|part| (part.start, part.end));
        let (mut at, mut moved) = (0usize, Vec::new());
        for part in &parts {
            at = at.next_multiple_of(numbers);
            moved.push((part.start, at));
            at += part.len();
        }
        let place = |part: &Range<usize>| {
            let at = moved.iter().find(|(from, _)| *from == part.start).map_or(0, |(_, to)| *to);
            at..at + part.len()
        };
        Self {
            sound: place(&self.sound),
            site: place(&self.site),
            blocks: self.blocks.iter().map(place).collect(),
            hidden: self.hidden.iter().map(place).collect(),
            contexts: place(&self.contexts),
            missing: place(&self.missing),
            len: at.next_multiple_of(numbers),
        }
    }

    /// All parts that hold something.
    #[must_use]
    pub fn parts(&self) -> Vec<Range<usize>> {
        let mut parts = vec![self.sound.clone(), self.site.clone()];
        parts.extend(self.blocks.iter().chain(&self.hidden).cloned());
        parts.extend([self.contexts.clone(), self.missing.clone()]);
        parts.retain(|part| !part.is_empty());
        parts
    }
}

impl Plan {
    /// K.
    #[must_use]
    pub fn horizons(&self) -> usize {
        self.heads.len()
    }

    /// d, the width of z.
    #[must_use]
    pub fn latent(&self) -> usize {
        self.bank.rows
    }

    /// h, the width of c.
    #[must_use]
    pub fn context(&self) -> usize {
        self.recurrences.last().map_or(0, |layer| layer.hidden.rows)
    }

    /// Log-mel bands a frame.
    #[must_use]
    pub fn bands(&self) -> usize {
        self.mel.cols
    }

    /// How the memory of a stream is laid out.
    #[must_use]
    pub fn memory(&self) -> MemoryMap {
        let mut at = 0;
        let mut take = |len: usize| {
            at += len;
            at - len..at
        };
        let spectral = self.site.is_some();
        let early = spectral.then(|| (take(SOUND), take(2 * self.bands() + 1)));
        let blocks = self.convolutions.iter().map(|layer| take(layer.now.rows)).collect();
        let hidden = self.recurrences.iter().map(|layer| take(layer.hidden.rows)).collect();
        let (contexts, missing) = (take(self.horizons() * self.context()), take(self.horizons()));
        let (sound, site) = early.unwrap_or_else(|| (take(SOUND), 0..0));
        MemoryMap { sound, site, blocks, hidden, contexts, missing, len: at }
    }

    /// Multiply-adds of a hop of one stream, without the bands.
    #[must_use]
    pub fn multiply_adds(&self) -> usize {
        let size = |matrix: &Matrix| matrix.rows * matrix.cols;
        let encoder: usize =
            self.convolutions.iter().map(|c| c.frames * (size(&c.past) + size(&c.now))).sum();
        let context: usize = self.recurrences.iter().map(|r| size(&r.input) + size(&r.hidden)).sum();
        let heads: usize = self.heads.iter().map(size).sum();
        encoder + context + heads + self.horizons() * (size(&self.bank) + self.latent())
    }
}
