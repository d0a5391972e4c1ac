//! Real parts that the tests start themselves.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod broker;
pub mod camera;
pub mod checkpoint;
pub mod daemon;
pub mod events;
pub mod golden;
pub mod hold;
pub mod http;
pub mod meddle;
pub mod microphone;
pub mod models;
#[cfg(feature = "cluster")]
pub mod nats;
#[cfg(feature = "lab")]
pub mod onnx;
pub mod proxy;
pub mod schema;
pub mod sender;
pub mod shim;
pub mod sound;
pub mod wav;
