//! The subscribing side of `watch`.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout_at};

use super::args::WatchArgs;
use super::lines;
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::mqtt::BrokerAddress;
use crate::mqtt::link::{self, ConnectOptions, Link, LinkEvent, Message};
use crate::publish::Topics;
use crate::telemetry::{columns, folded};

/// Time for the first connection.
const FIRST: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

struct EventSubscriber<'a> {
    args: &'a WatchArgs,
    filters: Vec<String>,
    printed: u64,
}

enum SessionEnd {
    Done,
    Lost(String),
}

pub(super) fn run(args: &WatchArgs) -> Result<()> {
    let address = BrokerAddress::parse(&args.broker)?;
    Topics::new(&args.prefix, args.node.as_deref().unwrap_or("any"))?;
    let access = &args.access;
    let login = link::login(&address, access.username.as_deref(), access.password_file.as_deref())?;
    let node = args.node.as_deref().unwrap_or("+");
    let kinds = ["status", "health", "+/availability", "+/event", "+/anomaly"];
    let kinds = kinds.iter().chain(args.scores.then_some(&"+/score"));
    let filters = kinds.map(|kind| format!("{}/{node}/{kind}", args.prefix)).collect();
    let id = format!("cpc-watch-{}", ulid::Ulid::generate());
    let mut options = ConnectOptions::new(address.clone(), login, id, KEEP_ALIVE);
    options.encrypt(&access.tls())?;
    let mut watch = EventSubscriber { args, filters, printed: 0 };
    let runtime = link::runtime()?;
    let result = runtime.block_on(async {
        let by = Instant::now() + FIRST;
        let mut connected = false;
        let mut backoff = Backoff::new(PAUSES);
        loop {
            let mut link = Link::start(&options);
            let session = watch.session(&mut link, &mut connected, by);
            match session.await? {
                SessionEnd::Done => return Ok(()),
                SessionEnd::Lost(reason) if !connected && Instant::now() + backoff.upcoming() >= by => {
                    return Err(unreachable(&address, &reason));
                }
                SessionEnd::Lost(reason) => {
                    if connected {
                        tracing::warn!("the broker is away ({reason}); trying again");
                    }
                }
            }
            sleep(backoff.pause()).await;
        }
    });
    runtime.shutdown_background();
    result
}

fn unreachable(address: &BrokerAddress, reason: &str) -> Error {
    let BrokerAddress { host, port, .. } = address;
    let fix = match reason {
        reason if reason.contains("BadUserNamePassword") || reason.contains("NotAuthorized") => {
            "check --username and --password-file"
        }
        reason if reason.contains("lookup") => "check the host name in --broker",
        _ => {
            "check that a broker listens there and no firewall is between (mosquitto_sub -h HOST -p PORT -t '#')"
        }
    };
    Error::broker(format!("no connection to the broker at {host}:{port} within 5 s: {reason}"), fix)
}

impl EventSubscriber<'_> {
    async fn session(&mut self, link: &mut Link, connected: &mut bool, by: Instant) -> Result<SessionEnd> {
        loop {
            let event = if *connected {
                link.events.recv().await
            } else {
                match timeout_at(by.into(), link.events.recv()).await {
                    Ok(event) => event,
                    Err(_) => return Ok(SessionEnd::Lost("no answer".into())),
                }
            };
            match event {
                None => return Ok(SessionEnd::Lost("the connection's task ended".into())),
                Some(Err(error)) => return Ok(SessionEnd::Lost(error)),
                Some(Ok(LinkEvent::Connected { .. })) => {
                    *connected = true;
                    for filter in &self.filters {
                        if !link.client.subscribe(filter) {
                            return Ok(SessionEnd::Lost("the connection closed".into()));
                        }
                    }
                }
                Some(Ok(LinkEvent::Disconnect(reason))) => return Ok(SessionEnd::Lost(reason)),
                Some(Ok(LinkEvent::Message(message))) => {
                    if !self.print(&message)? {
                        return Ok(SessionEnd::Done);
                    }
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// False where there is no more to print, or stdout is closed.
    fn print(&mut self, message: &Message) -> Result<bool> {
        let text = String::from_utf8_lossy(&message.payload);
        let line = match self.args.json {
            true => lines::json(&message.topic, message.retained, &text),
            false => folded(&lines::human(&self.args.prefix, &message.topic, &text), columns()),
        };
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(Error::internal(format!("cannot write to stdout: {error}"))),
            Ok(()) => {}
        }
        self.printed += 1;
        Ok(self.args.count.is_none_or(|count| self.printed < count))
    }
}
