//! P4: a broker that goes and comes back without memory costs no event and no order.
#![cfg(feature = "mqtt")]

use std::time::{Duration, Instant};

use crate::support::broker::{Broker, Gate, ReceivedMessage, Subscriber, await_for};
use crate::support::events::event;
use cpc_stream::internal::event::Event;
use cpc_stream::internal::publish::{Outgoing, PublishConfig, Publisher};

const LONG: Duration = Duration::from_secs(20);

fn config(gate: &Gate) -> PublishConfig {
    PublishConfig { broker: Some(gate.url()), keep_alive_s: 2, ..PublishConfig::default() }
}

fn seq_of(heard: &ReceivedMessage) -> u64 {
    serde_json::from_str::<Event>(&heard.payload).unwrap().seq
}

/// Reads events until number `last`; repeats are allowed, holes and disorder are not. Gives the repeats.
fn all_until(subscriber: &Subscriber, first: u64, last: u64) -> u64 {
    let (mut next, mut repeats) = (first, 0);
    while next <= last {
        let heard = subscriber.next("/event", LONG);
        assert!(!heard.retained);
        let seq = seq_of(&heard);
        assert!(seq <= next, "{seq} came where {next} was due: lost");
        if seq == next { next += 1 } else { repeats += 1 }
    }
    repeats
}

fn send(publisher: &Publisher, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        assert!(publisher.sender().send_timeout(Outgoing::Event(Box::new(event("mic", seq))), LONG));
    }
    assert!(publisher.flush_durable(LONG));
}

#[test]
fn stopped_and_started_again_without_persistence() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start();
    let gate = Gate::to(broker.address());
    let publisher = Publisher::start(&config(&gate), "node", dir.path()).unwrap();
    let status = publisher.status();
    await_for("the first connection", LONG, || status.connected().then_some(()));

    // confirmed by a broker that stays up long enough to hand them on
    let subscriber = broker.subscribe("cpc-stream/#");
    send(&publisher, 0..100);
    all_until(&subscriber, 0, 99);
    await_for("all receipts", LONG, || (status.pending() == 0).then_some(()));
    drop(subscriber);

    broker.stop();
    await_for("the loss to be noticed", LONG, || (!status.connected()).then_some(()));
    let away = Instant::now();
    send(&publisher, 100..400);
    await_for("some time without a broker", LONG, || (away.elapsed() > Duration::from_secs(2)).then_some(()));
    assert_eq!((status.pending(), status.degraded(), status.refused()), (300, false, 0));

    // the subscriber is back before the publisher can be: the gate holds the publisher off
    gate.shut();
    broker.start_again();
    let subscriber = broker.subscribe("cpc-stream/#");
    let back = Instant::now();
    gate.open();
    await_for("the publisher to be back", LONG, || status.connected().then_some(()));
    let took = back.elapsed();
    send(&publisher, 400..450);
    let repeats = all_until(&subscriber, 100, 449);
    await_for("all receipts", LONG, || (status.pending() == 0).then_some(()));
    let report = publisher.stop(Duration::from_secs(2));
    println!("450 of 450 in order, {repeats} repeats, back {:.2} s after the broker", took.as_secs_f64());
    assert!(took <= Duration::from_secs(5), "{took:?}");
    assert_eq!((report.accepted, report.acked, report.pending, report.dropped), (450, 450, 0, 0));
    assert!(report.clean);
}

#[test]
fn cut_again_and_again_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let gate = Gate::to(broker.address());
    let subscriber = broker.subscribe("cpc-stream/node/mic/event");
    let short = PublishConfig { backoff_max_s: 0.3, ..config(&gate) };
    let publisher = Publisher::start(&short, "node", dir.path()).unwrap();
    let status = publisher.status();
    for round in 0..8 {
        await_for("a connection", LONG, || status.connected().then_some(()));
        send(&publisher, round * 250..(round + 1) * 250);
        let acked = status.acked();
        await_for("some receipts", LONG, || (status.acked() > acked || status.pending() == 0).then_some(()));
        gate.shut();
        gate.open();
    }
    let repeats = all_until(&subscriber, 0, 1999);
    await_for("all receipts", LONG, || (status.pending() == 0).then_some(()));
    println!("2000 of 2000 in order over 8 cuts, {repeats} repeats");
    assert!(repeats <= 8 * 16, "at most a window a cut: {repeats}");
    assert!(publisher.stop(Duration::from_secs(2)).clean);
}

#[test]
fn frozen_broker_is_found_out_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let gate = Gate::to(broker.address());
    let subscriber = broker.subscribe("cpc-stream/node/mic/event");
    let publisher = Publisher::start(&config(&gate), "node", dir.path()).unwrap();
    let status = publisher.status();
    await_for("the first connection", LONG, || status.connected().then_some(()));
    broker.freeze();
    let frozen = Instant::now();
    send(&publisher, 0..50);
    await_for("the loss to be noticed", LONG, || (!status.connected()).then_some(()));
    let noticed = frozen.elapsed();
    broker.thaw();
    let repeats = all_until(&subscriber, 0, 49);
    await_for("all receipts", LONG, || (status.pending() == 0).then_some(()));
    println!("frozen broker noticed after {:.1} s (keep-alive 2), {repeats} repeats", noticed.as_secs_f64());
    assert!(noticed < Duration::from_secs(8));
    assert!(publisher.stop(Duration::from_secs(2)).clean);
}

#[test]
fn pending_events_are_delivered_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let gate = Gate::to(broker.address());
    gate.shut();
    let publisher = Publisher::start(&config(&gate), "node", dir.path()).unwrap();
    send(&publisher, 0..40);
    assert_eq!(publisher.stop(Duration::from_secs(2)).pending, 40);
    let subscriber = broker.subscribe("cpc-stream/node/mic/event");
    gate.open();
    let publisher = Publisher::start(&config(&gate), "node", dir.path()).unwrap();
    send(&publisher, 40..60);
    all_until(&subscriber, 0, 59);
    let report = publisher.stop(Duration::from_secs(2));
    assert_eq!((report.accepted, report.acked, report.pending), (60, 60, 0));
}
