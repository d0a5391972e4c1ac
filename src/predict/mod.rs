//! Prediction heads W_k, and the scores of each z_u against the predictions of earlier contexts.
//!
//! Head k predicts ŷ = W_k c_t for z_{t+k}; the logit of a candidate z is `scale · zᵀ W_k c_t` (arXiv 1807.03748,
//! equation 3, with the scale of CPC_audio). Live, scoring is *delayed*: the last K contexts are kept, and when z_u
//! arrives, it is scored for each k against the prediction of c_{u-k}. So the score of z_u needs no look-ahead.

mod heads;
mod infonce;
mod negatives;
mod scorer;

pub use heads::{HeadsConfig, PredictionHeads};
pub use infonce::{Anchors, InfoNceTerms, NegativeSet, from_other_windows};
pub use negatives::{Negatives, mixtures};
pub use scorer::{DelayedScorer, ScorerState};
