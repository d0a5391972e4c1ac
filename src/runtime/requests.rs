//! Requests to streams and new settings, executed on the analysis threads.

use std::time::Instant;

use serde_json::{Value, json};
use ulid::Ulid;

use super::inference::Inference;
use super::thread_request::{Answer, Outcome, Refusal, ThreadRequest};
use crate::error::{Error, Result};
use crate::publish::{AckEvent, Command, Outgoing, RequestBody, Snapshot};

/// Requests that wait for detectors at most.
const HELD: usize = 16;

impl Inference {
    /// Executes and answers the requests since the last round; ends mutes whose time is over. Requests to a pending
    /// detector wait for it.
    pub(super) fn take_requests(&mut self) {
        let waiting: Vec<ThreadRequest> = self.held.drain(..).chain(self.requests.try_iter()).collect();
        for part in waiting {
            let outcome = match (self.waits(&part.ask), self.held.len()) {
                (true, ..HELD) => {
                    self.held.push_back(part);
                    continue;
                }
                (true, _) => Err(Refusal::Failed(Error::config(
                    "the stream is calibrating, and too many requests wait for that",
                    "ask again in a minute",
                ))),
                (false, _) => self.carry_out(part.ask),
            };
            let answer = Answer { ticket: part.ticket, thread: self.number, outcome };
            let _ = self.answers.try_send(answer);
        }
        let now = Instant::now();
        for index in 0..self.streams.len() {
            if self.streams.get_mut(index).is_some_and(|stream| stream.mute.ends(now)) {
                self.publish_setting(index, Command::Mute, "0".to_owned());
            }
        }
    }

    /// Applies the supervisor's settings, unless they were withdrawn.
    pub(super) fn take_settings(&mut self) -> Result<()> {
        while let Ok(settings) = self.settings.try_recv() {
            if !settings.taken.claim() {
                // the requester has given up
                continue;
            }
            let mut outcome = Ok(());
            self.drive(|engine, sink| {
                outcome = engine.reconfigure(&settings.detect, sink);
                Ok(())
            })?;
            if outcome.is_ok() {
                self.score_every = settings.score_every;
                self.publish_budgets();
            }
            let _ = settings.answer.try_send(outcome);
        }
        Ok(())
    }

    /// Whether it concerns a pending detector.
    fn waits(&self, ask: &RequestBody) -> bool {
        let RequestBody::AckEvent(ack) = ask else { return false };
        let of = ack.stream.as_deref().or_else(|| Some(self.event_builder.find(ack.id.as_deref()?)?.0));
        of.and_then(|id| self.number_of(id)).is_some_and(|number| self.engine.learns(number))
    }

    /// The budget of every stream, after it has changed for all of them.
    pub(super) fn publish_budgets(&self) {
        for index in 0..self.streams.len() {
            self.publish_setting(index, Command::Budget, self.engine.events_per_hour().to_string());
        }
    }

    fn carry_out(&mut self, ask: RequestBody) -> Outcome {
        match ask {
            RequestBody::AckEvent(ack) => self.acknowledge(&ack),
            RequestBody::Recalibrate(of) => {
                let streams = self.meant(of.stream.as_deref())?;
                for &index in &streams {
                    if let Some(number) = self.streams.get(index).and_then(|stream| stream.number) {
                        self.drive(|engine, sink| engine.recalibrate(number, sink))?;
                    }
                }
                Ok(Some(self.named(&streams, "calibrating again, on request")))
            }
            RequestBody::Budget(budget) => {
                let streams = self.meant(budget.stream.as_deref())?;
                self.set_budget(&streams, budget.events_per_hour)?;
                Ok(Some(self.named(&streams, &format!("the budget is {}", an_hour(budget.events_per_hour)))))
            }
            RequestBody::Mute(mute) => {
                let streams = self.meant(mute.stream.as_deref())?;
                for &index in &streams {
                    if let Some(stream) = self.streams.get_mut(index) {
                        stream.mute.set(mute.seconds, Instant::now());
                    }
                    self.publish_setting(index, Command::Mute, mute.seconds.to_string());
                }
                Ok(Some(self.named(&streams, &format!("muted for {} s", mute.seconds))))
            }
            RequestBody::Snapshot(of) => self.snapshot(&of).map(Some),
            RequestBody::Label(_) | RequestBody::Reload => {
                Err(Error::internal("a request came to the wrong place").into())
            }
        }
    }

    /// Sets the budget of streams, until the next start.
    fn set_budget(&mut self, streams: &[usize], events_per_hour: f64) -> Result<()> {
        for &index in streams {
            if let Some(number) = self.streams.get(index).and_then(|stream| stream.number) {
                self.engine.set_events_per_hour(number, events_per_hour)?;
                self.publish_setting(index, Command::Budget, events_per_hour.to_string());
            }
        }
        Ok(())
    }

    /// The stream of that name, or all active ones.
    fn meant(&self, id: Option<&str>) -> Result<Vec<usize>, Refusal> {
        let fits = |stream: &super::stream::Stream| {
            stream.number.is_some() && id.is_none_or(|id| stream.feed.id == id)
        };
        let found: Vec<usize> =
            self.streams.iter().enumerate().filter(|(_, stream)| fits(stream)).map(|(at, _)| at).collect();
        if found.is_empty() {
            return Err(self.absent(id));
        }
        Ok(found)
    }

    /// Why a request finds no stream: it has given no sound yet, or there is none.
    fn absent(&self, id: Option<&str>) -> Refusal {
        let waits =
            self.streams.iter().filter(|stream| stream.number.is_none() && !stream.closing && stream.owned);
        let mut waiting = waits.map(|stream| stream.feed.id.as_str());
        match id {
            // where one is named, no other thread has it
            Some(id) if waiting.any(|waiting| waiting == id) => Refusal::Failed(not_connected(id)),
            Some(id) => unknown_stream(id),
            None => match waiting.collect::<Vec<_>>().as_slice() {
                [] => unknown_stream("at all"),
                ids => Refusal::Elsewhere(not_connected(&ids.join(", "))),
            },
        }
    }

    /// Logs the change of the streams, and names them for the answer.
    fn named(&self, streams: &[usize], what: &str) -> Value {
        let ids: Vec<&str> = streams
            .iter()
            .filter_map(|&at| self.streams.get(at))
            .map(|stream| stream.feed.id.as_str())
            .collect();
        for id in &ids {
            tracing::info!("{id}: {what}");
        }
        json!({ "streams": ids })
    }

    pub(super) fn publish_setting(&self, index: usize, key: Command, value: String) {
        if let Some(stream) = self.streams.get(index) {
            self.sender.try_send(Outgoing::Setting { stream: stream.feed.id.clone(), key, value });
        }
    }

    fn snapshot(&mut self, of: &Snapshot) -> Result<Value, Refusal> {
        let number = self.number_of(&of.stream).ok_or_else(|| self.absent(Some(&of.stream)))?;
        let excerpt = self.engine.last(number, of.seconds)?.filter(|_| self.snapshots.are_kept());
        let excerpt = excerpt.ok_or_else(|| {
            Error::config(
                "this daemon keeps no sound",
                "set spectrogram or clip in [snapshots] of its configuration",
            )
        })?;
        let name = self.snapshots.keep(&of.stream, &Ulid::generate().to_string(), Box::new(excerpt));
        tracing::info!("{}: a snapshot of the last {} s, {name}", of.stream, of.seconds);
        Ok(json!({ "snapshot": name }))
    }

    /// Brings a verdict to the detector and into the event store.
    fn acknowledge(&mut self, request: &AckEvent) -> Outcome {
        let (stream, number, id) = self.event_of(request)?;
        let of_engine = self.number_of(&stream).ok_or_else(|| self.absent(Some(&stream)))?;
        let verdict = request.verdict;
        if !self.engine.judge(of_engine, number, verdict)? {
            return Err(id.map_or_else(
                || unknown_event(format!("{stream} does not remember event {number}")).into(),
                Refusal::Forgotten,
            ));
        }
        if let Some(id) = &id {
            self.feed.verdict(id, verdict);
        }
        tracing::info!("{stream}: event {number} was judged: {verdict:?}");
        Ok(Some(json!({ "id": id, "detector_informed": true })))
    }

    /// Stream, number and, where it is known, id of the event that a verdict names.
    fn event_of(&self, request: &AckEvent) -> Result<(String, u64, Option<String>), Refusal> {
        let known = &self.event_builder;
        let found = match (&request.id, &request.stream, request.number) {
            (Some(id), ..) => {
                known.find(id).map(|(stream, number)| (stream.to_owned(), number, Some(id.clone())))
            }
            (None, Some(stream), Some(number)) => {
                Some((stream.clone(), number, known.id_of(stream, number).map(str::to_owned)))
            }
            (None, Some(stream), None) => {
                known.last_of(stream).map(|(id, number)| (stream.clone(), number, Some(id.to_owned())))
            }
            (None, None, _) => None,
        };
        found.ok_or_else(|| {
            Refusal::Elsewhere(unknown_event("no event of that name is remembered".to_owned()))
        })
    }
}

fn unknown_event(cause: String) -> Error {
    Error::config(cause, "name one of the last events, by its `id` or by `stream` and `number`")
}

fn unknown_stream(id: &str) -> Refusal {
    Refusal::Elsewhere(Error::config(
        format!("there is no stream {id}, or it is over"),
        "name a stream that the health document lists",
    ))
}

fn not_connected(ids: &str) -> Error {
    Error::config(
        format!("{ids}: configured, but not connected yet"),
        "ask again once there is sound; the availability document and the page say why there is none",
    )
}

/// `1 event an hour`, `2.5 events an hour`.
fn an_hour(events: f64) -> String {
    format!("{events} event{} an hour", if events == 1.0 { "" } else { "s" })
}
