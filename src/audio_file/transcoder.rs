//! ffmpeg, where it is installed, for what nothing here decodes: Opus, WMA, AMR, MP3 in WAV and the like.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::bytes::Bytes;

/// First bytes of containers that are worth asking ffmpeg about, and where they stand.
const MAGIC: [(usize, &[u8]); 16] = [
    (0, b"OggS"),
    (0, b"RIFF"),
    (0, b"RIFX"),
    (0, b"RF64"),
    (0, b"riff"),
    (0, b"FORM"),
    (0, b"caff"),
    (0, b".snd"),
    (0, b"#!AMR"),
    (0, b"wvpk"),
    (0, b"MAC "),
    (0, b"TTA"),
    (0, b"Creative Voi"),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    (4, b"ftyp"),
];

/// Whether a file that starts so is some container of sound that ffmpeg may know.
pub(super) fn may_know(start: &[u8]) -> bool {
    MAGIC.iter().any(|(at, magic)| start.get(*at..at + magic.len()) == Some(magic))
}

/// A running ffmpeg that writes WAV. It is killed when dropped.
pub(super) struct Transcoder {
    child: Child,
    /// The last line of its standard error.
    last_line: Arc<Mutex<String>>,
}

impl Transcoder {
    /// Starts it on the first audio track of the file at `path`; gives what it writes.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(super) fn start(path: &Path) -> Result<(Bytes, Self), String> {
        let mut input = std::ffi::OsString::from("file:");
        input.push(path);
        let mut child = Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-hide_banner",
                "-loglevel",
                "error",
                "-protocol_whitelist",
                "file,pipe",
                "-i",
            ])
            .arg(input)
            .args(["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("ffmpeg cannot be run: {e}"))?;
        let last_line = Arc::new(Mutex::new(String::new()));
        if let Some(errors) = child.stderr.take() {
            let last_line = Arc::clone(&last_line);
            let read = move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    if let Ok(mut last) = last_line.lock() {
                        *last = line.chars().take(200).collect();
                    }
                }
            };
            thread::Builder::new().name("ffmpeg's errors".into()).spawn(read).map_err(|e| e.to_string())?;
        }
        let output = child.stdout.take().ok_or("ffmpeg gives no output")?;
        Ok((Bytes::of_pipe(output), Self { child, last_line }))
    }

    /// Its error, after the end of its output.
    pub(super) fn finish(&mut self) -> Option<String> {
        let status = self.child.wait().ok()?;
        let said = self.last_line.lock().map(|line| line.clone()).unwrap_or_default();
        (!status.success())
            .then(|| if said.is_empty() { format!("ffmpeg: {status}") } else { format!("ffmpeg: {said}") })
    }
}

impl Drop for Transcoder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
