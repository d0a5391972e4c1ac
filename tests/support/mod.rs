//! What several integration tests share; each uses a part of it.

#![allow(dead_code)]

pub(crate) mod microphone;
