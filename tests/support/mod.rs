#![allow(dead_code, unreachable_pub)]

pub mod broker;
pub mod events;
