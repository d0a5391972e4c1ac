//! A pool of workers that share microphones on a broker: each is analysed by one of them, and by another one when that
//! one dies.
//!
//! | what | by which means |
//! | --- | --- |
//! | a microphone is there | a hello every 0.4 s; a shared subscription delivers each hello to one worker |
//! | its owner | a retained document of the microphone; the last one that the broker accepts counts |
//! | a worker is there | a retained document, published every 0.4 s; empty by its last will; after 2 s of silence it is dead |
//! | detector state | a retained document of the microphone, compressed |
//!
//! A worker that gets the hello of a microphone without a live owner claims it, and owns it once the broker has
//! delivered its own claim. So a race ends as the broker orders it, and a worker that was suspended or cut off gives up
//! as soon as it reads another's claim. A worker is subscribed only to the sound of its own microphones.

mod handover;
mod lease_table;
mod setup;
mod state_transfer;
mod worker;

pub(super) use handover::StreamHandover;
pub(crate) use setup::open_microphones;
pub(super) use setup::start_worker;
pub(super) use worker::Worker;
