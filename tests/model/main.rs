//! What is promised of models, training and scores: a file for each promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, for --nocapture")]

#[path = "../support/mod.rs"]
mod support;

mod critic_learns;
mod encode_gives_features;
mod false_alarms;
mod heads_for_a_model_without;
mod hop_equals_the_layers;
mod imports_pytorch_checkpoints;
mod learning_takes_bounded_memory;
mod learns_aside;
mod lost_gpu;
mod matches_pytorch;
mod probe_table;
mod rare_events_are_found;
mod recovers_from_any_input;
mod replay_is_chunk_invariant;
mod score_archives;
mod soak_stays_bounded;
mod streams_resume_exactly;
mod training_learns;
mod training_resumes;
mod training_takes_any_corpus;
mod whole_or_in_pieces;
