//! What packages bring: example configurations that the program takes, papers that it writes, and files that exist.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
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
        ["archive", "cluster-worker", "default", "jetson", "mic-array", "minimal", "raspberry-pi"]
    );
}

#[test]
fn man_and_completions_list_every_command() {
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

/// Every file of the repository that a package takes is there, and what Debian asks of one is in it.
#[test]
fn files_of_the_package_exist() {
    let debian = root().join("packaging/debian");
    let read = |name: &str| fs::read_to_string(debian.join(name)).unwrap();
    let list = read("install");
    let taken: Vec<Vec<&str>> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(taken.len() > 10, "{list}");
    for line in &taken {
        assert!(root().join(line[0]).is_file() && line.len() >= 2, "{line:?}");
    }
    for place in ["etc/cpc-stream/config.toml", "usr/lib/systemd/system/"] {
        assert!(taken.iter().any(|line| line[1] == place), "nothing goes to {place}");
    }
    let control = read("control.in");
    for field in ["Maintainer: The ", "Section: sound", "Priority: optional", "Description: ", "@DEPENDS@"] {
        assert!(control.contains(field), "{field}");
    }
    let copyright = read("copyright");
    assert!(copyright.contains("/usr/share/common-licenses/Apache-2.0") && copyright.contains("@MIT@"));
    for name in ["postinst", "prerm", "postrm"] {
        let checked = Command::new("sh").arg("-n").arg(debian.join(name)).status().unwrap();
        assert!(read(name).starts_with("#!/bin/sh\nset -e\n") && checked.success(), "{name}");
    }
    // it hears a room: nothing enables or starts it
    let scripts = ["postinst", "prerm", "postrm"].map(read).concat();
    assert!(!scripts.contains("deb-systemd-helper enable") && !scripts.contains("invoke start"));
}

/// Where docs and errors send people is where the package puts things.
#[test]
fn paths_in_the_docs_are_installed() {
    let list = fs::read_to_string(root().join("packaging/debian/install")).unwrap();
    let named =
        ["config/default.toml", "config/grafana.json", "docs/asyncapi.yaml", "docs/fleet.md", "SECURITY.md"];
    for file in named {
        assert!(list.lines().any(|line| line.starts_with(&format!("{file} "))), "{file} is not installed");
    }
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // pages, and the pictures that they show; beside each other, so that links hold
        if [".md", ".png", ".svg"].iter().any(|ending| name.ends_with(ending)) {
            let line = format!("docs/{name} usr/share/doc/cpc-stream/docs/");
            assert!(list.lines().any(|found| found == line), "docs/{name} is not installed");
        }
    }
}

/// What the programs tell people to read is where a package puts it: a repository they may not have.
#[test]
fn the_programs_name_files_that_are_installed() {
    let list = fs::read_to_string(root().join("packaging/debian/install")).unwrap();
    let lab = fs::read_to_string(root().join("packaging/build-lab-deb.sh")).unwrap();
    let (mut folders, mut named, mut wrong) = (vec![root().join("src")], 0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let shown = path.display().to_string();
            if path.extension().is_none_or(|ending| ending != "rs") || shown.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for line in text.split("#[cfg(test)]\nmod tests").next().unwrap().lines().map(str::trim_start) {
                if line.starts_with("//") || line.contains("include_") || line.contains("CARGO_MANIFEST_DIR")
                {
                    continue;
                }
                for word in line.split(|c: char| c.is_whitespace() || c == '"') {
                    let word = word.trim_matches(|c: char| "()[],;:.`".contains(c));
                    let installed = match word.strip_prefix("/usr/share/doc/") {
                        Some(file) if file.starts_with("cpc-lab/examples/") => {
                            lab.contains(&file.replace("cpc-lab/examples/", "config/"))
                        }
                        Some(file) => {
                            let (folder, name) = file.rsplit_once('/').unwrap();
                            let place = format!("/{name} usr/share/doc/{folder}/");
                            list.lines().any(|line| line.ends_with(&place))
                        }
                        None if word.starts_with("config/") || word.starts_with("docs/") => false,
                        None => continue,
                    };
                    named += 1;
                    if !installed {
                        wrong.push(format!("{shown}: {word}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty() && named >= 4, "{named} named, of which are not installed: {wrong:#?}");
}

/// A release runs every test of what it holds.
#[test]
fn a_release_runs_the_tests_of_packages() {
    let script = fs::read_to_string(root().join("packaging/release.sh")).unwrap();
    let mut tests = vec!["python/test.sh".to_owned()];
    for entry in fs::read_dir(root().join("packaging")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("test-") {
            tests.push(format!("packaging/{name}"));
        }
    }
    assert!(tests.len() >= 7, "{tests:?}");
    for test in tests {
        let run = |line: &str| !line.starts_with('#') && line.contains(&format!("{test} "));
        assert!(script.lines().any(|line| run(&format!("{line} "))), "{test} is not run");
    }
}

/// The same of the tarball, whose script copies by name.
#[test]
fn files_of_the_tarball_exist() {
    let script = fs::read_to_string(root().join("packaging/build-tarball.sh")).unwrap();
    let copies = script.lines().filter(|line| line.starts_with("cp ") || line.starts_with("sed "));
    let folders = ["config/", "systemd/", "packaging/", "docs/", "models/"];
    let named: Vec<&str> = copies
        .flat_map(str::split_whitespace)
        .filter(|word| folders.iter().any(|folder| word.starts_with(folder)))
        .collect();
    assert!(named.len() > 8, "{named:?}");
    for file in named {
        // docs/*.md takes what ends so
        let found = match file.split_once("/*") {
            Some((folder, ending)) => fs::read_dir(root().join(folder))
                .unwrap()
                .any(|entry| entry.unwrap().file_name().to_string_lossy().ends_with(ending)),
            None => root().join(file).is_file(),
        };
        assert!(found, "{file}");
    }
}
