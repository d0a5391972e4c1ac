//! What packages bring: example configurations that the program takes, papers that it writes, and files that exist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, program, run};

const LIMIT: Duration = Duration::from_secs(30);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_example_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        // training has a command of its own, and grafana.json is for another program
        if name == "train" || path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let mut command = program(home.path());
        command.args(["check", "--config", path.to_str().unwrap()]).stdin(Stdio::null());
        if name == "default" {
            // it documents every key and names no source
            command.args(["--device", "default"]);
        }
        if name == "jetson" && cfg!(not(feature = "cuda")) {
            // a build without GPU code says so, and takes everything else in the file
            let outcome = Daemon::start(&mut command).finish(LIMIT);
            assert!(outcome.code == Some(2) && outcome.stderr.contains("model.device"), "{}", outcome.stderr);
            command.env("CPC_STREAM_MODEL__DEVICE", "cpu");
        }
        let outcome = Daemon::start(&mut command).finish(LIMIT);
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
        assert!(outcome.stdout.starts_with("ok: "), "{name}: {}", outcome.stdout);
        names.push(name);
    }
    names.sort();
    assert_eq!(
        names,
        [
            "archive",
            "cluster-worker",
            "default",
            "jetson",
            "mic-array",
            "minimal",
            "pool-worker",
            "raspberry-pi"
        ]
    );
}

#[test]
fn the_papers_name_every_command() {
    let home = tempfile::tempdir().unwrap();
    let help = run(home.path(), &["--help"], LIMIT).stdout;
    let (_, after) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = after
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"completions"), "{commands:?}");

    let outcome = run(home.path(), &["man", "--out", "pages"], LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let page = fs::read_to_string(home.path().join("pages/cpc-stream.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("Exit codes"), "{page}");
    assert_eq!(run(home.path(), &["man"], LIMIT).stdout.trim_end(), page.trim_end());
    for shell in ["bash", "zsh", "fish"] {
        let text = run(home.path(), &["completions", shell], LIMIT).stdout;
        for command in &commands {
            assert!(text.contains(command), "{shell}: {command}");
        }
    }
    for command in commands.iter().filter(|command| **command != "help") {
        let page = home.path().join(format!("pages/cpc-stream-{command}.1"));
        assert!(page.exists(), "{}", page.display());
    }
}

/// Every file of the repository that a package would take is there; what a build makes is made by the script.
#[test]
fn what_the_package_takes_exists() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let script = fs::read_to_string(root().join("packaging/build-deb.sh")).unwrap();
    let more = deb["variants"]["cuda"]["merge-assets"]["append"].as_array().unwrap();
    let assets: Vec<&toml::Value> = deb["assets"].as_array().unwrap().iter().chain(more).collect();
    for asset in &assets {
        let source = asset[0].as_str().unwrap();
        match source.strip_prefix("target/papers/") {
            Some(made) => {
                let name = made.rsplit('/').next().unwrap();
                assert!(script.contains(name) || made == "man/*.1", "{made}");
            }
            None => {
                let built = source == "target/release/cpc-stream";
                assert!(built || root().join(source).is_file(), "{source}");
            }
        }
    }
    let to = |place: &str| assets.iter().any(|asset| format!("/{}", asset[1].as_str().unwrap()) == place);
    for conffile in deb["conf-files"].as_array().unwrap() {
        assert!(to(conffile.as_str().unwrap()), "{conffile}");
    }
    let scripts = Path::new(deb["maintainer-scripts"].as_str().unwrap());
    for name in ["postinst", "prerm", "postrm"] {
        let text = fs::read_to_string(root().join(scripts).join(name)).unwrap();
        assert!(text.starts_with("#!/bin/sh\nset -e\n") && text.contains("#DEBHELPER#"), "{name}");
    }
    let units = Path::new(deb["systemd-units"]["unit-scripts"].as_str().unwrap());
    assert!(root().join(units).join("cpc-stream.service").is_file());
}

/// The same of the tarball, whose script copies by name.
#[test]
fn what_the_tarball_takes_exists() {
    let script = fs::read_to_string(root().join("packaging/build-tarball.sh")).unwrap();
    let copies = script.lines().filter(|line| line.starts_with("cp ") || line.starts_with("sed "));
    let folders = ["config/", "systemd/", "packaging/", "docs/", "models/"];
    let named: Vec<&str> = copies
        .flat_map(str::split_whitespace)
        .filter(|word| folders.iter().any(|folder| word.starts_with(folder)))
        .collect();
    assert!(named.len() > 8, "{named:?}");
    for file in named {
        assert!(root().join(file).is_file(), "{file}");
    }
}
