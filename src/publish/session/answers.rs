//! The messages of one connection and the broker's answers: receipts, refusals, and the results of the self-check.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::request_check::{Found, REQUESTS};
use super::{
    Delivery, HomeAssistant, Link, LinkEvent, Session, SessionEvent, Slot, is_takeover, is_too_large,
};
use crate::publish::outbox::Record;
use crate::publish::selfcheck::Action;

/// When a refused topic is tried again, for people.
const EACH_MINUTE: &str = "each minute";
const AFTER_PARDON: &str = "in 10 minutes";
/// A subscription is asked for this long after the one before, where one of them ends the connection.
const APART: Duration = Duration::from_secs(1);

impl Session {
    /// Subscribes: the self-check first, so that retained messages arrive before new ones.
    pub(super) fn subscribe(&mut self, link: &Link) {
        let (topics, refused) = (&self.handler.topics, &mut self.refused);
        refused.begin(Instant::now());
        (refused.asked, refused.sent) = (VecDeque::new(), BTreeMap::new());
        let home = self.settings.home.iter().flat_map(HomeAssistant::filters).map(str::to_owned);
        let filters = home.chain(topics.requests()).filter(|filter| !refused.deafening.contains(filter));
        let filters: Vec<String> = filters.collect();
        let actions = self.check.connected();
        self.act(actions, link);
        if self.refused.last_apart.is_some() {
            self.refused.apart = filters.into();
            self.refused.next_apart = Some(Instant::now());
            return;
        }
        for filter in filters {
            self.ask(filter, link);
        }
    }

    fn ask(&mut self, filter: String, link: &Link) {
        if link.client.subscribe(&filter) {
            self.refused.asked.push_back(filter);
        }
    }

    /// Executes the actions of the self-check, and logs its findings.
    pub(super) fn act(&mut self, actions: impl IntoIterator<Item = Action>, link: &Link) {
        for action in actions {
            match action {
                Action::Subscribe(filter) => self.ask(filter, link),
                Action::Unsubscribe(filter) => drop(link.client.unsubscribe(&filter)),
                Action::Dropped { topic, why } => {
                    let fix = "check the broker's access rules, its limit of a message's size and whether it retains";
                    tracing::warn!("messages on {topic} are lost: {why}; {fix}");
                    self.status.set_fault(topic.clone(), format!("{topic}: {why}"));
                }
                Action::Passes(topic) => {
                    tracing::info!("the broker delivers messages on {topic} again");
                    self.status.clear_fault(&topic);
                }
                Action::DuplicateNode => self.report_duplicate_node(),
            }
        }
    }

    fn report_duplicate_node(&mut self) {
        let (id, node) = (&self.settings.options.client_id, self.handler.topics.node());
        if !std::mem::replace(&mut self.duplicate_node, true) {
            tracing::error!(
                "another client with the id {id} takes this one's place at the broker: give each box a node of its own \
                 (`node` in the configuration, here {node:?})"
            );
        }
        self.status.set_fault("rival".to_owned(), format!("another daemon is connected as node {node} too"));
    }

    /// Explains the end of a connection in the log, and adapts the next one.
    pub(super) fn explain(&mut self, reason: String, was_good: bool) -> String {
        let reason = self.explain_no_entry(reason);
        let refused = &mut self.refused;
        if is_too_large(&reason) {
            match refused.last_apart.take().filter(|last| !last.is_empty()) {
                None => refused.last_apart = Some(String::new()),
                Some(filter) => {
                    tracing::error!(
                        "a message on {filter} is larger than this program takes ({reason}): nothing on it is heard until the \
                         next start; where the broker keeps it, remove it (`mosquitto_pub -r -n -t TOPIC`)"
                    );
                    let text = format!("{filter} is not heard: a message there is too large");
                    self.status.set_fault(filter.clone(), text);
                    refused.deafening.insert(filter);
                    refused.last_apart = Some(String::new());
                }
            }
            return reason;
        }
        if is_takeover(&reason) {
            self.report_duplicate_node();
        }
        if self.duplicate_node {
            if was_good {
                // it may have gone; if not it shows soon
                self.duplicate_node = false;
                self.status.clear_fault("rival");
            }
            let id = &self.settings.options.client_id;
            return format!(
                "another client with the id {id} takes this one's place: give each box a node of its own; {reason}"
            );
        }
        let refused = &mut self.refused;
        refused.short = if was_good || !self.was_up { 0 } else { refused.short + 1 };
        if refused.short == 0 {
            refused.steady.clear();
        }
        if let Some(topic) = self.alone.take().filter(|topic| refused.is_suspect(topic))
            && refused.strike(&topic, Instant::now())
        {
            self.report_refused(&topic, &format!("it ends the connection: {reason}"), AFTER_PARDON);
        }
        reason
    }

    /// Logs once which topic the broker refuses.
    fn report_refused(&mut self, topic: &str, reason: &str, until: &str) {
        self.status.set_fault(topic.to_owned(), format!("the broker refuses messages on {topic} ({reason})"));
        if self.refused.reported.insert(topic.to_owned()) {
            tracing::error!(
                "the broker refuses messages on {topic} ({reason}): it is left out, and tried again {until}; \
                 allow writing there in the broker's access rules and check its limit of a message's size"
            );
        }
    }

    /// Work that is due by now.
    pub(super) fn retry_due(&mut self, link: &Link, now: Instant) {
        let actions = self.check.check_due(now);
        self.act(actions, link);
        self.look_for_requests(link, now);

        if self.refused.next_apart.is_some_and(|at| now >= at) {
            let next = self.refused.apart.pop_front();
            self.refused.next_apart = next.is_some().then_some(now + APART);
            // the one that ends the connection is the last that was asked for
            self.refused.last_apart = next.clone();
            if let Some(filter) = next {
                self.ask(filter, link);
            }
        }
        for topic in self.refused.proven(now) {
            tracing::info!("the broker accepts messages on {topic} again");
            self.status.clear_fault(&topic);
        }
        if let Some(topics) = self.refused.tried_again(now) {
            let kept = topics.into_iter().filter(|topic| self.retained.contains_key(topic));
            self.dirty.extend(kept);
            let mut records = self.refused.take_records();
            records.extend(self.queue.drain(..));
            records.sort_unstable_by_key(|record| record.seq);
            self.queue = records.into();
        }
    }

    fn look_for_requests(&mut self, link: &Link, now: Instant) {
        let found = self.requests.retry_due(now, self.check.reads());
        let (Some(found), Some(topic)) = (found, self.requests.topic()) else { return };
        match found {
            Found::Send(payload) => {
                if link.client.publish(Delivery::Event, topic, payload) {
                    self.handed.push_back(Slot::Test);
                }
            }
            Found::Lost => {
                let text = format!(
                    "requests do not arrive: the broker confirms one on {topic} and hands it on to nobody"
                );
                let filters = self.handler.topics.requests().join(" and ");
                tracing::warn!(
                    "{text}; allow this user to read {filters} and to write {topic} in the broker's access rules, or set \
                     commands = [] in [publish]"
                );
                self.status.set_fault(REQUESTS.to_owned(), text);
            }
        }
    }

    pub(super) fn hand_over(&mut self, link: &Link) {
        if self.refused.settle.is_some_and(|until| Instant::now() < until) {
            return;
        }
        if self.refused.settle.take().is_some()
            && let Some(topic) = self.alone.take()
        {
            self.refused.strikes.remove(&topic);
        }
        let client = &link.client;
        let window = if self.refused.is_careful() { 1 } else { self.window };
        while self.handed.len() + self.awaiting.len() < window {
            if let Some(topic) = self.dirty.pop_front() {
                if self.refused.topics.contains(&topic) {
                    continue;
                }
                let said = self.before.get(&topic).or_else(|| self.retained.get(&topic));
                let payload = said.cloned().unwrap_or_default();
                if payload.len() > self.largest {
                    self.report_refused(
                        &topic,
                        &format!("{} bytes are more than it takes", payload.len()),
                        EACH_MINUTE,
                    );
                    continue;
                }
                self.check.state_goes(&topic, &payload);
                let travel = if self.retains { Delivery::State } else { Delivery::Unkept };
                if !client.publish(travel, &topic, payload) {
                    self.dirty.push_front(topic);
                    break;
                }
                if self.before.remove(&topic).is_some() {
                    self.dirty.push_front(topic.clone());
                }
                self.handed.push_back(Slot::State(topic));
                continue;
            }
            if self.stop_by.is_some() {
                break;
            }
            let Some(record) = self.queue.pop_front() else { break };
            if record.payload.len() > self.largest {
                let _ = self.receipts.send(SessionEvent::TooLarge(record.seq));
                continue;
            }
            if self.refused.topics.contains(&record.topic) {
                self.set_aside(record);
                continue;
            }
            let action = self.check.event_goes(&record.topic, &record.payload, Instant::now());
            self.act(action, link);
            if !client.publish(Delivery::Event, &record.topic, record.payload.clone()) {
                self.queue.push_front(record);
                break;
            }
            self.handed.push_back(Slot::Record(record));
        }
        let mut under_way = self.handed.iter().chain(self.awaiting.values().map(|(_, slot)| slot));
        self.alone = match (under_way.next(), under_way.next()) {
            (Some(Slot::State(topic) | Slot::Record(Record { topic, .. })), None) => Some(topic.clone()),
            _ => None,
        };
    }

    fn set_aside(&mut self, record: Record) {
        let _ = self.receipts.send(SessionEvent::Refused(record.seq));
        self.refused.records.push(record);
    }

    /// Pairs packet ids with the records handed over; `Some(reason)` where they do not match.
    pub(super) fn note(&mut self, reported: &LinkEvent) -> Option<String> {
        match reported {
            LinkEvent::Sent(id) => {
                let Some(slot) = self.handed.pop_front() else { return Some("a packet nobody sent".into()) };
                self.awaiting.insert(*id, (Instant::now(), slot));
            }
            LinkEvent::Collision => return Some("packet ids collide".into()),
            LinkEvent::Acked(id) => {
                let topic = match self.awaiting.remove(id) {
                    Some((_, Slot::Record(record))) => {
                        let _ = self.receipts.send(SessionEvent::Acked(record.seq));
                        record.topic
                    }
                    Some((_, Slot::State(topic))) => topic,
                    Some((_, Slot::Test)) => {
                        self.requests.confirmed(Instant::now());
                        return None;
                    }
                    None => return None,
                };
                let now = Instant::now();
                if topic == self.settings.status_topic {
                    self.requests.status_confirmed(now);
                }
                self.check.confirmed(&topic, now);
                self.refused.confirmed(&topic, now);
            }
            LinkEvent::Refused { id, reason } => {
                let (_, slot) = self.awaiting.remove(id)?;
                let (Slot::State(topic) | Slot::Record(Record { topic, .. })) = &slot else {
                    self.requests.refused();
                    return None;
                };
                self.refused.refuse(topic, Instant::now());
                self.report_refused(&topic.clone(), reason, EACH_MINUTE);
                if let Slot::Record(record) = slot {
                    self.set_aside(record);
                }
            }
            LinkEvent::Asked(id) => {
                if let Some(filter) = self.refused.asked.pop_front() {
                    self.refused.sent.insert(*id, filter);
                }
            }
            LinkEvent::Subscribed { id, refused } => self.subscribed(*id, refused.as_deref()),
            LinkEvent::Disconnect(reason) => return Some(reason.clone()),
            _ => {}
        }
        None
    }

    fn subscribed(&mut self, id: u16, refusal: Option<&str>) {
        let Some(filter) = self.refused.sent.remove(&id).filter(|filter| !self.check.owns(filter)) else {
            return;
        };
        if self.settings.home.as_ref().is_some_and(|home| home.only_cleans(&filter)) {
            return;
        }
        let Some(reason) = refusal else {
            if self.refused.reported.remove(&filter) {
                self.status.clear_fault(&filter);
            }
            return;
        };
        if self.handler.topics.requests().contains(&filter) {
            self.requests.already_reported();
        }
        self.status
            .set_fault(filter.clone(), format!("the broker refuses the subscription to {filter} ({reason})"));
        if self.refused.reported.insert(filter.clone()) {
            tracing::error!(
                "the broker refuses the subscription to {filter} ({reason}): nothing there is heard; allow reading it in its \
                 access rules"
            );
        }
    }
}
