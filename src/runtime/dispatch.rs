//! Requests on their way from the broker to the threads of the analysis, and their answers back.
//!
//! A request goes to every thread, since only the thread of a stream knows it; the answer combines those of the threads
//! concerned.

use crossbeam_channel::{Receiver, Sender, TrySendError, unbounded};
use serde_json::{Value, json};

use super::shard::Shard;
use super::thread_request::{Answer, Outcome, Refusal, ThreadRequest};
use crate::error::{Error, Result};
use crate::event::Verdict;
use crate::event_store::{EventName, LabelChange, Recorder, ReviewAnswer};
use crate::publish::{
    AckEvent, Command, DirectRequest, EventSender, LabelRequest, Outgoing, Request, RequestBody, Response,
};
use crate::telemetry::LogThrottle;

/// Requests of callers in this process that wait to be taken, at most.
pub(super) const DIRECT_REQUESTS: usize = 16;

static REFUSED: LogThrottle = LogThrottle::new();

/// Who gets the response to a request: a caller in this process, or the broker.
pub(super) struct Requester {
    transaction: Option<String>,
    caller: Option<Sender<Response>>,
}

struct Pending {
    ticket: u64,
    command: Command,
    requester: Requester,
    /// The answer of each thread, or of the event store alone.
    outcomes: Vec<Option<Outcome>>,
    /// The event store answers, not the threads.
    of_store: bool,
    /// A verdict, for the event store where no thread knows the event.
    verdict: Option<AckEvent>,
}

/// Dispatches requests to the threads, and their answers to the broker.
pub(super) struct Dispatch {
    pub(super) requests: Receiver<Request>,
    pub(super) direct_requests: Receiver<DirectRequest>,
    pub(super) answers: Receiver<Answer>,
    sender: EventSender,
    next: u64,
    pending: Vec<Pending>,
    /// Changes of labels, and verdicts on events of earlier runs, go there, and not to the threads.
    recorder: Recorder,
    /// The results of these, by ticket.
    reviewed: (Sender<ReviewAnswer>, Receiver<ReviewAnswer>),
    /// Who asked for a reload.
    reloads: Vec<Requester>,
}

impl Dispatch {
    /// Reads `requests`, which are answered by `sender`, and `direct_requests`. Threads answer by the returned channel.
    pub(super) fn new(
        requests: Receiver<Request>,
        direct_requests: Receiver<DirectRequest>,
        sender: EventSender,
        recorder: Recorder,
    ) -> (Self, Sender<Answer>) {
        // no more than requests, of which few can wait
        let (give, answers) = unbounded();
        let (next, pending, reloads, reviewed) = (0, Vec::new(), Vec::new(), unbounded());
        let of =
            Self { requests, direct_requests, answers, sender, next, pending, recorder, reviewed, reloads };
        (of, give)
    }

    /// Gives a request of the broker to the threads.
    pub(super) fn ask(&mut self, request: Request, shards: &[Shard]) {
        self.ask_for(request, None, shards);
    }

    /// Gives a request of a caller to the threads.
    pub(super) fn ask_directly(&mut self, direct: DirectRequest, shards: &[Shard]) {
        self.ask_for(direct.request, Some(direct.response_sender), shards);
    }

    fn ask_for(&mut self, request: Request, caller: Option<Sender<Response>>, shards: &[Shard]) {
        let Request { ask, transaction } = request;
        let requester = Requester { transaction, caller };
        if matches!(ask, RequestBody::Reload) {
            self.reloads.push(requester);
            return;
        }
        let ticket = self.next_ticket();
        if let RequestBody::Label(label) = ask {
            let change = label_change(label);
            let refused = self.recorder.change_labels(change, ticket, self.reviewed.0.clone()).err();
            self.await_store(ticket, Command::Label, requester, refused);
            return;
        }
        let outcomes = shards.iter().map(|shard| {
            match shard.requests.try_send(ThreadRequest { ticket, ask: ask.clone() }) {
                Ok(()) => None,
                Err(TrySendError::Full(_)) => {
                    Some(Err(Error::config("too many requests wait", "ask again in a second").into()))
                }
                Err(TrySendError::Disconnected(_)) => Some(Err(over())),
            }
        });
        let outcomes = outcomes.collect();
        let command = ask.command();
        let verdict = if let RequestBody::AckEvent(ack) = ask { Some(ack) } else { None };
        self.pending.push(Pending { ticket, command, requester, outcomes, of_store: false, verdict });
    }

    fn next_ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Waits for the event store, unless it has `refused` the request already.
    fn await_store(&mut self, ticket: u64, command: Command, requester: Requester, refused: Option<Error>) {
        let outcomes = vec![refused.map(|error| Err(error.into()))];
        self.pending.push(Pending { ticket, command, requester, outcomes, of_store: true, verdict: None });
    }

    /// Takes the answer of a thread.
    pub(super) fn take(&mut self, answer: Answer) {
        let of = self.pending.iter_mut().find(|pending| pending.ticket == answer.ticket);
        if let Some(place) = of.and_then(|pending| pending.outcomes.get_mut(answer.thread)) {
            *place = Some(answer.outcome);
        }
    }

    /// Answers the requests that all threads have answered; threads that have ended do not count.
    pub(super) fn settle(&mut self, shards: &[Shard]) {
        if self.pending.is_empty() {
            return;
        }
        let over: Vec<bool> = shards.iter().map(Shard::has_ended).collect();
        // answers from before their end
        while let Ok(answer) = self.answers.try_recv() {
            self.take(answer);
        }
        while let Ok((ticket, result)) = self.reviewed.1.try_recv() {
            let outcome = result.map(Some).map_err(Refusal::Failed);
            self.take(Answer { ticket, thread: 0, outcome });
        }
        let (done, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| {
                let gone = |over: bool| over && !pending.of_store;
                pending.outcomes.iter().zip(&over).all(|(outcome, &over)| outcome.is_some() || gone(over))
            });
        self.pending = waiting;
        for Pending { command, requester, outcomes, verdict, .. } in done {
            let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(self::over())));
            let outcomes: Vec<Outcome> = outcomes.collect();
            match verdict.and_then(|verdict| for_store(&outcomes, verdict)) {
                Some((event, verdict)) => {
                    let ticket = self.next_ticket();
                    let answer = self.reviewed.0.clone();
                    let refused = self.recorder.judge_later(event, verdict, ticket, answer).err();
                    self.await_store(ticket, command, requester, refused);
                }
                None => self.answer(command, merged(outcomes.into_iter()), requester),
            }
        }
    }

    /// Those who wait for a reload.
    pub(super) fn take_reloads(&mut self) -> Vec<Requester> {
        std::mem::take(&mut self.reloads)
    }

    /// Answers a request.
    pub(super) fn answer(&self, command: Command, result: Result<Option<Value>>, requester: Requester) {
        if let Err(error) = &result
            && let Some(held) = REFUSED.allow()
        {
            tracing::warn!("{} was refused: {error}{held}", command.as_str());
        }
        let response = Response::of(result, requester.transaction);
        match requester.caller {
            // it may have left
            Some(caller) => drop(caller.try_send(response)),
            None => {
                self.sender.try_send(Outgoing::Response { command, response });
            }
        }
    }
}

fn label_change(request: LabelRequest) -> LabelChange {
    let LabelRequest { label, id, rename, .. } = request;
    match (id, rename) {
        (Some(id), _) => LabelChange::Event { id, label },
        (None, Some(to)) => LabelChange::Rename { from: label, to },
        (None, None) => LabelChange::Delete(label),
    }
}

/// The event and the verdict for the event store, where no thread knows the event, or its detector has forgotten it.
fn for_store(outcomes: &[Outcome], ack: AckEvent) -> Option<(EventName, Verdict)> {
    let mut forgotten = None;
    for outcome in outcomes {
        match outcome {
            Ok(_) | Err(Refusal::Failed(_)) => return None,
            Err(Refusal::Forgotten(id)) => forgotten = Some(id.clone()),
            Err(Refusal::Elsewhere(_)) => {}
        }
    }
    let event = match (forgotten.or(ack.id), ack.stream) {
        (Some(id), _) => EventName::Id(id),
        (None, Some(stream)) if ack.last => EventName::LastOf(stream),
        // numbers begin anew with each run
        _ => return None,
    };
    Some((event, ack.verdict))
}

/// The answer in place of a thread that has ended.
fn over() -> Refusal {
    Refusal::Elsewhere(elsewhere())
}

fn elsewhere() -> Error {
    Error::config(
        "there is no such stream or event, or it is over",
        "name a stream that the health document lists",
    )
}

/// Combines the answers: an error of a thread concerned, else the results, else the reason why no thread is concerned.
fn merged(outcomes: impl Iterator<Item = Outcome>) -> Result<Option<Value>> {
    let (mut done, mut elsewhere) = (None::<Option<Value>>, None);
    for outcome in outcomes {
        match outcome {
            Ok(value) => done = Some(joined(done.flatten(), value)),
            Err(Refusal::Failed(error)) => return Err(error),
            Err(Refusal::Elsewhere(error)) => elsewhere = elsewhere.or(Some(error)),
            Err(Refusal::Forgotten(_)) => elsewhere = elsewhere.or_else(|| Some(self::elsewhere())),
        }
    }
    let nobody = || Error::internal("no thread of the analysis runs");
    done.ok_or_else(|| elsewhere.unwrap_or_else(nobody))
}

/// Both answers as one: they name streams, or only one says anything.
fn joined(one: Option<Value>, other: Option<Value>) -> Option<Value> {
    let (Some(one), Some(other)) = (&one, &other) else { return one.or(other) };
    let named = |value: &Value| value.get("streams").and_then(Value::as_array).cloned().unwrap_or_default();
    let both = [named(one), named(other)].concat();
    Some(json!({ "streams": both }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Outcome {
        Err(over())
    }

    #[test]
    fn the_answer_is_that_of_the_threads_concerned() {
        let streams = |ids: &[&str]| Ok(Some(json!({ "streams": ids })));
        let of = |outcomes: Vec<Outcome>| merged(outcomes.into_iter());
        let all = of(vec![streams(&["a", "c"]), nowhere(), streams(&["b"])]).unwrap();
        assert_eq!(all, Some(json!({ "streams": ["a", "c", "b"] })));
        assert_eq!(of(vec![nowhere(), Ok(None), nowhere()]).unwrap(), None);
        let one = json!({ "snapshot": "events/a/1" });
        assert_eq!(of(vec![nowhere(), Ok(Some(one.clone()))]).unwrap(), Some(one));
        let failed = || Err(Refusal::Failed(Error::config("out of range", "take another")));
        let error = of(vec![streams(&["a"]), failed(), nowhere()]).unwrap_err();
        assert_eq!(error.to_string(), "out of range");
        assert!(of(vec![nowhere(), nowhere()]).unwrap_err().to_string().contains("no such stream"));
    }
    #[test]
    fn verdicts_on_events_that_no_detector_knows_go_to_the_store() {
        let ack = |text: &str| -> AckEvent { serde_json::from_str(text).unwrap() };
        let (by_id, last, number) = (
            ack(r#"{"id":"a","verdict":"normal"}"#),
            ack(r#"{"stream":"mic","last":true,"verdict":"anomaly"}"#),
            ack(r#"{"stream":"mic","number":3,"verdict":"normal"}"#),
        );
        let unknown = [nowhere(), nowhere()];
        assert_eq!(for_store(&unknown, by_id.clone()), Some((EventName::Id("a".into()), Verdict::Normal)));
        assert_eq!(for_store(&unknown, last), Some((EventName::LastOf("mic".into()), Verdict::Anomaly)));
        assert_eq!(for_store(&unknown, number.clone()), None);
        let forgotten = [nowhere(), Err(Refusal::Forgotten("b".into()))];
        assert_eq!(for_store(&forgotten, number), Some((EventName::Id("b".into()), Verdict::Normal)));
        assert_eq!(for_store(&[nowhere(), Ok(None)], by_id.clone()), None);
        let failed = Err(Refusal::Failed(Error::config("out of range", "take another")));
        assert_eq!(for_store(&[failed], by_id), None);
    }
}
