//! A node as the broker sees it, without sound: what it says is what the test says.
#![allow(unreachable_pub, reason = "shared by the files of this program")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::broker::await_for;
use crate::support::events::event;
use cpc_stream::internal::publish::{
    Availability, Command, DiscoveryConfig, Health, HomeAssistantConfig, Outgoing, Protocol, PublishConfig,
    Publisher, PublisherStatus,
};

/// Longer than anything takes.
pub const LONG: Duration = Duration::from_secs(40);
/// A self-check has looked by then.
pub const LOOKED: Duration = Duration::from_secs(7);

/// A publisher of the node `hall` with two streams, and what it knows.
pub struct Node {
    /// Takes what the node says.
    pub publisher: Publisher,
    /// What it knows of the broker.
    pub status: Arc<PublisherStatus>,
    _state: tempfile::TempDir,
}

impl Node {
    /// Connects, and says health of the run `boot` and that both streams are there.
    pub fn start(url: &str, protocol: Protocol, boot: &str) -> Self {
        Self::accepting(url, protocol, boot, PublishConfig::default().commands)
    }

    /// The same with these commands.
    pub fn accepting(url: &str, protocol: Protocol, boot: &str, commands: Vec<Command>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let config = PublishConfig {
            broker: Some(url.to_owned()),
            commands,
            protocol,
            keep_alive_s: 5,
            // a topic that ends connections is found after eight of them
            backoff_max_s: 1.0,
            ..PublishConfig::default()
        };
        let homes = HomeAssistantConfig { enable: true, ..HomeAssistantConfig::default() };
        let streams = ["yard".to_owned(), "porch".to_owned()];
        let discovery = DiscoveryConfig { config: &homes, streams: &streams, page: None, pictures: false };
        let publisher = Publisher::start_with(&config, "hall", state.path(), Some(discovery)).unwrap();
        let status = publisher.status();
        await_for("a connection", LONG, || status.connected().then_some(()));
        let node = Self { publisher, status, _state: state };
        node.say_health(boot, "1");
        for stream in &streams {
            let availability = Availability::online();
            assert!(
                node.publisher
                    .sender()
                    .try_send(Outgoing::Availability { stream: stream.clone(), availability })
            );
        }
        node
    }

    /// Says a health document.
    pub fn say_health(&self, boot: &str, version: &str) {
        let health = Health { boot: boot.to_owned(), version: version.to_owned(), ..Health::default() };
        assert!(self.publisher.sender().try_send(Outgoing::Health(Box::new(health))));
    }

    /// Sends `count` events of each stream.
    pub fn events(&self, count: u64) {
        for seq in 0..count {
            for stream in ["yard", "porch"] {
                assert!(self.publisher.sender().try_send(Outgoing::Event(Box::new(event(stream, seq)))));
            }
        }
    }

    /// Waits for so many receipts.
    pub fn acked(&self, count: u64) {
        await_for("receipts", LONG, || (self.status.acked() == count).then_some(()));
    }

    /// Looks for as long as the self-check takes that the connection stays.
    pub fn stays(&self, what: &str) {
        let by = Instant::now() + LOOKED;
        while Instant::now() < by {
            assert!(self.status.connected(), "{what}: {:?}", self.status.faults());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a fault with all of `words` in it.
    pub fn fault(&self, what: &str, words: &[&str]) {
        await_for(&format!("{what}: a fault with {words:?}, found {:?}", self.status.faults()), LONG, || {
            let faults = self.status.faults();
            faults.iter().any(|fault| words.iter().all(|word| fault.contains(word))).then_some(())
        });
    }
}
