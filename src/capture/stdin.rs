//! Raw PCM from a pipe as a source.

use std::io::{ErrorKind, Read};

use super::config::{PcmForm, PcmFormat};
use super::intake::Intake;
use super::source::{Change, Link};

/// Bytes read at once at most.
const BUFFER: usize = 16 * 1024;

pub(super) fn run(mut input: impl Read, form: PcmForm, intake: &mut Intake, link: &Link) {
    let PcmForm { rate, channels, format } = form;
    link.tell(Change::Online { description: format!("stdin {rate} Hz {channels} ch {format:?}") });
    let frame = format.bytes() * usize::from(channels);
    let mut bytes = vec![0; BUFFER.next_multiple_of(frame)];
    let mut samples = Vec::with_capacity(bytes.len() / format.bytes());
    let (mut filled, mut frames) = (0, 0);
    let failure = loop {
        if link.stopping() {
            return;
        }
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break (filled > 0).then(|| format!("{filled} bytes after the last whole frame")),
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => break Some(e.to_string()),
        }
        let whole = filled / frame * frame;
        decode(&bytes[..whole], format, &mut samples);
        if !intake.take_blocking(&samples, || !link.stopping()) {
            return;
        }
        frames += (whole / frame) as u64;
        bytes.copy_within(whole..filled, 0);
        filled -= whole;
    };
    link.tell(Change::Ended { frames, failure });
}

fn decode(bytes: &[u8], format: PcmFormat, samples: &mut Vec<f32>) {
    samples.clear();
    match format {
        PcmFormat::S16le => samples
            .extend(bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_le_bytes(b)) / 32_768.0)),
        PcmFormat::F32le => samples.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
    }
}
