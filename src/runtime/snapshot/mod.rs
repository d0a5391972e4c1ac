//! Pictures and clips of reported events, if enabled.
//!
//! [`RecentAudio`] keeps the recent sound of a stream and cuts an [`Clip`] out of it once an event has ended; [`Snapshots`]
//! names it after the event and hands it to the thread of [`Writer`], which draws, encodes and stores it in a
//! [`ClipStore`](clip_store::ClipStore) of limited size.

mod clip_store;
mod picture;
mod recent_audio;
mod writer;

use std::collections::HashMap;

pub use recent_audio::Clip;
pub(super) use recent_audio::{RecentAudio, RecentAudioConfig};
pub(super) use writer::{SnapshotCounts, Writer, WriterHandle};

use crate::event::{Event, Phase};

/// Folder of snapshots in the state folder.
const FOLDER: &str = "events";

/// Names snapshots after their events.
pub(super) struct Snapshots {
    handle: Option<WriterHandle>,
    /// Ids of ended events whose clip is pending, by stream and number.
    due: HashMap<(String, u64), String>,
}

impl Snapshots {
    /// Snapshots go to the writer behind `handle`; without one there are none.
    pub(super) fn new(handle: Option<WriterHandle>) -> Self {
        Self { handle, due: HashMap::new() }
    }

    /// Records an ended event, and sets the path of its snapshot in it.
    pub(super) fn announce(&mut self, event: &mut Event) {
        if self.handle.is_some() && event.finding.phase == Phase::End {
            event.snapshot = Some(format!("{FOLDER}/{}/{}", event.stream, event.id));
            self.due.insert((event.stream.clone(), event.finding.number), event.id.clone());
        }
    }

    /// Whether there is a writer.
    pub(super) fn are_kept(&self) -> bool {
        self.handle.is_some()
    }

    /// Hands over sound that belongs to no event; returns the names of its files, without their extensions.
    pub(super) fn keep(&self, stream: &str, id: &str, excerpt: Box<Clip>) -> String {
        if let Some(handle) = &self.handle {
            handle.write(stream, id.to_owned(), excerpt, false);
        }
        format!("{FOLDER}/{stream}/{id}")
    }

    /// Hands the sound of an event on.
    pub(super) fn take(&mut self, stream: &str, excerpt: Box<Clip>) {
        let id = self.due.remove(&(stream.to_owned(), excerpt.number));
        if let (Some(handle), Some(id)) = (&self.handle, id) {
            handle.write(stream, id, excerpt, true);
        }
    }
}
