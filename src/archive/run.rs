//! Many recordings, one a thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::find::{Recordings, Skipped, find};
use super::learn::{FolderCalibration, Learning, by_folder};
use super::listener::Listener;
use super::row::Row;
use super::scorer::{Outcome, PriorCalibration, Scorer};
use super::work::{self, FileSummary, PartialResult, WorkFolder};
use crate::detect::DetectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Finding;
use crate::model::{Cpc, Manifest};
use crate::output_file;

/// A scoring job.
#[derive(Debug, Clone)]
pub struct ScoreJob {
    /// Recordings, and folders with recordings.
    pub inputs: Vec<PathBuf>,
    /// Path of the events.
    pub out: PathBuf,
    /// Path of the frames, if they are wanted.
    pub frames: Option<PathBuf>,
    /// Settings of the detector.
    pub detect: DetectConfig,
    /// How many recordings are scored at a time, 1 to 256.
    pub threads: usize,
    /// Calibrate over the first recordings of each folder, by name, and not over the start of each recording.
    pub calibrate_across: bool,
}

/// Progress of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScoreProgress {
    /// The number of recordings is known.
    Begins {
        /// How many.
        files: usize,
    },
    /// More seconds of sound are scored.
    Scored {
        /// Seconds.
        seconds: f64,
    },
    /// A recording is done, or skipped.
    Done,
}

/// The result of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Recordings in all.
    pub files: usize,
    /// Recordings that are scored.
    pub scored: usize,
    /// Of these, recordings that an earlier run had scored.
    pub earlier: usize,
    /// Seconds of sound in what is scored.
    pub seconds: f64,
    /// Seconds of sound that this run scored.
    pub seconds_now: f64,
    /// Events.
    pub events: u64,
    /// Skipped recordings, in order.
    pub skipped: Vec<Skipped>,
    /// Files in folders that are not named as audio files.
    pub others: Vec<PathBuf>,
    /// Whether it was stopped before its end. Nothing is written then, and the same job can be resumed.
    pub stopped: bool,
    /// How long this run took.
    pub took: Duration,
}

/// Scores all recordings of `job` that can be scored, and writes events and frames. `stop` ends it after the current
/// seconds; finished recordings are kept for a resumed job. Nothing is written where no recording could be scored.
///
/// # Errors
/// A configuration error where an output cannot be written or a setting is out of range; a model error where the model
/// cannot score.
pub fn score(
    job: &ScoreJob,
    (manifest, cpc): (&Manifest, Arc<Cpc>),
    stop: &AtomicBool,
    watch: &(dyn Fn(ScoreProgress) + Sync),
) -> Result<Summary> {
    let begun = Instant::now();
    if !(1..=256).contains(&job.threads) {
        return Err(Error::config(
            format!("{} threads asked for, expected 1 to 256", job.threads),
            "give the cores to use",
        ));
    }
    let scorer = Scorer::new((manifest, cpc), &job.detect, job.frames.is_some())?;
    let Recordings { mut files, mut skipped, others } = find(&job.inputs);
    check_outputs(job, &files)?;
    watch(ScoreProgress::Begins { files: files.len() });
    let mut folders = Vec::new();
    if job.calibrate_across {
        let learnt = learn(&scorer, &files, job.threads, stop, watch)?;
        let Some(learnt) = learnt else {
            return Ok(Summary { files: files.len(), skipped, others, stopped: true, ..Summary::default() });
        };
        (files, folders) = take_learnt(&files, learnt, &mut skipped);
    }
    let work = WorkFolder::open(&job.out, job.frames.is_some())?;
    let names = files.iter().enumerate().map(|(place, file)| {
        let known = folders.get(place).map(FileCalibration::id);
        work::name(file, (&manifest.sha256, known.as_deref()), &job.detect, job.frames.is_some())
    });
    let names = names.collect::<Result<Vec<_>>>()?;
    let pool = JobQueue {
        scorer: &scorer,
        work: &work,
        files: &files,
        names: &names,
        folders: &folders,
        order: longest_first(&files),
        next: AtomicUsize::new(0),
        stop,
        failed: AtomicBool::new(false),
        watch,
    };
    let mut ends = pool.run(job.threads.min(files.len()).max(1))?;
    ends.sort_by_key(|end| end.0);

    let mut summary = Summary { files: files.len() + skipped.len(), ..Summary::default() };
    let mut whole = Vec::new();
    for ((index, end), file) in ends.iter().filter_map(|(i, end)| Some(((*i, end), files.get(*i)?))) {
        match end {
            FileEnd::Done { done, earlier } => {
                summary.scored += 1;
                summary.earlier += usize::from(*earlier);
                summary.seconds += done.seconds;
                summary.seconds_now += if *earlier { 0.0 } else { done.seconds };
                summary.events += done.events;
                whole.extend(names.get(index).cloned());
            }
            FileEnd::Skipped(reason, short_s) => {
                skipped.push(Skipped { file: file.clone(), reason: reason.clone(), short_s: *short_s });
            }
        }
    }
    summary.stopped = ends.len() < files.len();
    (summary.skipped, summary.others) = (skipped, others);
    if !summary.stopped && summary.scored > 0 {
        work.assemble(&whole, &job.out, job.frames.as_deref())?;
    }
    if !summary.stopped {
        work.remove();
    }
    summary.took = begun.elapsed();
    Ok(summary)
}

/// The calibration of the folder that a recording is in.
#[derive(Debug, Clone)]
struct FileCalibration {
    folder: Arc<FolderCalibration>,
    /// The recording is part of the calibration.
    taught: bool,
}

impl FileCalibration {
    fn id(&self) -> String {
        format!("{} {}", self.folder.calibration.id(), self.taught)
    }

    fn known(&self) -> PriorCalibration<'_> {
        let calibration = &self.folder.calibration;
        if self.taught {
            PriorCalibration::FromThis(calibration)
        } else {
            PriorCalibration::Before(calibration)
        }
    }
}

/// Indices of a folder's recordings, and their calibration.
type Learnt = Vec<(PathBuf, Vec<usize>, Learning)>;

/// Calibrates over each folder, a folder a thread; `None` where it was stopped.
fn learn(
    scorer: &Scorer,
    files: &[PathBuf],
    threads: usize,
    stop: &AtomicBool,
    watch: &(dyn Fn(ScoreProgress) + Sync),
) -> Result<Option<Learnt>> {
    let folders: Vec<(PathBuf, Vec<usize>)> = by_folder(files).into_iter().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((folder, places)) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let paths: Vec<&Path> =
                places.iter().filter_map(|&place| files.get(place)).map(PathBuf::as_path).collect();
            let learning = scorer.learn(&paths, |seconds| {
                watch(ScoreProgress::Scored { seconds });
                !stop.load(Ordering::Relaxed)
            })?;
            done.push((folder.clone(), places.clone(), learning));
        }
        Ok(done)
    };
    let ends: Vec<Result<Learnt>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(folders.len())).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|end| end.unwrap_or_else(|_| Err(Error::internal("a thread that learns panicked"))))
            .collect()
    });
    let mut learnt = Vec::new();
    for end in ends {
        learnt.extend(end?);
    }
    learnt.sort_by(|a, b| a.0.cmp(&b.0));
    let stopped = learnt.iter().any(|(_, _, learning)| matches!(learning, Learning::Stopped));
    Ok((!stopped && !stop.load(Ordering::Relaxed)).then_some(learnt))
}

/// The recordings of folders that were long enough, with their calibrations, in the order of the folders and names.
fn take_learnt(
    files: &[PathBuf],
    learnt: Learnt,
    skipped: &mut Vec<Skipped>,
) -> (Vec<PathBuf>, Vec<FileCalibration>) {
    let (mut kept, mut calibrations) = (Vec::new(), Vec::new());
    for (folder, places, learning) in learnt {
        match learning {
            Learning::Done(done) => {
                let done: Arc<FolderCalibration> = Arc::from(done);
                for (rank, file) in places.iter().filter_map(|&place| files.get(place)).enumerate() {
                    kept.push(file.clone());
                    let taught = rank < done.learnt_from;
                    calibrations.push(FileCalibration { folder: Arc::clone(&done), taught });
                }
            }
            Learning::TooShort { reason, seconds } => {
                skipped.push(Skipped { file: folder, reason, short_s: Some(seconds) });
            }
            Learning::Unread(reason) => skipped.push(Skipped::unread(folder, reason)),
            Learning::Stopped => {}
        }
    }
    (kept, calibrations)
}

/// Checks the outputs first: a missing folder must not fail after hours, and no recording may be overwritten.
fn check_outputs(job: &ScoreJob, files: &[PathBuf]) -> Result<()> {
    let outputs: Vec<&PathBuf> = std::iter::once(&job.out).chain(&job.frames).collect();
    for output in &outputs {
        if let Err(error) = output_file::check(output) {
            return Err(Error::config(
                format!("cannot write {}: {error}", output.display()),
                "give a file in a folder that exists",
            ));
        }
    }
    let places: Vec<PathBuf> = outputs.iter().map(|output| real(output)).collect();
    if places.first() == places.get(1) || files.iter().any(|file| places.contains(&real(file))) {
        return Err(Error::config(
            format!("{} would be written over an input or the other output", job.out.display()),
            "give `--out` and `--frames` names of their own",
        ));
    }
    Ok(())
}

/// The real path of `path`, also of a file that does not exist yet.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = || Some(std::fs::canonicalize(folder).ok()?.join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(beside).unwrap_or_else(|| path.to_owned())
}

/// Indices of the files, the largest first, so that no thread starts a long one when the others are done.
fn longest_first(files: &[PathBuf]) -> Vec<usize> {
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |m| m.len());
    let mut order: Vec<(u64, usize)> = files.iter().enumerate().map(|(i, file)| (size(file), i)).collect();
    order.sort_by_key(|&(size, i)| (std::cmp::Reverse(size), i));
    order.into_iter().map(|(_, i)| i).collect()
}

/// The end of a recording.
enum FileEnd {
    Done { done: FileSummary, earlier: bool },
    Skipped(String, Option<f64>),
}

struct JobQueue<'a> {
    scorer: &'a Scorer,
    work: &'a WorkFolder,
    files: &'a [PathBuf],
    names: &'a [String],
    /// The folder calibrations of `files`; empty without them.
    folders: &'a [FileCalibration],
    order: Vec<usize>,
    next: AtomicUsize,
    stop: &'a AtomicBool,
    /// A thread met an error that concerns all.
    failed: AtomicBool,
    watch: &'a (dyn Fn(ScoreProgress) + Sync),
}

impl JobQueue<'_> {
    fn run(&self, threads: usize) -> Result<Vec<(usize, FileEnd)>> {
        let ends: Vec<Result<Vec<(usize, FileEnd)>>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work_through())).collect();
            let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
            joined
                .map(|end| end.unwrap_or_else(|_| Err(Error::internal("a thread that scores panicked"))))
                .collect()
        });
        let mut all = Vec::new();
        for end in ends {
            all.extend(end?);
        }
        Ok(all)
    }

    fn work_through(&self) -> Result<Vec<(usize, FileEnd)>> {
        let mut ends = Vec::new();
        while self.goes_on()
            && let Some(&index) = self.order.get(self.next.fetch_add(1, Ordering::Relaxed))
            && let (Some(file), Some(name)) = (self.files.get(index), self.names.get(index))
        {
            match self.one(index, file, name) {
                Ok(Some(end)) => ends.push((index, end)),
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Device => {
                    ends.push((index, FileEnd::Skipped(error.to_string(), None)));
                }
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            (self.watch)(ScoreProgress::Done);
        }
        Ok(ends)
    }

    /// None where it was stopped.
    fn one(&self, place: usize, file: &Path, name: &str) -> Result<Option<FileEnd>> {
        if let Some(done) = self.work.done(name) {
            return Ok(Some(FileEnd::Done { done, earlier: true }));
        }
        let draft = self.work.begin(name, file)?;
        let mut writer = ResultWriter { draft, pool: self, received: 0.0 };
        let known = self.folders.get(place).map_or(PriorCalibration::Nothing, FileCalibration::known);
        Ok(match self.scorer.run_with(file, known, &mut writer)? {
            Outcome::Scored { seconds } => {
                Some(FileEnd::Done { done: writer.draft.commit(seconds)?, earlier: false })
            }
            Outcome::TooShort { reason, seconds } => Some(FileEnd::Skipped(reason, Some(seconds))),
            Outcome::Stopped => None,
        })
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && !self.failed.load(Ordering::Relaxed)
    }
}

/// Writes the results of one recording.
struct ResultWriter<'a> {
    draft: PartialResult,
    pool: &'a JobQueue<'a>,
    received: f64,
}

impl Listener for ResultWriter<'_> {
    fn event(&mut self, finding: &Finding) -> Result<()> {
        self.draft.event(finding)
    }

    fn row(&mut self, row: &Row) -> Result<()> {
        self.draft.row(row)
    }

    fn progress(&mut self, seconds: f64) -> bool {
        (self.pool.watch)(ScoreProgress::Scored { seconds: (seconds - self.received).max(0.0) });
        self.received = self.received.max(seconds);
        self.pool.goes_on()
    }
}
