//! Streaming audio representations and anomaly events by Contrastive Predictive Coding (CPC).
//!
//! Samples go in; latents z, contexts c, scores and findings come out, 100 times a second and stream. The daemon `cpc-stream` is built on
//! this; another program needs [`Model`] and [`Listener`]:
//!
//! ```
//! use cpc_stream::{Listener, Model, Output, Settings};
//!
//! # fn main() -> cpc_stream::Result<()> {
//! let model = Model::built_in()?;
//! // a second of a recording: z and c, a row each 10 ms
//! let features = model.encode(&[0.01; 16_000], 16_000)?;
//! assert_eq!((features.frames, features.latent(0).len()), (100, model.latent_width()));
//!
//! // a microphone: it learns what is normal, then finds what is not
//! let mut listener = Listener::new(&model, &Settings::default().calibrate_seconds(60.0))?;
//! let hall = listener.add_stream(48_000)?;
//! listener.push(hall, &[0.01; 480])?;
//! for output in listener.step()? {
//!     if let Output::Finding { finding, .. } = output {
//!         println!("{:.2} s: {}", finding.onset_s, finding.summary);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/wav_to_events.rs`, `examples/embeddings.rs` and `examples/many_streams.rs` are whole programs.
//!
//! # Stability
//!
//! The items on this page follow semantic versioning. Everything else is the daemon's own and may change with any release; it is reachable
//! for the project's programs, tests and benches only. Without the default features ([below](#features)) the library needs neither ALSA
//! nor a network.
//!
//! # Flow
//!
//! ```text
//! device/file ─ Intake ─▶ ring ─▶ StreamResampler ─▶ [B,160] ─▶ Encoder z_t ─▶ ContextNetwork c_t ─▶ PredictionHeads
//!    (callback: downmix, push, count)                                              │ last K contexts
//!                                                  surprise: z_t against the predictions of c_{t-k} ◀┘ + negatives
//!                 log-mel bands ─▶ terms of the site (density, predictions, modulation, density ratio) + critic
//!                                                            ▼ Frame, Reading
//!            Calibration ▶ tail probability ▶ Gate (hysteresis, duration), budget controller, cap ▶ Finding
//!                                                            ▼ Event, bounded channel
//!                                             Outbox (durable) ▶ MQTT ▶ broker ▶ subscribers
//! ```
//!
//! `runtime::Engine` runs it without threads, `runtime::run` is the whole daemon. Networks and their states are two types, and every causal
//! module gives the same output over a whole clip and over any cutting of it (`nn::StreamingModule`).
//!
//! # Floors
//!
//! ```text
//! 7  main, bin, process                                                       the programs `cpc-stream` and `cpc-lab`
//! 6  cli, listener                                                            the command line, one file a subcommand; the library for other programs
//! 5  runtime, train, eval, features, archive                                  ways to drive a model: live, to learn, to measure
//! 4  config                                                                   the file, the environment and the flags as one value
//! 3  model, corpus, detect, serve, cluster                                      the network with its file format; recordings to learn from; scores, calibration, events; the page; workers that share microphones
//! 2  capture, resample, encode, context, predict, critic, publish, event_store   the stages, in the order of the data
//! 1  ring, nn, kernels, audio_file, output_file, onnx_file, torch_file, table_file, telemetry, realtime, mqtt     machinery that knows no stage
//! 0  units, frame, event, error, backoff, roc                                  the words, and what needs nothing but them
//! ```
//!
//! A module imports from lower floors only; modules on one floor do not import each other. A test holds the table,
//! which also stands in `ARCHITECTURE.md` beside the threads and the reasons.
//!
//! # Words
//!
//! - *sample*: one mono amplitude in [-1, 1]. *Hop*: 160 samples at 16 kHz, 10 ms. *Frame* u: the latent of one hop.
//! - *latent* z_t: output of the encoder g_enc; it depends on the samples of its *receptive field* (465
//!   on raw samples, 880 in the built-in model). *Context* c_t:
//!   output of the recurrent network g_ar. *Head* W_k: predicts z_{t+k} from c_t, for k = 1..=K, the *horizon*.
//! - *positive*: the true future z; *negatives*: the other candidates; *bank*: the negatives of live scoring.
//!   *InfoNCE*: the loss of classifying the positive among the negatives (arXiv 1807.03748).
//! - *surprise*: -PMI of z_u and c_{u-k} in nats, standardised and averaged over k. *Novelty*: Mahalanobis distance of
//!   band statistics over 0.5 s from the calibration.
//! - *calibration*: the statistics of a stream's normal sound. *Tail probability*: how often normal sound scores as
//!   high, per second. *Budget*: accepted false alarms an hour. *Gate*: the rules that turn tail probabilities into
//!   events.
//! - *stream*: one microphone channel. *Source*: a device, file or pipe with one or more streams. *Overrun*: an episode
//!   in which a full ring refuses samples. *Outbox*: the durable queue before the broker. *Latency*: from the last
//!   sample of a hop to its event leaving the process.
//!
//! # Features
//!
//! | feature | default | what it adds | needs at build time |
//! | --- | --- | --- | --- |
//! | `capture` | yes | devices, through cpal | ALSA headers |
//! | `mqtt` | yes | the connection to a broker; without it events go to stdout | – |
//! | `http` | yes | the page, metrics and probes, if `[http]` enables them | – |
//! | `cluster` | yes | workers that share microphones by NATS JetStream | – |
//! | `lab` | no | the program `cpc-lab`: training, import, evaluation, features of recordings | – |
//! | `cuda` | no | candle's CUDA backend | nvcc |
//!
//! Configuration types do not depend on features: one file is read by every build.

#![deny(unsafe_code)]

mod error;
mod event;
mod frame;
mod units;

mod audio_file;
mod backoff;
mod kernels;
mod mqtt;
mod nn;
#[cfg(feature = "lab")]
mod onnx_file;
mod output_file;
mod realtime;
mod ring;
#[cfg(feature = "lab")]
mod roc;
mod table_file;
mod telemetry;
#[cfg(feature = "lab")]
mod torch_file;

mod capture;
mod context;
mod critic;
mod encode;
mod event_store;
mod predict;
mod publish;
mod resample;

mod cluster;
mod corpus;
mod detect;
mod model;
mod serve;

mod config;

mod archive;
#[cfg(feature = "lab")]
mod eval;
#[cfg(feature = "lab")]
mod features;
mod runtime;
#[cfg(feature = "lab")]
mod train;

mod listener;

mod cli;

pub use error::{Error, ErrorKind, Result};
pub use event::{Detail, Evidence, Finding, Kind, Nearest, Phase, Tier};
pub use listener::{Features, Listener, Model, Output, ScoredFrame, Settings, StreamId};

/// What the project's own programs, tests and benches use. It is no part of the interface, and changes without notice.
#[doc(hidden)]
pub mod internal {
    macro_rules! open {
        ($($module:ident)*) => {
            $(pub mod $module {
                pub use crate::$module::*;
            })*
        };
    }

    open! {
        archive audio_file capture cli cluster config context corpus critic detect encode error event event_store frame
        kernels model mqtt nn output_file predict publish realtime resample ring runtime serve telemetry units
    }
    #[cfg(feature = "lab")]
    open! { eval features torch_file train }
}
