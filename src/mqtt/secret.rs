//! Files that hold secrets: by their path, or by the name of a systemd credential.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Prefix of a path that names a file of `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "credential:";

/// The byte order mark that some editors write before a text. No password begins with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The file that a setting names: a path, or `credential:NAME` for what systemd hands over (`LoadCredential=NAME:…`,
/// `LoadCredentialEncrypted=`).
///
/// # Errors
/// A configuration error where a credential is named and systemd has given none, or the name is a path.
pub fn secret_path(setting: &Path) -> Result<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    resolve(setting, folder.map(PathBuf::from))
}

fn resolve(setting: &Path, folder: Option<PathBuf>) -> Result<PathBuf> {
    let Some(name) = setting.to_str().and_then(|text| text.strip_prefix(CREDENTIAL)) else {
        return Ok(setting.to_owned());
    };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(Error::config(
            format!("{} does not name a credential", setting.display()),
            "write credential:NAME, with the name of LoadCredential=NAME:PATH in the unit",
        ));
    }
    folder.map(|folder| folder.join(name)).ok_or_else(|| {
        Error::config(
            format!("{} is asked for, but CREDENTIALS_DIRECTORY is not set", setting.display()),
            format!(
                "start the daemon by systemd with LoadCredential={name}:PATH in the unit, or name a file"
            ),
        )
    })
}

/// The password in the first line of the file that `setting` names.
///
/// # Errors
/// A configuration error where the file cannot be read or its first line is empty.
pub fn read_password(setting: &Path) -> Result<String> {
    let path = secret_path(setting)?;
    let bytes = std::fs::read(&path).map_err(|error| {
        Error::config(
            format!("cannot read the password file {}: {error}", path.display()),
            "check the path and that the daemon's user may read it",
        )
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::config(
            format!("the password file {} is not in UTF-8", path.display()),
            "save it as UTF-8 (some editors and shells write UTF-16)",
        )
    })?;
    let marked = text.starts_with(BYTE_ORDER_MARK);
    if marked {
        tracing::warn!(
            "the password file {} begins with a byte order mark, which is left out",
            path.display()
        );
    }
    match text.trim_start_matches(BYTE_ORDER_MARK).lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Error::config(
            format!("the password file {} has no first line", path.display()),
            "write the password into its first line",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        for (bytes, expected) in [
            (&b"\xef\xbb\xbfsecret\r\nmore"[..], Some("secret")),
            (b"secret", Some("secret")),
            (b" spaces stay \n", Some(" spaces stay ")),
            (b"\xef\xbb\xbf\n", None),
            (b"\xff\xfes\0e\0", None),
            (b"", None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_password(&path).ok().as_deref(), expected, "{bytes:?}");
        }
        std::fs::write(&path, b"\xff\xfes\0e\0").unwrap();
        assert!(read_password(&path).unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn a_credential_is_a_file_of_systemds_folder() {
        let folder = || Some(PathBuf::from("/run/credentials/cpc-stream.service"));
        let found = resolve(Path::new("credential:mqtt-password"), folder()).unwrap();
        assert_eq!(found, Path::new("/run/credentials/cpc-stream.service/mqtt-password"));
        assert_eq!(resolve(Path::new("/etc/x"), folder()).unwrap(), Path::new("/etc/x"));
        for (name, folder) in [
            ("credential:mqtt-password", None),
            ("credential:", folder()),
            ("credential:../shadow", folder()),
            ("credential:a/b", folder()),
        ] {
            let error = resolve(Path::new(name), folder).unwrap_err();
            assert!(error.to_string().contains(name) && !error.fix().is_empty(), "{error}");
        }
    }
}
