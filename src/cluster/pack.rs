//! Encoding of detector states for the servers: JSON, compressed by gzip, of bounded size.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a message at most: what servers carry by default, less the rest of a message.
const LARGEST: usize = (1 << 20) - 4096;
/// Most bytes of the content.
const UNPACKED: u64 = 16 << 20;

/// Packs a value.
///
/// # Errors
/// Says that it is too large.
pub(super) fn pack(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let text = serde_json::to_vec(value).map_err(|e| e.to_string())?;
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(&text).map_err(|e| e.to_string())?;
    let packed = out.finish().map_err(|e| e.to_string())?;
    if packed.len() > LARGEST {
        return Err(format!("it has {} bytes, at most {LARGEST} are kept", packed.len()));
    }
    Ok(packed)
}

/// Unpacks a message.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn unpack<T: DeserializeOwned>(packed: &[u8]) -> Result<T, String> {
    let mut text = Vec::new();
    // one byte above the limit, so that more is noticed
    let read = GzDecoder::new(packed).take(UNPACKED + 1).read_to_end(&mut text);
    read.map_err(|e| format!("it cannot be unpacked: {e}"))?;
    if text.len() as u64 > UNPACKED {
        return Err(format!("more than {UNPACKED} bytes are in it"));
    }
    serde_json::from_slice(&text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packing_round_trips_and_bombs_are_refused() {
        let text = "known".repeat(100_000);
        assert_eq!(unpack::<String>(&pack(&text).unwrap()).unwrap(), text);
        let bomb = pack(&" ".repeat(17 << 20)).unwrap();
        assert!(unpack::<String>(&bomb).unwrap_err().contains("more than"));
    }

    proptest! {
        #[test]
        fn invalid_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(unpack::<String>(&bytes).is_err());
        }
    }
}
