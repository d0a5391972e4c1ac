//! Ids: names of nodes, streams and microphones, each a level of a topic.

use crate::error::{Error, Result};

/// Words that topics of a node use where a stream id could stand: a stream of that name would be taken for something else.
pub const TOPIC_WORDS: [&str; 5] = ["status", "health", "request", "response", "test"];

/// Most characters of an id.
const LONGEST: usize = 64;

/// Whether `id` can be one level of a topic: 1 to 64 characters of `A-Z a-z 0-9 _ -`.
#[must_use]
pub fn is_valid_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(plain)
}

/// Checks that `id` is valid and none of the [`TOPIC_WORDS`].
///
/// `what` names the id in the message ("node id", "stream id").
///
/// # Errors
/// A configuration error where it is empty, too long, reserved or has another character.
pub fn check_id(what: &str, id: &str) -> Result<()> {
    if !is_valid_id(id) {
        return Err(Error::config(
            format!("{what} {id:?} cannot be part of an MQTT topic"),
            "use 1 to 64 of the characters A-Z a-z 0-9 _ -",
        ));
    }
    if TOPIC_WORDS.contains(&id) {
        return Err(Error::config(
            format!("{what} {id:?} is a word that the topics use themselves"),
            format!("choose another name than {}", TOPIC_WORDS.join(", ")),
        ));
    }
    Ok(())
}

/// `text` as a valid id: a run of characters that ids do not have becomes one `filler`, `_` or `-`, and runs of `_` too where that
/// is the filler; at the ends they are left out. Where nothing is left it is `otherwise`.
#[must_use]
pub fn slug(text: &str, filler: char, otherwise: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(LONGEST) {
        if c.is_ascii_alphanumeric() || c == '-' || (c == '_' && filler != '_') {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with(filler) {
            slug.push(filler);
        }
    }
    let slug = slug.trim_end_matches(filler);
    if slug.is_empty() { otherwise.into() } else { slug.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_valid_ids() {
        for (name, id) in [
            ("hw:0,0", "hw_0_0"),
            ("hw:CARD=Mic,DEV=0", "hw_CARD_Mic_DEV_0"),
            ("küche 1", "k_che_1"),
            ("a__b-c", "a_b-c"),
            ("::", "source"),
        ] {
            assert_eq!(slug(name, '_', "source"), id);
            assert!(is_valid_id(id));
        }
        for (host, id) in
            [("pi_4.local", "pi_4-local"), ("xn--kche-0ra", "xn--kche-0ra"), ("..", "cpc-stream")]
        {
            assert_eq!(slug(host, '-', "cpc-stream"), id);
            assert!(is_valid_id(id));
        }
        assert!(!is_valid_id("a/b") && !is_valid_id("") && !is_valid_id("a b") && !is_valid_id("+"));
    }
}
