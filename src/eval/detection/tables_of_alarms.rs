//! Tables of events at budgets.

use std::fmt::Write as _;

use super::alarms::{AtBudget, Delay};
use super::heading::table;
use super::summary::{DetectionReport, Summary};
use crate::corpus::rare::ControlKind;

/// Recall, false alarms and controls at the budget of this number.
pub(super) fn alarms(report: &DetectionReport, number: usize, out: &mut String) {
    let Some(budget) = report.detectors.first().and_then(|d| d.budgets.get(number)) else { return };
    let _ = writeln!(
        out,
        "At a budget of {} events an hour, thresholds from the quiet part alone; by family: recall, false alarms an \
         hour.\n",
        budget.budget
    );
    let families: Vec<String> = report
        .detectors
        .first()
        .map(|d| d.families.iter().map(|f| f.family.to_string()).collect())
        .unwrap_or_default();
    let mut columns = vec!["detector", "recall", "false alarms / h", "F1", "error rate"];
    columns.extend(families.iter().map(String::as_str));
    table(out, &columns);
    for d in &report.detectors {
        let Some(at) = d.budgets.get(number) else { continue };
        let _ = write!(
            out,
            "| {} | {} | {:.1} | {:.2} | {:.2} |",
            d.name,
            recall(at),
            at.false_alarms_per_hour,
            at.f1,
            at.error_rate
        );
        for family in &d.families {
            match family.budgets.get(number) {
                Some(at) => _ = write!(out, " {}, {:.1} |", recall(at), at.false_alarms_per_hour),
                None => out.push_str(" – |"),
            }
        }
        out.push('\n');
    }
    out.push('\n');
    controls(report, number, out);
}

fn recall(at: &AtBudget) -> String {
    at.recall.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"))
}

fn controls(report: &DetectionReport, number: usize, out: &mut String) {
    let mut columns = vec!["controls that fired"];
    columns.extend(ControlKind::ALL.iter().map(|kind| kind.name()));
    table(out, &columns);
    for d in &report.detectors {
        let Some(at) = d.budgets.get(number) else { continue };
        let _ = write!(out, "| {} |", d.name);
        for kind in ControlKind::ALL {
            let found = at.fired.iter().find(|f| f.0 == kind);
            let text = found.map_or_else(|| "–".to_owned(), |f| format!("{} of {}", f.1, f.2));
            let _ = write!(out, " {text} |");
        }
        out.push('\n');
    }
    out.push('\n');
}

/// Recall and delays at the last budget, by kind.
pub(super) fn delays(report: &DetectionReport, out: &mut String) {
    let last = |d: &Summary| d.budgets.last().cloned();
    let Some(AtBudget { budget, delays, .. }) = report.detectors.first().and_then(last) else { return };
    let _ = writeln!(
        out,
        "Anomalies found at {budget} events an hour, and the delay from the moment when they can be known (median / \
         90 %, ms):\n"
    );
    let mut columns = vec!["kind"];
    columns.extend(report.detectors.iter().map(|d| d.name.as_str()));
    table(out, &columns);
    let ms = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), |s| format!("{:.0}", 1000.0 * s));
    let same = |a: &Delay, b: &Delay| a.kind == b.kind && a.ratio_db == b.ratio_db;
    for row in &delays {
        let ratio = row.ratio_db.map_or_else(String::new, |r| format!(" {r:+.0} dB"));
        let _ = write!(out, "| {}{ratio} |", row.kind);
        for d in &report.detectors {
            let all = last(d).map(|b| b.delays).unwrap_or_default();
            match all.iter().find(|other| same(row, other)) {
                Some(delay) => {
                    let ((found, of), median, p90) = (delay.found, ms(delay.median_s), ms(delay.p90_s));
                    let _ = write!(out, " {found} of {of}, {median} / {p90} |");
                }
                None => out.push_str(" – |"),
            }
        }
        out.push('\n');
    }
    out.push('\n');
}
