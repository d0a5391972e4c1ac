//! Streaming audio representations and anomaly events by Contrastive Predictive Coding (CPC).
//!
//! ```text
//! device/file ─ Intake ─▶ ring ─▶ StreamResampler ─▶ [B,160] ─▶ Encoder z_t ─▶ ContextNetwork c_t ─▶ PredictionHeads
//!    (callback: downmix, push, count)                                              │ last K contexts
//!                                                      surprise of z_t against what c_{t-k} expected ◀┘ + negatives
//!                                                      novelty of (z,c) against the memory of what is normal here
//!                                                            ▼ Frame
//!                                   Calibration ▶ tail probability ▶ Gate (hysteresis, duration, budget) ▶ Finding
//!                                                            ▼ Event, bounded channel
//!                                             Outbox (durable) ▶ MQTT ▶ broker ▶ anyone who subscribes
//! ```

#![forbid(unsafe_code)]

pub mod error;
pub mod event;
pub mod frame;
pub mod units;

pub mod audio_file;
pub mod bank;
pub mod nn;
pub mod ring;
pub mod telemetry;

pub mod capture;
pub mod context;
pub mod detect;
pub mod encode;
pub mod predict;
pub mod publish;
pub mod resample;

pub mod corpus;
pub mod model;

pub mod config;

pub mod eval;
pub mod runtime;
pub mod train;

pub mod cli;
