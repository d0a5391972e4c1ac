//! Findings of the checks, one line each.

use std::fmt;

use serde_json::{Value, json};

use super::super::args::stdout;
use crate::error::{Error, ErrorKind, Result};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Warn,
    /// The daemon will not do what it is configured to do.
    Fail(ErrorKind),
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail(_) => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) check: String,
    pub(super) level: Level,
    pub(super) text: String,
    /// The fix; `None` without a fault.
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &str, text: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Ok, text: text.into(), fix: None }
    }

    pub(super) fn warn(check: &str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Warn, text: text.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fail(check: &str, error: &Error) -> Self {
        Self {
            check: check.to_owned(),
            level: Level::Fail(error.kind()),
            text: error.to_string(),
            fix: Some(error.fix().to_owned()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {}: {}", self.level.word(), self.check, self.text)?;
        match &self.fix {
            Some(fix) => write!(f, "\n      fix: {fix}"),
            None => Ok(()),
        }
    }
}

/// All that was found. For people each finding is printed as it comes, since some take seconds.
#[derive(Debug)]
pub(super) struct DoctorReport {
    json: bool,
    findings: Vec<Finding>,
    /// First steps, where nothing is configured.
    pub(super) next: Vec<&'static str>,
}

impl DoctorReport {
    pub(super) fn new(json: bool) -> Self {
        Self { json, findings: Vec::new(), next: Vec::new() }
    }

    pub(super) fn add(&mut self, finding: Finding) -> Result<()> {
        if !self.json {
            stdout().prose(format_args!("{finding}"))?;
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Prints the rest; an error of the kind of the first failure.
    pub(super) fn end(self) -> Result<()> {
        let count = |wanted: fn(Level) -> bool| self.findings.iter().filter(|f| wanted(f.level)).count();
        let failures = count(|level| matches!(level, Level::Fail(_)));
        let warnings = count(|level| level == Level::Warn);
        let first = self.findings.iter().find_map(|f| match f.level {
            Level::Fail(kind) => Some((kind, f)),
            _ => None,
        });
        if self.json {
            let code = first.map_or(0, |(kind, _)| kind.exit_code());
            stdout().line(format_args!("{:#}", self.document(failures, warnings, code)))?;
        } else {
            let well = self.findings.len() - failures - warnings;
            stdout().prose(format_args!("\n{well} ok, {warnings} to look at, {failures} failed"))?;
            if !self.next.is_empty() {
                stdout().prose(format_args!("First steps:\n  {}", self.next.join("\n  ")))?;
            }
        }
        let Some((kind, finding)) = first else { return Ok(()) };
        let more = match failures {
            1 => String::new(),
            more => format!(" (and {} more)", more - 1),
        };
        let fix = finding.fix.clone().unwrap_or_default();
        Err(Error::new(kind, format!("{}: {}{more}", finding.check, finding.text), fix))
    }

    fn document(&self, failures: usize, warnings: usize, code: u8) -> Value {
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|f| json!({ "check": f.check, "level": f.level.word(), "text": f.text, "fix": f.fix }))
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "failures": failures,
            "warnings": warnings,
            "exit_code": code,
            "findings": findings,
            "first_steps": self.next,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_decides() {
        let mut report = DoctorReport::new(true);
        report.add(Finding::ok("clock", "synchronised")).unwrap();
        report.add(Finding::warn("unit", "not running", "start it")).unwrap();
        DoctorReport { json: true, findings: report.findings.clone(), next: Vec::new() }.end().unwrap();
        report.add(Finding::fail("device hw:7", &Error::device("it is not there", "plug it in"))).unwrap();
        report.add(Finding::fail("broker", &Error::broker("nobody listens", "start it"))).unwrap();
        let error = report.end().unwrap_err();
        assert_eq!((error.kind(), error.fix()), (ErrorKind::Device, "plug it in"));
        assert_eq!(error.to_string(), "device hw:7: it is not there (and 1 more)");
        let shown = Finding::warn("unit", "not running", "start it").to_string();
        assert_eq!(shown, "warn  unit: not running\n      fix: start it");
    }
}
