//! A source that is not opened: this machine has enough streams without it.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::config::{CaptureConfig, SourceConfig};
use super::driver::{Opened, Opening, SourceDriver};
use super::link::{Notice, SourceChange};
use super::source::{OpenSource, start_driver};
use crate::error::Result;

/// Rate of its rings, which stay empty, in Hz: they take next to no memory.
const RATE: u32 = 100;
/// Interval of its rounds.
const ROUND: Duration = Duration::from_secs(3600);

/// In place of [`open_with`](super::open_with): the source has its streams, which get no sound, and a notice gives the reason. A live one
/// stays offline; one with an end is over at once.
///
/// # Errors
/// Senseless settings, as where it is opened.
pub fn refuse(
    source: &SourceConfig,
    capture: &CaptureConfig,
    notices: Sender<Notice>,
    reason: String,
) -> Result<OpenSource> {
    capture.validate()?;
    let driver = Refused { driver: source.driver()?, reason };
    start_driver(Box::new(driver), (source, capture), notices, None)
}

struct Refused {
    /// The driver that would open it.
    driver: Box<dyn SourceDriver>,
    reason: String,
}

impl SourceDriver for Refused {
    fn name(&self) -> String {
        self.driver.name()
    }

    fn default_id(&self) -> String {
        self.driver.default_id()
    }

    fn is_live(&self) -> bool {
        self.driver.is_live()
    }

    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened> {
        let (intake, readers) = (opening.rings)(RATE)?;
        let link = opening.link;
        let (live, reason) = (self.is_live(), self.reason);
        let work = move || {
            // rings are open as long as it is
            let _intake = intake;
            if !live {
                link.notify(SourceChange::Ended { frames: 0, failure: Some(reason) });
                return;
            }
            link.notify(SourceChange::Offline { reason });
            while link.sleep_until(Instant::now() + ROUND) {}
        };
        Ok(Opened::new(readers, work))
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;
    use crate::ring::Read;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn refused(source: &SourceConfig) -> (OpenSource, SourceChange) {
        let (sender, notices) = unbounded();
        let opened = refuse(source, &CaptureConfig::default(), sender, "there are enough".into()).unwrap();
        let notice = notices.recv_timeout(PATIENCE).unwrap();
        assert_eq!(notice.streams.len(), opened.feeds.len());
        (opened, notice.change)
    }

    #[test]
    fn a_live_one_is_offline_until_it_is_stopped() {
        let source = SourceConfig { channels: Some(vec![0, 1]), ..SourceConfig::from_device("hw:9") };
        let (mut opened, change) = refused(&source);
        assert_eq!(change, SourceChange::Offline { reason: "there are enough".into() });
        let mut piece = [0.0; 4];
        assert!(opened.feeds.iter_mut().all(|feed| matches!(feed.reader.read(&mut piece), Read::Empty)));
        assert!(!opened.handle.has_ended());
        assert!(opened.handle.stop());
        assert!(opened.feeds.iter_mut().all(|feed| matches!(feed.reader.read(&mut piece), Read::Closed)));
    }

    #[test]
    fn one_with_an_end_is_over() {
        let source = SourceConfig { file: Some("absent.wav".into()), ..SourceConfig::default() };
        let (opened, change) = refused(&source);
        assert_eq!(change, SourceChange::Ended { frames: 0, failure: Some("there are enough".into()) });
        assert!(opened.handle.stop());
    }
}
