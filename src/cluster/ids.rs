//! Ids derived from the sound alone, so that a replay on any worker makes the same documents.

use sha2::{Digest, Sha256};
use ulid::Ulid;

/// Id of a session of a stream, for the field `boot`: its time is that of the first chunk, milliseconds since 1970.
#[must_use]
pub fn session_id(prefix: &str, stream: &str, session: u32, started_ms: u64) -> String {
    derived(started_ms, &[prefix, stream, "session"], &[u64::from(session), started_ms])
}

/// Id of the event that begins at `onset_sample` of a session and has `number` in its stream; `onset_ms` is the time of the onset.
#[must_use]
pub fn event_id(boot: &str, stream: &str, onset_sample: u64, number: u64, onset_ms: u64) -> String {
    derived(onset_ms, &[boot, stream, "event"], &[onset_sample, number])
}

fn derived(ms: u64, words: &[&str], numbers: &[u64]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word.as_bytes());
    }
    for number in numbers {
        hash.update(number.to_le_bytes());
    }
    let digest = hash.finalize();
    let mut random = [0u8; 16];
    for (to, from) in random.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    Ulid::from_parts(ms, u128::from_le_bytes(random)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_sound_has_the_same_id_and_other_sound_another() {
        let boot = session_id("cpc-stream", "porch", 7, 1_700_000_000_000);
        assert_eq!(boot, session_id("cpc-stream", "porch", 7, 1_700_000_000_000));
        assert_ne!(boot, session_id("cpc-stream", "yard", 7, 1_700_000_000_000));
        assert_ne!(boot, session_id("cpc-stream", "porch", 8, 1_700_000_000_000));
        assert!(
            boot < session_id("cpc-stream", "porch", 1, 1_700_000_000_001),
            "later sessions have larger ids"
        );
        let id = event_id(&boot, "porch", 16_000, 0, 1_700_000_001_000);
        assert_eq!(id, event_id(&boot, "porch", 16_000, 0, 1_700_000_001_000));
        assert_ne!(id, event_id(&boot, "porch", 16_160, 0, 1_700_000_001_010));
        assert_eq!(id.len(), 26);
    }
}
