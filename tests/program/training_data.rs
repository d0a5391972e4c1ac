//! The script that fetches the training data verifies, resumes and unpacks safely: `tests/program/training_data.py`, with a server of its own.

use std::path::Path;
use std::process::Command;

#[test]
fn archives_are_fetched_verified_and_unpacked_safely() {
    if !Command::new("python3")
        .args(["-c", "import tomllib"])
        .output()
        .is_ok_and(|told| told.status.success())
    {
        eprintln!("skipped: no python3 of 3.11 or later is here (apt-get install python3)");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/training_data.py");
    let told = Command::new("python3").arg("-B").arg(script).output().unwrap();
    let text = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && text.contains("\nOK"), "{text}");
}
