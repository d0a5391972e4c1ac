//! Prediction heads W_k and delayed scoring.
