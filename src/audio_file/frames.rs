//! Coded sound without a container, as web radio and encoders send it: frames, each with a header that tells its length.

/// Bytes of a header, and of so much of a stream that two frames begin in it.
const HEADER: usize = 6;
/// Bytes that [`coding`] wants to see.
pub(crate) const ENOUGH: usize = 4096;
/// Frames in a row that are no coincidence.
const FRAMES: usize = 2;

/// kbit/s by the index of a header: layer III, layer II, and both with low rates.
const MPEG: [[u32; 15]; 3] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
const AC3: [u32; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Bytes of a packet of an MPEG transport stream.
const PACKET: usize = 188;

/// Whether a frame may begin with `start`; 6 bytes suffice.
pub(crate) fn may_begin(start: &[u8]) -> bool {
    header(start).is_some()
}

/// The coding of the frames that `start` begins with, for people; none where it may be raw PCM.
///
/// Frames begin at one place only. Where a second chain of headers runs beside the first, the bytes repeat, as raw samples of a constant
/// or of a short period do.
pub(crate) fn coding(start: &[u8]) -> Option<&'static str> {
    let (kind, length) = header(start)?;
    let is_chain = |at: usize| start.get(at..).is_some_and(|rest| are_frames(rest, kind));
    (is_chain(0) && !(1..length).any(is_chain)).then_some(kind)
}

/// Whether the bytes are frames of one kind up to their end, and enough of them.
fn are_frames(bytes: &[u8], kind: &str) -> bool {
    let (mut at, mut found) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
        let Some((_, length)) = header(rest).filter(|(other, _)| *other == kind) else { return false };
        (at, found) = (at + length, found + 1);
    }
    found >= FRAMES
}

/// The coding of a frame and its bytes.
fn header(start: &[u8]) -> Option<(&'static str, usize)> {
    let found = match *start.first_chunk::<HEADER>()? {
        [0xff, b, c, d, e, f] if b & 0xf6 == 0xf0 => ("AAC", adts(c, [d, e, f])?),
        [0xff, b, c, ..] if b & 0xe0 == 0xe0 => mpeg(b, c)?,
        [0x0b, 0x77, _, _, e, f] if f >> 3 <= 10 => ("AC-3", ac3(e)?),
        [0x47, b, _, d, ..] if b & 0x80 == 0 && d & 0x30 != 0 => ("MPEG-TS", PACKET),
        _ => return None,
    };
    Some(found).filter(|(_, length)| *length > HEADER)
}

/// ISO/IEC 13818-7, 6.2.
fn adts(c: u8, [d, e, f]: [u8; 3]) -> Option<usize> {
    let known_rate = (c >> 2) & 15 < 13;
    known_rate.then(|| usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f >> 5))
}

/// ISO/IEC 11172-3, 2.4.2.3, and 13818-3 for low rates; layers III and II.
fn mpeg(b: u8, c: u8) -> Option<(&'static str, usize)> {
    let (is_third, rates, slower) = match ((b >> 3) & 3, (b >> 1) & 3) {
        (3, 1) => (true, MPEG[0], 1),
        (3, 2) => (false, MPEG[1], 1),
        (2, 1) => (true, MPEG[2], 2),
        (2, 2) => (false, MPEG[2], 2),
        (0, 1) => (true, MPEG[2], 4),
        (0, 2) => (false, MPEG[2], 4),
        _ => return None,
    };
    let hz = [44_100, 48_000, 32_000].get(usize::from((c >> 2) & 3))? / slower;
    let bits = rates.get(usize::from(c >> 4)).filter(|kbit| **kbit > 0)? * 1000;
    let samples = if is_third && slower > 1 { 576 } else { 1152 };
    let length = samples / 8 * bits / hz + u32::from((c >> 1) & 1);
    Some((if is_third { "MP3" } else { "MP2" }, length as usize))
}

/// ETSI TS 102 366, 4.4.1.
fn ac3(e: u8) -> Option<usize> {
    let kbit = *AC3.get(usize::from((e & 63) >> 1))?;
    let words = match e >> 6 {
        0 => kbit * 2,
        1 => kbit * 320 / 147 + u32::from(e & 1),
        2 => kbit * 3,
        _ => return None,
    };
    Some(2 * words as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Frames of so many bytes that begin with `header`.
    fn frames(header: &[u8], length: usize, count: usize) -> Vec<u8> {
        let mut frame = header.to_vec();
        frame.resize(length, 0x55);
        frame.repeat(count)
    }

    #[test]
    fn frames_are_known_by_the_next_ones() {
        let known: [(&str, &[u8], usize); 6] = [
            ("MP3", &[0xff, 0xfb, 0x90, 0, 0, 0], 417),
            ("MP3", &[0xff, 0xf3, 0x48, 0, 0, 0], 144),
            ("MP2", &[0xff, 0xfd, 0x80, 0, 0, 0], 417),
            ("AAC", &[0xff, 0xf1, 0x60, 0x40, 0x20, 0x1f], 256),
            ("AC-3", &[0x0b, 0x77, 0, 0, 0x14, 0x40], 768),
            ("MPEG-TS", &[0x47, 0x40, 0, 0x10, 0, 0], 188),
        ];
        for (kind, header, length) in known {
            let bytes = frames(header, length, 5);
            assert!(may_begin(&bytes[..HEADER]), "{kind}");
            assert_eq!(coding(&bytes), Some(kind), "{length}");
            assert_eq!(coding(&frames(header, length, 1)), None, "{kind}: one frame alone");
            assert_eq!(coding(&frames(header, length + 2, 5)), None, "{kind}: of another length");
        }
    }

    #[test]
    fn no_constant_is_coded_sound() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(coding(&sample.to_le_bytes().repeat(2048)), None, "{sample}");
        }
    }

    proptest! {
        #[test]
        fn raw_samples_are_none(samples in prop::collection::vec(any::<i16>(), 2048), level in 0u32..16) {
            let bytes: Vec<u8> = samples.iter().flat_map(|x| (x >> level).to_le_bytes()).collect();
            prop_assert_eq!(coding(&bytes), None);
        }

        #[test]
        fn a_short_period_is_none(period in prop::collection::vec(any::<i16>(), 1..40)) {
            let bytes: Vec<u8> = period.iter().flat_map(|x| x.to_le_bytes()).collect();
            prop_assert_eq!(coding(&bytes.repeat(4096 / bytes.len())), None);
        }
    }
}
