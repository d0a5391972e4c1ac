//! What is promised of the program, its configuration, page, packages and source: a file for each promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, for --nocapture")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod circles;
mod clips_are_for_operators;
mod config_is_strict;
mod doctor_says_what_to_do;
mod documented_commands_exist;
mod documents_hold;
mod events_are_remembered;
mod examples_run;
mod failures_are_told;
mod floors;
mod hostile_input;
mod http_keeps_to_itself;
mod http_metrics_are_true;
mod keeps_to_the_terminal;
#[cfg(feature = "lab")]
mod lab;
mod model_card;
#[cfg(feature = "lab")]
mod numpy_rebuilds;
mod operators_set_streams;
mod packages_hold_together;
mod page_works;
mod references_equal_their_sources;
mod reload_and_stop;
mod snapshots_stay_within_their_cap;
mod source_text;
mod speaks_systemd;
mod too_many_sources_are_refused;
mod training_data;
mod typed_dict;
mod unit_file;
mod words;
