//! ffmpeg as a child, for cameras and web streams.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::super::config::RtspTransport;
use super::super::pcm::{PcmForm, PcmFormat};
use super::arrival::{Arrival, LOOK};
use crate::error::{Error, Result};

/// First argument by which this program becomes an ffmpeg that ends with it.
pub(crate) const AS_FFMPEG: &str = "as-ffmpeg";

/// Most bytes of one read.
const READ: usize = 16 * 1024;

/// Whether this program knows [`AS_FFMPEG`].
static GUARDED: AtomicBool = AtomicBool::new(false);

/// Makes children end with this process, even where it is killed: they are started by way of this very program, which has
/// to call [`become_ffmpeg`] when its first argument is `as-ffmpeg`.
pub(crate) fn guard_children() {
    GUARDED.store(true, Ordering::Relaxed);
}

/// Turns this process into ffmpeg, which gets a SIGKILL when its parent is gone. `arguments` begin with the parent's id.
///
/// # Errors
/// When there is no ffmpeg, or the parent is gone already.
pub(crate) fn become_ffmpeg(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let parent = arguments.next().and_then(|id| id.to_str()?.parse::<u32>().ok());
    let asked = set_parent_process_death_signal(Some(Signal::KILL));
    // it may have gone before it was asked for
    if asked.is_err() || parent != Some(parent_id()) {
        return Err(Error::internal("ffmpeg is started by cpc-stream alone"));
    }
    let error = Command::new("ffmpeg").args(arguments).exec();
    Err(Error::device(format!("ffmpeg cannot be run: {error}"), "install ffmpeg"))
}

/// A running ffmpeg. It is killed when dropped.
pub(super) struct Ffmpeg {
    child: Child,
    pieces: Receiver<io::Result<Vec<u8>>>,
    report: Arc<Mutex<TranscoderReport>>,
    buffer: Vec<u8>,
    /// Bytes a second of what it writes.
    byte_rate: f64,
    bytes: u64,
}

/// Its report on standard error.
#[derive(Debug, Default)]
struct TranscoderReport {
    /// The last line of an error.
    complaint: String,
    /// Length of the input in seconds, where it has an end.
    length_s: Option<f64>,
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ffmpeg {
    /// Starts it on `url`.
    pub(super) fn start(
        url: &str,
        pcm: PcmForm,
        transport: RtspTransport,
    ) -> std::result::Result<Self, String> {
        let secret = has_secret(url);
        let mut command = if GUARDED.load(Ordering::Relaxed) {
            let mut command = Command::new("/proc/self/exe");
            command.arg0("cpc-stream").arg(AS_FFMPEG).arg(std::process::id().to_string());
            command
        } else {
            Command::new("ffmpeg")
        };
        let mut child = command
            .args(arguments(url, pcm, transport))
            .stdin(if secret { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("ffmpeg cannot be run: {e} (install ffmpeg)"))?;
        if let Some(mut list) = child.stdin.take() {
            // if it has ended already, its report has the reason
            let _ = list.write_all(playlist(url, transport).as_bytes());
        }
        let report = Arc::new(Mutex::new(TranscoderReport::default()));
        if let Some(errors) = child.stderr.take() {
            let (report, url) = (Arc::clone(&report), url.to_owned());
            let listen = move || {
                for line in BufReader::new(errors).lines().map_while(io::Result::ok) {
                    if let Ok(mut report) = report.lock() {
                        report.take(&line, &url);
                    }
                }
            };
            thread::Builder::new().name("ffmpeg's errors".into()).spawn(listen).map_err(|e| e.to_string())?;
        }
        let sound = child.stdout.take().ok_or("ffmpeg gives no sound")?;
        let pieces = read_aside(sound).map_err(|e| e.to_string())?;
        let byte_rate = f64::from(pcm.rate) * (pcm.format.bytes() * usize::from(pcm.channels)) as f64;
        Ok(Self { child, pieces, report, buffer: Vec::new(), byte_rate, bytes: 0 })
    }

    /// The next read.
    pub(super) fn next(&mut self) -> Arrival<'_> {
        match self.pieces.recv_timeout(LOOK) {
            Ok(Ok(piece)) => {
                self.bytes += piece.len() as u64;
                self.buffer = piece;
                Arrival::Bytes(&self.buffer)
            }
            Ok(Err(e)) => Arrival::Lost(e.to_string()),
            Err(RecvTimeoutError::Timeout) => Arrival::Nothing,
            Err(RecvTimeoutError::Disconnected) => self.end(),
        }
    }

    fn end(&mut self) -> Arrival<'_> {
        let well = self.child.wait().is_ok_and(|status| status.success());
        let given_s = self.bytes as f64 / self.byte_rate.max(1.0);
        let length = self.report.lock().ok().and_then(|report| report.length_s);
        match (self.complaint(), length) {
            // decoders may drop the last frame
            (_, Some(length)) if well && given_s >= length - 0.5 => Arrival::Over(given_s),
            (Some(complaint), _) => Arrival::Lost(complaint),
            (None, _) => Arrival::Lost("the stream ended".to_owned()),
        }
    }

    /// Bytes that it gave.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its last error.
    pub(super) fn complaint(&self) -> Option<String> {
        let report = self.report.lock().ok()?;
        (!report.complaint.is_empty()).then(|| format!("ffmpeg: {}", report.complaint))
    }
}

impl TranscoderReport {
    fn take(&mut self, line: &str, url: &str) {
        if let Some(length) =
            line.split_once("Duration: ").and_then(|(_, rest)| seconds(rest.split(',').next()?))
        {
            self.length_s = Some(length);
        }
        let wrong =
            ["[error] ", "[fatal] ", "[panic] ", "[warning] "].iter().any(|level| line.contains(level));
        // its guesses about mono sound are of no interest
        if !wrong || line.contains("Guessed Channel Layout") {
            return;
        }
        let line = line.replace(url, "the url").replace("pipe:0: ", "");
        let text = line.rsplit_once("] ").map_or(line.as_str(), |(_, text)| text);
        self.complaint = match text {
            text if text.contains("does not contain any stream") => {
                "there is no sound in it, only pictures".to_owned()
            }
            text => masked(text).chars().take(200).collect(),
        };
    }
}

/// `HH:MM:SS.ss` in seconds.
fn seconds(text: &str) -> Option<f64> {
    text.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.trim().parse::<f64>().ok()?))
}

/// Masks users and passwords of URLs in `text` for logs.
fn masked(text: &str) -> String {
    let mask = |word: &str| match (word.split_once("://"), word.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => word.to_owned(),
    };
    text.split(' ').map(mask).collect::<Vec<_>>().join(" ")
}

/// Whether the URL holds a secret (a user, or a query), so that lists of processes must not show it.
fn has_secret(url: &str) -> bool {
    url.contains('@') || url.contains('?')
}

fn arguments(url: &str, pcm: PcmForm, transport: RtspTransport) -> Vec<String> {
    let PcmForm { rate, channels, format } = pcm;
    let format = match format {
        PcmFormat::S16le => "s16le",
        PcmFormat::F32le => "f32le",
    };
    let mut all: Vec<String> =
        ["-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info"].map(str::to_owned).to_vec();
    let mut add = |more: &[&str]| all.extend(more.iter().map(|&argument| argument.to_owned()));
    if has_secret(url) {
        let protocols = "pipe,http,https,httpproxy,tcp,tls,crypto,udp,rtp,rtsp,rtmp,rtmps";
        add(&["-protocol_whitelist", protocols, "-f", "concat", "-safe", "0", "-i", "pipe:0"]);
    } else {
        if url.starts_with("rtsp") {
            add(&["-rtsp_transport", transport.as_str(), "-allowed_media_types", "audio"]);
        }
        add(&["-i", url]);
    }
    add(&["-vn", "-f", format, "-ar", &rate.to_string(), "-ac", &channels.to_string(), "-"]);
    all
}

/// A list for the concat demuxer, which reads it from a pipe.
fn playlist(url: &str, transport: RtspTransport) -> String {
    let options = if url.starts_with("rtsp") {
        format!("option rtsp_transport {}\noption allowed_media_types audio\n", transport.as_str())
    } else {
        String::new()
    };
    format!("ffconcat version 1.0\nfile '{}'\n{options}", url.replace('\'', "'\\''"))
}

/// How long the first sound may take: ffmpeg looks at up to 5 s of an input before it decodes, and some cameras begin with
/// their next key frame.
pub(super) const FIRST_SOUND: Duration = Duration::from_secs(20);

/// Reads bytes on a thread of its own, which a stop leaves behind where it waits for a byte that never comes.
fn read_aside(mut input: impl Read + Send + 'static) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, pieces) = bounded(1);
    let work = move || {
        let mut buffer = vec![0; READ];
        loop {
            let piece = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => Ok(buffer.get(..count).unwrap_or_default().to_vec()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            let last = piece.is_err();
            if sender.send(piece).is_err() || last {
                break;
            }
        }
    };
    thread::Builder::new().name("source's pipe".into()).spawn(work).map(|_| pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: PcmForm = PcmForm { rate: 16_000, channels: 1, format: PcmFormat::S16le };

    #[test]
    fn a_url_with_a_secret_is_no_argument() {
        for url in ["rtsp://me:it's@cam/live", "http://cam/x.wav?token=1"] {
            assert!(!arguments(url, FORM, RtspTransport::Tcp).join(" ").contains("cam"));
        }
        let list = playlist("rtsp://me:it's@cam/live", RtspTransport::Udp);
        assert!(list.contains("file 'rtsp://me:it'\\''s@cam/live'\noption rtsp_transport udp\n"), "{list}");
        let plain = arguments("rtsp://cam/live", FORM, RtspTransport::Udp).join(" ");
        assert!(
            plain.contains("-rtsp_transport udp -allowed_media_types audio -i rtsp://cam/live"),
            "{plain}"
        );
        assert!(!arguments("http://cam/live", FORM, RtspTransport::Tcp).join(" ").contains("rtsp"));
    }

    #[test]
    fn its_words_are_understood() {
        let mut report = TranscoderReport::default();
        for line in [
            "[warning] Guessed Channel Layout for Input Stream #0.0 : mono",
            "[info]   Duration: 01:00:02.50, bitrate: 256 kb/s",
            "[info] Stream mapping:",
        ] {
            report.take(line, "rtsp://x");
        }
        assert_eq!((report.length_s, report.complaint.as_str()), (Some(3602.5), ""));
        report.take("[info]   Duration: N/A, start: 0.0, bitrate: 256 kb/s", "rtsp://x");
        report.take("[error] http://me:pw@cam/live: Server returned 404 Not Found", "rtsp://x");
        assert_eq!(report.complaint, "http://…@cam/live: Server returned 404 Not Found");
        report.take(
            "[tcp @ 0x55d67] [error] Connection to tcp://127.0.0.1:1 failed: Connection refused",
            "rtsp://x",
        );
        assert_eq!(report.complaint, "Connection to tcp://127.0.0.1:1 failed: Connection refused");
    }
}
