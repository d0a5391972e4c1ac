//! Where calibrations are kept, and who reads them there.

use std::fs::File;
use std::path::{Path, PathBuf};

use figment::value::Dict;

use crate::capture::SourceConfig;
use crate::cli::doctor::OF_UNIT;
use crate::config::{Config, load};
use crate::error::{Error, Result};
use crate::runtime::lock_state;

/// The state folder, held as long as this lives: a daemon keeps what it has learnt there too, and would write over it.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    /// The folder of the service, where that reads the same configuration and another folder.
    service: Option<PathBuf>,
    _held: Option<File>,
}

impl Place {
    /// The folder of `config`, which was read from `file`; none where nothing of `sources` is kept.
    ///
    /// # Errors
    /// A configuration error where a daemon uses it.
    pub(super) fn locked(
        config: &Config,
        sources: &[SourceConfig],
        file: Option<&Path>,
    ) -> Result<Option<Self>> {
        if !sources.iter().any(SourceConfig::is_live) {
            return Ok(None);
        }
        let folder = config.state_folder()?;
        let held = lock_state(&folder).map_err(|_| {
            Error::config(
                format!(
                    "a daemon uses the state folder {}, and would write over what is learnt here",
                    folder.display()
                ),
                "let it learn anew itself: *Calibrate again* on its page, or the command `recalibrate` over MQTT or HTTP; or stop it \
                 first; `--dry-run` keeps nothing",
            )
        })?;
        // without the flags of this command
        let of_file = file.map(|file| load(Some(file), Dict::new())).transpose()?;
        let service = of_file.and_then(|loaded| service_folder(file?, &loaded.config.state_dir));
        let service = service.filter(|service| !is_same(service, &folder));
        Ok(Some(Self { folder, service, _held: held }))
    }

    /// What to say before minutes of learning.
    pub(super) fn warning(&self) -> Option<String> {
        self.service.as_ref().map(|service| {
            format!(
                "what is learnt is kept in {}; the service cpc-stream reads another folder, {}, and learns by itself",
                self.folder.display(),
                service.display()
            )
        })
    }

    /// Who watches with what is kept.
    pub(super) fn reader(&self) -> String {
        let Some(service) = &self.service else { return "`run` watches it at once".to_owned() };
        format!(
            "`run` of this user watches it at once, the service cpc-stream does not: it reads {}, and learns by itself, or anew \
             by the command `recalibrate`",
            service.display()
        )
    }
}

/// The state folder of the service that reads the configuration `file`, in which `state_dir` is set; none where none does.
fn service_folder(file: &Path, state_dir: &Path) -> Option<PathBuf> {
    let named = if state_dir.as_os_str().is_empty() { Path::new(OF_UNIT) } else { state_dir };
    file.starts_with("/etc/cpc-stream").then(|| named.to_owned())
}

/// Also where one is a link to the other, as systemd makes for a user of its own.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_of_the_service_names_its_folder() {
        let file = Path::new("/etc/cpc-stream/config.toml");
        assert_eq!(service_folder(file, Path::new("")), Some(OF_UNIT.into()));
        assert_eq!(service_folder(file, Path::new("/data")), Some("/data".into()));
        assert_eq!(service_folder(Path::new("c.toml"), Path::new("")), None);
        let place = |service: Option<&str>| Place {
            folder: "/home/me/.local/state/cpc-stream".into(),
            service: service.map(PathBuf::from),
            _held: None,
        };
        let own = place(Some(OF_UNIT));
        assert!(own.warning().unwrap().contains(OF_UNIT) && own.reader().contains("`recalibrate`"));
        assert_eq!(
            (place(None).warning(), place(None).reader().as_str()),
            (None, "`run` watches it at once")
        );
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(is_same(&link, folder.path()) && !is_same(&link, Path::new("/nowhere")));
    }

    #[test]
    fn a_folder_that_a_daemon_uses_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
        let sources = [SourceConfig::from_device("hw:0")];
        let first = Place::locked(&config, &sources, None).unwrap().unwrap();
        let error = Place::locked(&config, &sources, None).err().unwrap();
        assert!(
            error.to_string().contains("a daemon uses") && error.fix().contains("recalibrate"),
            "{error}"
        );
        drop(first);
        assert!(Place::locked(&config, &sources, None).unwrap().is_some());
        assert!(Place::locked(&config, &[], None).unwrap().is_none(), "nothing is kept");
    }
}
