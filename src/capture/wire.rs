//! Sound that comes over a network: raw PCM by TCP or UDP, cameras and web streams by way of ffmpeg.
//!
//! Such a source is live, as a device is: when it is gone or gives nothing it is offline and is tried again for ever, and
//! on its return the time away is a gap.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod address;
mod arrival;
mod connection;
mod ffmpeg;
mod receiver;
mod tcp;

use std::time::Instant;

use address::Address;
use arrival::Arrival;
use connection::Connection;
pub(crate) use ffmpeg::{AS_FFMPEG, become_ffmpeg, guard_children};
use receiver::{Pace, PcmReceiver};

use super::config::{RtspTransport, SourceConfig};
use super::driver::{Opened, Opening, SourceDriver};
use super::flow::FlowMonitor;
use super::intake::Intake;
use super::link::{LAST_RETRY, ReportedState, SourceLink, retries};
use super::pcm::PcmForm;
use crate::error::Result;
use crate::mqtt::slug;

/// A sender on a network.
struct WireDriver {
    address: Address,
    form: PcmForm,
    transport: RtspTransport,
}

/// The driver of `url`.
pub(super) fn driver(source: &SourceConfig) -> Option<Result<Box<dyn SourceDriver>>> {
    let (form, transport) = (source.pcm.unwrap_or_default(), source.rtsp_transport.unwrap_or_default());
    let address = Address::parse(source.url.as_deref()?);
    Some(
        address.map(|address| -> Box<dyn SourceDriver> { Box::new(WireDriver { address, form, transport }) }),
    )
}

impl SourceDriver for WireDriver {
    fn name(&self) -> String {
        self.address.to_string()
    }

    fn default_id(&self) -> String {
        slug(self.address.short(), '_', "source")
    }

    fn is_live(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        self.form.validate()
    }

    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened> {
        let Self { address, form, transport } = *self;
        let (mut intake, readers) = (opening.rings)(form.rate)?;
        intake.expect(form.channels, form.rate)?;
        let link = opening.link;
        Ok(Opened::new(readers, move || run(&address, (form, transport), intake, &link)))
    }
}

/// The end of a connection.
enum ConnectionEnd {
    /// The source is to stop.
    Stopped,
    /// It was a file, and is read to its end: it is not reopened.
    Over,
    /// It is lost: the reason, and whether it delivered any sound.
    Lost { reason: String, received: bool },
}

/// Runs such a source: open, read, open again, until it is stopped.
fn run(address: &Address, (form, transport): (PcmForm, RtspTransport), intake: Intake, link: &SourceLink) {
    // ffmpeg makes the rate that it is asked for
    let measured = !matches!(address, Address::Ffmpeg(_));
    let receiver = PcmReceiver::new(form, intake, link, measured);
    let mut source =
        NetworkSource { address, form, receiver, link, reported: ReportedState::default(), transcoded: None };
    let mut delay = retries();
    while !link.stopping() {
        let end = match Connection::open(address, form, transport) {
            Ok(mut connection) => source.listen(&mut connection),
            Err(reason) => ConnectionEnd::Lost { reason, received: false },
        };
        match end {
            ConnectionEnd::Stopped => return,
            ConnectionEnd::Over => {
                while link.sleep_until(Instant::now() + LAST_RETRY) {}
                return;
            }
            ConnectionEnd::Lost { reason, received } => {
                source.report_offline(format!("{address}: {reason}"));
                if received {
                    delay.reset();
                }
            }
        }
        link.sleep_until(Instant::now() + delay.pause());
    }
}

struct NetworkSource<'a> {
    address: &'a Address,
    form: PcmForm,
    receiver: PcmReceiver<'a>,
    link: &'a SourceLink,
    reported: ReportedState,
    /// Bytes that the last connection gave by way of ffmpeg, until it ended.
    transcoded: Option<u64>,
}

impl NetworkSource<'_> {
    /// Reads until the connection is lost.
    fn listen(&mut self, connection: &mut Connection) -> ConnectionEnd {
        let address = self.address;
        let (limits, pace) = (connection.limits(), pace(address));
        self.receiver.begin();
        let (mut received, mut flow) = (false, FlowMonitor::new(limits.quiet, self.form.rate));
        loop {
            if self.link.stopping() {
                return ConnectionEnd::Stopped;
            }
            let frames = match connection.next() {
                Arrival::Bytes(bytes) => {
                    if flow.trickles() {
                        self.receiver.pause();
                    } else if self.receiver.completes_a_frame(bytes) {
                        // reported first, since paced sound may wait
                        self.report_online();
                        received = true;
                    }
                    self.receiver.take(bytes, pace)
                }
                Arrival::Datagram(bytes) => {
                    if flow.trickles() {
                        self.receiver.pause();
                    }
                    self.receiver.take_datagram(bytes, pace)
                }
                Arrival::Nothing => 0,
                Arrival::Sender(why) => {
                    flow.begin();
                    let rest = half_a_frame(self.receiver.begin());
                    tracing::info!("{}: {address}: {why}{rest}", self.link.source);
                    0
                }
                Arrival::Lost(why) => {
                    let rest = half_a_frame(self.receiver.begin());
                    // a file of unknown length, from a server that does not tell it, gives as much a second time
                    let before = std::mem::replace(&mut self.transcoded, connection.transcoded());
                    if let Some(bytes) = self.transcoded.filter(|&bytes| bytes > 0 && before == Some(bytes)) {
                        return self.be_over(
                            bytes as f64 / self.form.frame_bytes() as f64 / f64::from(self.form.rate),
                        );
                    }
                    return ConnectionEnd::Lost { reason: format!("{why}{rest}"), received };
                }
                Arrival::Over(seconds) => return self.be_over(seconds),
            };
            let now = Instant::now();
            if frames > 0 && flow.take(frames, now) {
                self.report_online();
                received = true;
            }
            if let Some(missing) = flow.begins_to_trickle(now).filter(|_| received) {
                self.receiver.pause();
                self.receiver.mark_missing(missing);
                let rate = self.form.rate;
                self.report_offline(format!(
                    "{address}: less than a quarter of {rate} samples a second come: the line is slow, or `pcm` is not the form that is sent"
                ));
            }
            if frames > 0 {
                continue;
            }
            let quiet = flow.quiet(now);
            let (limit, after) = (if received { limits.lost } else { limits.first }, limits.quiet);
            if quiet >= after && (received || !self.reported.is_offline()) {
                let complaint = self.receiver.complaint().or_else(|| connection.complaint());
                if received && !self.reported.is_offline() {
                    self.receiver.pause();
                }
                let complaint = complaint.map(|complaint| format!("; {complaint}")).unwrap_or_default();
                let wait = limits
                    .first
                    .filter(|_| !received)
                    .map(|limit| format!(" yet, it may take {} s", limit.as_secs()));
                let wait = wait.unwrap_or_else(|| format!(" for {} s", after.as_secs()));
                self.report_offline(format!("{address}: no sound{wait}{complaint}"));
            }
            if let Some(limit) = limit.filter(|&limit| quiet >= limit) {
                let complaint = connection.complaint().map(|complaint| format!("; {complaint}"));
                let reason = format!("no sound for {} s{}", limit.as_secs(), complaint.unwrap_or_default());
                return ConnectionEnd::Lost { reason, received };
            }
        }
    }

    fn be_over(&mut self, seconds: f64) -> ConnectionEnd {
        let address = self.address;
        self.report_offline(format!(
            "{address}: the file of {seconds:.1} s is over; it is played once (`cpc-stream score` scores files)"
        ));
        ConnectionEnd::Over
    }

    fn report_online(&mut self) {
        let (address, PcmForm { rate, channels, format }) = (self.address, self.form);
        self.reported.online(self.link, || format!("{address} {rate} Hz {channels} ch {format:?}"));
    }

    fn report_offline(&mut self, reason: String) {
        self.reported.offline(self.link, reason);
    }
}

/// The log text about incomplete frames at the end of a sender.
fn half_a_frame(bytes: usize) -> String {
    if bytes > 0 {
        format!(" in the middle of a frame, of which {bytes} bytes are refused")
    } else {
        String::new()
    }
}

/// The pace of the sound of `address`.
fn pace(address: &Address) -> Pace {
    match address {
        Address::Datagrams(_) => Pace::AsItComes,
        Address::Dial(_) | Address::Answer(_) => Pace::Waits,
        // a file comes as fast as it can be read, and segments of a live stream do too
        Address::Ffmpeg(url) if url.starts_with("http") => Pace::RealTime,
        Address::Ffmpeg(_) => Pace::Waits,
    }
}
