//! Topics of microphones and of the workers that share them. Every name is here.

/// The topics below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicTopics {
    prefix: String,
}

/// The kind of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MicTopic<'a> {
    /// A microphone announces itself.
    Hello(&'a str),
    /// The worker that analyses a microphone.
    Owner(&'a str),
    /// The detector state of a microphone.
    State(&'a str),
    /// A worker announces itself.
    Worker(&'a str),
}

impl MicTopics {
    /// Topics under `prefix`, which may have several levels.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    fn of(&self, id: &str, what: &str) -> String {
        format!("{}/mic/{id}/{what}", self.prefix)
    }

    /// QoS 0, never retained: chunks of sound.
    #[must_use]
    pub fn audio(&self, id: &str) -> String {
        self.of(id, "audio")
    }

    /// QoS 1, never retained, every 0.4 s: the microphone is there.
    #[must_use]
    pub fn hello(&self, id: &str) -> String {
        self.of(id, "hello")
    }

    /// QoS 1, retained: the worker that analyses it.
    #[must_use]
    pub fn owner(&self, id: &str) -> String {
        self.of(id, "owner")
    }

    /// QoS 1, retained: its detector state, compressed.
    #[must_use]
    pub fn state(&self, id: &str) -> String {
        self.of(id, "state")
    }

    /// QoS 1, retained, last will: a worker is there.
    #[must_use]
    pub fn worker(&self, node: &str) -> String {
        format!("{}/pool/{node}", self.prefix)
    }

    /// The subscription that hands each hello to one worker of the pool.
    #[must_use]
    pub fn hellos(&self, pool: &str) -> String {
        format!("$share/{pool}/{}", self.hello("+"))
    }

    /// The kind of a topic; `None` for chunks and other topics.
    #[must_use]
    pub fn read<'a>(&self, topic: &'a str) -> Option<MicTopic<'a>> {
        let rest = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        let mut levels = rest.split('/');
        match (levels.next()?, levels.next()?, levels.next(), levels.next()) {
            ("mic", id, Some("hello"), None) => Some(MicTopic::Hello(id)),
            ("mic", id, Some("owner"), None) => Some(MicTopic::Owner(id)),
            ("mic", id, Some("state"), None) => Some(MicTopic::State(id)),
            ("pool", node, None, None) => Some(MicTopic::Worker(node)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_as_they_are_written() {
        let topics = MicTopics::new("acme/lisbon");
        assert_eq!(topics.audio("porch"), "acme/lisbon/mic/porch/audio");
        assert_eq!(topics.hellos("pool"), "$share/pool/acme/lisbon/mic/+/hello");
        assert_eq!(topics.read(&topics.hello("porch")), Some(MicTopic::Hello("porch")));
        assert_eq!(topics.read(&topics.owner("porch")), Some(MicTopic::Owner("porch")));
        assert_eq!(topics.read(&topics.state("porch")), Some(MicTopic::State("porch")));
        assert_eq!(topics.read(&topics.worker("w1")), Some(MicTopic::Worker("w1")));
        for other in
            ["acme/lisbon/mic/porch", "acme/lisbon/mic/a/b/hello", "acme/mic/a/hello", "mic/a/hello", ""]
        {
            assert_eq!(topics.read(other), None, "{other}");
        }
    }
}
