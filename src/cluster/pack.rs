//! Encoding of what workers keep on the servers: JSON, with bytes behind it where there are any, compressed by gzip, of bounded size.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a message at most: what servers carry by default, less the rest of a message.
pub(super) const LARGEST: usize = (1 << 20) - 4096;
/// Most bytes of the content.
const UNPACKED: u64 = 16 << 20;
/// Begins a content of JSON and bytes; the length of the JSON follows.
const PARTS: &[u8; 4] = b"CPS1";

/// Packs a value.
///
/// # Errors
/// Says that it is too large.
pub(super) fn pack(value: &impl Serialize) -> Result<Vec<u8>, String> {
    compress(&[&serde_json::to_vec(value).map_err(|e| e.to_string())?])
}

/// Packs a value and bytes.
///
/// # Errors
/// Says that they are too large.
pub(super) fn pack_parts(value: &impl Serialize, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let text = serde_json::to_vec(value).map_err(|e| e.to_string())?;
    let length = u32::try_from(text.len()).map_err(|e| e.to_string())?;
    compress(&[PARTS, &length.to_le_bytes(), &text, bytes])
}

fn compress(parts: &[&[u8]]) -> Result<Vec<u8>, String> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    for part in parts {
        out.write_all(part).map_err(|e| e.to_string())?;
    }
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
    serde_json::from_slice(&decompress(packed)?).map_err(|e| e.to_string())
}

/// Unpacks a value and bytes; a value alone has none.
///
/// # Errors
/// Says what is wrong with the message.
pub(super) fn unpack_parts<T: DeserializeOwned>(packed: &[u8]) -> Result<(T, Vec<u8>), String> {
    let content = decompress(packed)?;
    let parts = content.strip_prefix(PARTS).and_then(|rest| rest.split_first_chunk::<4>());
    let Some((length, rest)) = parts else {
        return serde_json::from_slice(&content).map(|value| (value, Vec::new())).map_err(|e| e.to_string());
    };
    let cut = rest.split_at_checked(u32::from_le_bytes(*length) as usize);
    let (text, bytes) = cut.ok_or("it is cut off")?;
    serde_json::from_slice(text).map(|value| (value, bytes.to_vec())).map_err(|e| e.to_string())
}

fn decompress(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    // one byte above the limit, so that more is noticed
    let read = GzDecoder::new(packed).take(UNPACKED + 1).read_to_end(&mut text);
    read.map_err(|e| format!("it cannot be unpacked: {e}"))?;
    if text.len() as u64 > UNPACKED {
        return Err(format!("more than {UNPACKED} bytes are in it"));
    }
    Ok(text)
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
        fn bytes_come_back(text in ".{0,20}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let packed = pack_parts(&text, &bytes).unwrap();
            prop_assert_eq!(unpack_parts::<String>(&packed).unwrap(), (text.clone(), bytes));
            prop_assert_eq!(unpack_parts::<String>(&pack(&text).unwrap()).unwrap(), (text, vec![]));
        }

        #[test]
        fn invalid_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(unpack::<String>(&bytes).is_err());
            prop_assert!(unpack_parts::<String>(&compress(&[PARTS, &bytes]).unwrap()).is_err());
        }
    }
}
