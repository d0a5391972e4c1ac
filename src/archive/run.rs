//! Many recordings, one a thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::find::{LeftOut, find};
use super::learn::{FolderCalibration, Learning, by_folder};
use super::row::Row;
use super::scorer::{Known, Listener, Outcome, Scorer};
use super::work::{self, Done, Draft, Work};
use crate::detect::DetectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Finding;
use crate::model::{Cpc, Manifest};
use crate::output_file;

/// What to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Recordings, and folders with recordings.
    pub inputs: Vec<PathBuf>,
    /// Where the events go.
    pub out: PathBuf,
    /// Where the frames go, if anywhere.
    pub frames: Option<PathBuf>,
    /// Settings of the detector.
    pub detect: DetectConfig,
    /// How many recordings are scored at a time, 1 to 256.
    pub threads: usize,
    /// Learn what is normal over the first recordings of each folder, by name, in place of the start of each recording.
    pub calibrate_across: bool,
}

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// There are so many recordings.
    Begins {
        /// How many.
        files: usize,
    },
    /// So many more seconds of sound are scored.
    Heard {
        /// Seconds.
        seconds: f64,
    },
    /// A recording is done, or left out.
    Done,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Recordings that there are.
    pub files: usize,
    /// Recordings that are scored.
    pub scored: usize,
    /// Those of them that an earlier run had scored.
    pub earlier: usize,
    /// Seconds of sound in what is scored.
    pub seconds: f64,
    /// Seconds of sound that this run scored.
    pub seconds_now: f64,
    /// Events.
    pub events: u64,
    /// What could not be scored, in order.
    pub left_out: Vec<LeftOut>,
    /// Whether it was stopped before all was done. Nothing is written then, and the same job goes on.
    pub stopped: bool,
    /// How long this run took.
    pub took: Duration,
}

/// Scores all recordings of `job` that can be scored, and writes events and frames. `stop` ends it after the seconds
/// in hand; what is finished by then is kept for the same job to go on with. Nothing is written where no recording
/// could be scored.
///
/// # Errors
/// A configuration error where an output cannot be written or a setting is out of range; a model error where the model
/// cannot score.
pub fn score(
    job: &Job,
    (manifest, cpc): (&Manifest, Arc<Cpc>),
    stop: &AtomicBool,
    watch: &(dyn Fn(Progress) + Sync),
) -> Result<Summary> {
    let begun = Instant::now();
    if !(1..=256).contains(&job.threads) {
        return Err(Error::config(
            format!("{} threads asked for, expected 1 to 256", job.threads),
            "give the cores to use",
        ));
    }
    let scorer = Scorer::new((manifest, cpc), &job.detect, job.frames.is_some())?;
    let (mut files, mut left_out) = find(&job.inputs);
    check_outputs(job, &files)?;
    watch(Progress::Begins { files: files.len() });
    let mut folders = Vec::new();
    if job.calibrate_across {
        let learnt = learn(&scorer, &files, job.threads, stop, watch)?;
        let Some(learnt) = learnt else {
            return Ok(Summary { files: files.len(), left_out, stopped: true, ..Summary::default() });
        };
        (files, folders) = take_learnt(&files, learnt, &mut left_out);
    }
    let work = Work::open(&job.out, job.frames.is_some())?;
    let names = files.iter().enumerate().map(|(place, file)| {
        let known = folders.get(place).map(FileCalibration::id);
        work::name(file, (&manifest.sha256, known.as_deref()), &job.detect, job.frames.is_some())
    });
    let names = names.collect::<Result<Vec<_>>>()?;
    let pool = Pool {
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

    let mut summary = Summary { files: files.len() + left_out.len(), ..Summary::default() };
    let mut whole = Vec::new();
    for ((index, end), file) in ends.iter().filter_map(|(i, end)| Some(((*i, end), files.get(*i)?))) {
        match end {
            End::Done { done, earlier } => {
                summary.scored += 1;
                summary.earlier += usize::from(*earlier);
                summary.seconds += done.seconds;
                summary.seconds_now += if *earlier { 0.0 } else { done.seconds };
                summary.events += done.events;
                whole.extend(names.get(index).cloned());
            }
            End::LeftOut(reason) => {
                left_out.push(LeftOut { file: file.clone(), reason: reason.clone() });
            }
        }
    }
    summary.stopped = ends.len() < files.len();
    summary.left_out = left_out;
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
    /// The recording is one of those that taught it.
    taught: bool,
}

impl FileCalibration {
    fn id(&self) -> String {
        format!("{} {}", self.folder.calibration.id(), self.taught)
    }

    fn known(&self) -> Known<'_> {
        let calibration = &self.folder.calibration;
        if self.taught { Known::FromThis(calibration) } else { Known::Before(calibration) }
    }
}

/// The places of a folder's recordings, and what they taught.
type Learnt = Vec<(PathBuf, Vec<usize>, Learning)>;

/// Learns over each folder, a folder a thread; none where it was stopped.
fn learn(
    scorer: &Scorer,
    files: &[PathBuf],
    threads: usize,
    stop: &AtomicBool,
    watch: &(dyn Fn(Progress) + Sync),
) -> Result<Option<Learnt>> {
    let folders: Vec<(PathBuf, Vec<usize>)> = by_folder(files).into_iter().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((folder, places)) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let paths: Vec<&Path> =
                places.iter().filter_map(|&place| files.get(place)).map(PathBuf::as_path).collect();
            let learning = scorer.learn(&paths, |seconds| {
                watch(Progress::Heard { seconds });
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
    left_out: &mut Vec<LeftOut>,
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
            Learning::TooShort(reason) => left_out.push(LeftOut { file: folder, reason }),
            Learning::Stopped => {}
        }
    }
    (kept, calibrations)
}

/// Hours of work must not end in front of a folder that is not there, nor in place of a recording.
fn check_outputs(job: &Job, files: &[PathBuf]) -> Result<()> {
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

/// Where `path` is or would be, whatever it is called.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = || Some(std::fs::canonicalize(folder).ok()?.join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(beside).unwrap_or_else(|| path.to_owned())
}

/// Places of the files, the largest first, so that no thread begins a long one when the others are done.
fn longest_first(files: &[PathBuf]) -> Vec<usize> {
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |m| m.len());
    let mut order: Vec<(u64, usize)> = files.iter().enumerate().map(|(i, file)| (size(file), i)).collect();
    order.sort_by_key(|&(size, i)| (std::cmp::Reverse(size), i));
    order.into_iter().map(|(_, i)| i).collect()
}

/// What became of a recording.
enum End {
    Done { done: Done, earlier: bool },
    LeftOut(String),
}

struct Pool<'a> {
    scorer: &'a Scorer,
    work: &'a Work,
    files: &'a [PathBuf],
    names: &'a [String],
    /// The calibrations of `files` where folders are learnt as a whole; empty otherwise.
    folders: &'a [FileCalibration],
    order: Vec<usize>,
    next: AtomicUsize,
    stop: &'a AtomicBool,
    /// A thread met an error that concerns all.
    failed: AtomicBool,
    watch: &'a (dyn Fn(Progress) + Sync),
}

impl Pool<'_> {
    fn run(&self, threads: usize) -> Result<Vec<(usize, End)>> {
        let ends: Vec<Result<Vec<(usize, End)>>> = thread::scope(|scope| {
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

    fn work_through(&self) -> Result<Vec<(usize, End)>> {
        let mut ends = Vec::new();
        while self.goes_on()
            && let Some(&index) = self.order.get(self.next.fetch_add(1, Ordering::Relaxed))
            && let (Some(file), Some(name)) = (self.files.get(index), self.names.get(index))
        {
            match self.one(index, file, name) {
                Ok(Some(end)) => ends.push((index, end)),
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Device => {
                    ends.push((index, End::LeftOut(error.to_string())));
                }
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
            (self.watch)(Progress::Done);
        }
        Ok(ends)
    }

    /// None where it was stopped.
    fn one(&self, place: usize, file: &Path, name: &str) -> Result<Option<End>> {
        if let Some(done) = self.work.done(name) {
            return Ok(Some(End::Done { done, earlier: true }));
        }
        let draft = self.work.draft(name, file)?;
        let mut scribe = Scribe { draft, pool: self, heard: 0.0 };
        let known = self.folders.get(place).map_or(Known::Nothing, FileCalibration::known);
        Ok(match self.scorer.run_with(file, known, &mut scribe)? {
            Outcome::Scored { seconds } => {
                Some(End::Done { done: scribe.draft.commit(seconds)?, earlier: false })
            }
            Outcome::TooShort { reason } => Some(End::LeftOut(reason)),
            Outcome::Stopped => None,
        })
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && !self.failed.load(Ordering::Relaxed)
    }
}

/// Writes down what is found in one recording.
struct Scribe<'a> {
    draft: Draft,
    pool: &'a Pool<'a>,
    heard: f64,
}

impl Listener for Scribe<'_> {
    fn event(&mut self, finding: &Finding) -> Result<()> {
        self.draft.event(finding)
    }

    fn row(&mut self, row: &Row) -> Result<()> {
        self.draft.row(row)
    }

    fn heard(&mut self, seconds: f64) -> bool {
        (self.pool.watch)(Progress::Heard { seconds: (seconds - self.heard).max(0.0) });
        self.heard = self.heard.max(seconds);
        self.pool.goes_on()
    }
}
