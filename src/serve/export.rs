//! Events as a file for other programs.

use crate::event::Verdict;
use crate::event_store::{LabelSource, StoredEvent};

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExportFormat {
    /// An array of the documents, with `verdict` and `label`.
    Json,
    /// A line each, for tables.
    Csv,
}

impl ExportFormat {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Json => "events.json",
            Self::Csv => "events.csv",
        }
    }
}

const COLUMNS: &str = "id,onset,offset,node,stream,kind,severity,tier,verdict,label,summary,score,p,level_dbfs,\
                       background_dbfs,low_hz,high_hz,model,calibration,label_source,similarity\r\n";

/// A file that is written a piece at a time.
#[derive(Debug)]
pub(super) struct Export {
    form: ExportFormat,
    begun: bool,
}

impl Export {
    pub(super) fn new(form: ExportFormat) -> Self {
        Self { form, begun: false }
    }

    /// The next piece of the file.
    pub(super) fn piece(&mut self, events: &[StoredEvent], last: bool) -> String {
        let mut text = String::new();
        if !self.begun {
            text.push_str(match self.form {
                ExportFormat::Json => "[",
                ExportFormat::Csv => COLUMNS,
            });
        }
        for kept in events {
            match self.form {
                ExportFormat::Json => {
                    text.push_str(if self.begun { ",\n" } else { "\n" });
                    text.push_str(&serde_json::to_string(kept).unwrap_or_default());
                }
                ExportFormat::Csv => text.push_str(&line(kept)),
            }
            self.begun = true;
        }
        self.begun = true;
        if last && self.form == ExportFormat::Json {
            text.push_str("\n]\n");
        }
        text
    }
}

fn line(kept: &StoredEvent) -> String {
    let StoredEvent { event, verdict, label, label_source } = kept;
    let source = match label_source {
        Some(LabelSource::Operator) => "operator",
        Some(LabelSource::Similarity) => "similarity",
        None => "",
    };
    let found = &event.finding;
    let tier = serde_json::to_string(&found.tier).unwrap_or_default();
    let band = found
        .band_hz
        .map_or((String::new(), String::new()), |[low, high]| (low.to_string(), high.to_string()));
    let cells = [
        event.id.clone(),
        event.onset.clone(),
        event.offset.clone().unwrap_or_default(),
        event.node.clone(),
        event.stream.clone(),
        found.kind.as_str().to_owned(),
        found.severity.to_string(),
        tier.trim_matches('"').to_owned(),
        verdict.map_or("", Verdict::as_str).to_owned(),
        text_cell(label),
        text_cell(&found.summary),
        found.score.to_string(),
        found.p.to_string(),
        found.level_dbfs.to_string(),
        found.background_dbfs.to_string(),
        band.0,
        band.1,
        event.model.clone(),
        found.calibration.clone(),
        source.to_owned(),
        event.similarity.map_or_else(String::new, |similarity| similarity.to_string()),
    ];
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\r', '\n']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    });
    quoted.join(",") + "\r\n"
}

/// Spreadsheets run cells that begin so as a formula; an apostrophe makes them text.
fn text_cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;

    fn kept(seq: u64, label: &str) -> StoredEvent {
        StoredEvent {
            event: samples::event("hall", seq),
            verdict: Some(Verdict::Normal),
            label: label.into(),
            label_source: Some(LabelSource::Operator),
        }
    }

    #[test]
    fn pieces_make_one_array() {
        for sizes in [vec![0], vec![1], vec![2, 1], vec![2, 2, 0]] {
            let mut export = Export::new(ExportFormat::Json);
            let mut text = String::new();
            for (at, size) in sizes.iter().enumerate() {
                let events: Vec<StoredEvent> = (0..*size).map(|seq| kept(seq, "door")).collect();
                text += &export.piece(&events, at + 1 == sizes.len());
            }
            let read: Vec<StoredEvent> =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!(read.len() as u64, sizes.iter().sum::<u64>());
        }
    }

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let mut export = Export::new(ExportFormat::Csv);
        let text = export.piece(&[kept(1, "=HYPERLINK(\"x\"), y"), kept(2, "the \"door\"")], true);
        let mut lines = text.split("\r\n");
        let columns = lines.next().unwrap().split(',').count();
        let first = lines.next().unwrap();
        assert!(first.contains(",normal,\"'=HYPERLINK(\"\"x\"\"), y\",\"foreign sound, 0.8"), "{first}");
        assert!(lines.next().unwrap().contains(",\"the \"\"door\"\"\","));
        assert_eq!(
            kept(3, "").event.finding.summary.matches(',').count() + columns,
            line(&kept(3, "")).split(',').count()
        );
    }
}
