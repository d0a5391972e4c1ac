//! A microphone that hears what a test tells it: real libasound, real cpal, own "hardware" (`wavmic.c`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

const NEEDED: &str = "the tests capture from a test microphone built here: apt-get install gcc libc6-dev libasound2-dev pkg-config";

/// A microphone `hw:0` (`plughw:0`, `default`) for child processes that get [`TestMicrophone::env`].
///
/// Its sound starts with the first capture in a process and runs on in real time, captured or not; after its
/// end there is silence.
pub(crate) struct TestMicrophone {
    folder: TempDir,
}

impl TestMicrophone {
    /// A plugged-in microphone that hears `samples` (interleaved).
    pub(crate) fn start(samples: &[i16], rate: u32, channels: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let source = path("wavmic.c");
        let library = path("libasound_module_pcm_wavmic.so");
        let sound = path("sound.raw");
        fs::write(&source, include_str!("wavmic.c")).expect("the temporary folder takes files");
        let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(&sound, bytes).expect("the temporary folder takes files");
        let cc = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DPIC", "-o"])
            .args([&library, &source])
            // libasound unloads it with the last close; the time line of the sound must outlive that
            .args(["-Wl,-z,nodelete", "-lasound"])
            .output()
            .unwrap_or_else(|e| panic!("cannot run cc: {e}\n{NEEDED}"));
        assert!(cc.status.success(), "{NEEDED}\n{}", String::from_utf8_lossy(&cc.stderr));
        let config = format!(
            r#"</usr/share/alsa/alsa.conf>
pcm_type.wavmic {{ lib "{library}" }}
pcm.!hw {{
  @args [ CARD DEV SUBDEV ]
  @args.CARD {{ type string default "0" }}
  @args.DEV {{ type integer default 0 }}
  @args.SUBDEV {{ type integer default -1 }}
  type wavmic
  file "{sound}"
  rate {rate}
  channels {channels}
  ctl "{ctl}"
}}
pcm.!plughw {{
  @args [ CARD DEV SUBDEV ]
  @args.CARD {{ type string default "0" }}
  @args.DEV {{ type integer default 0 }}
  @args.SUBDEV {{ type integer default -1 }}
  type plug
  slave.pcm "hw:0"
}}
pcm.!default {{ type plug slave.pcm "hw:0" }}
namehint.pcm [ "hw:CARD=0,DEV=0|Test microphone, USB Audio" "plughw:CARD=0,DEV=0|Test microphone, USB Audio (plug)" ]
"#,
            library = library.display(),
            sound = sound.display(),
            ctl = path("unplugged").display(),
        );
        fs::write(path("asound.conf"), config).expect("the temporary folder takes files");
        Self { folder }
    }

    /// Environment for a process that is to hear this microphone; set before it first calls libasound.
    pub(crate) fn env(&self) -> [(&'static str, PathBuf); 1] {
        [("ALSA_CONFIG_PATH", self.folder.path().join("asound.conf"))]
    }

    /// The file that stands for the pulled plug, for a child that pulls it itself.
    pub(crate) fn plug(&self) -> PathBuf {
        self.folder.path().join("unplugged")
    }

    /// Pulls the plug.
    pub(crate) fn unplug(&self) {
        fs::write(self.plug(), "").expect("the temporary folder takes files");
    }

    /// Plugs it in again.
    pub(crate) fn replug(&self) {
        fs::remove_file(self.plug()).expect("it was unplugged");
    }
}
