//! The choice of a device's format: rate, channels and sample format.

use cpal::traits::DeviceTrait;
use cpal::{BufferSize, SampleFormat, SupportedBufferSize, SupportedStreamConfigRange};

use super::super::config::CaptureConfig;
use super::failure::failure;
use crate::error::{Error, Result};
use crate::ring::RATES;

/// Formats that are taken, best first: integers come from the hardware untouched.
const FORMATS: [SampleFormat; 8] = [
    SampleFormat::I16,
    SampleFormat::I32,
    SampleFormat::F32,
    SampleFormat::I24,
    SampleFormat::F64,
    SampleFormat::U16,
    SampleFormat::I8,
    SampleFormat::U8,
];

/// Rates that are resampled best or not at all, best first.
const PREFERRED: [u32; 6] = [48_000, 16_000, 32_000, 96_000, 44_100, 22_050];

/// The format that a device is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceFormat {
    pub(super) rate: u32,
    pub(super) channels: u16,
    pub(super) format: SampleFormat,
    /// Frames a period, if the device can be asked for it.
    pub(super) period: Option<u32>,
}

impl DeviceFormat {
    pub(super) fn stream_config(&self) -> cpal::StreamConfig {
        cpal::StreamConfig {
            channels: self.channels,
            sample_rate: self.rate,
            buffer_size: self.period.map_or(BufferSize::Default, BufferSize::Fixed),
        }
    }
}

/// The best format of `device`: the fewest channels that hold the `needed`, and a rate that resamples well.
pub(super) fn choose(device: &cpal::Device, needed: u16, capture: &CaptureConfig) -> Result<DeviceFormat> {
    let offered: Vec<_> = device
        .supported_input_configs()
        .map_err(|e| failure("cannot be asked for its formats", &e))?
        .collect();
    best(&offered, needed, capture).ok_or_else(|| {
        let most = offered.iter().map(SupportedStreamConfigRange::channels).max().unwrap_or(0);
        if most < needed {
            let cause =
                format!("channel {} is wanted, but the device has {most} (numbered from 0)", needed - 1);
            return Error::device(cause, "list existing channels, or leave `channels` out to mix all");
        }
        Error::device(
            format!("no format of the device can be read; it offers {}", describe(&offered)),
            "try it as plughw: instead of hw:, which converts",
        )
    })
}

/// Whether `device` offers a format that can be read. One that cannot be asked is left to the opening, which says why.
pub(super) fn is_readable(device: &cpal::Device) -> bool {
    device
        .supported_input_configs()
        .map_or(true, |mut offered| offered.any(|range| FORMATS.contains(&range.sample_format())))
}

fn best(
    offered: &[SupportedStreamConfigRange],
    needed: u16,
    capture: &CaptureConfig,
) -> Option<DeviceFormat> {
    offered
        .iter()
        .filter(|range| range.channels() >= needed)
        .filter_map(|range| {
            let format = FORMATS.iter().position(|&f| f == range.sample_format())?;
            let rate = rate(range, capture.rate_hz)?;
            let preferred = capture.rate_hz == Some(rate);
            let rank = PREFERRED.iter().position(|&r| r == rate).unwrap_or(PREFERRED.len());
            Some(((!preferred && rate < 16_000, range.channels(), !preferred, rank, format), range, rate))
        })
        .min_by_key(|(key, ..)| *key)
        .map(|(_, range, rate)| DeviceFormat {
            rate,
            channels: range.channels(),
            format: range.sample_format(),
            period: period(range, rate, capture.period_ms),
        })
}

fn rate(range: &SupportedStreamConfigRange, wanted: Option<u32>) -> Option<u32> {
    let (low, high) =
        (range.min_sample_rate().max(*RATES.start()), range.max_sample_rate().min(*RATES.end()));
    if low > high {
        return None;
    }
    let inside = |rate: &u32| (low..=high).contains(rate);
    wanted.filter(inside).or_else(|| PREFERRED.into_iter().find(inside)).or(Some(high))
}

fn period(range: &SupportedStreamConfigRange, rate: u32, ms: u32) -> Option<u32> {
    match *range.buffer_size() {
        SupportedBufferSize::Range { min, max } if min <= max => Some((rate * ms / 1000).clamp(min, max)),
        _ => None,
    }
}

/// The forms of `device` in a few words.
pub(super) fn summary(device: &cpal::Device) -> String {
    match device.supported_input_configs() {
        Ok(offered) => describe(&offered.collect::<Vec<_>>()),
        Err(e) => format!("cannot be asked: {e}"),
    }
}

fn describe(offered: &[SupportedStreamConfigRange]) -> String {
    let mut rates: Vec<String> = Vec::new();
    let mut channels: Vec<u16> = Vec::new();
    let mut formats: Vec<String> = Vec::new();
    for range in offered {
        let (low, high) = (range.min_sample_rate(), range.max_sample_rate());
        let rate = if low == high { low.to_string() } else { format!("{low}-{high}") };
        if !rates.contains(&rate) {
            rates.push(rate);
        }
        if !channels.contains(&range.channels()) {
            channels.push(range.channels());
        }
        let format = range.sample_format().to_string();
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    channels.sort_unstable();
    let channels = match channels.as_slice() {
        [] => return "nothing".into(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
    };
    format!("{} Hz, {channels} ch, {}", rates.join("/"), formats.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(channels: u16, low: u32, high: u32, format: SampleFormat) -> SupportedStreamConfigRange {
        let buffer = SupportedBufferSize::Range { min: 64, max: 512 };
        SupportedStreamConfigRange::new(channels, low, high, buffer, format)
    }

    #[test]
    fn the_form_fits_the_channels_and_resamples_well() {
        use SampleFormat::{F32, I16, I32, U24};
        let settings = CaptureConfig::default();
        let offered = [
            range(2, 8000, 96_000, F32),
            range(2, 8000, 96_000, I16),
            range(1, 8000, 8000, I16),
            range(1, 44_100, 48_000, I32),
            range(1, 16_000, 16_000, I16),
            range(1, 16_000, 48_000, U24),
            range(8, 16_000, 48_000, I16),
        ];
        let pick = |needed, wanted| {
            let settings = CaptureConfig { rate_hz: wanted, ..settings.clone() };
            best(&offered, needed, &settings).map(|f| (f.rate, f.channels, f.format))
        };
        assert_eq!(pick(1, None), Some((48_000, 1, I32)));
        assert_eq!(pick(1, Some(16_000)), Some((16_000, 1, I16)));
        assert_eq!(pick(1, Some(8000)), Some((8000, 1, I16)));
        assert_eq!(pick(2, None), Some((48_000, 2, I16)));
        assert_eq!(pick(3, None), Some((48_000, 8, I16)));
        assert_eq!(pick(9, None), None);
        assert_eq!(best(&offered[..2], 1, &settings).and_then(|f| f.period), Some(512));
        assert_eq!(best(&[range(2, 8000, 8000, I16)], 1, &settings).map(|f| f.rate), Some(8000));
    }

    #[test]
    fn the_summary_is_short() {
        let offered =
            [range(1, 48_000, 48_000, SampleFormat::I16), range(2, 8000, 96_000, SampleFormat::I16)];
        assert_eq!(describe(&offered), "48000/8000-96000 Hz, 1-2 ch, i16");
    }
}
