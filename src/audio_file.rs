//! Audio files read as mono sample blocks.
use crate::error::{Error, Result};
/// temp
pub fn read_mono(path: &std::path::Path) -> Result<(Vec<f32>, u32)> {
    use symphonia::core::{
        codecs::audio::AudioDecoderOptions,
        formats::{FormatOptions, TrackType, probe::Hint},
        io::{MediaSourceStream, MediaSourceStreamOptions},
        meta::MetadataOptions,
    };
    let bad = |e: String| Error::device(format!("{}: {e}", path.display()), "x");
    let f = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
    let mss = MediaSourceStream::new(Box::new(f), MediaSourceStreamOptions::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), mss, FormatOptions::default(), MetadataOptions::default())
        .map_err(|e| bad(e.to_string()))?;
    let track = format.default_track(TrackType::Audio).ok_or_else(|| bad("no track".into()))?.clone();
    let params =
        track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(|| bad("no params".into()))?;
    let mut dec = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(|e| bad(e.to_string()))?;
    let mut out = Vec::new();
    let mut rate = 0;
    let mut tmp: Vec<f32> = Vec::new();
    while let Ok(Some(p)) = format.next_packet() {
        let Ok(b) = dec.decode(&p) else { break };
        rate = b.spec().rate();
        let ch = b.spec().channels().count();
        b.copy_to_vec_interleaved(&mut tmp);
        out.extend(tmp.chunks(ch).map(|c| c.iter().sum::<f32>() / ch as f32));
    }
    Ok((out, rate))
}

/// temp
pub fn decode_mono(bytes: &'static [u8]) -> Result<(Vec<f32>, u32)> {
    let p = std::env::temp_dir().join(format!("t{}.flac", bytes.len()));
    std::fs::write(&p, bytes).ok();
    read_mono(&p)
}
