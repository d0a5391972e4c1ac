//! The thread `publish` where there is no broker: each event document is a line of JSON.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam_channel::{Receiver, select};

use super::outbox::Tally;
use super::publisher::{Inbound, Outgoing, json};
use super::status::PublisherStatus;

pub(super) struct Lines<W> {
    pub(super) inbox: Receiver<Inbound>,
    pub(super) stop: Receiver<Instant>,
    pub(super) status: Arc<PublisherStatus>,
    pub(super) out: W,
}

impl<W: Write> Lines<W> {
    /// Runs until it is stopped. A line counts as accepted and acked once it is flushed.
    pub(super) fn run(mut self) -> bool {
        let mut tally = Tally::default();
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

    fn write(&mut self, inbound: Inbound, tally: &mut Tally) {
        let event = match inbound {
            Inbound::Out(Outgoing::Event(event)) => event,
            Inbound::Out(_) => return,
            Inbound::Flush(waiter) => {
                let _ = waiter.try_send(());
                return;
            }
        };
        let mut line = json(event.as_ref());
        line.push(b'\n');
        let written = match self.status.wants_stop() {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => self.out.write_all(&line).and_then(|()| self.out.flush()),
        };
        match written {
            Ok(()) => {
                tally.accepted += 1;
                tally.acked += 1;
                self.status.degraded.store(false, Relaxed);
                self.status.set_tally(*tally, 0);
            }
            Err(error) => {
                self.status.refused.fetch_add(1, Relaxed);
                if error.kind() == ErrorKind::BrokenPipe {
                    self.status.reader_gone.store(true, Relaxed);
                } else if !self.status.degraded.swap(true, Relaxed) {
                    tracing::error!(%error, "events cannot be written to stdout");
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
        let clean = Lines { inbox, stop: stopped, status: status.clone(), out: &mut pipe }.run();
        let text = String::from_utf8(pipe.lines).unwrap();
        let seqs: Vec<u64> =
            text.lines().map(|line| serde_json::from_str::<crate::event::Event>(line).unwrap().seq).collect();
        assert_eq!(seqs, [0, 1, 2]);
        assert!(status.wants_stop() && !clean);
        assert_eq!((status.accepted(), status.acked(), status.refused()), (3, 3, 2));
    }
}
