//! Who hears which microphone, as one worker sees it: a function of what it is told and when, without a clock or a network.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A worker that has said nothing for so long is dead.
const LEASE: Duration = Duration::from_secs(2);
/// How long after a connection the broker may take to tell what it keeps.
const SETTLE: Duration = Duration::from_secs(1);
/// A claim of which nothing is heard is made again after this.
const CLAIM: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    /// Say that this worker hears the microphone.
    Claim(String),
    /// Hear it: the broker has taken the claim.
    Take(String),
    /// Hear it no longer.
    Leave(String),
    /// It is heard by that node, or by none.
    Tell(String, Option<String>),
    /// The broker has forgotten what it kept of it: say it again.
    Again(String),
}

#[derive(Debug, Default)]
struct Mic {
    owner: Option<String>,
    /// The broker has said so since the last connection.
    said: bool,
    held: bool,
    claimed: Option<Instant>,
    /// Who hears it, as it was told last.
    told: Option<Option<String>>,
}

/// The books of one worker.
#[derive(Debug)]
pub(super) struct Ledger {
    me: String,
    most: usize,
    up: Option<Instant>,
    /// When the others were heard last.
    peers: BTreeMap<String, Instant>,
    mics: BTreeMap<String, Mic>,
}

impl Ledger {
    /// Books of the worker `me` that hears at most `most` of the microphones `mics`.
    pub(super) fn new(me: &str, most: usize, mics: impl IntoIterator<Item = String>) -> Self {
        let mics = mics.into_iter().map(|id| (id, Mic::default())).collect();
        Self { me: me.to_owned(), most, up: None, peers: BTreeMap::new(), mics }
    }

    /// Microphones that this worker hears.
    pub(super) fn held(&self) -> impl Iterator<Item = &str> {
        self.mics.iter().filter(|(_, mic)| mic.held).map(|(id, _)| id.as_str())
    }

    /// Whether this worker hears a microphone.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.mics.get(id).is_some_and(|mic| mic.held)
    }

    /// The broker is there again. Who was alive before has time to come back too.
    pub(super) fn up(&mut self, now: Instant) {
        self.up = Some(now);
        self.peers.values_mut().for_each(|last| *last = now + LEASE);
        self.mics.values_mut().for_each(|mic| mic.said = false);
    }

    /// This worker itself was away: what the others said meanwhile is still to be read.
    pub(super) fn woke(&mut self, now: Instant) {
        self.up = self.up.map(|_| now);
        self.peers.values_mut().for_each(|last| *last = now + LEASE);
    }

    /// The broker is away. Nobody can take anything from anybody meanwhile.
    pub(super) fn down(&mut self) {
        self.up = None;
    }

    /// A worker says that it is there.
    pub(super) fn beat(&mut self, node: &str, now: Instant) {
        if node != self.me {
            self.peers.insert(node.to_owned(), now);
        }
    }

    /// A worker is gone.
    pub(super) fn gone(&mut self, node: &str) {
        self.peers.remove(node);
    }

    /// The broker says who hears a microphone.
    pub(super) fn owner(&mut self, id: &str, node: Option<&str>, now: Instant) -> Option<Deed> {
        let mic = self.mics.get_mut(id)?;
        (mic.owner, mic.said, mic.claimed) = (node.map(str::to_owned), true, None);
        let held = node == Some(self.me.as_str());
        if let Some(node) = node.filter(|_| !held) {
            self.peers.entry(node.to_owned()).or_insert(now);
        }
        match (std::mem::replace(&mut mic.held, held), held) {
            (false, true) => Some(Deed::Take(id.to_owned())),
            (true, false) => Some(Deed::Leave(id.to_owned())),
            _ => None,
        }
    }

    /// A microphone says that it is there, and the broker has chosen this worker to hear it say so.
    pub(super) fn hello(&mut self, id: &str, now: Instant) -> Option<Deed> {
        let pending = |mic: &Mic| mic.claimed.is_some_and(|at| now < at + CLAIM);
        let busy = self.mics.values().filter(|mic| mic.held || pending(mic)).count();
        if busy >= self.most || self.up.is_none_or(|up| now < up + SETTLE) {
            return None;
        }
        let alive = |node: &String| alive(&self.peers, node, now);
        let mic = self.mics.get_mut(id)?;
        if mic.held || pending(mic) || mic.owner.as_ref().is_some_and(alive) {
            return None;
        }
        mic.claimed = Some(now);
        Some(Deed::Claim(id.to_owned()))
    }

    /// What time brings.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Deed> {
        let settled = self.up.is_some_and(|up| now >= up + SETTLE);
        let mut deeds = Vec::new();
        for (id, mic) in &mut self.mics {
            if mic.held {
                mic.told = None;
                if settled && !mic.said {
                    mic.said = true;
                    deeds.push(Deed::Again(id.clone()));
                }
                continue;
            }
            let heard_by = mic.owner.clone().filter(|node| alive(&self.peers, node, now));
            if mic.told.as_ref() != Some(&heard_by) && settled {
                mic.told = Some(heard_by.clone());
                deeds.push(Deed::Tell(id.clone(), heard_by));
            }
        }
        deeds
    }
}

fn alive(peers: &BTreeMap<String, Instant>, node: &str, now: Instant) -> bool {
    peers.get(node).is_some_and(|&last| now.saturating_duration_since(last) < LEASE)
}

#[cfg(test)]
mod tests;
