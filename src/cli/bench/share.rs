//! `bench --share`: the figures of a machine as Markdown, for the page of machines in the documentation.

use std::fs;

use super::super::args::{open_model, stdout};
use super::args::BenchArgs;
use super::{hop, pipeline};
use crate::error::Result;
use crate::kernels::Precision;

/// Streams of a hop, and precisions.
const STREAMS: [usize; 3] = [1, 8, 32];
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Int8, Precision::W8a8];
/// Microphones of the daemon.
const MICROPHONES: [usize; 2] = [1, 8];
/// The argument that tells it.
const DEFAULT_STREAMS: [usize; 3] = [1, 8, 32];

/// Measures hops of the model and the daemon, and prints what the machine is and the figures.
///
/// # Errors
/// As the two measurements.
pub(super) fn run(args: &BenchArgs) -> Result<()> {
    let (manifest, _) = open_model(args.model.as_deref())?;
    let mut out = stdout();
    out.line(format_args!("### {}\n\n{}", board(), machine().join("\n")))?;
    out.line(format_args!(
        "- cpc-stream {}, model {} ({}), {}\n",
        env!("CARGO_PKG_VERSION"),
        manifest.name,
        manifest.sha256.get(..12).unwrap_or_default(),
        threads(args.threads)
    ))?;

    let hops = BenchArgs {
        arch: vec!["spectral".to_owned()],
        streams: STREAMS.into(),
        precision: PRECISIONS.into(),
        json: true,
        ..args.clone()
    };
    out.line(format_args!(
        "| streams | precision | registers | a hop, µs: median, 99, 99.9 of 100 |\n| --- | --- | --- | --- |"
    ))?;
    for row in hop::rows(&hops)? {
        out.line(format_args!(
            "| {} | {} | {} | {:.0}, {:.0}, {:.0} |",
            row.streams, row.precision, row.instructions, row.p50_us, row.p99_us, row.p999_us
        ))?;
    }

    let microphones = if args.streams == DEFAULT_STREAMS { MICROPHONES.into() } else { args.streams.clone() };
    let daemon = BenchArgs { streams: microphones, json: true, ..args.clone() };
    out.line(format_args!(
        "\n| microphones | CPU, % of a core | heard, ms: median, 99, 99.9 of 100 | memory, MiB | samples lost |\n\
         | --- | --- | --- | --- | --- |"
    ))?;
    for row in pipeline::rows(&daemon)? {
        let heard = row.delays.heard;
        out.line(format_args!(
            "| {} | {:.1} | {:.1}, {:.1}, {:.1} | {:.0} | {} |",
            row.streams,
            row.cpu_percent,
            heard.p50_us / 1e3,
            heard.p99_us / 1e3,
            heard.p999_us / 1e3,
            row.rss_mib,
            row.samples_lost
        ))?;
    }
    Ok(())
}

fn threads(count: usize) -> String {
    crate::units::counted(count as u64, "thread")
}

/// The name of the board, else of its processor.
fn board() -> String {
    let tree = fs::read_to_string("/proc/device-tree/model").ok();
    let tree = tree.map(|name| name.trim_end_matches('\0').trim().to_owned()).filter(|name| !name.is_empty());
    tree.or_else(processor).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// What the machine is, a line each, as far as the system says.
fn machine() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let memory =
        read("/proc/meminfo", "MemTotal:", ' ').and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let gib = memory.map(|kib| format!(", {:.1} GiB of memory", kib / 1024.0 / 1024.0)).unwrap_or_default();
    let processor = processor().map(|name| format!("{name}, ")).unwrap_or_default();
    let system =
        read("/etc/os-release", "PRETTY_NAME=", '=').unwrap_or_else(|| std::env::consts::OS.to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        format!("- {processor}{}{gib}", crate::units::counted(cores, "core")),
        format!("- {}, kernel {}, {}", system.trim_matches('"'), kernel.trim(), std::env::consts::ARCH),
    ]
}

fn processor() -> Option<String> {
    read("/proc/cpuinfo", "model name", ':').or_else(|| read("/proc/cpuinfo", "Model", ':'))
}

/// What stands behind `separator` in the first line of a file that begins with `key`.
fn read(path: &str, key: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    let value = line.strip_prefix(key)?.trim_start_matches([separator, ' ', '\t', ':']);
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_named_by_what_the_system_says() {
        let lines = machine();
        assert!(lines.len() == 2 && lines[0].contains("core") && lines[1].contains("kernel "), "{lines:?}");
        assert!(!board().is_empty() && !board().contains('\0'));
        assert_eq!(
            read("/proc/self/status", "Threads:", ' ').map(|text| text.parse::<u32>().is_ok()),
            Some(true)
        );
        assert_eq!(read("/proc/none", "key", ':'), None);
    }
}
