//! What several integration tests share; each uses a part of it.

#![allow(dead_code)]

pub mod microphone;
