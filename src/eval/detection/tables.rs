//! A report in Markdown.

use std::fmt::Write as _;

use super::summary::{AtBudget, Interval, Report, Summary};
use crate::corpus::rare::ControlKind;

/// All tables of a report.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let (streams, sounds, hours) = report.streams;
    let mut out = format!(
        "{streams} streams, {hours:.1} h of sound, {sounds} planted sounds; the first {:.0} s of each are learnt from. AUC and \
         pAUC (false-positive rate ≤ 0.1, standardised) over segments of 0.5 s, macro mean over streams, with 95 % \
         intervals.\n\n",
        report.recipe.quiet_s
    );
    areas(report, &mut out);
    ahead(report, &mut out);
    backgrounds(report, &mut out);
    let budgets = report.detectors.first().map_or(0, |d| d.budgets.len());
    for i in 0..budgets {
        alarms(report, i, &mut out);
    }
    delays(report, &mut out);
    out
}

fn areas(report: &Report, out: &mut String) {
    let ratios: Vec<f32> =
        report.detectors.first().map(|d| d.by_ratio.iter().map(|r| r.0).collect()).unwrap_or_default();
    out.push_str("| detector | AUC | pAUC |");
    ratios.iter().for_each(|r| _ = write!(out, " {r:+.0} dB |"));
    out.push_str(" s per h |\n| --- | --- | --- |");
    ratios.iter().for_each(|_| out.push_str(" --- |"));
    out.push_str(" --- |\n");
    for d in &report.detectors {
        let _ = write!(out, "| {} | {} | {} |", d.name, with_interval(&d.auc), with_interval(&d.pauc));
        for (_, auc, pauc) in &d.by_ratio {
            let _ = write!(out, " {:.3} / {:.3} |", auc.value, pauc.value);
        }
        let _ = writeln!(out, " {:.0} |", d.seconds_per_hour);
    }
    out.push_str("\nBy ratio: AUC / pAUC.\n\n");
}

fn ahead(report: &Report, out: &mut String) {
    let Some(first) = report.detectors.first() else { return };
    let _ = writeln!(out, "How far `{}` is ahead, paired (AUC, pAUC; by ratio: AUC):\n", first.name);
    out.push_str("| of | AUC | pAUC |");
    first.by_ratio.iter().for_each(|r| _ = write!(out, " {:+.0} dB |", r.0));
    out.push_str("\n| --- | --- | --- |");
    first.by_ratio.iter().for_each(|_| out.push_str(" --- |"));
    out.push('\n');
    for d in &report.detectors {
        let Some((auc, pauc)) = &d.behind_first else { continue };
        let _ = write!(out, "| {} | {} | {} |", d.name, signed(auc), signed(pauc));
        d.behind_first_by_ratio.iter().for_each(|(_, auc, _)| _ = write!(out, " {} |", signed(auc)));
        out.push('\n');
    }
    out.push('\n');
}

fn backgrounds(report: &Report, out: &mut String) {
    let Some(first) = report.detectors.first() else { return };
    out.push_str("| AUC by background |");
    report.detectors.iter().for_each(|d| _ = write!(out, " {} |", d.name));
    out.push_str("\n| --- |");
    report.detectors.iter().for_each(|_| out.push_str(" --- |"));
    out.push('\n');
    for (row, (name, _)) in first.by_background.iter().enumerate() {
        let _ = write!(out, "| {name} |");
        for d in &report.detectors {
            match d.by_background.get(row) {
                Some((_, areas)) => _ = write!(out, " {:.3} |", areas.auc),
                None => out.push_str(" – |"),
            }
        }
        out.push('\n');
    }
    out.push('\n');
}

fn alarms(report: &Report, number: usize, out: &mut String) {
    let Some(budget) = report.detectors.first().and_then(|d| d.budgets.get(number)) else { return };
    let _ = writeln!(
        out,
        "At a budget of {} events an hour, thresholds from the quiet part alone:\n",
        budget.budget
    );
    out.push_str("| detector | recall | false alarms / h | F1 | error rate | joins fired | gain steps | second clips |\n");
    out.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for d in &report.detectors {
        let Some(at) = d.budgets.get(number) else { continue };
        let fired = |kind: ControlKind| {
            let found = at.fired.iter().find(|f| f.0 == kind);
            found.map_or_else(|| "–".to_owned(), |f| format!("{} of {}", f.1, f.2))
        };
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.1} | {:.2} | {:.2} | {} | {} | {} |",
            d.name,
            at.recall,
            at.false_alarms_per_hour,
            at.f1,
            at.error_rate,
            fired(ControlKind::Join),
            fired(ControlKind::GainStep),
            fired(ControlKind::SecondClip)
        );
    }
    out.push('\n');
}

fn delays(report: &Report, out: &mut String) {
    let last = |d: &Summary| d.budgets.last().cloned();
    let Some(AtBudget { budget, delays, .. }) = report.detectors.first().and_then(last) else { return };
    let _ = writeln!(
        out,
        "Sounds found at {budget} events an hour, and the delay from their true onset (median / 90 %):\n"
    );
    out.push_str("| detector |");
    delays.iter().for_each(|d| _ = write!(out, " {:+.0} dB |", d.ratio_db));
    out.push_str("\n| --- |");
    delays.iter().for_each(|_| out.push_str(" --- |"));
    out.push('\n');
    let ms = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), |s| format!("{:.0}", 1000.0 * s));
    for d in &report.detectors {
        let _ = write!(out, "| {} |", d.name);
        for delay in last(d).map(|b| b.delays).unwrap_or_default() {
            let (found, of) = delay.found;
            let _ = write!(out, " {found} of {of}, {} / {} ms |", ms(delay.median_s), ms(delay.p90_s));
        }
        out.push('\n');
    }
    out.push('\n');
}

fn with_interval(x: &Interval) -> String {
    format!("{:.3} ({:.3}–{:.3})", x.value, x.low, x.high)
}

fn signed(x: &Interval) -> String {
    format!("{:+.3} ({:+.3} to {:+.3})", x.value, x.low, x.high)
}
