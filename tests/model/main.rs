//! What is promised of models, training and scores: a file for each promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, for --nocapture")]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "lab")]
mod critic_learns;
#[cfg(feature = "lab")]
mod encode_gives_features;
#[cfg(feature = "lab")]
mod exports_onnx;
mod false_alarms;
#[cfg(feature = "lab")]
mod heads_for_a_model_without;
mod hop_equals_the_layers;
#[cfg(feature = "lab")]
mod imports_pytorch_checkpoints;
mod learning_takes_bounded_memory;
mod learns_aside;
mod lost_gpu;
mod matches_pytorch;
#[cfg(feature = "lab")]
mod probe_table;
#[cfg(feature = "lab")]
mod rare_events_are_found;
mod recovers_from_any_input;
mod replay_is_chunk_invariant;
mod score_archives;
#[cfg(feature = "lab")]
mod soak_stays_bounded;
mod streams_resume_exactly;
#[cfg(feature = "lab")]
mod training_learns;
#[cfg(feature = "lab")]
mod training_resumes;
#[cfg(feature = "lab")]
mod training_takes_any_corpus;
mod whole_or_in_pieces;
