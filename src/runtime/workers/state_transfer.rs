//! Transfer of a detector state between workers: the document of the state file, compressed by gzip, with the time at
//! which it was packed.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};

use crate::detect::StreamState;
use crate::runtime::calibrations::FRESH;

/// Most bytes of a transfer: the packet limit of brokers and connections, less the other fields.
pub(super) const LARGEST: usize = (1 << 20) - 1024;
/// Most bytes of the content.
const UNPACKED: u64 = 16 << 20;

/// Packs a state. Where all of it is too large, only the calibration goes; none where that is too large as well.
pub(super) fn pack(state: &StreamState, now: SystemTime) -> Option<Vec<u8>> {
    let fits = |transfer: &Vec<u8>| transfer.len() <= LARGEST;
    packed(state, now).filter(fits).or_else(|| packed(&state.clone().calibration_only(), now).filter(fits))
}

fn packed(state: &StreamState, now: SystemTime) -> Option<Vec<u8>> {
    let text = serde_json::to_vec(state).ok()?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    let mut out = GzBuilder::new().mtime(seconds).write(Vec::new(), Compression::fast());
    out.write_all(&text).ok()?;
    out.finish().ok()
}

/// Unpacks a transfer. After a day only the calibration in it is used.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn open(transfer: &[u8], now: SystemTime) -> Result<StreamState, String> {
    if transfer.len() > LARGEST {
        return Err(format!("it has {} bytes, at most {LARGEST} are taken", transfer.len()));
    }
    let mut decoder = GzDecoder::new(transfer);
    let seconds = decoder.header().map_or(0, flate2::GzHeader::mtime);
    let mut text = Vec::new();
    // one byte above the limit, so that more is noticed
    let read = decoder.by_ref().take(UNPACKED + 1).read_to_end(&mut text);
    read.map_err(|e| format!("it cannot be unpacked: {e}"))?;
    if text.len() as u64 > UNPACKED {
        return Err(format!("more than {UNPACKED} bytes are in it"));
    }
    let state = StreamState::from_json(&text).map_err(|e| e.to_string())?;
    let packed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds));
    let old = now.duration_since(packed).is_ok_and(|age| age > FRESH);
    Ok(if old { state.calibration_only() } else { state })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn invalid_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(open(&bytes, SystemTime::now()).is_err());
        }
    }

    #[test]
    fn decompression_bombs_are_refused() {
        let mut out = GzBuilder::new().write(Vec::new(), Compression::fast());
        let zeros = vec![b' '; 1 << 20];
        (0..17).for_each(|_| out.write_all(&zeros).unwrap());
        let bomb = out.finish().unwrap();
        assert!(bomb.len() < LARGEST);
        assert!(open(&bomb, SystemTime::now()).unwrap_err().contains("more than"));
        assert!(open(&vec![0; LARGEST + 1], SystemTime::now()).unwrap_err().contains("at most"));
    }
}
