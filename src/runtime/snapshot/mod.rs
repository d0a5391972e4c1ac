//! Pictures and clips of told events, where they are asked for.
//!
//! [`Recent`] remembers the last sound of a stream and cuts an [`Excerpt`] out of it once an event is over; [`Snapshots`]
//! names it after the event and hands it to the thread of [`Writer`], which draws, encodes and stores it on a
//! [`Shelf`](shelf::Shelf) of limited size.

mod picture;
mod recent;
mod shelf;
mod writer;

use std::collections::HashMap;

pub use recent::Excerpt;
pub(super) use recent::{Keep, Recent};
pub(super) use writer::{SnapshotCounts, Writer, WriterHandle};

use crate::event::{Event, Phase};

/// Folder of snapshots in the state folder.
const FOLDER: &str = "events";

/// Names snapshots after their events.
pub(super) struct Snapshots {
    handle: Option<WriterHandle>,
    /// Ids of events that are over and whose sound is still to come, by stream and number.
    due: HashMap<(String, u64), String>,
}

impl Snapshots {
    /// Snapshots go to the writer behind `handle`; without one there are none.
    pub(super) fn new(handle: Option<WriterHandle>) -> Self {
        Self { handle, due: HashMap::new() }
    }

    /// Notes an event that is over, and says in it where its snapshot will be.
    pub(super) fn announce(&mut self, event: &mut Event) {
        if self.handle.is_some() && event.finding.phase == Phase::End {
            event.snapshot = Some(format!("{FOLDER}/{}/{}", event.stream, event.id));
            self.due.insert((event.stream.clone(), event.finding.number), event.id.clone());
        }
    }

    /// Whether there is somebody to draw and store.
    pub(super) fn are_kept(&self) -> bool {
        self.handle.is_some()
    }

    /// Hands sound on that belongs to no event; what its files will be called, without their endings.
    pub(super) fn keep(&self, stream: &str, id: &str, excerpt: Box<Excerpt>) -> String {
        if let Some(handle) = &self.handle {
            handle.write(stream, id.to_owned(), excerpt);
        }
        format!("{FOLDER}/{stream}/{id}")
    }

    /// Hands the sound of an event on.
    pub(super) fn take(&mut self, stream: &str, excerpt: Box<Excerpt>) {
        let id = self.due.remove(&(stream.to_owned(), excerpt.number));
        if let (Some(handle), Some(id)) = (&self.handle, id) {
            handle.write(stream, id, excerpt);
        }
    }
}
