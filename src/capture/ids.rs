//! Names of streams in topics and records.

use std::collections::HashSet;

use super::config::SourceConfig;
use crate::error::{Error, Result};
use crate::mqtt::TOPIC_WORDS;

/// Gives every source an id such that all stream ids differ: configured ids stay, made ones get `_2`, `_3`, …
///
/// # Errors
/// A config error when configured ids collide, or when two sources read the standard input.
pub fn assign_ids(sources: &mut [SourceConfig]) -> Result<()> {
    if sources.iter().filter(|source| source.stdin.is_some()).count() > 1 {
        return Err(Error::config(
            "two sources read the standard input, of which each would get a part",
            "keep one source with `stdin`; others can have a `file`, a `url` or a `device`",
        ));
    }
    let mut taken = HashSet::new();
    for source in sources.iter().filter(|s| s.id.is_some()) {
        for id in source.stream_ids() {
            if !taken.insert(id.clone()) {
                return Err(Error::config(
                    format!("two streams have the id {id:?}"),
                    "give every source an `id` of its own",
                ));
            }
        }
    }
    for source in sources.iter_mut().filter(|s| s.id.is_none()) {
        let base = source.id();
        let mut number = 1;
        loop {
            source.id = Some(if number == 1 { base.clone() } else { format!("{base}_{number}") });
            let ids = source.stream_ids();
            if ids.iter().all(|id| !taken.contains(id) && !TOPIC_WORDS.contains(&id.as_str())) {
                taken.extend(ids);
                break;
            }
            number += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_topics_are_no_ids() {
        let mut sources =
            vec![SourceConfig::from_file("a/request.wav", true), SourceConfig::from_file("status.wav", true)];
        assign_ids(&mut sources).unwrap();
        assert_eq!(sources.iter().map(SourceConfig::id).collect::<Vec<_>>(), ["request_2", "status_2"]);
        let given = SourceConfig { id: Some("health".into()), ..SourceConfig::from_file("x.wav", true) };
        let error = given.validate().unwrap_err();
        assert!(error.to_string().contains("health") && !error.fix().is_empty(), "{error}");
    }

    #[test]
    fn made_ids_step_aside_and_given_ids_must_differ() {
        let mut sources = vec![
            SourceConfig::from_file("a/x.wav", true),
            SourceConfig::from_file("b/x.wav", true),
            SourceConfig { id: Some("x".into()), ..SourceConfig::from_device("hw:0") },
        ];
        assign_ids(&mut sources).unwrap();
        let ids: Vec<_> = sources.iter().map(SourceConfig::id).collect();
        assert_eq!(ids, ["x_2", "x_3", "x"]);
        sources[0].id = Some("x".into());
        assert!(assign_ids(&mut sources).unwrap_err().to_string().contains("\"x\""));
        sources[0] = SourceConfig { channels: Some(vec![0, 3]), ..SourceConfig::from_device("hw:1") };
        assign_ids(&mut sources).unwrap();
        assert_eq!(sources[0].stream_ids(), ["hw_1_ch0", "hw_1_ch3"]);
    }
}
