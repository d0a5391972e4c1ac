//! The text format of Prometheus.

use std::fmt::Write as _;

use crate::telemetry::DurationHistogram;

/// A page in the text format.
pub(super) struct PrometheusText(pub(super) String);

impl PrometheusText {
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn row(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { "{" } else { "," });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// The rows of a histogram.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], spread: &DurationHistogram) {
        let bucket = format!("{name}_bucket");
        let bounds = spread.up_to().map(|(bound, count)| (bound.to_string(), count));
        for (bound, count) in bounds.chain([("+Inf".to_owned(), spread.total())]) {
            self.row(&bucket, &[labels, &[("le", bound.as_str())]].concat(), count as f64);
        }
        self.row(&format!("{name}_sum"), labels, spread.sum_s);
        self.row(&format!("{name}_count"), labels, spread.total() as f64);
    }

    /// A figure of the whole node.
    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.row(name, &[], value);
    }
}
