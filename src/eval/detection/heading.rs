//! The head of a table in Markdown.

use std::fmt::Write as _;

/// The head of a table.
pub(super) fn table(out: &mut String, columns: &[&str]) {
    let _ = writeln!(out, "| {} |\n|{}", columns.join(" | "), " --- |".repeat(columns.len()));
}
