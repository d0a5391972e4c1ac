//! Documents hold: links and anchors lead somewhere, the table of contents is complete, and commands, configurations and
//! payloads in code blocks are ones that the program takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cpc_stream::config::Config;
use regex_lite::Regex;

use crate::support::daemon::run;
use crate::support::schema::Document;

const LIMIT: Duration = Duration::from_secs(30);
/// What a newcomer reads at one go.
const README_LINES: usize = 150;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The pages of docs/ by name, without the table of contents.
fn pages() -> BTreeSet<String> {
    let names =
        fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect()
}

/// Documents that users read, as paths from the root.
fn documents() -> Vec<String> {
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "models/README.md", "docs/SUMMARY.md"];
    top.map(str::to_owned).into_iter().chain(pages().iter().map(|name| format!("docs/{name}"))).collect()
}

/// A document as prose and fenced blocks (language, text).
struct Parts {
    prose: String,
    blocks: Vec<(String, String)>,
}

fn parts(text: &str) -> Parts {
    let (mut prose, mut blocks, mut open) = (String::new(), Vec::<(String, String)>::new(), false);
    for line in text.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => blocks.push((language.trim().to_owned(), String::new())),
            (Some(_), true) => {}
            (None, true) => {
                let block = &mut blocks.last_mut().unwrap().1;
                block.push_str(line);
                block.push('\n');
            }
            (None, false) => {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        open ^= line.starts_with("```");
    }
    assert!(!open, "a code block without an end");
    Parts { prose, blocks }
}

/// Anchors of headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut found, link) = (BTreeSet::new(), Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap());
    for line in parts(text).prose.lines() {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let title = link.replace_all(title.trim(), "$1").to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug = kept.collect::<String>().replace(' ', "-");
        let next = (1..).map(|n| format!("{slug}-{n}"));
        let name = std::iter::once(slug.clone()).chain(next).find(|name| !found.contains(name)).unwrap();
        found.insert(name);
    }
    found
}

/// Targets of links and pictures.
fn links(text: &str) -> Vec<String> {
    let code = Regex::new("`[^`]*`").unwrap();
    let prose = parts(text).prose;
    let prose = code.replace_all(&prose, "");
    let link = Regex::new(r"\[[^\]]*\]\(([^)\s]+)\)").unwrap();
    link.captures_iter(&prose).map(|found| found[1].to_owned()).collect()
}

/// What is wrong with a link of a document in `folder`, whose own text is `text`.
fn fault(folder: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = folder.join(path);
    if !path.is_empty() && !target.exists() {
        return Some(format!("{link}: no such file"));
    }
    let there = if path.is_empty() { text.to_owned() } else { read_text(&target) };
    let missing = anchor.filter(|anchor| !anchors(&there).contains(*anchor));
    missing.map(|anchor| format!("{link}: no heading gives #{anchor}"))
}

fn read_text(path: &Path) -> String {
    if path.extension().is_some_and(|ending| ending == "md") { read(path) } else { String::new() }
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    let more = ["ARCHITECTURE.md", "CHANGELOG.md"].map(str::to_owned);
    for document in documents().into_iter().chain(more) {
        let path = root().join(&document);
        let text = read(&path);
        let found = links(&text);
        faults.extend(
            found
                .iter()
                .filter_map(|link| fault(path.parent().unwrap(), &text, link))
                .map(|fault| format!("{document}: {fault}")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let here =
        "# One, `two`\n## One two\n[a](#one-two-1) [b](#three) [c](missing.md)\n```sh\n[d](no.md)\n```\n";
    let wrong: Vec<_> = links(here).iter().filter_map(|link| fault(&root(), here, link)).collect();
    assert_eq!(wrong, ["#three: no heading gives #three", "missing.md: no such file"]);
}

#[test]
fn the_contents_list_every_page() {
    let summary = links(&read(&root().join("docs/SUMMARY.md")));
    assert_eq!(summary.iter().cloned().collect::<BTreeSet<_>>(), pages());
    assert_eq!(summary.len(), pages().len(), "a page is listed twice");
    let readme = links(&read(&root().join("README.md")));
    for page in pages() {
        assert!(readme.contains(&format!("docs/{page}")), "README.md does not lead to docs/{page}");
        let text = read(&root().join("docs").join(&page));
        assert!(text.starts_with("# "), "docs/{page} begins with its title");
    }
}

#[test]
fn the_readme_is_short() {
    let text = read(&root().join("README.md"));
    assert!(text.lines().count() <= README_LINES, "{} lines", text.lines().count());
    for marker in ["<!-- ci:demo -->\n```sh\n", "<!-- ci:test -->\n```sh\n"] {
        assert!(text.contains(marker), "{marker}");
    }
}

/// The command lines of the program in a document: words after its name.
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
    let span = Regex::new("`(cpc-stream [^`]*)`").unwrap();
    lines.extend(span.captures_iter(&parts.prose).map(|found| found[1].replace('\n', " ")));
    lines.iter().flat_map(|line| commands_of(line)).collect()
}

fn commands_of(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap();
    let pieces = line.split(['|', ';', '>']).flat_map(|piece| piece.split("&&"));
    pieces.filter_map(|piece| words_of(&piece.split_whitespace().collect::<Vec<_>>())).collect()
}

/// Words after the program's name, where these words call it.
fn words_of(words: &[&str]) -> Option<Vec<String>> {
    let behind = if words.starts_with(&["cargo", "run"]) {
        words.iter().position(|word| *word == "--")?
    } else {
        let first = words.iter().position(|word| *word != "sudo" && !word.contains('='))?;
        let name = words[first];
        (name == "cpc-stream" || name.ends_with("/cpc-stream")).then_some(first)?
    };
    Some(words[behind + 1..].iter().map(|word| (*word).to_owned()).collect())
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

    /// Subcommands and flags of the command `path`.
    fn of(&mut self, path: &[String]) -> &(BTreeSet<String>, BTreeSet<String>) {
        let home = self.home.path();
        self.known.entry(path.to_vec()).or_insert_with(|| {
            let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
            arguments.push("--help");
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
        let mut path = Vec::new();
        for word in words {
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
    let text = "`cpc-stream listen`\n```sh\nX=1 cpc-stream eval detect \\\n  --fast # --no\ncargo run -- demo --speed 2\n```\n";
    let wrong: Vec<_> = command_lines(text).iter().filter_map(|words| help.fault(words)).collect();
    assert_eq!(wrong, ["`eval detect --fast`: there is no --fast", "`listen`: there is no command listen"]);
}

#[test]
fn configurations_are_taken() {
    let mut count = 0;
    for document in documents() {
        for (language, block) in parts(&read(&root().join(&document))).blocks {
            // what stands commented out in the reference is a list of alternatives, not a file
            if language == "toml" && document != "docs/config-reference.md" {
                toml::from_str::<Config>(&block).unwrap_or_else(|e| panic!("{document}: {e}\n{block}"));
                count += 1;
            }
        }
    }
    assert!(count >= 6, "{count} configurations in all documents");
}

#[test]
fn payloads_are_as_described() {
    let schema = Document::read();
    let mut count = 0;
    for document in documents() {
        for (language, block) in parts(&read(&root().join(&document))).blocks {
            if language != "json" {
                continue;
            }
            let value: serde_json::Value =
                serde_json::from_str(&block).unwrap_or_else(|e| panic!("{document}: {e}\n{block}"));
            if value.get("schema").is_some() {
                assert_eq!(
                    schema.check(schema.schema("Event"), &value, ""),
                    Vec::<String>::new(),
                    "{document}"
                );
                count += 1;
            }
        }
    }
    assert!(count >= 1, "no event document is shown");
}
