//! The width of the terminal, and text that keeps to it.

use std::io::IsTerminal;

/// Narrowest width that text is folded for; below it the terminal folds.
const NARROWEST: usize = 30;
/// Farthest column under which the folded part of a line goes on.
const DEEPEST: usize = 16;

/// Columns of the terminal that stdout is: `COLUMNS`, where that is exported, else as the terminal says. None where it is none.
#[must_use]
pub fn columns() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let exported = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
    let asked = || rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    exported.or_else(asked).filter(|&columns| columns > 0)
}

/// `text` in lines of at most `columns`, broken at blanks; the rest of a line goes on below its beginning, behind a mark like `ok    ` or
/// two blanks farther in. What has no blank stays whole.
#[must_use]
pub fn folded(text: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns.filter(|&columns| columns >= NARROWEST) else { return text.to_owned() };
    let lines: Vec<String> = text.split('\n').map(|line| fold(line, columns)).collect();
    lines.join("\n")
}

fn fold(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    let indent = " ".repeat(indent(line).min(columns / 3));
    let text = line.trim_start_matches(' ');
    let mut width = line.len() - text.len();
    let (mut out, mut blanks, mut begun) = (" ".repeat(width), 0, false);
    for word in text.split(' ') {
        if word.is_empty() {
            blanks += 1;
            continue;
        }
        let (long, before) = (word.chars().count(), if begun { blanks + 1 } else { 0 });
        if begun && width + before + long > columns {
            out.push('\n');
            out.push_str(&indent);
            width = indent.len() + long;
        } else {
            out.push_str(&" ".repeat(before));
            width += before + long;
        }
        out.push_str(word);
        (blanks, begun) = (0, true);
    }
    out
}

/// Column of what follows a mark, as in `ok    text` and `      fix: text`.
fn indent(line: &str) -> usize {
    let blanks = line.chars().take_while(|&c| c == ' ').count();
    let rest: Vec<char> = line.chars().skip(blanks).take(DEEPEST).collect();
    let mark = rest.iter().take_while(|&&c| c != ' ').count();
    let gap = rest.iter().skip(mark).take_while(|&&c| c == ' ').count();
    if gap >= 2 && mark + gap < rest.len() { blanks + mark + gap } else { blanks + 2 }
}

/// A column of a table: its title, its width, and whether it stands to the left.
pub type Column = (&'static str, usize, bool);

/// The titles of a table, a line; none where its rows are too wide for the terminal, since then each cell has its title.
#[must_use]
pub fn head(of: &[Column], columns: Option<usize>) -> Option<String> {
    let titles: Vec<String> = of.iter().map(|(title, ..)| (*title).to_owned()).collect();
    is_table(of, columns).then(|| in_columns(of, &titles))
}

/// A row of a table; where it is too wide for the terminal, its cells with their titles, folded.
#[must_use]
pub fn row(of: &[Column], cells: &[String], columns: Option<usize>) -> String {
    if is_table(of, columns) {
        return in_columns(of, cells);
    }
    let named = of.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
    let parts: Vec<String> =
        named.map(|((title, ..), cell)| format!("{} {}", title.trim(), cell.trim())).collect();
    folded(&parts.join(", "), columns)
}

/// Whether the titles, and so all cells but perhaps the last, fit in.
fn is_table(of: &[Column], columns: Option<usize>) -> bool {
    let width: usize = of.iter().map(|(title, width, _)| width.max(&title.chars().count()) + 1).sum();
    columns.is_none_or(|columns| width <= columns + 1)
}

fn in_columns(of: &[Column], cells: &[String]) -> String {
    let one = |((_, width, left), cell): (&Column, &String)| match left {
        true => format!("{cell:<width$}"),
        false => format!("{cell:>width$}"),
    };
    let line: Vec<String> = of.iter().zip(cells).map(one).collect();
    line.join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_at_blanks_below_their_text() {
        let text = "ok    state folder: /var/lib/cpc-stream, nobody uses it, 56723 MiB free\n      fix: none";
        let narrow = folded(text, Some(40));
        assert_eq!(
            narrow,
            "ok    state folder: /var/lib/cpc-stream,\n      nobody uses it, 56723 MiB free\n      fix: none"
        );
        assert!(narrow.lines().all(|line| line.chars().count() <= 40));
        assert_eq!(folded(text, None), text);
        assert_eq!(folded(text, Some(200)), text);
        assert_eq!(folded("a b", Some(10)), "a b", "too narrow to fold");
        let command = "  cpc-stream --device hw:0            the inputs of this machine, and their names";
        let lines: Vec<String> = folded(command, Some(60)).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "  cpc-stream --device hw:0            the inputs of this");
        assert_eq!(lines[1], "    machine, and their names");
        let path = format!("see /{}/x for more", "y".repeat(50));
        assert_eq!(folded(&path, Some(40)), format!("see\n  /{}/x\n  for more", "y".repeat(50)));
    }

    #[test]
    fn folding_loses_no_word() {
        let text = "warn  inputs: no microphone is here (µs, ·, …) ".repeat(5);
        for columns in 30..120 {
            let folded = folded(&text, Some(columns));
            assert!(folded.lines().all(|line| line.chars().count() <= columns), "{columns}: {folded}");
            assert!(folded.split_whitespace().eq(text.split_whitespace()), "{folded}");
        }
    }

    #[test]
    fn a_table_that_is_too_wide_names_each_cell() {
        let of: [Column; 3] = [("streams", 7, false), ("heard", 24, false), ("kind", 13, true)];
        let cells = ["16", "12.5 13.1 14.0", "foreign"].map(str::to_owned);
        assert_eq!(head(&of, None).unwrap(), "streams                    heard kind");
        assert_eq!(row(&of, &cells, Some(46)), "     16           12.5 13.1 14.0 foreign");
        assert_eq!(head(&of, Some(40)), None);
        assert_eq!(row(&of, &cells, Some(40)), "streams 16, heard 12.5 13.1 14.0, kind\n  foreign");
    }
}
