//! Each command in the documents is one that the program has, with flags that its help names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regex_lite::Regex;

use crate::documents_hold::{documents, parts, read, root};
#[cfg(feature = "lab")]
use crate::support::daemon::lab;
use crate::support::daemon::run;

const LIMIT: Duration = Duration::from_secs(30);

/// The command lines of the programs in a document: the program, and the words after its name.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let parts = parts(text);
    let mut lines: Vec<String> = Vec::new();
    for (language, block) in &parts.blocks {
        let block = block.replace("\\\n", " ");
        match language.as_str() {
            "sh" => lines.extend(block.lines().map(str::to_owned)),
            "console" => lines.extend(block.lines().filter_map(|l| l.strip_prefix("$ ")).map(str::to_owned)),
            _ => {}
        }
    }
    let span = Regex::new("`(cpc-(?:stream|lab) [^`]*)`").unwrap();
    lines.extend(span.captures_iter(&parts.prose).map(|found| found[1].replace('\n', " ")));
    lines.iter().flat_map(|line| commands_of(line)).collect()
}

fn commands_of(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap();
    let pieces = line.split(['|', ';', '>']).flat_map(|piece| piece.split("&&"));
    pieces.filter_map(|piece| words_of(&piece.split_whitespace().collect::<Vec<_>>())).collect()
}

/// Program and words after its name, where these words call it.
fn words_of(words: &[&str]) -> Option<Vec<String>> {
    if words.contains(&"--example") {
        return None;
    }
    let (program, behind) = if words.starts_with(&["cargo", "run"]) {
        ("cpc-stream", words.iter().position(|word| *word == "--")?)
    } else {
        let first = words.iter().position(|word| *word != "sudo" && !word.contains('='))?;
        let name = words[first].rsplit('/').next()?;
        (["cpc-stream", "cpc-lab"].contains(&name).then_some(name)?, first)
    };
    let rest = words[behind + 1..].iter().map(|word| (*word).to_owned());
    Some([program.to_owned()].into_iter().chain(rest).collect())
}

/// The help of each subcommand, asked for once.
struct Help {
    home: tempfile::TempDir,
    known: BTreeMap<Vec<String>, (BTreeSet<String>, BTreeSet<String>)>,
}

impl Help {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), known: BTreeMap::new() }
    }

    /// Subcommands and flags of the command `path`, which begins with the program.
    fn of(&mut self, path: &[String]) -> &(BTreeSet<String>, BTreeSet<String>) {
        let home = self.home.path();
        self.known.entry(path.to_vec()).or_insert_with(|| {
            let mut arguments: Vec<&str> = path[1..].iter().map(String::as_str).collect();
            arguments.push("--help");
            #[cfg(feature = "lab")]
            let run = if path[0] == "cpc-lab" { lab } else { run };
            let outcome = run(home, &arguments, LIMIT);
            assert_eq!(outcome.code, Some(0), "{path:?}: {}", outcome.stderr);
            let listed = outcome.stdout.split_once("Commands:\n").map_or("", |(_, after)| after);
            let commands = listed.lines().take_while(|line| !line.is_empty());
            let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
            let flag = Regex::new("--[a-z][a-z0-9-]*").unwrap();
            (
                commands.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect(),
                flag.find_iter(&outcome.stdout).map(|found| found.as_str().to_owned()).collect(),
            )
        })
    }

    /// What is wrong with a command line.
    fn fault(&mut self, words: &[String]) -> Option<String> {
        if cfg!(not(feature = "lab")) && words[0] == "cpc-lab" {
            return None;
        }
        let mut path = vec![words[0].clone()];
        for word in &words[1..] {
            let commands = &self.of(&path).0;
            if commands.contains(word) {
                path.push(word.clone());
            } else if !commands.is_empty() && !word.starts_with('-') {
                return Some(format!("`{}`: there is no command {word}", words.join(" ")));
            } else {
                break;
            }
        }
        let flags = &self.of(&path).1;
        let mut used = words.iter().filter(|word| word.len() > 2).filter_map(|word| word.strip_prefix("--"));
        let unknown = used.find(|flag| {
            let name: String = flag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            !flags.contains(&format!("--{name}"))
        })?;
        Some(format!("`{}`: there is no --{unknown}", words.join(" ")))
    }
}

#[test]
fn commands_are_those_of_the_program() {
    let (mut help, mut faults, mut count) = (Help::new(), Vec::new(), 0);
    for document in documents() {
        for words in command_lines(&read(&root().join(&document))) {
            count += 1;
            faults.extend(help.fault(&words).map(|fault| format!("{document}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 60, "{count} commands in all documents");
    let text = "`cpc-stream listen`\n```sh\nX=1 cpc-stream outbox verify \\\n  --fast # --no\ncargo run -- demo --speed 2\n```\n";
    let wrong: Vec<_> = command_lines(text).iter().filter_map(|words| help.fault(words)).collect();
    assert_eq!(
        wrong,
        [
            "`cpc-stream outbox verify --fast`: there is no --fast",
            "`cpc-stream listen`: there is no command listen"
        ]
    );
}
