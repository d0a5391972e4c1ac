//! Layers as immutable weights, with the streaming state as a separate value.
//!
//! Two properties hold for every [`StreamingModule`] and are tested for each: the concatenated outputs of
//! [`step`](StreamingModule::step) over any cutting of the input equal [`forward`](StreamingModule::forward) over the
//! whole (to 1e-5, since the shapes of the matrix products differ), and no output frame changes when a later input
//! does.
//!
//! Tensors are time-major, `[batch, time, channels]`, so that a strided convolution whose kernel is twice
//! its stride is two plain matrix products on blocks ([`BlockConv`]).

mod block_conv;
mod channel_norm;
mod gru;
mod label_space;
mod log_mel;
mod lstm;
mod recurrent;
mod running_norm;
mod state;
#[cfg(test)]
pub(crate) mod streaming_properties;
mod weights;

pub use block_conv::{BlockConv, BlockConvState};
pub use channel_norm::ChannelNorm;
pub use gru::{Gru, GruState};
pub use label_space::LabelSpace;
pub use log_mel::{LogMel, LogMelState, WINDOW_SAMPLES, band_centres, band_dbfs, band_edges};
pub use lstm::{Lstm, LstmState};
pub use running_norm::{RunningNorm, RunningNormState};
pub use state::{BatchState, Geometry, StreamingModule};
pub use weights::{Tensors, WeightSource, he_uniform, uniform};
