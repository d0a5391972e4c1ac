//! A microphone that hears what a test tells it: real libasound, real cpal, own "hardware" (`wavmic.c`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

const NEEDED: &str = "the tests capture from a test microphone built here: apt-get install gcc libc6-dev libasound2-dev pkg-config";

/// What is unusual about a microphone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    /// Samples a second that it really gives; 0: as many as it says.
    pub(crate) truth: u32,
    /// Its samples are 24 bits in 3 bytes, which cpal cannot read.
    pub(crate) packed: bool,
    /// Card numbers under which it may turn up, from 0; it is plugged in as card 0.
    pub(crate) cards: u32,
}

impl Nature {
    /// Nothing.
    pub(crate) const PLAIN: Self = Self { truth: 0, packed: false, cards: 1 };
}

/// The name of the test microphone that survives replugging.
pub(crate) const STABLE: &str = "usb:0d8c:0014:TEST-1";

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
        Self::with(samples, rate, channels, Nature::PLAIN)
    }

    /// The same with something unusual about it.
    pub(crate) fn with(samples: &[i16], rate: u32, channels: u16, nature: Nature) -> Self {
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
  ctl {{ @func concat strings [ "{ctl}" $CARD ] }}
  truth {truth}
  bytes {bytes}
}}
pcm.!plughw {{
  @args [ CARD DEV SUBDEV ]
  @args.CARD {{ type string default "0" }}
  @args.DEV {{ type integer default 0 }}
  @args.SUBDEV {{ type integer default -1 }}
  type plug
  slave.pcm {{ @func concat strings [ "hw:" $CARD ] }}
}}
pcm.!default {{ type plug slave.pcm "hw:0" }}
namehint.pcm [ {hints} ]
"#,
            library = library.display(),
            sound = sound.display(),
            ctl = path("unplugged").display(),
            truth = if nature.truth == 0 { rate } else { nature.truth },
            bytes = if nature.packed { 3 } else { 2 },
            hints = (0..nature.cards).map(hints).collect::<String>(),
        );
        fs::write(path("asound.conf"), config).expect("the temporary folder takes files");
        let microphone = Self { folder };
        (1..nature.cards).for_each(|card| fs::write(microphone.socket(card), "").expect("a file"));
        microphone.seat(0);
        microphone
    }

    /// The kernel's list of cards, as the daemon is to see it.
    pub(crate) fn sysfs(&self) -> PathBuf {
        self.folder.path().join("sys")
    }

    /// The file that says that nothing is plugged in as `card`.
    fn socket(&self, card: u32) -> PathBuf {
        self.folder.path().join(format!("unplugged{card}"))
    }

    fn seat(&self, card: u32) {
        let device = self.sysfs().join("devices/pci0000:00/0000:00:14.0/usb1/1-2");
        fs::create_dir_all(device.join("1-2:1.0")).expect("a folder");
        for (file, text) in [("idVendor", "0d8c\n"), ("idProduct", "0014\n"), ("serial", "TEST-1\n")] {
            fs::write(device.join(file), text).expect("a file");
        }
        let folder = self.sysfs().join(format!("class/sound/card{card}"));
        fs::create_dir_all(&folder).expect("a folder");
        std::os::unix::fs::symlink(device.join("1-2:1.0"), folder.join("device")).expect("a link");
    }

    /// Pulls the plug of the microphone that is `card`.
    pub(crate) fn pull(&self, card: u32) {
        fs::write(self.socket(card), "").expect("a file");
        fs::remove_dir_all(self.sysfs().join(format!("class/sound/card{card}"))).expect("it was plugged in");
    }

    /// Plugs it in as `card`.
    pub(crate) fn push(&self, card: u32) {
        self.seat(card);
        fs::remove_file(self.socket(card)).expect("it was unplugged");
    }

    /// Environment for a process that is to hear this microphone; set before it first calls libasound.
    pub(crate) fn env(&self) -> [(&'static str, PathBuf); 1] {
        [("ALSA_CONFIG_PATH", self.folder.path().join("asound.conf"))]
    }

    /// The file that stands for the pulled plug, for a child that pulls it itself.
    pub(crate) fn plug(&self) -> PathBuf {
        self.socket(0)
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

fn hints(card: u32) -> String {
    ["hw", "plughw"].map(|kind| format!("\"{kind}:CARD={card},DEV=0|Test microphone, USB Audio\" ")).concat()
}
