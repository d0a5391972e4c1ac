//! The critic: how much sound is like this place with something foreign in it, rather than like this place alone.
//!
//! A small causal network over features that are normalised by what is normal at the place (`[frames, channels · 64
//! bands]`, made by the detector). It is trained to tell the true future of a place from the same future with a foreign
//! sound mixed in, so that its output is an estimate of a log-likelihood ratio: noise-contrastive estimation (Gutmann and
//! Hyvärinen, AISTATS 2010) with the very alternative that the daemon asks about. Places and foreign sounds are any
//! recordings; no label is used.

mod config;
mod network;

pub use config::{Channel, CriticConfig, FRAMES_A_ROW};
pub use network::{Critic, CriticState};
