//! Classification tasks of probes: columns of a table, made of the rows of a manifest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::corpus::{ClipRow, Selection};

/// Groups of a cross-validation at most; more speakers, folds or labels share a group.
const GROUPS: usize = 5;

/// Groups where nothing names them.
const TURNS: usize = 3;

/// A clip with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// Index of the clip.
    pub clip: usize,
    /// Index of the class.
    pub class: usize,
    /// Group of the cross-validation: what shares a fold, a speaker or a word is never on both of its sides.
    pub group: usize,
}

/// A classification task: its training clips and its test clips.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its title.
    pub name: String,
    /// The collection it is made of.
    pub set: String,
    /// Description, in a line.
    pub detail: String,
    /// The possible answers.
    pub classes: Vec<String>,
    /// Training clips.
    pub train: Vec<Example>,
    /// Test clips: rows with split = eval.
    pub test: Vec<Example>,
}

/// The part of a [`Column`] that is shown.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnCard {
    /// Its title.
    pub name: String,
    /// The collection it is made of.
    pub set: String,
    /// Description, in a line.
    pub detail: String,
    /// Possible answers.
    pub classes: usize,
    /// Clips that probes learn from, before a share of them is drawn.
    pub train: usize,
    /// Clips that they are tested on.
    pub test: usize,
}

impl Column {
    /// Its card.
    #[must_use]
    pub fn card(&self) -> ColumnCard {
        ColumnCard {
            name: self.name.clone(),
            set: self.set.clone(),
            detail: self.detail.clone(),
            classes: self.classes.len(),
            train: self.train.len(),
            test: self.test.len(),
        }
    }
}

/// A row that a column could use.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    clip: usize,
    answer: &'a str,
    group: &'a str,
}

/// Columns that these rows allow, and a line of reason for each that they do not.
///
/// For each collection (`set`): `class`, the label, learnt from split = train and asked of split = eval, called
/// `word` where the speakers of both parts differ; `speaker` among those of split = eval, and among all, learnt
/// from half of the labels and asked of the other half. Every test row has split = eval.
#[must_use]
pub fn plan<'a>(rows: impl IntoIterator<Item = &'a ClipRow>) -> (Vec<Column>, Vec<String>) {
    let mut sets: BTreeMap<&str, Vec<(usize, &ClipRow)>> = BTreeMap::new();
    for (index, row) in rows.into_iter().enumerate() {
        sets.entry(&row.set).or_default().push((index, row));
    }
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    for (set, rows) in sets {
        let shown = if set.is_empty() { "clips without a set" } else { set };
        if !rows.iter().any(|(_, row)| row.is(Selection::Eval)) {
            left_out.push(format!("{shown}: no rows with split = eval"));
            continue;
        }
        for formed in [class(shown, &rows)].into_iter().chain(speakers(shown, &rows)) {
            match formed {
                Ok(column) => columns.push(column),
                Err(reason) => left_out.push(format!("{shown}: {reason}")),
            }
        }
    }
    disambiguate_titles(&mut columns);
    (columns, left_out)
}

/// Titles that stand for several columns get the name of the collection before them.
fn disambiguate_titles(columns: &mut [Column]) {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for column in columns.iter() {
        *uses.entry(column.name.clone()).or_default() += 1;
    }
    for column in columns {
        if uses.get(&column.name).is_some_and(|&n| n > 1) {
            column.name = format!("{} {}", column.set, column.name);
        }
    }
}

/// The field that groups the label's cross-validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupBy {
    Speakers,
    Folds,
    Clips,
}

impl GroupBy {
    fn group(self, row: &ClipRow) -> &str {
        match self {
            Self::Speakers => &row.speaker,
            Self::Folds => &row.fold,
            Self::Clips => "",
        }
    }
}

fn class(set: &str, rows: &[(usize, &ClipRow)]) -> Result<Column, String> {
    let labelled = |s: Selection| rows.iter().filter(move |(_, row)| row.is(s) && !row.label.is_empty());
    let values = |s: Selection, of: fn(&ClipRow) -> &str| labelled(s).map(|(_, row)| of(row)).collect();
    let taught: BTreeSet<&str> = values(Selection::Train, |row| &row.speaker);
    let asked: BTreeSet<&str> = values(Selection::Eval, |row| &row.speaker);
    let folds: BTreeSet<&str> = values(Selection::Train, |row| &row.fold);
    let spoken = !asked.contains("") && taught.iter().filter(|speaker| !speaker.is_empty()).count() >= 3;
    let (apart, kept_apart) = match () {
        () if spoken => (GroupBy::Speakers, "speakers"),
        () if !folds.contains("") && folds.len() >= 2 => (GroupBy::Folds, "folds"),
        () => (GroupBy::Clips, "clips"),
    };
    let candidates = |s: Selection| -> Vec<Candidate<'_>> {
        labelled(s)
            .map(|&(clip, row)| Candidate { clip, answer: &row.label, group: apart.group(row) })
            .filter(|candidate| !spoken || !candidate.group.is_empty())
            .collect()
    };
    let unheard = spoken && taught.is_disjoint(&asked);
    let (kind, who) = if unheard { ("word", ", whose speakers are others") } else { ("class", "") };
    let mut column = assemble(set, kind, &candidates(Selection::Train), &candidates(Selection::Eval))?;
    column.detail = format!(
        "{set}: the label; learnt from split = train, tested on split = eval{who}; C by cross-validation over \
         {kept_apart}"
    );
    Ok(column)
}

/// The speaker among those of split = eval, and among all.
fn speakers(set: &str, rows: &[(usize, &ClipRow)]) -> Vec<Result<Column, String>> {
    let spoken: Vec<(usize, &ClipRow)> =
        rows.iter().filter(|(_, row)| !row.speaker.is_empty()).copied().collect();
    let eval: Vec<(usize, &ClipRow)> =
        spoken.iter().filter(|(_, row)| row.is(Selection::Eval)).copied().collect();
    if eval.is_empty() {
        return vec![Err("no speakers in rows with split = eval, so no speaker column".to_owned())];
    }
    let among_eval = speaker(set, &eval, "of split = eval");
    let names =
        |rows: &[(usize, &ClipRow)]| rows.iter().map(|(_, r)| r.speaker.clone()).collect::<BTreeSet<_>>();
    if names(&spoken).len() == names(&eval).len() {
        return vec![among_eval];
    }
    let known = spoken.iter().filter(|(_, row)| row.is(Selection::Eval) || row.is(Selection::Train));
    vec![among_eval, speaker(set, &known.copied().collect::<Vec<_>>(), "of both splits")]
}

fn speaker(set: &str, rows: &[(usize, &ClipRow)], whose: &str) -> Result<Column, String> {
    let labels: BTreeSet<&str> = rows.iter().map(|(_, row)| row.label.as_str()).collect();
    let rank: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(i, &label)| (label, i)).collect();
    let by_label =
        |row: &ClipRow, _: usize| rank.get(row.label.as_str()).copied().unwrap_or(0).is_multiple_of(2);
    let by_clip = |_: &ClipRow, nth: usize| nth.is_multiple_of(2);
    let halve = |taught: &dyn Fn(&ClipRow, usize) -> bool, group: fn(&ClipRow) -> &str| {
        let (mut train, mut test, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
        for &(clip, row) in rows {
            let nth: &mut usize = seen.entry(row.speaker.as_str()).or_default();
            let candidate = Candidate { clip, answer: &row.speaker, group: group(row) };
            if taught(row, *nth) {
                train.push(candidate);
            } else if row.is(Selection::Eval) {
                test.push(candidate);
            }
            *nth += 1;
        }
        assemble(set, "speaker", &train, &test)
    };
    let (formed, halves) = match halve(&by_label, |row| &row.label) {
        Ok(column) if labels.len() >= 4 => (Ok(column), "labels"),
        _ => (halve(&by_clip, |_| ""), "clips"),
    };
    let mut column = formed?;
    column.detail = format!(
        "{set}: the speaker, among those {whose}; learnt from half of the {halves}, tested on the other half in \
         split = eval; C by cross-validation over {halves} of the first half"
    );
    Ok(column)
}

/// Answers with two clips or more to learn from are the classes; the rest is not asked.
fn assemble(
    set: &str,
    kind: &str,
    train: &[Candidate<'_>],
    test: &[Candidate<'_>],
) -> Result<Column, String> {
    let mut taught: BTreeMap<&str, usize> = BTreeMap::new();
    for candidate in train {
        *taught.entry(candidate.answer).or_default() += 1;
    }
    let classes: Vec<&str> = taught.iter().filter(|(_, n)| **n >= 2).map(|(&answer, _)| answer).collect();
    let groups = grouping(train);
    let mut turns = vec![0; classes.len()];
    let mut example = |candidate: &Candidate<'_>| {
        let class = classes.binary_search(&candidate.answer).ok()?;
        let turn = turns.get_mut(class)?;
        *turn += 1;
        // without groups, the clips of a class take turns
        let group = groups.get(candidate.group).copied().unwrap_or(*turn % TURNS);
        Some(Example { clip: candidate.clip, class, group })
    };
    let learnt: Vec<Example> = train.iter().filter_map(&mut example).collect();
    let asked: Vec<Example> = test.iter().filter_map(&mut example).collect();
    let answers: BTreeSet<usize> = asked.iter().map(|e| e.class).collect();
    if classes.len() < 2 || answers.len() < 2 {
        return Err(format!(
            "no {kind} column: {} answers have two clips to learn from, {} of them are asked; two needed",
            classes.len(),
            answers.len()
        ));
    }
    Ok(Column {
        name: format!("{kind} ({})", classes.len()),
        set: set.to_owned(),
        detail: String::new(),
        classes: classes.into_iter().map(str::to_owned).collect(),
        train: learnt,
        test: asked,
    })
}

/// The number of each group's name; empty where names do not make two groups.
fn grouping<'a>(train: &[Candidate<'a>]) -> BTreeMap<&'a str, usize> {
    let names: BTreeSet<&str> = train.iter().map(|candidate| candidate.group).collect();
    if names.len() < 2 {
        return BTreeMap::new();
    }
    names.into_iter().enumerate().map(|(i, name)| (name, i % GROUPS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(set: &str, split: &str, label: &str, speaker: &str, fold: &str) -> ClipRow {
        let own = str::to_owned;
        ClipRow {
            file: String::new(),
            split: own(split),
            label: own(label),
            set: own(set),
            speaker: own(speaker),
            fold: own(fold),
        }
    }

    /// Four words, twice, by five speakers; the last two are for the test.
    fn words() -> Vec<ClipRow> {
        let mut rows = Vec::new();
        for speaker in ["a", "b", "c", "d", "e"] {
            for word in ["no", "one", "two", "yes"] {
                let split = if speaker < "d" { "train" } else { "eval" };
                rows.extend(["1", "2"].map(|take| row("words", split, word, speaker, take)));
            }
        }
        rows
    }

    #[test]
    fn words_ask_for_the_word_and_for_the_speaker() {
        let rows = words();
        let (columns, left_out) = plan(&rows);
        assert!(left_out.is_empty(), "{left_out:?}");
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["word (4)", "speaker (2)", "speaker (5)"]);
        for column in &columns {
            let tested = |e: &Example| rows[e.clip].is(Selection::Eval);
            assert!(column.test.iter().all(tested), "{}", column.name);
            let learnt: BTreeSet<usize> = column.train.iter().map(|e| e.clip).collect();
            assert!(column.test.iter().all(|e| !learnt.contains(&e.clip)), "{}", column.name);
        }
        let words_of = |examples: &[Example]| -> BTreeSet<String> {
            examples.iter().map(|e| rows[e.clip].label.clone()).collect()
        };
        for speaker in &columns[1..] {
            assert!(words_of(&speaker.train).is_disjoint(&words_of(&speaker.test)), "{}", speaker.name);
        }
        let word = &columns[0];
        let split_by = |e: &Example| (rows[e.clip].speaker.clone(), e.group);
        let pairs: BTreeSet<(String, usize)> = word.train.iter().map(split_by).collect();
        assert_eq!(pairs.len(), 3, "a speaker is in one group: {pairs:?}");
    }

    #[test]
    fn folds_are_the_groups_of_classes_without_speakers() {
        let mut rows = Vec::new();
        for (split, fold) in [("train", "1"), ("train", "2"), ("eval", "4")] {
            for label in ["dog", "rain", "dog", "rain"] {
                rows.push(row("sounds", split, label, "", fold));
            }
        }
        rows.push(row("sounds", "eval", "unheard of", "", "4"));
        let (columns, left_out) = plan(&rows);
        assert_eq!(columns.len(), 1, "{left_out:?}");
        let column = &columns[0];
        assert_eq!((column.name.as_str(), column.train.len(), column.test.len()), ("class (2)", 8, 4));
        for example in &column.train {
            assert_eq!(example.group, usize::from(rows[example.clip].fold == "2"));
        }
        assert!(left_out.iter().any(|line| line.contains("no speakers")), "{left_out:?}");
    }

    #[test]
    fn impossible_columns_are_skipped_with_the_reason() {
        let rows =
            [row("a", "train", "x", "", ""), row("b", "eval", "x", "", ""), row("b", "train", "x", "", "")];
        let (columns, left_out) = plan(&rows);
        assert!(columns.is_empty());
        assert!(left_out.iter().any(|line| line.starts_with("a: no rows with split = eval")), "{left_out:?}");
        assert!(left_out.iter().any(|line| line.starts_with("b: no class column")), "{left_out:?}");
    }

    #[test]
    fn equal_titles_name_their_collection() {
        let mut rows = words();
        rows.extend(words().into_iter().map(|row| ClipRow { set: "more".into(), ..row }));
        let (columns, _) = plan(&rows);
        assert!(
            columns.iter().any(|c| c.name == "more word (4)") && columns.iter().all(|c| c.name != "word (4)")
        );
    }
}
