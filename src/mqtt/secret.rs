//! Files that hold secrets: by their path, or by the name of a systemd credential.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What a path begins with that means a file of `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "credential:";

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
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::config(
            format!("cannot read the password file {}: {error}", path.display()),
            "check the path and that the daemon's user may read it",
        )
    })?;
    match text.lines().next() {
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
