//! Streams of samples to frames and findings.

use super::output::{Output, ScoredFrame, StreamId};
use super::{Model, Settings};
use crate::detect::StreamState;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::runtime::{Engine, EngineOutput};

/// Scores any number of streams by one model, without threads and clocks: samples go in, [`Output`]s come out. What a stream gives is a
/// function of its own samples and gaps, however they were cut into pieces. To use more cores, give each thread a listener of its own.
///
/// ```
/// use cpc_stream::{Listener, Model, Output, Settings};
///
/// # fn main() -> cpc_stream::Result<()> {
/// let model = Model::built_in()?;
/// let settings = Settings::default().calibrate_seconds(10.0);
/// let mut listener = Listener::new(&model, &settings)?;
/// let porch = listener.add_stream(48_000)?;
/// // as they come from a microphone, mono, in pieces of any length
/// for piece in [[0.01_f32; 480], [0.02; 480]] {
///     listener.push(porch, &piece)?;
///     for output in listener.step()? {
///         match output {
///             Output::Frame(frame) => println!("{:.2} s: {} latents", frame.end_s, frame.z.len()),
///             Output::Calibrated { .. } => println!("watching from here on"),
///             Output::Finding { finding, .. } => println!("{}", finding.summary),
///             _ => {}
///         }
///     }
/// }
/// let (last, state) = listener.end(porch)?;
/// assert!(last.len() < 3 && state.is_none(), "20 ms are too little to learn from");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    engine: Engine,
    /// Rate of each stream in Hz, for its gaps.
    rates: Vec<u32>,
}

impl Listener {
    /// A listener without streams.
    ///
    /// # Errors
    /// A [model error](crate::ErrorKind::Model) when the model has no heads or no negatives; a
    /// [configuration error](crate::ErrorKind::Config) that names a setting out of its range.
    pub fn new(model: &Model, settings: &Settings) -> Result<Self> {
        let mut engine = Engine::new(model.cpc.clone(), &model.manifest, settings.detect.clone())?;
        if !settings.without_frames {
            engine.report_frames();
        }
        Ok(Self { engine, rates: Vec::new() })
    }

    /// Adds a stream of mono samples at `sample_rate` Hz, which learns first what is normal.
    ///
    /// # Errors
    /// When the rate cannot be resampled to 16 kHz.
    pub fn add_stream(&mut self, sample_rate: u32) -> Result<StreamId> {
        self.add(sample_rate, None)
    }

    /// Adds a stream that goes on with a state that [`end`](Self::end) gave: it watches at once.
    ///
    /// # Errors
    /// When the rate cannot be resampled, the state cannot be read, or is of another model.
    pub fn resume_stream(&mut self, sample_rate: u32, state: &[u8]) -> Result<StreamId> {
        let state = StreamState::from_json(state).map_err(|error| {
            Error::config(
                format!("the state of a stream cannot be read: {error}"),
                "give what `Listener::end` returned, or add the stream without a state",
            )
        })?;
        self.add(sample_rate, Some(state))
    }

    fn add(&mut self, sample_rate: u32, state: Option<StreamState>) -> Result<StreamId> {
        let number = self.engine.add(format!("stream {}", self.rates.len()), sample_rate, state)?;
        self.rates.resize(number + 1, sample_rate);
        Ok(StreamId(number))
    }

    /// Takes the next samples of a stream, mono, about -1 to 1, at its rate. They are scored by the next [`step`](Self::step).
    ///
    /// # Errors
    /// When the stream has ended.
    pub fn push(&mut self, stream: StreamId, samples: &[f32]) -> Result<()> {
        self.engine.feed(stream.0, samples)
    }

    /// Notes that `samples` of a stream, at its rate, are missing here: later times stay true, an ongoing event ends, and networks begin
    /// anew. What was pushed before is scored first; the outputs are those of this sound and of the end of the event.
    ///
    /// # Errors
    /// When the stream has ended.
    pub fn gap(&mut self, stream: StreamId, samples: u64) -> Result<Vec<Output>> {
        let rate = self.rates.get(stream.0).copied().unwrap_or_default();
        let mut outputs = Outputs::default();
        self.engine.gap(stream.0, samples, rate, &mut |output| outputs.take(output))?;
        Ok(outputs.ready)
    }

    /// Scores every whole hop of all streams; streams that have a hop at the same time share a step of the model, which is cheaper than
    /// one step each.
    ///
    /// # Errors
    /// When memory is short.
    pub fn step(&mut self) -> Result<Vec<Output>> {
        let mut outputs = Outputs::default();
        self.engine.run(&mut |output| outputs.take(output))?;
        Ok(outputs.ready)
    }

    /// Scores what is left of a stream and removes it. The state holds what the stream has learnt (a megabyte of JSON, for
    /// [`resume_stream`](Self::resume_stream)); none where it did not finish its calibration.
    ///
    /// # Errors
    /// When the stream has ended before.
    pub fn end(&mut self, stream: StreamId) -> Result<(Vec<Output>, Option<Vec<u8>>)> {
        let mut outputs = Outputs::default();
        self.engine.end(stream.0, &mut |output| outputs.take(output))?;
        let state = outputs.state.map(|state| {
            serde_json::to_vec(&state)
                .map_err(|error| Error::internal(format!("a state cannot be written: {error}")))
        });
        Ok((outputs.ready, state.transpose()?))
    }
}

/// Outputs of the engine in the form of the library.
#[derive(Default)]
struct Outputs {
    ready: Vec<Output>,
    /// The frame whose reading comes next.
    frame: Option<Box<Frame>>,
    state: Option<Box<StreamState>>,
}

impl Outputs {
    fn take(&mut self, output: EngineOutput) {
        match output {
            EngineOutput::Frame { frame, .. } => self.frame = Some(frame),
            EngineOutput::Reading { stream, reading, .. } => {
                let scored =
                    self.frame.take().map(|frame| ScoredFrame::new(StreamId(stream), *frame, &reading));
                self.ready.extend(scored.map(|scored| Output::Frame(Box::new(scored))));
            }
            EngineOutput::Calibrated { stream } => {
                self.ready.push(Output::Calibrated { stream: StreamId(stream) });
            }
            EngineOutput::Finding { stream, finding } => {
                self.ready.push(Output::Finding { stream: StreamId(stream), finding });
            }
            EngineOutput::State { state, .. } => self.state = Some(state),
            EngineOutput::Embedding { .. } | EngineOutput::Column { .. } | EngineOutput::Clip { .. } => {}
        }
    }
}
