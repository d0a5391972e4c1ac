//! The standard input as a source: raw PCM, or sound in a container that its first bytes tell.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Cursor, ErrorKind, Read};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::config::SourceConfig;
use super::driver::{Opened, Opening, SourceDriver};
use super::flow::FlowMonitor;
use super::intake::Intake;
use super::link::{ReportedState, SourceChange, SourceLink};
use super::pcm::{PcmForm, decode};
use crate::audio_file::{AudioReader, container, frames};
use crate::error::Result;

/// Bytes read at once at most.
const BUFFER: usize = 16 * 1024;
/// How long a stop may go unnoticed while no byte comes.
const ROUND: Duration = Duration::from_millis(100);
/// Without sound for so long it is offline.
const SILENT: Duration = Duration::from_secs(2);
/// Bytes by which a container is known.
const START: usize = 12;
/// How far a pipe that gives sound as time goes may be ahead of time; what is further ahead is a file.
const AHEAD: Duration = Duration::from_millis(500);
/// How long a pipe must have kept pace until its sound is stamped by the clock.
const SETTLED: Duration = Duration::from_secs(1);

/// The standard input, in this form where it has no container.
struct StdinDriver(PcmForm);

/// The driver of `stdin`.
pub(super) fn driver(source: &SourceConfig) -> Option<Result<Box<dyn SourceDriver>>> {
    Some(Ok(Box::new(StdinDriver(source.stdin?))))
}

impl SourceDriver for StdinDriver {
    fn name(&self) -> String {
        "stdin".into()
    }

    fn default_id(&self) -> String {
        "stdin".into()
    }

    fn is_live(&self) -> bool {
        false
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened> {
        let (mut intake, readers) = (opening.rings)(self.0.rate)?;
        intake.expect(self.0.channels, self.0.rate)?;
        let link = opening.link;
        Ok(Opened::new(readers, move || run(io::stdin(), self.0, &mut intake, &link)))
    }
}

/// Messages of the reading thread.
enum Piece {
    /// The input is a container; what follows are samples in this form.
    Container { kind: &'static str, rate: u32, channels: u16 },
    /// Interleaved samples of a container.
    Samples(Vec<f32>),
    /// Raw PCM.
    Bytes(Vec<u8>),
    /// The input ends before its time.
    Failed(String),
}

pub(super) fn run(
    input: impl Read + Send + Sync + 'static,
    form: PcmForm,
    intake: &mut Intake,
    link: &SourceLink,
) {
    let PcmForm { rate, channels, format } = form;
    link.notify(SourceChange::Online { description: format!("stdin {rate} Hz {channels} ch {format:?}") });
    let mut pipe = Pipe {
        form,
        bytes: Vec::new(),
        intake,
        link,
        clock: None,
        frames: 0,
        quiet: Instant::now(),
        reported: ReportedState::Online,
        flow: FlowMonitor::new(SILENT, rate),
    };
    let failure = match read_pieces(input) {
        Ok(pieces) => pipe.take_all(&pieces),
        Err(e) => Some(Some(e.to_string())),
    };
    if let Some(failure) = failure {
        link.notify(SourceChange::Ended { frames: pipe.frames, failure });
    }
}

/// A pipe that is read.
struct Pipe<'a> {
    form: PcmForm,
    /// Bytes of an incomplete frame.
    bytes: Vec<u8>,
    intake: &'a mut Intake,
    link: &'a SourceLink,
    clock: Option<Clock>,
    frames: u64,
    /// When the last piece was done with.
    quiet: Instant,
    reported: ReportedState,
    flow: FlowMonitor,
}

/// The time of a pipe's sound.
struct Clock {
    begun: Instant,
    /// Frames since then, lost ones included.
    frames: u64,
}

impl Pipe<'_> {
    /// Reads until the end: `None` where it is to stop, else the reason of an early end.
    fn take_all(&mut self, pieces: &Receiver<Piece>) -> Option<Option<String>> {
        let mut samples = Vec::new();
        loop {
            if self.link.stopping() {
                return None;
            }
            match pieces.recv_timeout(ROUND) {
                Ok(Piece::Bytes(piece)) => {
                    self.bytes.extend_from_slice(&piece);
                    let frame = self.form.frame_bytes();
                    let whole = self.bytes.len() / frame * frame;
                    decode(self.bytes.get(..whole).unwrap_or_default(), self.form.format, &mut samples);
                    self.bytes.drain(..whole);
                    if !self.give(&samples) {
                        return None;
                    }
                }
                Ok(Piece::Samples(samples)) => {
                    if !self.give(&samples) {
                        return None;
                    }
                }
                Ok(Piece::Container { kind, rate, channels }) => {
                    if let Err(e) = self.intake.expect(channels, rate) {
                        return Some(Some(format!("{e} ({})", e.fix())));
                    }
                    self.flow = FlowMonitor::new(SILENT, rate);
                    let description = format!("stdin, {kind}: {rate} Hz {channels} ch");
                    self.link.notify(SourceChange::Online { description });
                }
                Ok(Piece::Failed(why)) => return Some(Some(why)),
                Err(RecvTimeoutError::Timeout) => self.be_quiet(),
                Err(RecvTimeoutError::Disconnected) => {
                    let left = self.bytes.len();
                    return Some((left > 0).then(|| format!("{left} bytes after the last whole frame")));
                }
            }
        }
    }

    fn be_quiet(&mut self) {
        if self.quiet.elapsed() >= SILENT && !self.reported.is_offline() {
            self.reported.offline(self.link, format!("stdin: no sound for {} s", SILENT.as_secs()));
        }
    }

    /// Gives whole frames, waiting for room; false where it is to stop.
    fn give(&mut self, samples: &[f32]) -> bool {
        let frames = (samples.len() / self.intake.channels()) as u64;
        let now = Instant::now();
        if frames > 0 {
            self.keep_time(frames);
            if self.flow.take(frames as usize, now) {
                let (rate, channels) = (self.intake.rate(), self.intake.channels());
                self.reported.online(self.link, || format!("stdin {rate} Hz {channels} ch"));
            }
        }
        if self.flow.begins_to_trickle(now).is_some() && !self.reported.is_offline() {
            let rate = self.intake.rate();
            let reason = format!("stdin: less than a quarter of {rate} samples a second come");
            self.reported.offline(self.link, reason);
        }
        let going = self.intake.take_blocking(samples, || !self.link.stopping());
        if now.elapsed() >= ROUND {
            self.flow.held_up(Instant::now());
        }
        self.frames += frames;
        self.quiet = if frames > 0 { Instant::now() } else { self.quiet };
        going
    }

    /// A pipe that keeps pace is stamped by the clock, and the time in which it stood still is a gap. One that is ahead
    /// of time is a file: nothing is missing where it waits.
    fn keep_time(&mut self, frames: u64) {
        let rate = f64::from(self.intake.rate().max(1));
        let length = |frames: u64| Duration::from_secs_f64(frames as f64 / rate);
        let now = Instant::now();
        let captured = now.checked_sub(length(frames)).unwrap_or(now);
        let clock = self.clock.get_or_insert(Clock { begun: captured, frames: 0 });
        let due = clock.begun + length(clock.frames);
        let behind = captured.saturating_duration_since(due);
        if self.reported.is_offline() && behind > AHEAD {
            let lost = (behind.as_secs_f64() * rate).round() as u64;
            self.intake.mark_gap(lost);
            clock.frames += lost;
        }
        clock.frames += frames;
        if due < captured + AHEAD && clock.begun.elapsed() >= SETTLED {
            self.intake.anchor(captured);
        }
    }
}

/// Reads on a thread of its own, which a stop leaves behind where it waits for a byte that never comes.
fn read_pieces(input: impl Read + Send + Sync + 'static) -> io::Result<Receiver<Piece>> {
    let (sender, pieces) = bounded(1);
    let work = move || {
        if let Err(e) = read_into(input, &sender) {
            let _ = sender.send(Piece::Failed(e.to_string()));
        }
    };
    thread::Builder::new().name("stdin".into()).spawn(work).map(|_| pieces)
}

/// Reads until the end, or until the receiver is gone.
fn read_into(mut input: impl Read + Send + Sync + 'static, to: &Sender<Piece>) -> io::Result<()> {
    let mut start = Vec::with_capacity(START);
    input.by_ref().take(START as u64).read_to_end(&mut start)?;
    let mut kind = container(&start);
    if kind.is_none() && frames::may_begin(&start) {
        input.by_ref().take(frames::ENOUGH as u64).read_to_end(&mut start)?;
        kind = frames::coding(&start);
    }
    if let Some(kind) = kind {
        let whole = Cursor::new(start).chain(input);
        return read_container(whole, kind, to).map_err(|e| io::Error::other(format!("{e} ({})", e.fix())));
    }
    let mut buffer = vec![0; BUFFER];
    let mut piece = start;
    while !piece.is_empty() && to.send(Piece::Bytes(piece)).is_ok() {
        let count = loop {
            match input.read(&mut buffer) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        piece = buffer.get(..count).unwrap_or_default().to_vec();
    }
    Ok(())
}

fn read_container(
    input: impl Read + Send + Sync + 'static,
    kind: &'static str,
    to: &Sender<Piece>,
) -> crate::error::Result<()> {
    let mut reader = AudioReader::from_pipe(input, "stdin")
        .map_err(|e| e.context(format!("the standard input is {kind}, not raw PCM")))?;
    let form = Piece::Container { kind, rate: reader.rate(), channels: reader.channels() };
    let mut going = to.send(form).is_ok();
    let mut block = Vec::new();
    while going && reader.next_block(&mut block)? {
        going = to.send(Piece::Samples(std::mem::take(&mut block))).is_ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
