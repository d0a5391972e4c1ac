//! CPC training.
