//! Files of one folder that import each other in a circle can only be understood together. There are few, and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex_lite::Regex;

use crate::source_text::{blanked, root, sources, without_tests};

/// The circles of each folder, by how many files are in them. This table may only shrink: types go down into a file of their own,
/// behaviour stays above.
const CIRCLES: [(&str, &[usize]); 0] = [];

/// A module as its path below the crate: `["capture", "wire", "tcp"]`.
type Module = Vec<String>;

#[test]
fn no_more_circles_of_files() {
    let listed: BTreeMap<String, Vec<usize>> =
        CIRCLES.iter().map(|(folder, sizes)| ((*folder).to_owned(), sizes.to_vec())).collect();
    let files = sources().into_iter().filter_map(|file| {
        let inside = file.strip_prefix(root().join("src")).unwrap();
        Some((module(inside.to_str().unwrap())?, fs::read_to_string(&file).unwrap()))
    });
    let circles = circles(&Imports::of(files));
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for circle in &circles {
        found.entry(circle[0][0].clone()).or_default().push(circle.len());
    }
    let shown: Vec<String> =
        circles.iter().map(|c| c.iter().map(|m| m.join("/")).collect::<Vec<_>>().join(", ")).collect();
    assert_eq!(found, listed, "left: circles in src; right: the table of this test\n{}", shown.join("\n"));
}

#[test]
fn a_circle_is_found_through_what_a_folder_exports() {
    let circles_of = |files: &[(&str, &str)]| -> Vec<Vec<String>> {
        let files = files.iter().map(|(path, text)| (module(path).unwrap(), (*text).to_owned()));
        circles(&Imports::of(files)).iter().map(|c| c.iter().map(|m| m.join("/")).collect()).collect()
    };
    let none = Vec::<Vec<String>>::new();
    let one: Vec<Vec<String>> = vec![vec!["a/x".into(), "a/y".into()]];
    let exports = ("a/mod.rs", "mod x;\nmod y;\npub use x::X;\npub(crate) use y::{Y, Z};");
    assert_eq!(circles_of(&[exports, ("a/x.rs", "use super::Y;"), ("a/y.rs", "use super::x::X;")]), one);
    assert_eq!(
        circles_of(&[exports, ("a/x.rs", "use crate::a::{Y};"), ("a/y.rs", "fn f() { super::x::f() }")]),
        one
    );
    assert_eq!(circles_of(&[exports, ("a/x.rs", "use super::Y;"), ("a/y.rs", "// use super::X;")]), none);
    assert_eq!(
        circles_of(&[
            exports,
            ("a/x.rs", "use super::Y;"),
            ("a/y.rs", "#[cfg(test)]\nmod tests { use super::x::X; }")
        ]),
        none
    );
    assert_eq!(
        circles_of(&[("a.rs", "mod x;\nuse x::X;\nstruct A;"), ("a/x.rs", "pub(in crate::a) fn f() {}")]),
        none
    );
    let parent: Vec<Vec<String>> = vec![vec!["a".into(), "a/x".into()]];
    assert_eq!(circles_of(&[("a.rs", "mod x;\nuse x::X;\nstruct A;"), ("a/x.rs", "use super::A;")]), parent);
    assert_eq!(
        circles_of(&[("a.rs", "mod x;\nfn f() { x::g() }"), ("a/x.rs", "use super::A as B;")]),
        parent
    );
}

/// The module of a file below `src`; none for programs, the crate itself and tests.
fn module(path: &str) -> Option<Module> {
    let mut parts: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.len() > 1 && parts.last().unwrap() == "mod" {
        parts.pop();
    }
    let test = parts.iter().any(|part| part == "tests" || part.ends_with("_tests"));
    (!test && !["lib", "main", "bin"].contains(&parts[0].as_str())).then_some(parts)
}

/// A name that a file imports.
struct Use {
    path: Vec<String>,
    name: String,
    /// Others reach it through this file.
    exported: bool,
}

/// All modules, with what they import and other paths in their code.
struct Imports(BTreeMap<Module, (Vec<Use>, Vec<Vec<String>>)>);

impl Imports {
    fn of(files: impl Iterator<Item = (Module, String)>) -> Self {
        let import = Regex::new(r"(?:\bpub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);").unwrap();
        let path =
            Regex::new(r"(?:^|[^\w:])(in\s+)?((?:crate|super|self|[a-z_][a-z0-9_]*)(?:::\w+)+)").unwrap();
        let read = |(module, text): (Module, String)| {
            let code = without_tests(&blanked(&text));
            let mut uses = Vec::new();
            for found in import.captures_iter(&code) {
                expand(&found[1], &[], found[0].starts_with("pub"), &mut uses);
            }
            let rest = import.replace_all(&code, "");
            let paths = path.captures_iter(&rest).filter(|found| found.get(1).is_none());
            let paths = paths.map(|found| found[2].split("::").map(str::to_owned).collect()).collect();
            (module, (uses, paths))
        };
        Self(files.map(read).collect())
    }

    /// The files of its own folder that `module` needs.
    fn needs(&self, module: &Module) -> BTreeSet<&Module> {
        let (uses, paths) = &self.0[module];
        let through_an_import = |path: &Vec<String>| {
            let import = uses.iter().find(|import| import.name == path[0])?;
            Some([&import.path, &path[1..]].concat())
        };
        let imports = uses.iter().filter(|import| !import.exported).map(|import| import.path.clone());
        let all =
            imports.chain(paths.iter().map(|path| through_an_import(path).unwrap_or_else(|| path.clone())));
        let files = all.filter_map(|path| self.file(&self.absolute(module, &path)?, 0));
        files.filter(|file| *file != module && file[0] == module[0]).collect()
    }

    /// A path that is written in `module`, from the crate on; none where it leaves the crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        match path[0].as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module.as_slice(), &path[1..]].concat()),
            "super" => Some([module.get(..module.len().checked_sub(ups)?)?, &path[ups..]].concat()),
            child => self
                .0
                .contains_key(&[module.as_slice(), &[child.to_owned()]].concat())
                .then(|| [module.as_slice(), path].concat()),
        }
    }

    /// The file of what `path` names: where a folder only exports it, the file that it is from.
    fn file(&self, path: &[String], depth: usize) -> Option<&Module> {
        let length = (1..=path.len()).take_while(|&n| self.0.contains_key(&path[..n])).last()?;
        let (module, (uses, _)) = self.0.get_key_value(&path[..length])?;
        let export = path.get(length).and_then(|name| uses.iter().find(|u| u.exported && u.name == *name));
        let origin = export.filter(|_| depth < 8).and_then(|export| self.absolute(module, &export.path));
        origin.map_or(Some(module), |origin| self.file(&origin, depth + 1).or(Some(module)))
    }
}

/// The names of a tree of imports.
fn expand(tree: &str, before: &[String], exported: bool, out: &mut Vec<Use>) {
    let parts = |text: &str| -> Vec<String> {
        text.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    if let Some((head, body)) = tree.split_once('{') {
        let head = [before, &parts(head)].concat();
        let (mut level, mut start) = (0, 0);
        let body = body.rsplit_once('}').map_or(body, |(body, _)| body);
        for (at, c) in body.char_indices().chain([(body.len(), ',')]) {
            match c {
                '{' => level += 1,
                '}' => level -= 1,
                ',' if level == 0 => {
                    if !body[start..at].trim().is_empty() {
                        expand(&body[start..at], &head, exported, out);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
    let mut path = [before, &parts(path)].concat();
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let name = alias.map_or_else(|| path.last().unwrap().clone(), |alias| alias.trim().to_owned());
    out.push(Use { path, name, exported });
}

/// Files that need each other: the strongly connected components of more than one, the largest of a folder first.
fn circles(imports: &Imports) -> Vec<Vec<Module>> {
    let needs: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.0.keys().map(|module| (module, imports.needs(module))).collect();
    let reached = |from: &Module| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(module) = waiting.pop() {
            waiting.extend(needs[module].iter().copied().filter(|next| seen.insert(*next)));
        }
        seen.into_iter().cloned().collect::<BTreeSet<Module>>()
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        needs.keys().map(|module| (*module, reached(module))).collect();
    let circle_of = |module: &Module| -> Vec<Module> {
        reached[module].iter().filter(|other| reached[other].contains(module)).cloned().collect()
    };
    let circles: BTreeSet<Vec<Module>> = needs.keys().map(|module| circle_of(module)).collect();
    let mut circles: Vec<Vec<Module>> = circles.into_iter().filter(|circle| circle.len() > 1).collect();
    circles.sort_by_key(|circle| (circle[0][0].clone(), std::cmp::Reverse(circle.len())));
    circles
}
