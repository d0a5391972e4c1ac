//! The library: samples in, frames and findings out, without the daemon.
//!
//! A [`Model`] holds the weights. A [`Listener`] scores any number of streams with it: [`push`](Listener::push) takes samples,
//! [`step`](Listener::step) gives [`Output`]s. [`Model::encode`] and [`Model::score`] do the same for a recording in memory.

mod features;
mod model;
mod output;
mod score;
mod settings;
mod streams;

pub use features::Features;
pub use model::Model;
pub use output::{Output, ScoredFrame, StreamId};
pub use settings::Settings;
pub use streams::Listener;
