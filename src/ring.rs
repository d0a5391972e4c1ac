//! The lock-free ring between a source and the inference thread.
