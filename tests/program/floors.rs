//! Imports run downward: a module uses modules of lower floors only. The floors are those that `ARCHITECTURE.md`
//! shows, and the documentation of the library shows the same table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::source_text::{blanked, root, sources, without_tests};

/// Module → floor.
type Floors = BTreeMap<String, u32>;

#[test]
fn imports_run_downward() {
    let floors = parse_table(&table());
    let mut faults = String::new();
    for file in sources() {
        let inside = file.strip_prefix(root().join("src")).unwrap().to_path_buf();
        let text = fs::read_to_string(&file).unwrap();
        for fault in check(&inside, &text, &floors) {
            writeln!(faults, "{fault}").unwrap();
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn every_module_has_a_floor_and_every_floor_exists() {
    let mut found: Vec<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "lib")
        .collect();
    found.sort();
    found.dedup();
    let listed: Vec<String> = parse_table(&table()).into_keys().collect();
    assert_eq!(found, listed, "left: what src holds; right: the floor table of ARCHITECTURE.md");
}

#[test]
fn the_library_shows_the_same_table() {
    let docs: String = fs::read_to_string(root().join("src/lib.rs"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert!(
        docs.contains(&table()),
        "src/lib.rs does not show the floor table of ARCHITECTURE.md:\n{}",
        table()
    );
}

#[test]
fn an_import_that_runs_upward_is_found() {
    let floors = parse_table("2  detect, publish   stages\n1  ring   machinery\n0  error   words\n");
    let at = |path: &str, text: &str| check(Path::new(path), text, &floors);
    let bad = "use crate::error::Error;\n\nuse crate::{\n    error::Result,\n    detect::{Gate, Tail},\n};\n";
    let faults = at("ring/mod.rs", bad);
    assert_eq!(faults, ["src/ring/mod.rs:5: `ring` (floor 1) uses `detect` (floor 2): imports run downward"]);
    assert_eq!(at("detect/gate.rs", "fn f() {\n    crate::publish::go();\n}").len(), 1, "siblings");
    assert_eq!(at("detect.rs", "use super::publish::Outbox;").len(), 1, "super at the top level");
    assert_eq!(at("detect/gate.rs", "use super::super::publish::Outbox;").len(), 1, "super further down");
    assert_eq!(at("ring.rs", "use cpc_stream::detect;").len(), 1, "by the crate's name");
    assert_eq!(at("ring.rs", "use cpc_stream::internal::detect;").len(), 1, "from outside");
    assert_eq!(at("ring.rs", "use crate::*;").len(), 1, "globs name no module");
    assert_eq!(at("ring.rs", "use crate::nowhere::X;").len(), 1, "a module without a floor");
    assert_eq!(at("nowhere.rs", "").len(), 1, "a file without a floor");
    for fine in [
        "use crate::ring::Ring; use crate::{error::Error, ring};",
        "use self::gate::Gate; pub(crate) struct A;",
        "//! [`crate::publish`]\n// crate::publish\n/* crate::publish /* */ crate::publish */",
        "const A: &str = \"crate::publish \\\" crate::publish\"; const B: &str = r#\"\"crate::publish\"#;",
        "fn f<'a>(x: &'a str) -> char { '\"' }",
        "#[cfg(test)]\nmod tests {\n    use crate::publish::X;\n    fn f() { \"}\"; }\n}",
        "#[cfg(test)]\nmod tests;\nuse crate::ring::Ring;",
    ] {
        assert_eq!(at("detect/mod.rs", fine), Vec::<String>::new(), "{fine}");
    }
    assert_eq!(
        at("detect/mod.rs", "#[cfg(test)]\nmod tests {}\nuse crate::publish::X;").len(),
        1,
        "after tests"
    );
    assert!(at("detect/gate.rs", "use super::tail::Tail;").is_empty(), "a neighbour in the same stage");
    assert!(at("detect/tests.rs", "use crate::publish::X;").is_empty(), "a file of tests");
}

/// The first text block after the heading "Floors" of `ARCHITECTURE.md`.
fn table() -> String {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, after) = page.split_once("\n## Floors").expect("a heading `## Floors`");
    let (_, block) = after.split_once("```text\n").expect("a text block under it");
    block.split_once("```").expect("the end of the block").0.to_owned()
}

/// Lines of `floor  module, module   what they are`.
fn parse_table(table: &str) -> Floors {
    let mut floors = Floors::new();
    for line in table.lines() {
        let (floor, rest) = line.split_once("  ").expect("two spaces after the floor");
        let floor = floor.trim().parse().expect("a line begins with the number of its floor");
        let names = rest.split_once("   ").map_or(rest, |(names, _)| names);
        for name in names.split(',') {
            assert_eq!(floors.insert(name.trim().to_owned(), floor), None, "`{name}` stands twice");
        }
    }
    floors
}

/// The faults of one file, `path` below `src`.
fn check(path: &Path, text: &str, floors: &Floors) -> Vec<String> {
    let mut parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let file = parts.pop().unwrap().trim_end_matches(".rs");
    if file != "mod" {
        parts.push(file);
    }
    if parts == ["lib"] || parts.contains(&"tests") {
        return Vec::new();
    }
    let (own, depth, shown) = (parts[0], parts.len(), path.display());
    let Some(&floor) = floors.get(own) else {
        return vec![format!("src/{shown}: `{own}` has no floor")];
    };
    let code = without_tests(&blanked(text));
    let mut faults = Vec::new();
    for (at, name) in imports(&code, depth) {
        let line = 1 + code[..at].matches('\n').count();
        match floors.get(&name) {
            _ if name == own => {}
            Some(&other) if other < floor => {}
            Some(&other) => faults.push(format!(
                "src/{shown}:{line}: `{own}` (floor {floor}) uses `{name}` (floor {other}): imports run downward"
            )),
            None => faults.push(format!("src/{shown}:{line}: `{own}` uses `{name}`, which has no floor")),
        }
    }
    faults
}

/// What a file `depth` modules below the crate uses of the crate's top level, with its place in the text.
fn imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for top in ["crate::".to_owned(), "cpc_stream::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&top) {
            let joined = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            // modules are reached by this name from outside of the library
            let open = if code[at + top.len()..].starts_with("internal::") { "internal::".len() } else { 0 };
            if !joined {
                names(code, at + top.len() + open, &mut found);
            }
        }
    }
    found.sort();
    found
}

/// The first names of the path or group that begins at `start`.
fn names(code: &str, start: usize, found: &mut Vec<(usize, String)>) {
    let rest = &code[start..];
    let first = |at: usize| -> String {
        let name: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() { code[at..].chars().take(1).collect() } else { name }
    };
    if !rest.starts_with('{') {
        found.push((start, first(start)));
        return;
    }
    let (mut level, mut fresh) = (0, false);
    for (offset, c) in rest.char_indices() {
        match c {
            '{' => (level, fresh) = (level + 1, level == 0),
            '}' => level -= 1,
            ',' => fresh = level == 1,
            _ if fresh && level == 1 && !c.is_whitespace() => {
                found.push((start + offset, first(start + offset)));
                fresh = false;
            }
            _ => {}
        }
        if level == 0 {
            return;
        }
    }
}
