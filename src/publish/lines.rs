//! The thread `publish` where there is no broker: each event document is a line of JSON, or of text for a person.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam_channel::{Receiver, select};

use super::inbound::{Inbound, json};
use super::outbox::OutboxCounters;
use super::outgoing::Outgoing;
use super::status::PublisherStatus;
use super::text;
use crate::telemetry::{columns, folded};

pub(super) struct StdoutLines<W> {
    pub(super) inbox: Receiver<Inbound>,
    pub(super) stop: Receiver<Instant>,
    pub(super) status: Arc<PublisherStatus>,
    pub(super) out: W,
    /// Lines are for a person, not JSON.
    pub(super) text: bool,
    /// The last line could not be written whole.
    pub(super) broken: bool,
}

impl<W: Write> StdoutLines<W> {
    /// Runs until it is stopped. A line counts as accepted and acked once it is flushed.
    pub(super) fn run(mut self) -> bool {
        let mut tally = OutboxCounters::default();
        loop {
            select! {
                recv(self.stop) -> _ => break,
                recv(self.inbox) -> next => match next {
                    Ok(next) => self.write(next, &mut tally),
                    Err(_) => break,
                },
            }
        }
        while let Ok(next) = self.inbox.try_recv() {
            self.write(next, &mut tally);
        }
        !self.status.wants_stop()
    }

    fn write(&mut self, inbound: Inbound, tally: &mut OutboxCounters) {
        let event = match inbound {
            Inbound::Out(Outgoing::Event(event)) => event,
            Inbound::Out(_) => return,
            Inbound::Flush(waiter) => {
                let _ = waiter.try_send(());
                return;
            }
        };
        let mut line = if self.broken { vec![b'\n'] } else { Vec::new() };
        if self.text {
            line.extend(folded(&text::line(&event), columns()).into_bytes());
        } else {
            line.extend(json(event.as_ref()));
        }
        line.push(b'\n');
        let written = match self.status.wants_stop() {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => self.out.write_all(&line).and_then(|()| self.out.flush()),
        };
        match written {
            Ok(()) => {
                self.broken = false;
                tally.accepted += 1;
                tally.acked += 1;
                self.status.degraded.store(false, Relaxed);
                self.status.set_tally(*tally, 0);
            }
            Err(error) => {
                self.status.refused.fetch_add(1, Relaxed);
                if error.kind() == ErrorKind::BrokenPipe {
                    self.status.reader_gone.store(true, Relaxed);
                } else {
                    self.status.lines_lost.fetch_add(1, Relaxed);
                    // half of a line may have been written: the next one begins on a new line
                    self.broken = true;
                    if !self.status.degraded.swap(true, Relaxed) {
                        tracing::error!(%error, "events cannot be written to stdout, and are lost");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::tests::event;

    struct Pipe {
        lines: Vec<u8>,
        breaks_after: usize,
    }

    impl Write for &mut Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.lines.iter().filter(|&&b| b == b'\n').count() >= self.breaks_after {
                return Err(ErrorKind::BrokenPipe.into());
            }
            self.lines.extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A disk that is full from one line to another, and takes half of the first that it refuses.
    struct Disk {
        lines: Vec<u8>,
        calls: usize,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.calls += 1;
            match self.calls {
                2 => {
                    self.lines.extend(&bytes[..bytes.len() / 2]);
                    Ok(bytes.len() / 2)
                }
                3 | 4 => Err(ErrorKind::StorageFull.into()),
                _ => {
                    self.lines.extend(bytes);
                    Ok(bytes.len())
                }
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_that_are_counted_and_glues_none_together() {
        let (sender, inbox) = crossbeam_channel::unbounded();
        let (_stop, stopped) = crossbeam_channel::bounded(1);
        for seq in 0..5 {
            sender.send(Inbound::Out(Outgoing::Event(Box::new(event("mic", seq))))).unwrap();
        }
        drop(sender);
        let status = Arc::new(PublisherStatus::default());
        let mut disk = Disk { lines: Vec::new(), calls: 0 };
        StdoutLines {
            inbox,
            stop: stopped,
            status: status.clone(),
            out: &mut disk,
            text: false,
            broken: false,
        }
        .run();
        let text = String::from_utf8(disk.lines).unwrap();
        let whole: Vec<u64> = text
            .lines()
            .filter_map(|line| Some(serde_json::from_str::<crate::event::Event>(line).ok()?.seq))
            .collect();
        assert_eq!(whole, [0, 3, 4], "{text}");
        assert_eq!((status.lines_lost(), status.accepted(), status.wants_stop()), (2, 3, false));
    }

    #[test]
    fn a_line_an_event_until_the_reader_goes() {
        let (sender, inbox) = crossbeam_channel::unbounded();
        let (_stop, stopped) = crossbeam_channel::bounded(1);
        for seq in 0..5 {
            sender.send(Inbound::Out(Outgoing::Event(Box::new(event("mic", seq))))).unwrap();
            sender.send(Inbound::Out(Outgoing::Anomaly { stream: "mic".into(), on: true })).unwrap();
        }
        drop(sender);
        let status = Arc::new(PublisherStatus::default());
        let mut pipe = Pipe { lines: Vec::new(), breaks_after: 3 };
        let clean = StdoutLines {
            inbox,
            stop: stopped,
            status: status.clone(),
            out: &mut pipe,
            text: false,
            broken: false,
        }
        .run();
        let text = String::from_utf8(pipe.lines).unwrap();
        let seqs: Vec<u64> =
            text.lines().map(|line| serde_json::from_str::<crate::event::Event>(line).unwrap().seq).collect();
        assert_eq!(seqs, [0, 1, 2]);
        assert!(status.wants_stop() && !clean);
        assert_eq!((status.accepted(), status.acked(), status.refused()), (3, 3, 2));
    }
}
