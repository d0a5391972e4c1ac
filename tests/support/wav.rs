//! WAV files as programs and recorders leave them: every oddity of a header, with every form of samples.

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    U8,
    S16,
    S24,
    S32,
    F32,
    F64,
    ALaw,
    MuLaw,
}

pub const FORMS: [Form; 8] =
    [Form::U8, Form::S16, Form::S24, Form::S32, Form::F32, Form::F64, Form::ALaw, Form::MuLaw];

/// What is odd about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    Plain,
    Extensible,
    BigEndian,
    Rf64,
    Bw64,
    Wave64,
    /// A writer that was killed: the sound is there, its size is not.
    DataSizeZero,
    AllSizesZero,
    RiffSizeShort,
    RiffSizeLong,
    /// Written into a pipe.
    DataSizeOnes,
    DataSizeHalfOnes,
    /// Cut off: less sound than the header says.
    DataSizeLong,
    OddListPadded,
    OddListUnpadded,
    ListWithBadItem,
    ChunksBehind,
    LongFormatChunk,
}

pub const ODDITIES: [Oddity; 18] = [
    Oddity::Plain,
    Oddity::Extensible,
    Oddity::BigEndian,
    Oddity::Rf64,
    Oddity::Bw64,
    Oddity::Wave64,
    Oddity::DataSizeZero,
    Oddity::AllSizesZero,
    Oddity::RiffSizeShort,
    Oddity::RiffSizeLong,
    Oddity::DataSizeOnes,
    Oddity::DataSizeHalfOnes,
    Oddity::DataSizeLong,
    Oddity::OddListPadded,
    Oddity::OddListUnpadded,
    Oddity::ListWithBadItem,
    Oddity::ChunksBehind,
    Oddity::LongFormatChunk,
];

/// Rate of the files, Hz.
pub const RATE: u32 = 16_000;

impl Form {
    fn tag_and_bits(self) -> (u16, u16) {
        match self {
            Self::U8 => (1, 8),
            Self::S16 => (1, 16),
            Self::S24 => (1, 24),
            Self::S32 => (1, 32),
            Self::F32 => (3, 32),
            Self::F64 => (3, 64),
            Self::ALaw => (6, 8),
            Self::MuLaw => (7, 8),
        }
    }

    /// How far a sample that was read may be from the one that was written, as a part of it and as an offset.
    pub fn tolerance(self) -> (f32, f32) {
        match self {
            Self::U8 => (0.0, 1.0 / 127.0),
            Self::S16 => (0.0, 1.0 / 32_000.0),
            Self::ALaw | Self::MuLaw => (0.06, 0.002),
            _ => (0.0, 1e-6),
        }
    }

    fn write(self, x: f32, big_endian: bool, to: &mut Vec<u8>) {
        let integer = |scale: f64| (f64::from(x) * scale).round() as i64;
        let mut bytes = match self {
            Self::U8 => vec![(integer(128.0) + 128).clamp(0, 255) as u8],
            Self::S16 => (integer(32_768.0) as i16).to_le_bytes().to_vec(),
            Self::S24 => integer(8_388_608.0).to_le_bytes()[..3].to_vec(),
            Self::S32 => (integer(2_147_483_648.0) as i32).to_le_bytes().to_vec(),
            Self::F32 => x.to_le_bytes().to_vec(),
            Self::F64 => f64::from(x).to_le_bytes().to_vec(),
            Self::ALaw => vec![a_law(integer(4096.0) as i32)],
            Self::MuLaw => vec![mu_law(integer(8192.0) as i32)],
        };
        if big_endian {
            bytes.reverse();
        }
        to.extend(bytes);
    }
}

/// G.711 by search: the code whose magnitude is nearest.
fn mu_law(value: i32) -> u8 {
    let decode = |code: u8| {
        let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
        ((2 * mantissa + 33) << exponent) - 33
    };
    let code = (0..128u8).min_by_key(|&code| (decode(code) - value.abs()).abs()).unwrap();
    !(code | if value < 0 { 0x80 } else { 0 })
}

fn a_law(value: i32) -> u8 {
    let decode = |code: u8| {
        let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
        if exponent == 0 { 2 * mantissa + 1 } else { (2 * mantissa + 33) << (exponent - 1) }
    };
    let code = (0..128u8).min_by_key(|&code| (decode(code) - value.abs()).abs()).unwrap();
    (code | if value < 0 { 0 } else { 0x80 }) ^ 0x55
}

/// A file with `samples`, interleaved.
pub fn write(oddity: Oddity, form: Form, channels: u16, samples: &[f32]) -> Vec<u8> {
    let big_endian = oddity == Oddity::BigEndian;
    let (two, four) = (
        move |x: u16| if big_endian { x.to_be_bytes() } else { x.to_le_bytes() },
        move |x: u32| if big_endian { x.to_be_bytes() } else { x.to_le_bytes() },
    );
    let chunk = |id: &[u8; 4], body: &[u8]| {
        let mut chunk = [id.as_slice(), &four(body.len() as u32), body].concat();
        if body.len() % 2 == 1 && oddity != Oddity::OddListUnpadded {
            chunk.push(0);
        }
        chunk
    };
    let mut sound = Vec::new();
    samples.iter().for_each(|&x| form.write(x, big_endian, &mut sound));
    let (tag, bits) = form.tag_and_bits();
    let block = channels * bits / 8;
    let extensible = oddity == Oddity::Extensible;
    let mut format = [
        two(if extensible { 0xfffe } else { tag }).to_vec(),
        two(channels).to_vec(),
        four(RATE).to_vec(),
        four(RATE * u32::from(block)).to_vec(),
        two(block).to_vec(),
        two(bits).to_vec(),
    ]
    .concat();
    if extensible {
        format.extend([22, 0]);
        format.extend(two(bits));
        format.extend(four(0));
        format.extend(two(tag));
        format.extend(b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");
    } else if oddity == Oddity::LongFormatChunk {
        format.extend([0; 26]);
    }
    if oddity == Oddity::Wave64 {
        return wave64(&format, &sound);
    }
    let said: u32 = match oddity {
        Oddity::DataSizeZero | Oddity::AllSizesZero => 0,
        Oddity::DataSizeOnes | Oddity::Rf64 | Oddity::Bw64 => u32::MAX,
        Oddity::DataSizeHalfOnes => 0x7fff_ffff,
        Oddity::DataSizeLong => sound.len() as u32 + 5000,
        _ => sound.len() as u32,
    };
    let list: &[u8] = match oddity {
        Oddity::OddListPadded | Oddity::OddListUnpadded => b"INFOICMT\x03\0\0\0hey",
        Oddity::ListWithBadItem => b"INFOICMT\xff\0\0\0heyy",
        _ => b"",
    };
    let mut body = b"WAVE".to_vec();
    if matches!(oddity, Oddity::Rf64 | Oddity::Bw64) {
        let sizes =
            [sound.len() as u64 + 72, sound.len() as u64, (samples.len() / usize::from(channels)) as u64];
        let mut ds64: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        ds64.extend([0; 4]);
        body.extend(chunk(b"ds64", &ds64));
    }
    body.extend(chunk(b"fmt ", &format));
    if !list.is_empty() {
        body.extend(chunk(b"LIST", list));
    }
    body.extend(b"data");
    body.extend(four(said));
    body.extend(&sound);
    if oddity == Oddity::ChunksBehind {
        if sound.len() % 2 == 1 {
            body.push(0);
        }
        body.extend(chunk(b"LIST", b"INFOICMT\x04\0\0\0heyy"));
    }
    let riff = match oddity {
        Oddity::AllSizesZero => 0,
        Oddity::RiffSizeShort => body.len() as u32 - 8,
        Oddity::RiffSizeLong => body.len() as u32 + 1000,
        Oddity::Rf64 | Oddity::Bw64 | Oddity::DataSizeOnes => u32::MAX,
        _ => body.len() as u32,
    };
    let id: &[u8] = match oddity {
        Oddity::BigEndian => b"RIFX",
        Oddity::Rf64 => b"RF64",
        Oddity::Bw64 => b"BW64",
        _ => b"RIFF",
    };
    [id, &four(riff), &body].concat()
}

fn wave64(format: &[u8], sound: &[u8]) -> Vec<u8> {
    let guid =
        |name: &[u8; 4]| [name.as_slice(), b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"].concat();
    let chunk = |name: &[u8; 4], body: &[u8]| {
        let mut chunk = [guid(name), (body.len() as u64 + 24).to_le_bytes().to_vec(), body.to_vec()].concat();
        chunk.resize(chunk.len().next_multiple_of(8), 0);
        chunk
    };
    let body = [guid(b"wave"), chunk(b"fmt ", format), chunk(b"data", sound)].concat();
    let riff = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";
    [riff.as_slice(), &(body.len() as u64 + 24).to_le_bytes(), &body].concat()
}
