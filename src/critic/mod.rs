//! The critic: how much sound is like this place with something foreign in it, rather than like this place alone.
//!
//! A small causal network over rows of band statistics in units of what is normal at the place (every 50 ms, made by the
//! detector). It is trained to tell the true future of a place from the same future with a foreign
//! sound mixed in, so that its output is an estimate of a log-likelihood ratio: noise-contrastive estimation (Gutmann and
//! Hyvärinen, AISTATS 2010) with the very alternative that the daemon asks about. Places and foreign sounds are any
//! recordings; no label is used.

mod config;
mod network;

pub use config::{Channel, CriticConfig};
pub use network::{Critic, CriticState, USUAL};
