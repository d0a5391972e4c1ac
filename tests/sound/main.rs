//! What is promised of microphones, files and streams of sound: a file for each promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, for --nocapture")]

#[path = "../support/mod.rs"]
mod support;

mod calibrate_keeps_live_sources;
mod cameras;
mod capture_hears_the_device;
mod clock_steps;
mod devices_are_probed;
mod ffmpeg_ends_with_us;
mod files_replay;
mod hangs_restart;
mod microphone_comes_back;
mod microphone_to_mosquitto;
mod network_sources;
mod overload_recovers;
mod real_time_by_request;
mod recorders_files;
mod restarts_keep_watching;
mod stalls_and_trickles;
mod streams_go_on;
mod threads_change_nothing;
mod wrong_rates_are_found_out;
