//! A clip as a picture and as a WAV file, in memory.

use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use png::{BitDepth, ColorType, Compression};
use serde::Serialize;

use super::Clip;
use crate::error::{Error, Result};
use crate::nn::{band_centres, band_dbfs};
use crate::units::{BANDS, FRAME_RATE, MODEL_RATE};

/// Pixels a frame and a band.
const PIXELS: usize = 4;
/// Width of the marks of onset and offset, pixels.
const MARK: usize = 2;
/// Fewest nats between the darkest and the brightest colour, so that a steady room does not look like an event.
const LEAST_SPAN: f32 = 4.0;
/// viridis at even steps: equal differences look equal, also without seeing colours.
const VIRIDIS: [[u8; 3]; 11] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x25, 0x76],
    [0x41, 0x44, 0x87],
    [0x35, 0x60, 0x8d],
    [0x2a, 0x78, 0x8e],
    [0x21, 0x90, 0x8c],
    [0x22, 0xa8, 0x84],
    [0x43, 0xbf, 0x71],
    [0x7a, 0xd1, 0x51],
    [0xbb, 0xdf, 0x27],
    [0xfd, 0xe7, 0x25],
];
/// Colours for levels; the two after them are for the marks.
const LEVELS: u8 = 254;
const ONSET: [u8; 3] = [255, 255, 255];
const OFFSET: [u8; 3] = [255, 64, 64];
/// Keyword of the text in the picture that says what its pixels mean.
const AXES: &str = "Spectrogram";

/// What the pixels of a picture mean, as JSON in a text chunk (`tEXt`) of the PNG.
#[derive(Debug, Serialize)]
struct Axes {
    /// Left edge of the picture, seconds from the onset.
    first_s: f64,
    /// Seconds of a column, and its width in pixels.
    column_s: f64,
    column_px: usize,
    /// End of the event, seconds from the onset; it may lie beyond the picture.
    offset_s: f64,
    /// Height of a band in pixels.
    band_px: usize,
    /// Centre of each band in Hz, from the lowest, at the bottom, up.
    band_hz: Vec<f32>,
    /// Colours of levels, the darkest first; those after them are marks.
    levels: u8,
    /// Levels of the darkest and the brightest colour, dB.
    level_db: [f64; 2],
}

impl Axes {
    fn of(excerpt: &Clip, (low, span): (f32, f32)) -> Self {
        let column_s = 1.0 / f64::from(FRAME_RATE);
        let tenths = |x: f64| (x * 10.0).round() / 10.0;
        Self {
            first_s: -excerpt.onset as f64 * column_s,
            column_s,
            column_px: PIXELS,
            offset_s: (excerpt.offset - excerpt.onset) as f64 * column_s,
            band_px: PIXELS,
            band_hz: band_centres(BANDS).into_iter().map(|hz| (hz * 10.0).round() / 10.0).collect(),
            levels: LEVELS,
            level_db: [low, low + span].map(|x| tenths(band_dbfs(f64::from(x)))),
        }
    }
}

/// The bands over time as a PNG: low bands at the bottom, 4 × 4 pixels a frame and band, a white line at the onset
/// and a red one at the offset. A text in it has its axes.
///
/// # Errors
/// When it has no bands.
pub(super) fn spectrogram(excerpt: &Clip) -> Result<Vec<u8>> {
    let width = excerpt.bands.len() * PIXELS;
    let (low, span) = range(excerpt);
    let shade = |x: f32| ((x - low) / span * f32::from(LEVELS - 1)).round().clamp(0.0, 253.0) as u8;
    let mut pixels = Vec::with_capacity(width * BANDS * PIXELS);
    for band in (0..BANDS).rev() {
        let start = pixels.len();
        for row in &excerpt.bands {
            pixels.extend([shade(row.get(band).copied().unwrap_or(low)); PIXELS]);
        }
        for (frame, colour) in [(excerpt.onset, LEVELS), (excerpt.offset, LEVELS + 1)] {
            let from = usize::try_from(frame).ok().map(|frame| start + frame * PIXELS);
            if let Some(mark) = from.and_then(|from| pixels.get_mut(from..from + MARK)) {
                mark.fill(colour);
            }
        }
        for _ in 1..PIXELS {
            pixels.extend_from_within(start..start + width);
        }
    }
    let failed = |e: png::EncodingError| Error::internal(format!("cannot make a picture: {e}"));
    let size = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size(width), size(BANDS * PIXELS));
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette());
    encoder.set_compression(Compression::Fast);
    let axes = serde_json::to_string(&Axes::of(excerpt, (low, span)))
        .map_err(|e| Error::internal(format!("cannot describe a picture: {e}")))?;
    encoder.add_text_chunk(AXES.to_owned(), axes).map_err(failed)?;
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// The sound as a WAV file.
///
/// # Errors
/// When it does not fit one.
pub(super) fn clip(excerpt: &Clip) -> Result<Vec<u8>> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: MODEL_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let failed = |e: hound::Error| Error::internal(format!("cannot make a clip: {e}"));
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).map_err(failed)?;
    for &sample in &excerpt.samples {
        writer.write_sample(sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    Ok(file.into_inner())
}

/// Level of the darkest colour, and the span up to the brightest. The quietest twentieth is as dark: a moment of
/// digital silence would take all contrast from the rest.
fn range(excerpt: &Clip) -> (f32, f32) {
    let mut all: Vec<f32> = excerpt.bands.iter().flatten().copied().filter(|x| x.is_finite()).collect();
    let at = all.len() / 20;
    if at >= all.len() {
        return (0.0, LEAST_SPAN);
    }
    let low = *all.select_nth_unstable_by(at, f32::total_cmp).1;
    let high = all.iter().copied().fold(low, f32::max);
    (low, (high - low).max(LEAST_SPAN))
}

fn palette() -> Vec<u8> {
    let last = VIRIDIS.len() - 1;
    let colour = |level: u8| {
        let place = f32::from(level) / f32::from(LEVELS - 1) * last as f32;
        let below = (place as usize).min(last - 1);
        let part = place - below as f32;
        let of = |i: usize| VIRIDIS.get(i).copied().unwrap_or_default();
        let mut mixed = of(below);
        for (x, up) in mixed.iter_mut().zip(of(below + 1)) {
            *x = (f32::from(*x) + part * (f32::from(up) - f32::from(*x))).round() as u8;
        }
        mixed
    };
    (0..LEVELS).map(colour).chain([ONSET, OFFSET]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(frames: usize) -> Clip {
        let mut bands = vec![[-10.0; BANDS]; frames];
        bands.iter_mut().skip(20).for_each(|row| row[3] = 0.0);
        Clip { number: 0, onset: 20, offset: 30, bands, samples: vec![-32_767, 0, 5] }
    }

    #[test]
    fn low_bands_are_at_the_bottom_and_the_event_is_marked() {
        let file = spectrogram(&excerpt(40)).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (160, 256));
        let text = reader.info().uncompressed_latin1_text.iter().find(|text| text.keyword == AXES).unwrap();
        let axes: serde_json::Value = serde_json::from_str(&text.text).unwrap();
        assert_eq!((axes["first_s"].as_f64(), axes["offset_s"].as_f64()), (Some(-0.2), Some(0.1)), "{axes}");
        let bands = axes["band_hz"].as_array().unwrap();
        assert_eq!(
            (bands.len() as u64 * axes["band_px"].as_u64().unwrap(), axes["column_px"].as_u64()),
            (256, Some(4))
        );
        assert!(bands[0].as_f64() < bands[63].as_f64() && bands[63].as_f64() < Some(8000.0));
        // a picture spans ten nats here
        let [low, high] = [0, 1].map(|i| axes["level_db"][i].as_f64().unwrap());
        assert!((high - low - 43.4).abs() < 0.2, "{axes}");
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        // the decoder leaves numbers of colours as they are
        let at = |x: usize, y: usize| pixels[160 * y + x];
        // band 3 is the fourth row of squares from below
        for y in [240, 243] {
            assert_eq!([at(79, y), at(82, y), at(159, y)], [0, 253, 253]);
        }
        for y in [0, 239, 244, 255] {
            assert_eq!([at(82, y), at(159, y)], [0, 0]);
        }
        for y in [0, 128, 242, 255] {
            assert_eq!([at(80, y), at(81, y), at(120, y), at(121, y)], [254, 254, 255, 255]);
        }
    }

    #[test]
    fn colours_grow_brighter_all_the_way() {
        let colours = palette();
        assert_eq!(colours.len(), 768);
        assert_eq!((&colours[..3], &colours[759..762]), (&VIRIDIS[0][..], &VIRIDIS[10][..]));
        let luma = |c: &[u8]| 2126 * u32::from(c[0]) + 7152 * u32::from(c[1]) + 722 * u32::from(c[2]);
        let steps: Vec<u32> = colours[..762].chunks(3).step_by(4).map(luma).collect();
        assert!(steps.is_sorted_by(|a, b| a < b), "{steps:?}");
    }

    #[test]
    fn marks_outside_and_odd_values_are_left_out() {
        let mut odd = excerpt(40);
        (odd.onset, odd.offset) = (-5, 4_000);
        odd.bands[7] = [f32::NAN; BANDS];
        spectrogram(&odd).unwrap();
        odd.bands = vec![[-13.8; BANDS]; 3];
        spectrogram(&odd).unwrap();
        odd.bands.clear();
        assert!(spectrogram(&odd).is_err());
    }

    #[test]
    fn a_clip_is_the_samples() {
        let file = clip(&excerpt(1)).unwrap();
        let mut reader = hound::WavReader::new(Cursor::new(file)).unwrap();
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 16_000));
        let samples: Vec<i16> = reader.samples().map(|x| x.unwrap()).collect();
        assert_eq!(samples, [-32_767, 0, 5]);
    }
}
