//! Documents hold: links and anchors lead somewhere, the table of contents is complete, figures have a source, and configurations
//! and payloads in code blocks are ones that the program takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cpc_stream::internal::config::Config;
use regex_lite::Regex;

use crate::support::schema::Document;

/// What a newcomer reads at one go.
const README_LINES: usize = 150;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The pages of docs/ by name, without the table of contents.
fn pages() -> BTreeSet<String> {
    let names =
        fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect()
}

/// Documents that users read, as paths from the root.
pub(crate) fn documents() -> Vec<String> {
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "models/README.md", "docs/SUMMARY.md"];
    top.map(str::to_owned).into_iter().chain(pages().iter().map(|name| format!("docs/{name}"))).collect()
}

/// A document as prose and fenced blocks (language, text).
pub(crate) struct Parts {
    pub(crate) prose: String,
    pub(crate) blocks: Vec<(String, String)>,
}

pub(crate) fn parts(text: &str) -> Parts {
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

/// Figures of the README are those of the page that names their commands.
#[test]
fn figures_of_the_readme_have_a_source() {
    let readme = read(&root().join("README.md"));
    let (_, section) = readme.split_once("\n## What it finds\n").expect("a section with figures");
    let section = section.split("\n## Documentation\n").next().unwrap();
    let evaluation = read(&root().join("docs/evaluation.md"));
    let figure = Regex::new(r"[0-9]+\.[0-9]+").unwrap();
    let source: BTreeSet<&str> = figure.find_iter(&evaluation).map(|found| found.as_str()).collect();
    let figures: Vec<&str> = figure.find_iter(section).map(|found| found.as_str()).collect();
    assert!(figures.len() >= 10, "{figures:?}");
    let unknown: Vec<_> = figures.iter().filter(|figure| !source.contains(**figure)).collect();
    assert!(unknown.is_empty(), "docs/evaluation.md does not say where these come from: {unknown:?}");
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
