//! The context network g_ar: latents z_≤t to the context c_t, one recurrent update a frame.
//!
//! The paper (arXiv 1807.03748, section 3.1) uses a GRU; c_t is its hidden vector.

mod network;

pub use network::{ContextConfig, ContextNetwork, ContextState};
