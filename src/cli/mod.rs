//! The command line, one file a subcommand.

mod access;
mod args;
mod bench;
mod calibrate;
#[cfg(feature = "cluster")]
mod cluster;
mod config;
pub mod demo;
mod devices;
mod doctor;
mod health;
#[cfg(feature = "lab")]
pub mod lab;
mod labels;
mod man_and_completions;
mod microphone;
mod moved;
mod mqtt;
mod outbox;
mod run;
mod score;
mod special;
pub mod watch;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

pub use self::access::AccessArgs;
pub use self::args::SetThreads;
use crate::capture::{self, AS_FFMPEG, become_ffmpeg};
use crate::error::{Error, Result};
use crate::telemetry::{LogFormat, init_logs, mark_of_failure};

/// Hears a microphone, learns what is normal there, and reports what is not, over MQTT.
#[derive(Debug, Parser)]
#[command(name = "cpc-stream", version, max_term_width = 110, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit codes: 0 asked to stop, 2 usage or config, 3 device, 4 model, 5 broker, 70 internal, 130 stopped by a second signal."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::DaemonArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Listen until stopped (the same as no subcommand).
    Run(run::DaemonArgs),
    /// No hardware, no broker: a bundled scene with planted sounds, and the events found in it.
    Demo(demo::DemoArgs),
    /// List the inputs there are, or listen to them for a moment.
    Devices(devices::DevicesArgs),
    /// Learn what is normal here, show it, and keep it for `run`.
    Calibrate(calibrate::CalibrateArgs),
    /// Ask a running daemon how it is, where it serves HTTP.
    Health(health::HealthArgs),
    /// Publish the sound of a microphone over MQTT, for a daemon elsewhere that analyses it.
    Microphone(microphone::MicrophoneArgs),
    /// Show what a daemon publishes, as it comes.
    Watch(watch::WatchArgs),
    /// Find events in recordings, faster than real time.
    Score(score::ScoreArgs),
    /// How long a hop takes on this machine, and how many streams that carries.
    Bench(bench::BenchArgs),
    /// Look at the events that wait for the broker, while the daemon does not run.
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Look at and change the labels by which sounds are known again, while the daemon does not run.
    #[command(subcommand)]
    Labels(labels::LabelsCommand),
    /// Try the broker.
    #[command(subcommand)]
    Mqtt(mqtt::MqttCommand),
    /// Look at a cluster of workers that share microphones.
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Check a configuration and the files that it names; `doctor` tries devices and the broker.
    Check(run::CheckArgs),
    /// Look over everything an install needs (configuration, devices, model, broker, limits), and say what to do.
    Doctor(doctor::DoctorArgs),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print what a shell reads to complete commands (bash, zsh, fish, elvish, powershell).
    Completions(man_and_completions::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands into a folder.
    Man(man_and_completions::ManArgs),
    #[command(hide = true)]
    Train(moved::MovedArgs),
    #[command(hide = true)]
    Eval(moved::MovedArgs),
    #[command(hide = true)]
    Import(moved::MovedArgs),
    #[command(hide = true)]
    Encode(moved::MovedArgs),
}

/// Parses the command line, runs the command, prints a failure as a line of cause and a line of fix, and gives
/// the exit code. `set_threads` is called at most once, before any thread is started.
#[must_use]
pub fn main(set_threads: SetThreads) -> ExitCode {
    capture::guard_children();
    let mut arguments = std::env::args_os().skip(1);
    exit_code(if arguments.next().is_some_and(|first| first == AS_FFMPEG) {
        become_ffmpeg(arguments)
    } else {
        parse_and_run(set_threads)
    })
}

/// Prints a failure, and gives the exit code of an outcome.
fn exit_code(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mark = mark_of_failure();
            // stderr may be closed
            let _ = writeln!(std::io::stderr(), "{mark}error: {error}\n{mark}  fix: {}", error.fix());
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// The command line; none where it asked for help or the version, which are printed.
fn parse<C: Parser>() -> Result<Option<C>> {
    match C::try_parse() {
        Ok(cli) => Ok(Some(cli)),
        Err(error) if error.use_stderr() => Err(usage(&error, C::command().get_name())),
        Err(error) => {
            args::took(error.print().and_then(|()| std::io::stdout().flush()))?;
            Ok(None)
        }
    }
}

fn parse_and_run(set_threads: SetThreads) -> Result<()> {
    let Some(cli) = parse::<Cli>()? else { return Ok(()) };
    // the daemon's log has the form that its configuration says
    if !matches!(cli.command, None | Some(Command::Run(_))) {
        init_logs("info", LogFormat::Text);
    }
    dispatch(cli, set_threads)
}

/// clap's report in our form: a line of cause and a line of fix.
fn usage(error: &clap::Error, program: &str) -> Error {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_advice = |line: &&&str| ["tip:", "Usage:", "For more"].iter().any(|word| line.starts_with(word));
    let cause: Vec<&str> = lines.iter().take_while(|line| !is_advice(line)).copied().collect();
    let cause = cause.join(" ");
    let tip = lines.iter().find_map(|line| line.strip_prefix("tip: "));
    let command = lines
        .iter()
        .find_map(|line| line.strip_prefix("Usage: "))
        .map_or_else(|| program.to_owned(), of_usage);
    let help = format!("see `{command} --help`");
    let fix = tip.map_or_else(|| help.clone(), |tip| format!("{tip}; {help}"));
    Error::config(format!("{command}: {}", cause.strip_prefix("error: ").unwrap_or(&cause)), fix)
}

/// The command of a usage line: `cpc-stream outbox verify` of `cpc-stream outbox verify [OPTIONS]`.
fn of_usage(usage: &str) -> String {
    let name =
        |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
    usage.split_whitespace().take_while(name).collect::<Vec<_>>().join(" ")
}

fn dispatch(cli: Cli, set: SetThreads) -> Result<()> {
    match cli.command {
        None => run::run(&cli.run, set),
        Some(Command::Run(args)) => run::run(&args, set),
        Some(Command::Demo(args)) => demo::run(&args, set),
        Some(Command::Devices(args)) => devices::run(&args),
        Some(Command::Calibrate(args)) => calibrate::run(&args, set),
        Some(Command::Health(args)) => health::run(&args),
        Some(Command::Microphone(args)) => microphone::run(&args),
        Some(Command::Watch(args)) => watch::run(&args),
        Some(Command::Score(args)) => score::run(&args, set),
        Some(Command::Bench(args)) => bench::run(&args, set),
        Some(Command::Outbox(command)) => outbox::run(&command),
        Some(Command::Labels(command)) => labels::run(&command),
        Some(Command::Mqtt(command)) => mqtt::run(&command),
        #[cfg(feature = "cluster")]
        Some(Command::Cluster(command)) => cluster::run(&command),
        Some(Command::Check(args)) => run::check(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Config(command)) => config::run(&command),
        Some(Command::Completions(args)) => man_and_completions::completions::<Cli>(&args),
        Some(Command::Man(args)) => man_and_completions::man::<Cli>(&args),
        Some(Command::Train(args)) => moved::run("train", &args),
        Some(Command::Eval(args)) => moved::run("eval", &args),
        Some(Command::Import(args)) => moved::run("import", &args),
        Some(Command::Encode(args)) => moved::run("encode", &args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_names_its_subcommand() {
        for (arguments, command) in [
            (&["cpc-stream", "--tread"][..], "cpc-stream"),
            (&["cpc-stream", "score", "--nonsense"], "cpc-stream score"),
            (&["cpc-stream", "outbox", "verify", "--nonsense"], "cpc-stream outbox verify"),
        ] {
            let error = usage(&Cli::try_parse_from(arguments).unwrap_err(), "cpc-stream");
            assert!(error.to_string().starts_with(&format!("{command}: ")), "{error}");
            assert!(error.fix().contains(&format!("see `{command} --help`")), "{}", error.fix());
        }
        let error = usage(&Cli::try_parse_from(["cpc-stream", "docter"]).unwrap_err(), "cpc-stream");
        assert!(error.fix().contains("doctor"), "{error}: {}", error.fix());
    }
}
