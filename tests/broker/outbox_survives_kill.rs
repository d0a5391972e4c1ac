//! P1, of the outbox alone: kill -9 at random moments; after each kill the file opens, its books balance, and all is there.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use cpc_stream::internal::publish::{Message, Outbox, OutboxLimits};

const FOLDER: &str = "CPC_TEST_OUTBOX";
const FROM: &str = "CPC_TEST_FROM";
const CAPS: OutboxLimits = OutboxLimits { max_bytes: 1 << 30, max_age: Duration::from_secs(1 << 20) };

fn number(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).unwrap();
    text.split('.').next().unwrap().parse().unwrap()
}

/// The child: appends, confirms some, and prints every number once it was accepted.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    let mut outbox = Outbox::open(Path::new(&folder), CAPS).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nready").unwrap();
    for next in (from..).step_by(2) {
        let messages = [next, next + 1].map(|n| Message {
            topic: "t/mic/event".into(),
            stream: "mic".into(),
            payload: format!("{n}.{}", "x".repeat(n as usize % 700)).into_bytes(),
        });
        outbox.append(&messages).unwrap();
        writeln!(out, "accepted {next}\naccepted {}", next + 1).unwrap();
        if next % 8 == from % 8 {
            for record in outbox.take(3).unwrap() {
                writeln!(out, "acked {}", number(&record.payload)).unwrap();
                outbox.ack(record.seq);
            }
        }
        if next % 32 == from % 32 {
            outbox.flush().unwrap();
        }
    }
}

fn kill_loop(kills: u32) {
    let dir = tempfile::tempdir().unwrap();
    let (mut accepted, mut acked, mut from) = (BTreeSet::new(), BTreeSet::new(), 0);
    let (mut killed_while_writing, mut duplicates) = (0, 0);
    for round in 0..kills {
        let mut child = crate::support::events::this_binary("outbox_survives_kill::child")
            .env(FOLDER, dir.path())
            .env(FROM, from.to_string())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line == "ready"),
            "the child opens what the killed one left (round {round})"
        );
        let reader = std::thread::spawn(move || lines.collect::<Vec<_>>());
        let micros = RandomState::new().hash_one(round) % 60_000;
        let until = Instant::now() + Duration::from_micros(micros);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let lines = reader.join().unwrap();
        killed_while_writing += u32::from(!lines.is_empty());
        for line in lines {
            match line.split_once(' ') {
                Some(("accepted", n)) => accepted.extend(n.parse::<u64>().ok()),
                Some(("acked", n)) => acked.extend(n.parse::<u64>().ok()),
                _ => {}
            };
        }

        let mut outbox = Outbox::open(dir.path(), CAPS).unwrap();
        assert_eq!(outbox.corrupt_files(), 0);
        let there: Vec<u64> =
            outbox.take(usize::MAX).unwrap().iter().map(|record| number(&record.payload)).collect();
        assert!(there.is_sorted_by(|a, b| a < b), "in order, none twice");
        let tally = outbox.tally();
        assert_eq!(tally.pending(), there.len() as u64);
        assert_eq!(tally.accepted, tally.acked + tally.pending() + tally.dropped);
        let there: BTreeSet<u64> = there.into_iter().collect();
        let lost: Vec<_> = accepted.iter().filter(|n| !there.contains(n) && !acked.contains(n)).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        duplicates += acked.intersection(&there).count();
        from = there.last().or(accepted.last()).map_or(0, |last| last + 1).max(from);
    }
    println!(
        "{kills} kills: {} accepted and printed, 0 lost, {} confirmed, {duplicates} seen again after a kill",
        accepted.len(),
        acked.len()
    );
    assert!(killed_while_writing * 2 > kills, "most kills met a child at work");
}

#[test]
fn no_accepted_event_is_lost() {
    kill_loop(40);
}

/// The promise in full; about two minutes.
#[test]
#[ignore = "1,000 kills take minutes"]
fn no_accepted_event_is_lost_in_a_thousand_kills() {
    kill_loop(1000);
}
