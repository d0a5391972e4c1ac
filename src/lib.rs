//! Streaming audio representations and anomaly events by Contrastive Predictive Coding (CPC).
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
//! [`runtime::Engine`] runs it without threads: samples in, readings and findings out. [`runtime::run`] is the whole
//! daemon. Networks and their states are two types, and every causal module gives the same output over a whole clip
//! and over any cutting of it ([`nn::StreamingModule`]).
//!
//! # Floors
//!
//! ```text
//! 7  main                                                                     the program
//! 6  cli                                                                      the command line, one file a subcommand
//! 5  runtime, train, eval, features, archive                                  ways to drive a model: live, to learn, to measure
//! 4  config                                                                   the file, the environment and the flags as one value
//! 3  model, corpus, detect, serve, cluster                                      the network with its file format; recordings to learn from; scores, calibration, events; the page; workers that share microphones
//! 2  capture, resample, encode, context, predict, critic, publish, event_store   the stages, in the order of the data
//! 1  ring, nn, kernels, audio_file, output_file, torch_file, table_file, telemetry, realtime, mqtt     machinery that knows no stage
//! 0  units, frame, event, error                                               the words
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
//! | `cuda` | no | candle's CUDA backend | nvcc |
//!
//! Configuration types do not depend on features: one file is read by every build.

#![deny(unsafe_code)]

pub mod error;
pub mod event;
pub mod frame;
pub mod units;

pub mod audio_file;
pub mod kernels;
pub mod mqtt;
pub mod nn;
pub mod output_file;
pub mod realtime;
pub mod ring;
mod table_file;
pub mod telemetry;
pub mod torch_file;

pub mod capture;
pub mod context;
pub mod critic;
pub mod encode;
pub mod event_store;
pub mod predict;
pub mod publish;
pub mod resample;

pub mod cluster;
pub mod corpus;
pub mod detect;
pub mod model;
pub mod serve;

pub mod config;

pub mod archive;
pub mod eval;
pub mod features;
pub mod runtime;
pub mod train;

pub mod cli;
