//! A pool of workers that share microphones on a broker: each is heard by one of them, and by another one when that one dies.
//!
//! | what | by which means |
//! | --- | --- |
//! | a microphone is there | it says so every 0.4 s; a shared subscription hands each hello to one worker |
//! | who hears it | a retained document of the microphone; the last one that the broker takes counts |
//! | a worker is there | a retained document, said every 0.4 s; empty by its last will; silent for 2 s it is dead |
//! | what is known of a place | a retained document of the microphone, compressed |
//!
//! Who gets the hello of a microphone that nobody alive hears claims it, and believes so once the broker has told it of its
//! own claim. So a race ends as the broker orders it, and who was stopped or cut off lets go as soon as it hears of another's
//! claim. A worker that does not hear a microphone is not subscribed to its sound.

mod enlist;
mod hands;
mod ledger;
mod parcel;
mod worker;

pub(super) use enlist::enlist;
pub(crate) use enlist::open_air;
pub(super) use hands::Hand;
pub(super) use worker::Worker;
