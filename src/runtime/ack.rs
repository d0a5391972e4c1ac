//! Verdicts of the operator on their way to the detector of the stream.

use super::inference::Inference;
use crate::detect::Verdict;
use crate::error::{Error, Result};
use crate::publish::{AckEvent, Judgement, Outgoing, Response};

impl Inference {
    /// Carries out what was asked since the last round, and answers.
    pub(super) fn take_requests(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            let result = self.acknowledge(&request);
            if let Err(error) = &result {
                tracing::warn!("a verdict was refused: {error}");
            }
            let answer = Response::of(result, request.transaction);
            self.sender.try_send(Outgoing::Response(answer));
        }
    }

    fn acknowledge(&mut self, request: &AckEvent) -> Result<()> {
        let unknown = |what: String| {
            Error::config(what, "name one of the last events, by its `id` or by `stream` and `number`")
        };
        let named = request.stream.as_deref().zip(request.number);
        let by_id = request.id.as_deref().and_then(|id| self.stamp.find(id));
        let Some((id, number)) = named.or(by_id) else {
            return Err(unknown("no event of that id is remembered".to_owned()));
        };
        let Some(stream) = self.number_of(id) else {
            return Err(unknown(format!("there is no stream {id}, or it is over")));
        };
        let (verdict, id) = match request.verdict {
            Judgement::Normal => (Verdict::Normal, id.to_owned()),
            Judgement::Anomaly => (Verdict::Anomaly, id.to_owned()),
        };
        if !self.engine.judge(stream, number, verdict)? {
            return Err(unknown(format!("{id} does not remember event {number}")));
        }
        tracing::info!("{id}: event {number} was judged: {verdict:?}");
        Ok(())
    }
}
