//! What several integration tests share; each uses a part of it.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

pub(crate) mod microphone;
