//! `doctor`: looks over everything that an install needs, and says what to do.

mod broker;
mod clock;
mod cluster;
mod command;
mod finding;
mod gpu;
mod http;
mod limits;
mod model;
mod permission;
mod settings;
mod shell;
mod sources;
mod state;
mod unit;

pub(super) use command::{DoctorArgs, run};
pub(super) use state::OF_UNIT;
