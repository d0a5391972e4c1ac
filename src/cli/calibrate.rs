//! `calibrate`: learns what is normal here, shows it, keeps it for `run`.

mod listen;
mod picture;
mod place;
mod show;

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use self::listen::Outcome;
use self::place::Place;
use super::args::{Output, SetThreads, open_model, stdout, use_threads};
use super::run::RunArgs;
use crate::capture::{self, SourceConfig};
use crate::config::Config;
use crate::detect::{Calibration, DetectConfig};
use crate::error::{Error, Result};
use crate::runtime::{CalibrationStore, Engine, open_microphones};

/// Learn what is normal from each source, for as long as `--calibrate-seconds` says, and keep it for `run`.
#[derive(Debug, clap::Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Listen to the source of this id alone; may be repeated.
    #[arg(long, value_name = "ID")]
    source: Vec<String>,
    /// Draw histogram, tail and thresholds into this file (SVG); of several streams into one each, with the id in its name.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Show it only, keep nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs it.
///
/// # Errors
/// When there is no source, one cannot be opened, or the sound of one ends before normal is known.
pub(super) fn run(args: &CalibrateArgs, set: SetThreads) -> Result<()> {
    let config = args.run.load()?.config;
    use_threads(config.model.threads(), set)?;
    let sources = chosen(&config, &args.source)?;
    let place =
        if args.dry_run { None } else { Place::locked(&config, &sources, args.run.config.as_deref())? };
    let mut out = stdout();
    if let Some(warning) = place.as_ref().and_then(Place::warning) {
        out.prose(format_args!("{warning}"))?;
    }
    let (manifest, cpc) = open_model(config.model.file())?;
    // nothing is reported, so that a provisional calibration is of no use
    let detect = DetectConfig { provisional_seconds: 0.0, ..config.detect.clone() };
    let mut engine = Engine::new(cpc, &manifest, detect)?;
    // a name of its own, so that the broker does not take it for the daemon
    let microphones = open_microphones(&config, &sources, &format!("{}-calibrate", config.node_id()))?;
    let style = ProgressStyle::with_template("learning {bar:20} {percent}%  {wide_msg}")
        .map_err(|e| Error::internal(e.to_string()))?;
    let bar = ProgressBar::new(100).with_style(style);
    let outcomes = listen::listen(&mut engine, &sources, &config.capture, microphones.as_ref(), &bar)?;
    bar.finish_and_clear();
    let many = outcomes.len() > 1;
    let mut short = Vec::new();
    for Outcome { id, keep, learnt, offline } in outcomes {
        let Some(calibration) = learnt else {
            short.push((id, offline));
            continue;
        };
        if many {
            out.line(format_args!("\n{id}"))?;
        }
        show::show(&calibration, engine.detector_model(), config.detect.events_per_hour, &mut out)?;
        if let Some(path) = &args.plot {
            let path = if many { with_id(path, &id) } else { path.clone() };
            plot(&path, &calibration, &engine, &mut out)?;
        }
        if args.dry_run {
            out.prose(format_args!("{id}: nothing is kept (--dry-run)"))?;
        } else if let Some(place) = place.as_ref().filter(|_| keep) {
            let kept = CalibrationStore::new(&place.folder).save(&id, &calibration.into())?;
            out.prose(format_args!("{id}: kept in {}; {}", kept.display(), place.reader()))?;
        } else {
            out.prose(format_args!(
                "{id}: nothing is kept: `run` learns files and the standard input anew each time"
            ))?;
        }
    }
    if short.is_empty() { Ok(()) } else { Err(not_learnt(&short, config.detect.calibrate_seconds)) }
}

/// The failure where normal is not known of some streams: their ids, and why they give no sound where they do not.
fn not_learnt(short: &[(String, Option<String>)], seconds: f64) -> Error {
    if let Some((id, Some(reason))) = short.iter().find(|(_, offline)| offline.is_some()) {
        return Error::of_notice(reason, "run `cpc-stream devices`; replug it").context(id);
    }
    let ids: Vec<&str> = short.iter().map(|(id, _)| id.as_str()).collect();
    Error::device(
        format!("{}: the sound ended before {seconds:.0} s of it were heard", ids.join(", ")),
        "give more sound, or a smaller `--calibrate-seconds` (10 or more)",
    )
}

/// The sources to hear, with the ids of `run`: those that are named, else all.
fn chosen(config: &Config, named: &[String]) -> Result<Vec<SourceConfig>> {
    let mut sources = config.source.clone();
    capture::assign_ids(&mut sources)?;
    let ids: Vec<String> = sources.iter().map(SourceConfig::id).collect();
    if sources.is_empty() {
        return Err(Error::config(
            "no source of sound is configured",
            "name one with `--device NAME`, `--url URL`, `--input FILE` or `--config FILE`",
        ));
    }
    if let Some(unknown) = named.iter().find(|id| !ids.contains(id)) {
        return Err(Error::config(
            format!("no source has the id {unknown:?}"),
            format!("the ids are {}", ids.join(", ")),
        ));
    }
    sources.retain(|source| named.is_empty() || named.contains(&source.id()));
    if config.cluster.is_on() && sources.iter().any(|source| source.mqtt.is_some()) {
        return Err(Error::config(
            "workers of a cluster share the microphones, and what one learns the others take",
            "let `run` learn them, or name other sources with `--source ID`",
        ));
    }
    Ok(sources)
}

/// `plot.svg` and the id `yard` are `plot-yard.svg`.
fn with_id(path: &std::path::Path, id: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{id}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{id}"),
    };
    path.with_file_name(name)
}

fn plot(path: &std::path::Path, calibration: &Calibration, engine: &Engine, out: &mut Output) -> Result<()> {
    let svg = picture::picture(calibration, engine.detector_model());
    std::fs::write(path, svg).map_err(|e| {
        Error::config(format!("cannot write {}: {e}", path.display()), "check the folder and its permissions")
    })?;
    out.line(format_args!("drawn in {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_sources_have_the_ids_of_run() {
        let mut config =
            Config { source: ["hw:0", "hw:1"].map(SourceConfig::from_device).to_vec(), ..Config::default() };
        let all = chosen(&config, &[]).unwrap();
        let mut of_run = config.source.clone();
        capture::assign_ids(&mut of_run).unwrap();
        assert_eq!(all, of_run);
        let second = of_run[1].id();
        assert_eq!(chosen(&config, std::slice::from_ref(&second)).unwrap(), of_run[1..]);
        let error = chosen(&config, &["attic".into()]).unwrap_err();
        assert!(error.to_string().contains("\"attic\"") && error.fix().contains(&second), "{error}");
        config.source.clear();
        assert!(chosen(&config, &[]).unwrap_err().to_string().contains("no source"));
    }

    #[test]
    fn a_device_that_is_not_there_is_told_as_such() {
        let away = Some("it is not there (plug it in)".to_owned());
        let error = not_learnt(&[("yard".into(), None), ("attic".into(), away)], 10.0);
        assert_eq!((error.to_string().as_str(), error.fix()), ("attic: it is not there", "plug it in"));
        let error = not_learnt(&[("yard".into(), None), ("attic".into(), None)], 10.0);
        assert!(error.to_string().starts_with("yard, attic: the sound ended before 10 s"), "{error}");
    }

    #[test]
    fn several_plots_have_names_of_their_own() {
        assert_eq!(with_id("a/plot.svg".as_ref(), "yard"), PathBuf::from("a/plot-yard.svg"));
        assert_eq!(with_id("plot".as_ref(), "yard"), PathBuf::from("plot-yard"));
    }
}
