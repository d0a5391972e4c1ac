//! Words that were given up in favour of standard terms do not come back into names, comments, settings or the page.

use std::fs;
use std::path::{Path, PathBuf};

/// Given-up names of types, and of functions and variables that are no ordinary English in code.
const GIVEN_UP: [&str; 47] = [
    "Contender",
    "Courier",
    "Deed",
    "Dice",
    "DicePlace",
    "Excerpt",
    "Foretelling",
    "Fused",
    "HealthDesk",
    "Household",
    "Judgement",
    "Keeper",
    "LaneCounters",
    "LaneFigures",
    "Ledger",
    "LeftOut",
    "Letter",
    "Outfit",
    "Parcel",
    "Passage",
    "PostOffice",
    "Refuge",
    "RowMaker",
    "Scribe",
    "Seldom",
    "SiteNorm",
    "Stamp",
    "Stripper",
    "Vigil",
    "Vitals",
    "air",
    "courier",
    "enlist",
    "foretell",
    "foretelling",
    "foretold",
    "household",
    "instrument",
    "learn_aside",
    "learn_aside_by",
    "murmur",
    "orphans",
    "outfit",
    "parcel",
    "rescued",
    "strange",
    "teach_critic",
];

/// Files and folders that are searched.
const SEARCHED: [&str; 13] = [
    "src",
    "tests",
    "benches",
    "examples",
    "python",
    "packaging",
    "systemd",
    "config",
    "docs",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "Containerfile",
];

/// Ends of the names of files of text.
const TEXT: [&str; 18] = [
    "rs", "toml", "md", "js", "css", "html", "yaml", "yml", "cu", "c", "cpp", "conf", "service", "py", "pyi",
    "sh", "ipynb", "j2",
];

#[test]
fn given_up_words_stay_away() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for place in SEARCHED {
        search(&root, &root.join(place), &mut found);
    }
    assert!(
        found.is_empty(),
        "use the standard terms instead (glossary of ARCHITECTURE.md):\n{}",
        found.join("\n")
    );
}

#[test]
fn a_word_is_found_whole_alone() {
    assert_eq!(words_of("let courier = Courier::new(); // couriers"), ["courier", "Courier"]);
    assert!(words_of("PackedWeights, parcels, re_enlist").is_empty());
}

fn search(root: &Path, at: &Path, found: &mut Vec<String>) {
    if at.is_dir() {
        // what a build leaves, and what is hidden
        let name = at.file_name().unwrap().to_string_lossy();
        if name == "target" || name.starts_with('.') {
            return;
        }
        for entry in fs::read_dir(at).unwrap() {
            search(root, &entry.unwrap().path(), found);
        }
        return;
    }
    let text = at.file_name().is_some_and(|name| name == "Containerfile")
        || at.extension().is_some_and(|e| TEXT.iter().any(|known| e == *known));
    if !text || at.ends_with(file!()) {
        return;
    }
    for (number, line) in fs::read_to_string(at).unwrap().lines().enumerate() {
        for word in words_of(line) {
            let shown = at.strip_prefix(root).unwrap().display();
            found.push(format!("{shown}:{}: {word}", number + 1));
        }
    }
}

fn words_of(line: &str) -> Vec<&str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| GIVEN_UP.contains(word)).collect()
}
