//! The critic: a log-likelihood ratio of "this site with a foreign sound in it" against "this site alone".
//!
//! A small causal network over rows of band statistics, standardised by the site's statistics (every 50 ms, computed by
//! the detector). It is trained to tell the true future of a site from the same future with a foreign sound mixed in,
//! so that its output is an estimate of a log-likelihood ratio: noise-contrastive estimation (Gutmann and Hyvärinen,
//! AISTATS 2010) with foreign sounds as the noise distribution. Sites and foreign sounds are any recordings; no label
//! is used.

mod config;
mod network;

pub use config::{Channel, CriticConfig};
pub use network::{Critic, CriticState, USUAL};
