//! The state of the page: the latest figures of each stream, an hour of seconds, the last events, and the connected
//! pages.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::node::NodeInfo;
use super::spectrogram::{axes, column_json};
use super::ui_sender::{CalibrationView, UiEvent};
use crate::event::{Event, Phase, Tier};
use crate::publish::{Availability, Health, Presence, Score, Watching};
use crate::units::counted;

/// Seconds of a stream that are kept.
const HOUR: usize = 3600;
/// Events that are kept, all streams.
const EVENTS: usize = 200;
/// Pages that can look at a time.
const CLIENTS: usize = 16;
/// Messages that wait for one page; a page that lets more wait is dropped.
const WAITING: usize = 1024;

/// A stream on the page.
#[derive(Debug, Default)]
pub(super) struct StreamView {
    pub(super) id: String,
    pub(super) availability: Option<Availability>,
    pub(super) latest: Option<Score>,
    pub(super) calibration: Option<CalibrationView>,
    /// When that came, Unix seconds.
    pub(super) calibrated_s: Option<f64>,
    /// Events that began: alarms, and severe ones.
    pub(super) reported: [u64; 2],
    seconds: VecDeque<Second>,
}

impl StreamView {
    /// Whether the stream is online.
    pub(super) fn is_online(&self) -> bool {
        self.availability.as_ref().is_some_and(|a| a.state == Presence::Online)
    }
}

/// A second of a stream in few bytes, since an hour is kept; NaN without a figure.
#[derive(Debug, Clone, Copy)]
struct Second {
    t_s: f32,
    score: f32,
    surprise: f32,
    novelty: f32,
    level_dbfs: f32,
}

#[derive(Debug)]
struct Client {
    way: Sender<Bytes>,
    stream: Option<usize>,
}

/// The state of all streams.
#[derive(Debug)]
pub(super) struct DashboardState {
    pub(super) about: NodeInfo,
    pub(super) streams: Vec<StreamView>,
    pub(super) ready: bool,
    pub(super) hangs: Option<String>,
    events: VecDeque<Event>,
    clients: Vec<Client>,
}

impl DashboardState {
    pub(super) fn new(about: NodeInfo) -> Self {
        let of = |id: &String| StreamView { id: id.clone(), ..StreamView::default() };
        let streams = about.streams.iter().map(of).collect();
        Self { about, streams, ready: false, hangs: None, events: VecDeque::new(), clients: Vec::new() }
    }

    /// The place of the stream `id`.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id)
    }

    /// Applies an event, and forwards it to the pages that need it.
    pub(super) fn take(&mut self, said: UiEvent) {
        match said {
            UiEvent::Ready => self.ready = true,
            UiEvent::Stopping => self.ready = false,
            UiEvent::Hangs(who) => self.hangs = who,
            UiEvent::Presence { stream, availability } => {
                let news = json!({ "stream": stream, "availability": availability });
                self.broadcast("presence", &news, None);
                if let Some(view) = self.streams.iter_mut().find(|view| view.id == stream) {
                    view.availability = Some(availability);
                }
            }
            UiEvent::Second { stream, score } => self.second(stream, score),
            UiEvent::SpectrogramColumn { stream, column } => {
                self.broadcast("column", &column_json(&column), Some(stream));
            }
            UiEvent::Event(event) => self.event(*event),
            UiEvent::Calibration { stream, view } => {
                let Some(of) = self.streams.get_mut(stream) else { return };
                let news = json!({ "stream": of.id, "id": view.id });
                of.calibration = Some(*view);
                of.calibrated_s = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .ok()
                    .map(|since| since.as_secs_f64().round());
                self.broadcast("calibration", &news, None);
            }
        }
    }

    fn second(&mut self, stream: usize, score: Score) {
        let Some(view) = self.streams.get_mut(stream) else { return };
        let small = |x: Option<f64>| x.map_or(f32::NAN, |x| x as f32);
        if view.seconds.len() >= HOUR {
            view.seconds.pop_front();
        }
        view.seconds.push_back(Second {
            t_s: score.t_s as f32,
            score: small(score.score),
            surprise: small(score.surprise),
            novelty: small(score.novelty),
            level_dbfs: score.level_dbfs,
        });
        let news = json!({ "stream": view.id, "score": score });
        view.latest = Some(score);
        self.broadcast("second", &news, None);
    }

    fn event(&mut self, event: Event) {
        self.broadcast("event", &event, None);
        if event.finding.phase == Phase::New
            && let Some(at) = self.place(&event.stream)
            && let Some(view) = self.streams.get_mut(at)
        {
            let [alarms, severe] = &mut view.reported;
            *(if event.finding.tier == Tier::Severe { severe } else { alarms }) += 1;
        }
        match self.events.iter_mut().rev().find(|known| known.id == event.id) {
            Some(known) => *known = event,
            None => {
                if self.events.len() >= EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(event);
            }
        }
    }

    /// Keeps connections alive, and finds closed ones.
    pub(super) fn ping(&mut self) {
        self.forward(&Bytes::from_static(b": still here\n\n"), None);
    }

    fn broadcast(&mut self, what: &str, data: &impl Serialize, stream: Option<usize>) {
        if self.clients.is_empty() {
            return;
        }
        let data = serde_json::to_string(data).unwrap_or_default();
        self.forward(&Bytes::from(format!("event: {what}\ndata: {data}\n\n")), stream);
    }

    fn forward(&mut self, message: &Bytes, stream: Option<usize>) {
        self.clients.retain(|client| match stream {
            Some(_) if client.stream != stream => !client.way.is_closed(),
            _ => client.way.try_send(message.clone()).is_ok(),
        });
    }

    /// Adds a page that shows all streams, and the spectrum of `stream`. `None` where there are too many.
    pub(super) fn join(&mut self, stream: Option<usize>) -> Option<Receiver<Bytes>> {
        self.clients.retain(|client| !client.way.is_closed());
        if self.clients.len() >= CLIENTS {
            return None;
        }
        let (way, out) = channel(WAITING);
        // the first bytes open the event stream in the browser
        let _ = way.try_send(Bytes::from_static(b"retry: 2000\n\n"));
        self.clients.push(Client { way, stream });
        Some(out)
    }

    /// Pages that look.
    pub(super) fn clients(&self) -> usize {
        self.clients.iter().filter(|client| !client.way.is_closed()).count()
    }

    /// The state of everything.
    pub(super) fn overview(&self, health: &Health) -> Value {
        let of = |view: &StreamView| {
            json!({
                "id": view.id,
                "availability": view.availability,
                "latest": view.latest,
                "calibration": view.calibration.as_ref().map(|c| &c.id),
                "alarms": view.reported[0],
                "severe": view.reported[1],
            })
        };
        let streams: Vec<Value> = self.streams.iter().map(of).collect();
        json!({
            "node": self.about.node,
            "model": self.about.model,
            "ready": self.ready,
            "hangs": self.hangs,
            "faults": self.faults(health),
            "pictures": self.about.pictures,
            "clips": self.about.clips,
            "spectrogram": axes(),
            "broker": self.about.broker,
            "streams": streams,
            "health": health,
        })
    }

    /// Faults, one line each.
    pub(super) fn faults(&self, health: &Health) -> Vec<String> {
        let mut faults: Vec<String> = self.hangs.iter().map(|who| format!("{who} hangs")).collect();
        for view in &self.streams {
            let availability = view.availability.as_ref().filter(|availability| !availability.is_elsewhere());
            if let Some(Availability { state: Presence::Offline, reason }) = availability {
                let why = reason.as_deref().unwrap_or("no reason is known");
                faults.push(format!("{} gives no sound: {why}", view.id));
            }
        }
        for (id, stream) in &health.streams {
            let calibrating = self
                .streams
                .iter()
                .any(|view| view.id == *id && state_label(view.latest.as_ref()) == "calibrating");
            if stream.learning_failed > 0 && calibrating {
                let times = stream.learning_failed;
                faults.push(format!(
                    "{id}: learning what is normal failed {} and begins anew",
                    counted(times, "time")
                ));
            }
            if !["good", ""].contains(&stream.input.state.as_str()) {
                faults.push(format!("{id}: the input is {}", stream.input.state));
            }
            if stream.lost_percent >= LOST_PERCENT {
                faults.push(format!(
                    "{id}: {:.0} % of its sound of the last 15 minutes is lost: the machine is too slow for its streams (see the load), \
                     or the device or the network loses it",
                    stream.lost_percent
                ));
            }
            if let (Some(measured), Some(configured)) = (stream.measured_hz, stream.configured_hz)
                && measured.abs_diff(configured) * WRONG_FORM > configured
            {
                faults.push(format!(
                    "{id}: {measured} samples a second come where {configured} are configured"
                ));
            }
        }
        faults.extend(health.broker.faults.iter().cloned());
        if health.outbox.removed {
            faults.push("the state folder was removed: what waits is lost when the daemon ends".to_owned());
        } else if health.outbox.degraded {
            faults.push("the disk refuses events; they wait in memory".to_owned());
        }
        faults
    }

    /// The events that are kept, the newest first, each in its latest state.
    #[cfg(test)]
    pub(super) fn events(&self) -> Vec<&Event> {
        self.events.iter().rev().collect()
    }

    /// The event `id`, while it is kept.
    pub(super) fn find(&self, id: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.id == id)
    }

    /// The last hour of a stream, a second each.
    pub(super) fn history(&self, stream: usize) -> Option<Value> {
        let view = self.streams.get(stream)?;
        let column = |of: fn(&Second) -> f32| -> Vec<f32> {
            view.seconds.iter().map(|second| (of(second) * 100.0).round() / 100.0).collect()
        };
        Some(json!({
            "stream": view.id,
            "t_s": column(|s| s.t_s),
            "score": column(|s| s.score),
            "surprise": column(|s| s.surprise),
            "novelty": column(|s| s.novelty),
            "level_dbfs": column(|s| s.level_dbfs),
        }))
    }
}

/// From so many percent of lost sound on it is a fault; the rule in `config/prometheus-alerts.yaml` has the same limit.
const LOST_PERCENT: f64 = 1.0;

/// A rate that is off by more than this share of the configured one is a wrong PCM format, not a wrong clock.
const WRONG_FORM: u32 = 20;

/// The state of a stream as a label.
pub(super) fn state_label(score: Option<&Score>) -> &'static str {
    match score.map(|score| score.state) {
        None => "waiting",
        Some(Watching::Calibrating) => "calibrating",
        Some(Watching::Provisional) => "provisional",
        Some(Watching::Watching) => "watching",
        Some(Watching::Relearning) => "relearning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;
    use crate::publish::StreamHealth;
    use crate::serve::SpectrogramColumn;

    fn dashboard() -> DashboardState {
        let streams = vec!["hall".to_owned(), "yard".to_owned()];
        DashboardState::new(NodeInfo { streams, ..NodeInfo::default() })
    }

    #[test]
    fn an_event_is_kept_once_and_counted_once() {
        let mut dashboard = dashboard();
        let first = samples::event("hall", 1);
        let mut last = first.clone();
        (last.seq, last.finding.phase) = (2, Phase::End);
        for event in [first, last, samples::event("yard", 3), samples::event("nowhere", 4)] {
            dashboard.take(UiEvent::Event(Box::new(event)));
        }
        let phases: Vec<Phase> = dashboard.events().iter().map(|event| event.finding.phase).collect();
        assert_eq!(phases, [Phase::New, Phase::New, Phase::End]);
        assert_eq!((dashboard.streams[0].reported, dashboard.streams[1].reported), ([1, 0], [1, 0]));
        for seq in 10..300 {
            dashboard.take(UiEvent::Event(Box::new(samples::event("hall", seq))));
        }
        assert_eq!(dashboard.events().len(), EVENTS);
    }

    #[test]
    fn lost_sound_is_a_fault_from_one_percent_on() {
        let dashboard = dashboard();
        let faults = |lost_percent| {
            let stream = StreamHealth { lost_percent, ..StreamHealth::default() };
            let streams = [("hall".to_owned(), stream)].into();
            dashboard.faults(&Health { streams, ..Health::default() })
        };
        assert_eq!(faults(0.99), Vec::<String>::new());
        let found = faults(63.0);
        assert!(found.len() == 1 && found[0].starts_with("hall: 63 % of its sound"), "{found:?}");
    }

    #[test]
    fn a_page_gets_its_stream_and_a_slow_page_is_dropped() {
        let mut dashboard = dashboard();
        let mut one = dashboard.join(Some(1)).unwrap();
        one.try_recv().unwrap();
        let column = SpectrogramColumn {
            t_s: 1.0,
            bands: [171; crate::units::BANDS],
            score: None,
            surprise: None,
            novelty: None,
            level_dbfs: -60.0,
        };
        for stream in [0, 1] {
            dashboard.take(UiEvent::SpectrogramColumn { stream, column: Box::new(column.clone()) });
        }
        let message = String::from_utf8(one.try_recv().unwrap().to_vec()).unwrap();
        assert!(message.starts_with("event: column\ndata: {") && message.contains("abababab"), "{message}");
        assert!(one.try_recv().is_err(), "the other stream is not for this page");
        for _ in 0..=WAITING {
            dashboard.ping();
        }
        assert_eq!(dashboard.clients(), 0);
        let kept: Vec<_> = (0..CLIENTS).map(|_| dashboard.join(None).unwrap()).collect();
        assert!(dashboard.join(None).is_none());
        drop(kept);
        assert!(dashboard.join(None).is_some(), "who has gone makes room");
    }
}
