//! Raw PCM from a pipe as a source.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, ErrorKind, Read};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::config::{PcmForm, PcmFormat};
use super::intake::Intake;
use super::source::{Change, Link};

/// Bytes read at once at most.
const BUFFER: usize = 16 * 1024;
/// How long a stop may go unnoticed while no byte comes.
const ROUND: Duration = Duration::from_millis(100);

pub(super) fn run(input: impl Read + Send + 'static, form: PcmForm, intake: &mut Intake, link: &Link) {
    let PcmForm { rate, channels, format } = form;
    link.tell(Change::Online { description: format!("stdin {rate} Hz {channels} ch {format:?}") });
    let frame = format.bytes() * usize::from(channels);
    let mut bytes = Vec::with_capacity(BUFFER + frame);
    let mut samples = Vec::with_capacity(bytes.capacity() / format.bytes());
    let mut frames = 0;
    let pieces = match read_aside(input) {
        Ok(pieces) => pieces,
        Err(e) => return link.tell(Change::Ended { frames, failure: Some(e.to_string()) }),
    };
    let failure = loop {
        if link.stopping() {
            return;
        }
        match pieces.recv_timeout(ROUND) {
            Ok(Ok(piece)) => bytes.extend_from_slice(&piece),
            Ok(Err(e)) => break Some(e.to_string()),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                let left = bytes.len();
                break (left > 0).then(|| format!("{left} bytes after the last whole frame"));
            }
        }
        let whole = bytes.len() / frame * frame;
        decode(bytes.get(..whole).unwrap_or_default(), format, &mut samples);
        if !intake.take_blocking(&samples, || !link.stopping()) {
            return;
        }
        frames += (whole / frame) as u64;
        bytes.drain(..whole);
    };
    link.tell(Change::Ended { frames, failure });
}

/// Reads on a thread of its own, which a stop leaves behind where it waits for a byte that never comes.
pub(super) fn read_aside(mut input: impl Read + Send + 'static) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, pieces) = bounded(1);
    let work = move || {
        let mut buffer = vec![0; BUFFER];
        loop {
            let piece = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => Ok(buffer.get(..count).unwrap_or_default().to_vec()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            let last = piece.is_err();
            if sender.send(piece).is_err() || last {
                break;
            }
        }
    };
    thread::Builder::new().name("stdin".into()).spawn(work).map(|_| pieces)
}

/// Interleaved samples of whole frames.
pub(super) fn decode(bytes: &[u8], format: PcmFormat, samples: &mut Vec<f32>) {
    samples.clear();
    match format {
        PcmFormat::S16le => {
            let integers = bytes.as_chunks().0.iter().map(|&b| i16::from_le_bytes(b));
            samples.extend(integers.map(|x| f32::from(x) / 32_768.0));
        }
        PcmFormat::F32le => samples.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::intake::Pick;
    use super::*;
    use crate::capture::SourceCounters;
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

    fn heard(form: PcmForm, pick: Pick, bytes: Vec<u8>) -> (Vec<f32>, Change) {
        heard_in(form, pick, bytes, vec![7, 20, 33, 46, 59])
    }

    fn heard_in(form: PcmForm, pick: Pick, bytes: Vec<u8>, pieces: Vec<usize>) -> (Vec<f32>, Change) {
        let counters = Arc::new(SourceCounters::default());
        let (sender, notices) = crossbeam_channel::unbounded();
        let link = Link {
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
        let (samples, end) = heard(form, Pick::Each(vec![0]), bytes);
        assert_eq!(samples, (0..6000).map(|i| i as f32 / 32_768.0).collect::<Vec<_>>());
        assert_eq!(end, Change::Ended { frames: 6000, failure: None });

        let form = PcmForm { rate: 8000, channels: 1, format: PcmFormat::F32le };
        let mut bytes: Vec<u8> = (0..6000).flat_map(|i| (i as f32).to_le_bytes()).collect();
        bytes.push(1);
        let (samples, end) = heard(form, Pick::Mix, bytes);
        assert_eq!(samples, (0..6000).map(|i| i as f32).collect::<Vec<_>>());
        let Change::Ended { frames: 6000, failure: Some(why) } = end else { panic!("{end:?}") };
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
            let (samples, end) = heard_in(PcmForm { rate: 8000, channels, format }, Pick::Mix, bytes, pieces);
            prop_assert_eq!(samples.len(), whole);
            prop_assert!(samples.iter().all(|x| x.is_finite()), "what is no number was let through");
            let Change::Ended { frames, failure } = end else { panic!("{end:?}") };
            prop_assert_eq!(frames, whole as u64);
            prop_assert_eq!(failure.is_some(), rest > 0);
        }
    }
}
