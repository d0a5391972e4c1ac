//! What is promised of events and of the broker: a file for each promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, for --nocapture")]

#[path = "../support/mod.rs"]
mod support;

mod broker_away_loses_nothing;
mod brokers_that_refuse;
mod cluster;
mod cluster_loses_nothing;
mod cluster_servers_away;
mod commands_follow_the_rule;
mod disk_trouble_stops_nothing;
mod embedding_topic;
mod events_are_never_retained;
mod fleet_on_one_broker;
mod home_assistant_finds_it;
mod microphones_fill_in;
mod microphones_on_the_broker;
mod mqtt_test_says_why;
mod mqtt_tls_and_version_5;
mod nats;
mod no_audio_leaves;
mod node;
mod nothing_accepted_is_lost;
mod operators_judge_events;
mod outbox_survives_kill;
mod outbox_verify_and_export;
mod p1_kill_loses_nothing;
mod p2_power_cut_loses_nothing;
mod p4_bad_brokers_lose_nothing;
mod sounds_are_known_again;
mod traffic_is_as_described;
mod watch_shows_what_comes;
