//! Raw samples of every width as amplitudes.

/// How a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Unsigned 8-bit integers, 128 is 0.
    Unsigned8,
    /// Signed integers of so many bytes, the value in the highest bits.
    Signed(usize),
    /// IEEE floats of 4 or 8 bytes.
    Float(usize),
    /// G.711 A-law.
    ALaw,
    /// G.711 µ-law.
    MuLaw,
}

/// How interleaved samples are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) encoding: Encoding,
    pub(super) big_endian: bool,
    /// Interleaved channels, at least 1.
    pub(super) channels: u16,
}

impl Layout {
    /// Bytes of a sample.
    pub(super) fn sample_bytes(&self) -> usize {
        match self.encoding {
            Encoding::Unsigned8 | Encoding::ALaw | Encoding::MuLaw => 1,
            Encoding::Signed(bytes) | Encoding::Float(bytes) => bytes,
        }
    }

    /// Bytes of a frame: a sample of each channel.
    pub(super) fn frame_bytes(&self) -> usize {
        self.sample_bytes() * usize::from(self.channels)
    }

    /// Replaces `out` by the amplitudes of the whole samples in `bytes`: in [-1, 1) but for floats.
    pub(super) fn decode(&self, bytes: &[u8], out: &mut Vec<f32>) {
        out.clear();
        // most files, in a pass of wide registers
        match (self.encoding, self.big_endian) {
            (Encoding::Signed(2), false) => {
                let samples = bytes.as_chunks::<2>().0.iter();
                out.extend(samples.map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0));
            }
            (Encoding::Signed(3), false) => {
                let words =
                    bytes.as_chunks::<3>().0.iter().map(|[a, b, c]| i32::from_le_bytes([0, *a, *b, *c]));
                out.extend(words.map(|word| word as f32 / 2_147_483_648.0));
            }
            (Encoding::Float(4), false) => {
                out.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            _ => out.extend(bytes.chunks_exact(self.sample_bytes()).map(|sample| self.amplitude(sample))),
        }
    }

    fn amplitude(&self, sample: &[u8]) -> f32 {
        // the sample in the highest bits of a word
        let (mut word, mut shift) = (0u64, 64);
        let mut take = |byte: &u8| {
            shift -= 8;
            word |= u64::from(*byte) << shift;
        };
        if self.big_endian {
            sample.iter().for_each(&mut take);
        } else {
            sample.iter().rev().for_each(&mut take);
        }
        let byte = (word >> 56) as u8;
        match self.encoding {
            Encoding::Unsigned8 => (f32::from(byte) - 128.0) / 128.0,
            Encoding::Signed(_) => (word as i64 as f64 / 9_223_372_036_854_775_808.0) as f32,
            Encoding::Float(4) => f32::from_bits((word >> 32) as u32),
            Encoding::Float(_) => f64::from_bits(word) as f32,
            Encoding::ALaw => a_law(byte),
            Encoding::MuLaw => mu_law(byte),
        }
    }
}

/// ITU-T G.711, table 1a: 13 bits of magnitude and sign.
fn a_law(byte: u8) -> f32 {
    let code = byte ^ 0x55;
    let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    let value = if code & 0x80 == 0 { -magnitude } else { magnitude };
    value as f32 / 32_768.0
}

/// ITU-T G.711, table 2a: 14 bits of magnitude and sign.
fn mu_law(byte: u8) -> f32 {
    let code = !byte;
    let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    let value = if code & 0x80 == 0 { magnitude } else { -magnitude };
    value as f32 / 32_768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_order_has_the_same_range() {
        for (encoding, half) in [
            (Encoding::Unsigned8, vec![0xc0]),
            (Encoding::Signed(1), vec![0x40]),
            (Encoding::Signed(2), vec![0x40, 0]),
            (Encoding::Signed(3), vec![0x40, 0, 0]),
            (Encoding::Signed(4), vec![0x40, 0, 0, 0]),
            (Encoding::Signed(8), vec![0x40, 0, 0, 0, 0, 0, 0, 0]),
            (Encoding::Float(4), 0.5f32.to_be_bytes().to_vec()),
            (Encoding::Float(8), 0.5f64.to_be_bytes().to_vec()),
        ] {
            for big_endian in [true, false] {
                let mut bytes = half.clone();
                if !big_endian {
                    bytes.reverse();
                }
                let layout = Layout { encoding, big_endian, channels: 2 };
                let mut out = vec![9.0];
                layout.decode(&bytes.repeat(2), &mut out);
                assert_eq!(out, [0.5, 0.5], "{encoding:?}");
                assert_eq!(layout.frame_bytes(), 2 * half.len());
            }
        }
    }

    #[test]
    fn companded_samples_are_those_of_the_standard() {
        let decode = |encoding, bytes: &[u8]| {
            let mut out = Vec::new();
            Layout { encoding, big_endian: false, channels: 1 }.decode(bytes, &mut out);
            out.into_iter().map(|x| (x * 32_768.0) as i32).collect::<Vec<_>>()
        };
        let mu = decode(Encoding::MuLaw, &[0xff, 0x7f, 0x80, 0x00, 0xf0, 0xd5]);
        assert_eq!(mu, [0, 0, 32_124, -32_124, 120, 716]);
        let a = decode(Encoding::ALaw, &[0xd5, 0x55, 0xaa, 0x2a, 0x80]);
        assert_eq!(a, [8, -8, 32_256, -32_256, 5_504]);
    }
}
