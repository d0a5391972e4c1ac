//! Kinds of sources. A new kind is a file with a [`SourceDriver`], a key of [`SourceConfig`] and a line in [`super::KINDS`].

use crossbeam_channel::Sender;

use super::config::{CaptureConfig, SourceConfig};
use super::intake::Intake;
use super::link::SourceLink;
use super::mic::MqttAudioInput;
use crate::error::Result;
use crate::mqtt::Incoming;
use crate::ring::RingReader;

/// What a kind of source says of itself, and how it is opened.
pub(super) trait SourceDriver {
    /// What it is, for logs and health: `device hw:0`.
    fn name(&self) -> String;

    /// The id of the source where none is configured.
    fn default_id(&self) -> String;

    /// Whether it is live, as a device is: endless, at its own pace, and reopened after a loss.
    fn is_live(&self) -> bool;

    /// Whether it can be read faster than time passes, so that `fast` has a meaning.
    fn can_be_fast(&self) -> bool {
        !self.is_live()
    }

    /// Whether sound comes at the pace of time unless `fast`, so that it must not wait.
    fn keeps_pace(&self) -> bool {
        self.is_live()
    }

    /// Checks what can be checked without opening anything.
    ///
    /// # Errors
    /// A config error for senseless settings, a device error for a name that can never be one.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Makes rings and the work of its thread. A live source that is not there is no error: its work tries again for ever.
    ///
    /// # Errors
    /// What cannot be opened, ever.
    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened>;
}

/// What a driver opens with.
pub(super) struct Opening<'a> {
    pub(super) source: &'a SourceConfig,
    pub(super) capture: &'a CaptureConfig,
    /// The microphones on the broker, where there are any.
    pub(super) microphones: Option<&'a MqttAudioInput>,
    /// Makes a ring a stream, for sound of this rate in Hz.
    pub(super) rings: &'a dyn Fn(u32) -> Result<(Intake, Vec<RingReader>)>,
    /// The connection to the supervisor.
    pub(super) link: SourceLink,
}

/// What a driver opened.
pub(super) struct Opened {
    pub(super) readers: Vec<RingReader>,
    /// The work of the source's thread, until it ends or is stopped.
    pub(super) work: Box<dyn FnOnce() + Send>,
    /// For a microphone on the broker: the channel of its chunks.
    pub(super) mic: Option<Sender<Incoming>>,
}

impl Opened {
    pub(super) fn new(readers: Vec<RingReader>, work: impl FnOnce() + Send + 'static) -> Self {
        Self { readers, work: Box::new(work), mic: None }
    }
}

/// The driver of a source; none where the source is not of this kind.
pub(super) type MakeDriver = fn(&SourceConfig) -> Option<Result<Box<dyn SourceDriver>>>;

/// Rate for which a ring is made where the rate of the sound is not known yet, in Hz.
pub(super) const USUAL_RATE: u32 = 48_000;
