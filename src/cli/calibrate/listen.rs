//! Hears sources until what is normal is known of each of their streams.

use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use indicatif::ProgressBar;

use crate::capture::{self, CaptureConfig, MqttAudioInput, Notice, SourceChange, SourceConfig, StreamFeed};
use crate::cli::args::stop_flag;
use crate::detect::{Calibration, Detector};
use crate::error::Result;
use crate::ring::{Read, RingReader, wait_any};
use crate::runtime::{Engine, EngineOutput, StreamPipeline};

/// Samples taken from a ring at a time.
const PIECE: usize = 4096;

/// A stream during its calibration.
struct Listening {
    feed: StreamFeed,
    keep: bool,
    number: Option<usize>,
    done: f32,
    learnt: Option<Calibration>,
    closed: bool,
    /// Why it gives no sound now.
    offline: Option<String>,
}

/// The result of a stream.
pub(super) struct Outcome {
    /// Its id, which is that of `run`.
    pub(super) id: String,
    /// Whether `run` goes on with what is learnt of it: its source is live.
    pub(super) keep: bool,
    /// The calibration; `None` where the sound ended before.
    pub(super) learnt: Option<Calibration>,
    /// Why it gave no sound at the end, where it did not.
    pub(super) offline: Option<String>,
}

/// Hears all streams of `sources` until normal is known of each, its sound ends, or the program is asked to stop.
///
/// # Errors
/// When a source cannot be opened.
pub(super) fn listen(
    engine: &mut Engine,
    sources: &[SourceConfig],
    config: &CaptureConfig,
    microphones: Option<&MqttAudioInput>,
    bar: &ProgressBar,
) -> Result<Vec<Outcome>> {
    let (notify, notices) = unbounded();
    let (mut handles, mut streams) = (Vec::new(), Vec::new());
    for source in sources {
        let open = capture::open_with(source, config, notify.clone(), microphones)?;
        handles.push(open.handle);
        streams.extend(open.feeds.into_iter().map(|feed| Listening {
            feed,
            keep: source.is_live(),
            number: None,
            done: 0.0,
            learnt: None,
            closed: false,
            offline: None,
        }));
    }
    let (stop, mut piece) = (stop_flag()?, vec![0f32; PIECE]);
    while streams.iter().any(|stream| !stream.is_over()) && !stop.load(std::sync::atomic::Ordering::Relaxed) {
        tell(&notices, &mut streams, bar);
        let mut busy = false;
        for stream in streams.iter_mut().filter(|stream| !stream.is_over()) {
            busy |= stream.take(engine, &mut piece)?;
        }
        engine.run(&mut |received| {
            if let EngineOutput::Reading { stream, reading, .. } = received
                && let Some(done) = reading.state.done()
                && let Some(of) = streams.iter_mut().find(|it| it.number == Some(stream))
            {
                of.done = done;
            }
        })?;
        for stream in &mut streams {
            let detector =
                stream.number.and_then(|number| engine.pipeline(number)).map(StreamPipeline::detector);
            stream.learnt =
                stream.learnt.take().or_else(|| detector.and_then(Detector::calibration).cloned());
        }
        let least = streams.iter().filter(|stream| !stream.is_over()).map(|stream| stream.done);
        bar.set_position((least.fold(1.0, f32::min) * 100.0) as u64);
        if !busy {
            let open: Vec<&RingReader> =
                streams.iter().filter(|stream| !stream.is_over()).map(|stream| &stream.feed.reader).collect();
            let _ = wait_any(open.iter().copied(), Duration::from_millis(50));
        }
    }
    tell(&notices, &mut streams, bar);
    let outcome = |stream: Listening| Outcome {
        id: stream.feed.id,
        keep: stream.keep,
        learnt: stream.learnt,
        offline: stream.offline,
    };
    Ok(streams.into_iter().map(outcome).collect())
}

impl Listening {
    fn is_over(&self) -> bool {
        self.closed || self.learnt.is_some()
    }

    /// Takes a piece of its sound; false where there is none.
    fn take(&mut self, engine: &mut Engine, piece: &mut [f32]) -> Result<bool> {
        let found = self.feed.reader.read(piece);
        let rate = self.feed.reader.rate();
        match (found, self.number) {
            (Read::Empty, _) => return Ok(false),
            (Read::Closed, _) => self.closed = true,
            (Read::Gap { .. }, None) => {}
            (Read::Gap { lost }, Some(number)) => engine.gap(number, lost, rate, &mut |_| ())?,
            (Read::Rate(rate), Some(number)) => engine.gap(number, 0, rate, &mut |_| ())?,
            (Read::Rate(rate), None) => self.number = Some(engine.add(&self.feed.id, rate, None)?),
            (Read::Samples(count), number) => {
                let number = match number {
                    Some(number) => number,
                    None => *self.number.insert(engine.add(&self.feed.id, rate, None)?),
                };
                engine.feed(number, piece.get(..count).unwrap_or_default())?;
            }
        }
        Ok(true)
    }
}

/// Prints the notices of sources, and notes which streams give no sound.
fn tell(notices: &Receiver<Notice>, streams: &mut [Listening], bar: &ProgressBar) {
    for Notice { source, streams: concerned, change, .. } in notices.try_iter() {
        let offline = match &change {
            SourceChange::Online { .. } => Some(None),
            SourceChange::Offline { reason } => Some(Some(reason)),
            _ => None,
        };
        if let Some(offline) = offline {
            let of_these = streams.iter_mut().filter(|stream| concerned.contains(&stream.feed.id));
            of_these.for_each(|stream| stream.offline = offline.cloned());
        }
        match change {
            SourceChange::WrongRate { nominal, measured } => {
                tracing::warn!("{source}: it says {nominal} Hz and gives {measured}; it is taken at that");
            }
            SourceChange::RateOff { nominal, measured } => tracing::warn!(
                "{source}: {measured} samples a second come where {nominal} are configured; set its `pcm`"
            ),
            SourceChange::Online { description } => bar.set_message(format!("{source}: {description}")),
            SourceChange::Offline { reason } => {
                tracing::warn!("{source} is offline: {reason}");
                bar.set_message(format!("{source} is offline: {reason}"));
            }
            SourceChange::Elsewhere { .. } | SourceChange::Xrun { .. } | SourceChange::Ended { .. } => {}
        }
    }
}
