//! Which sources are opened: those that this machine can analyse.

use super::Engine;
use super::capacity::{Capacity, SHARE};
use crate::capture::SourceConfig;
use crate::config::{Config, StreamLimit};
use crate::error::{Error, Result};

/// Streams that are admitted without a measurement.
const FEW: usize = 8;

/// Admits sources one after another, until streams that cannot wait for the analysis are as many as it carries.
pub(super) struct Admission {
    /// The most of them; none for any number.
    most: Option<usize>,
    /// Where that number comes from.
    by: String,
    admitted: usize,
}

impl Admission {
    /// By the configuration, or by a measurement of `engine` where there are so many sources that it matters.
    ///
    /// # Errors
    /// When the measurement fails.
    pub(super) fn new(config: &Config, sources: &[SourceConfig], engine: &Engine) -> Result<Self> {
        let paced = sources.iter().filter(|source| source.keeps_pace());
        let count: usize = paced.map(|source| source.stream_ids().len()).sum();
        let (most, by) = match config.model.max_streams {
            _ if config.cluster.is_on() => (None, String::new()),
            StreamLimit::Streams(most) => {
                (Some(most as usize), format!("max_streams = {most} in [model]: raise it"))
            }
            StreamLimit::Auto if count <= FEW => (None, String::new()),
            StreamLimit::Auto => match Capacity::measure(engine, config.model.shards(count))? {
                Some(capacity) => {
                    let by = describe(capacity);
                    tracing::info!("this machine analyses about {} streams: {by}", capacity.streams());
                    let ways =
                        "precision = \"auto\", more threads or max_streams = NUMBER in [model] admit more";
                    (Some(capacity.streams()), format!("{by}; {ways}"))
                }
                None => (None, String::new()),
            },
        };
        Ok(Self { most, by, admitted: 0 })
    }

    /// Why the source is refused; none where it is admitted. A source that waits for the analysis is always admitted.
    pub(super) fn refusal(&mut self, source: &SourceConfig) -> Option<String> {
        if !source.keeps_pace() {
            return None;
        }
        let (streams, before) = (source.stream_ids().len(), self.admitted);
        match self.most {
            Some(most) if before + streams > most => {
                Some(format!("refused, since this machine takes {most} streams ({})", self.by))
            }
            _ => {
                self.admitted += streams;
                None
            }
        }
    }
}

/// The error of a configuration without a source.
pub(crate) fn no_source() -> Error {
    Error::config(
        "no source of sound is configured",
        "name one: `--device hw:0`, `--input FILE`, or [[source]] in the config; `cpc-stream devices` lists inputs",
    )
}

/// What was measured.
fn describe(Capacity { stream_share, threads }: Capacity) -> String {
    let of = if threads == 1 { "its thread".to_owned() } else { format!("one of {threads} threads") };
    format!(
        "one takes {:.2} % of {of} by a measurement at the start, and {:.0} % are for them",
        100.0 * stream_share,
        100.0 * SHARE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(most: Option<usize>) -> Admission {
        Admission { most, by: "by a test".into(), admitted: 0 }
    }

    #[test]
    fn sources_are_admitted_in_their_order_as_long_as_all_their_streams_fit() {
        let mono = SourceConfig::from_device("hw:0");
        let stereo = SourceConfig { channels: Some(vec![0, 1]), ..mono.clone() };
        let mut admission = of(Some(3));
        assert_eq!(admission.refusal(&stereo), None);
        let why = admission.refusal(&stereo).unwrap();
        assert!(why.contains("takes 3 streams (by a test)"), "{why}");
        assert_eq!(admission.refusal(&mono), None, "what fits is admitted");
        assert!(admission.refusal(&mono).is_some());
        let mut any = of(None);
        assert!((0..1000).all(|_| any.refusal(&mono).is_none()));
    }

    #[test]
    fn what_can_wait_is_always_admitted() {
        let replay = SourceConfig { file: Some("a.wav".into()), fast: true, ..SourceConfig::default() };
        let mut admission = of(Some(1));
        assert!((0..3).all(|_| admission.refusal(&replay).is_none()));
    }
}
