//! A report in Markdown.

use std::fmt::Write as _;

use super::estimate::{Areas, Interval};
use super::heading::table;
use super::summary::{CollectionAreas, DetectionReport, FamilySummary, Summary};
use super::tables_of_alarms::{alarms, delays};

/// All tables of a report.
#[must_use]
pub fn markdown(report: &DetectionReport) -> String {
    let mut out = String::new();
    streams(report, &mut out);
    over_families(report, &mut out);
    let families = report.detectors.first().map_or(0, |d| d.families.len());
    for number in 0..families {
        of_family(report, number, &mut out);
    }
    collections(report, &mut out);
    let budgets = report.detectors.first().map_or(0, |d| d.budgets.len());
    for number in 0..budgets {
        alarms(report, number, &mut out);
    }
    delays(report, &mut out);
    by_stream(report, &mut out);
    out
}

fn by_stream(report: &DetectionReport, out: &mut String) {
    let Some(first) = report.detectors.first() else { return };
    let Some(budget) = first.budgets.first() else { return };
    let title = format!("{}, {} an hour, by stream", first.name, budget.budget);
    table(out, &[title.as_str(), "learnt from, s", "found", "false alarms"]);
    for s in &report.by_stream {
        let (found, of) = s.found;
        let _ = writeln!(out, "| {} | {:.0} | {found} of {of} | {} |", s.stream, s.learnt_s, s.false_alarms);
    }
    out.push_str(
        "\nA recording that is shorter than its calibration and its test is learnt from in six tenths of it, played again \
         and again where that is less than the calibration.\n",
    );
}

fn streams(report: &DetectionReport, out: &mut String) {
    let or_less = if report.recipe.repeat_quiet {
        ""
    } else {
        ", or what a recording has without a repeat where that is less,"
    };
    let _ = writeln!(
        out,
        "The first {:.0} s of each stream{or_less} are learnt from. AUC and pAUC (false-positive rate ≤ 0.1, standardised) are \
         over segments of 0.5 s, macro mean over streams, with 95 % intervals; over families, the mean of those with \
         anomalies. A recording that is shorter than a stream goes on from its end to its beginning: `repeated` is \
         sound that was played before in its stream.\n",
        report.recipe.quiet_s
    );
    table(out, &["family", "streams", "hours", "of them repeated", "anomalies"]);
    for s in &report.streams {
        let _ = writeln!(
            out,
            "| {} | {} | {:.1} | {:.1} | {} |",
            s.family, s.streams, s.hours, s.repeated_hours, s.anomalies
        );
    }
    out.push('\n');
}

fn over_families(report: &DetectionReport, out: &mut String) {
    let Some(first) = report.detectors.first() else { return };
    let families: Vec<String> =
        first.families.iter().filter(|f| f.auc.is_some()).map(|f| f.family.to_string()).collect();
    let columns: Vec<&str> = ["detector", "AUC", "pAUC"]
        .into_iter()
        .chain(families.iter().map(String::as_str))
        .chain(["ahead by AUC", "by pAUC", "s per h"])
        .collect();
    table(out, &columns);
    for d in &report.detectors {
        let _ = write!(out, "| {} | {} | {} |", d.name, with_interval(&d.auc), with_interval(&d.pauc));
        for (auc, pauc) in d.families.iter().filter_map(|f| f.auc.zip(f.pauc)) {
            let _ = write!(out, " {:.3} / {:.3} |", auc.value, pauc.value);
        }
        behind(d.behind_first.as_ref(), out);
        let _ = writeln!(out, " {:.0} |", d.seconds_per_hour);
    }
    let _ = writeln!(
        out,
        "\nBy family: AUC / pAUC. `{}` is ahead of a detector by this much, paired.\n",
        first.name
    );
}

fn behind(pair: Option<&(Interval, Interval)>, out: &mut String) {
    match pair {
        Some((auc, pauc)) => _ = write!(out, " {} | {} |", signed(auc), signed(pauc)),
        None => out.push_str(" – | – |"),
    }
}

fn of_family(report: &DetectionReport, number: usize, out: &mut String) {
    let Some(first) = report.detectors.first().and_then(|d| d.families.get(number)) else { return };
    if first.auc.is_none() {
        return;
    }
    let of = |d: &Summary| d.families.get(number).cloned();
    let ratios: Vec<String> = first.by_ratio.iter().map(|r| format!("{:+.0} dB", r.ratio_db)).collect();
    let ahead: Vec<String> = ratios.iter().map(|r| format!("ahead at {r}")).collect();
    let name = first.family.to_string();
    let mut columns = vec![name.as_str(), "AUC", "pAUC"];
    columns.extend(ratios.iter().map(String::as_str));
    columns.extend(["ahead by AUC", "by pAUC"]);
    columns.extend(ahead.iter().map(String::as_str));
    table(out, &columns);
    for (d, f) in report.detectors.iter().filter_map(|d| of(d).map(|f| (d, f))) {
        let shown = |x: Option<Interval>| x.map_or_else(|| "–".to_owned(), |x| with_interval(&x));
        let _ = write!(out, "| {} | {} | {} |", d.name, shown(f.auc), shown(f.pauc));
        f.by_ratio.iter().for_each(|r| _ = write!(out, " {:.3} / {:.3} |", r.auc.value, r.pauc.value));
        behind(f.behind_first.as_ref(), out);
        for ratio in &f.by_ratio {
            let text = ratio.behind_first.as_ref().map_or_else(|| "–".to_owned(), |(auc, _)| signed(auc));
            let _ = write!(out, " {text} |");
        }
        out.push('\n');
    }
    out.push('\n');
    let kinds: Vec<String> = first.by_kind.iter().map(|k| format!("{} ({})", k.kind, k.count)).collect();
    by_row(report, &format!("{name}, by kind"), &kinds, out, |d, row| {
        of(d)?.by_kind.get(row).map(|k| both(&k.areas))
    });
    let backgrounds: Vec<String> = first.by_background.iter().map(|b| b.0.clone()).collect();
    by_row(report, &format!("{name}, by background"), &backgrounds, out, |d, row| {
        let family: FamilySummary = of(d)?;
        family.by_background.get(row).map(|(_, areas)| both(areas))
    });
}

/// A table of detectors side by side.
fn by_row(
    report: &DetectionReport,
    title: &str,
    rows: &[String],
    out: &mut String,
    cell: impl Fn(&Summary, usize) -> Option<String>,
) {
    let mut columns = vec![title];
    columns.extend(report.detectors.iter().map(|d| d.name.as_str()));
    table(out, &columns);
    for (row, name) in rows.iter().enumerate() {
        let _ = write!(out, "| {name} |");
        for d in &report.detectors {
            let _ = write!(out, " {} |", cell(d, row).unwrap_or_else(|| "–".to_owned()));
        }
        out.push('\n');
    }
    out.push('\n');
}

fn collections(report: &DetectionReport, out: &mut String) {
    let Some(first) = report.detectors.first() else { return };
    let rows: Vec<String> =
        first.by_collection.iter().map(|c| format!("{} ({})", c.collection, c.streams)).collect();
    let of = |d: &Summary, row: usize, areas: fn(&CollectionAreas) -> Areas| {
        d.by_collection.get(row).map(|c| both(&areas(c)))
    };
    by_row(report, "without the collection (its streams)", &rows, out, |d, row| of(d, row, |c| c.without));
    by_row(report, "on the collection alone (its streams)", &rows, out, |d, row| of(d, row, |c| c.alone));
}

fn both(areas: &Areas) -> String {
    if areas.auc.is_finite() { format!("{:.3} / {:.3}", areas.auc, areas.pauc) } else { "–".to_owned() }
}

fn with_interval(x: &Interval) -> String {
    format!("{:.3} ({:.3}–{:.3})", x.value, x.low, x.high)
}

fn signed(x: &Interval) -> String {
    format!("{:+.3} ({:+.3} to {:+.3})", x.value, x.low, x.high)
}
