//! The lease table of one worker: the owner of each microphone, as a function of received messages and their times,
//! without a clock or a network.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A worker without a heartbeat for so long is dead.
const LEASE: Duration = Duration::from_secs(2);
/// Time after a connection in which retained messages arrive.
const SETTLE: Duration = Duration::from_secs(1);
/// A claim without a confirmation is repeated after this.
const CLAIM: Duration = Duration::from_secs(1);

/// Actions of the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Claim the microphone.
    Claim(String),
    /// Start its analysis: the broker has confirmed the claim.
    Take(String),
    /// End its analysis.
    Leave(String),
    /// Report its owner to the source: that node, or none.
    Tell(String, Option<String>),
    /// The broker has lost its retained messages: publish them again.
    Again(String),
}

#[derive(Debug, Default)]
struct Mic {
    owner: Option<String>,
    /// Confirmed by the broker since the last connection.
    said: bool,
    held: bool,
    claimed: Option<Instant>,
    /// Its owner, as reported last.
    reported: Option<Option<String>>,
}

/// The lease table of one worker.
#[derive(Debug)]
pub(super) struct LeaseTable {
    me: String,
    most: usize,
    up: Option<Instant>,
    /// Last heartbeats of the other workers.
    peers: BTreeMap<String, Instant>,
    mics: BTreeMap<String, Mic>,
}

impl LeaseTable {
    /// The table of the worker `me` that analyses at most `most` of the microphones `mics`.
    pub(super) fn new(me: &str, most: usize, mics: impl IntoIterator<Item = String>) -> Self {
        let mics = mics.into_iter().map(|id| (id, Mic::default())).collect();
        Self { me: me.to_owned(), most, up: None, peers: BTreeMap::new(), mics }
    }

    /// Microphones of this worker.
    pub(super) fn held(&self) -> impl Iterator<Item = &str> {
        self.mics.iter().filter(|(_, mic)| mic.held).map(|(id, _)| id.as_str())
    }

    /// Whether this worker has a microphone.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.mics.get(id).is_some_and(|mic| mic.held)
    }

    /// The broker is connected again. Workers that were alive before have time to reconnect too.
    pub(super) fn up(&mut self, now: Instant) {
        self.up = Some(now);
        self.peers.values_mut().for_each(|last| *last = now + LEASE);
        self.mics.values_mut().for_each(|mic| mic.said = false);
    }

    /// This worker was suspended: messages of the others in the meantime are still unread.
    pub(super) fn woke(&mut self, now: Instant) {
        self.up = self.up.map(|_| now);
        self.peers.values_mut().for_each(|last| *last = now + LEASE);
    }

    /// The broker is disconnected. No worker can take anything meanwhile.
    pub(super) fn down(&mut self) {
        self.up = None;
    }

    /// A heartbeat of a worker.
    pub(super) fn send_heartbeat(&mut self, node: &str, now: Instant) {
        if node != self.me {
            self.peers.insert(node.to_owned(), now);
        }
    }

    /// A worker has left.
    pub(super) fn gone(&mut self, node: &str) {
        self.peers.remove(node);
    }

    /// An owner document from the broker.
    pub(super) fn owner(&mut self, id: &str, node: Option<&str>, now: Instant) -> Option<Action> {
        let mic = self.mics.get_mut(id)?;
        (mic.owner, mic.said, mic.claimed) = (node.map(str::to_owned), true, None);
        let held = node == Some(self.me.as_str());
        if let Some(node) = node.filter(|_| !held) {
            self.peers.entry(node.to_owned()).or_insert(now);
        }
        match (std::mem::replace(&mut mic.held, held), held) {
            (false, true) => Some(Action::Take(id.to_owned())),
            (true, false) => Some(Action::Leave(id.to_owned())),
            _ => None,
        }
    }

    /// A hello of a microphone, which the broker has delivered to this worker.
    pub(super) fn hello(&mut self, id: &str, now: Instant) -> Option<Action> {
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
        Some(Action::Claim(id.to_owned()))
    }

    /// Actions due by time.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Action> {
        let settled = self.up.is_some_and(|up| now >= up + SETTLE);
        let mut actions = Vec::new();
        for (id, mic) in &mut self.mics {
            if mic.held {
                mic.reported = None;
                if settled && !mic.said {
                    mic.said = true;
                    actions.push(Action::Again(id.clone()));
                }
                continue;
            }
            let heard_by = mic.owner.clone().filter(|node| alive(&self.peers, node, now));
            if mic.reported.as_ref() != Some(&heard_by) && settled {
                mic.reported = Some(heard_by.clone());
                actions.push(Action::Tell(id.clone(), heard_by));
            }
        }
        actions
    }
}

fn alive(peers: &BTreeMap<String, Instant>, node: &str, now: Instant) -> bool {
    peers.get(node).is_some_and(|&last| now.saturating_duration_since(last) < LEASE)
}

#[cfg(test)]
mod tests;
