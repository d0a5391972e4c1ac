use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn leases(me: &str, most: usize) -> (LeaseTable, Instant) {
    let start = Instant::now();
    let mut leases = LeaseTable::new(me, most, ["a", "b", "c"].map(str::to_owned));
    leases.up(start);
    (leases, start)
}

fn claim(id: &str) -> Option<Action> {
    Some(Action::Claim(id.to_owned()))
}

#[test]
fn the_worker_that_gets_the_hello_of_a_free_microphone_claims_it() {
    let (mut one, start) = leases("w1", 2);
    assert_eq!(one.hello("a", start + 500 * MS), None, "the broker may still tell of an owner");
    let at = |ms: u32| start + ms * MS;
    assert_eq!(one.hello("a", at(1000)), claim("a"));
    assert_eq!(one.hello("a", at(1500)), None, "the claim is on its way");
    assert_eq!(one.hello("a", at(2100)), claim("a"), "it got lost");
    assert_eq!(one.owner("a", Some("w1"), at(2200)), Some(Action::Take("a".into())));
    assert_eq!(one.owner("a", Some("w1"), at(2200)), None);
    assert_eq!(one.hello("unknown", at(2200)), None);
    assert_eq!(one.hello("b", at(2200)), claim("b"));
    assert_eq!(one.hello("c", at(2200)), None, "two are the most, and one is as good as heard");
    // a race: another claim came behind ours
    assert_eq!(one.owner("a", Some("w2"), at(2300)), Some(Action::Leave("a".into())));
    assert_eq!(one.held().count(), 0);
}

#[test]
fn a_worker_that_is_silent_for_too_long_is_dead() {
    let (mut one, start) = leases("w1", 9);
    let at = |ms: u32| start + ms * MS;
    assert_eq!(one.owner("a", Some("w2"), at(10)), None);
    for ms in [500, 1000, 1500] {
        one.send_heartbeat("w2", at(ms));
    }
    assert_eq!(one.tick(at(1500))[0], Action::Tell("a".into(), Some("w2".into())));
    assert_eq!(one.hello("a", at(3400)), None);
    assert_eq!(one.hello("a", at(3500)), claim("a"));
    assert_eq!(one.tick(at(3500)), [Action::Tell("a".into(), None)]);
    // its will says so at once
    one.owner("b", Some("w3"), at(4000));
    one.send_heartbeat("w3", at(4100));
    one.gone("w3");
    assert_eq!(one.hello("b", at(4101)), claim("b"));
    // a claim of a worker without a heartbeat yet
    one.owner("c", Some("w4"), at(4200));
    assert_eq!(one.hello("c", at(5000)), None);
    assert_eq!(one.hello("c", at(6800)), claim("c"));
}

#[test]
fn claims_are_repeated_to_a_broker_that_lost_them_and_newer_owners_win() {
    let (mut one, start) = leases("w1", 9);
    let at = |ms: u32| start + ms * MS;
    one.owner("a", Some("w1"), at(0));
    one.owner("b", Some("w1"), at(0));
    one.owner("c", Some("w2"), at(0));
    one.down();
    assert_eq!(one.hello("c", at(9000)), None);
    one.up(at(10_000));
    assert_eq!(one.owner("b", Some("w2"), at(10_100)), Some(Action::Leave("b".into())));
    let actions = one.tick(at(11_000));
    assert!(actions.contains(&Action::Again("a".into())), "{actions:?}");
    assert!(!one.tick(at(11_100)).contains(&Action::Again("a".into())));
    assert_eq!(one.hello("c", at(12_600)), None, "it may come back too");
    assert_eq!(one.hello("c", at(15_000)), claim("c"));
}

#[test]
fn a_suspended_worker_takes_nothing_before_it_has_read_the_others() {
    let (mut one, start) = leases("w1", 9);
    let at = |ms: u32| start + ms * MS;
    one.owner("a", Some("w1"), at(0));
    one.owner("b", Some("w2"), at(0));
    one.send_heartbeat("w2", at(1000));
    one.woke(at(60_000));
    assert_eq!(one.hello("b", at(60_010)), None);
    assert_eq!(one.owner("a", Some("w2"), at(60_020)), Some(Action::Leave("a".into())));
    assert_eq!(one.hello("b", at(62_000)), None);
    assert!(one.tick(at(62_000)).contains(&Action::Tell("b".into(), Some("w2".into()))));
    assert_eq!(one.hello("b", at(65_000)), claim("b"), "it died meanwhile");
}

/// Three workers and a broker that hands on in order, with pauses and lost hellos.
#[derive(Debug, Clone)]
enum Move {
    Hello {
        worker: usize,
        mic: usize,
    },
    Wait(u32),
    /// A worker takes the first so many of the messages that wait for it.
    Read {
        worker: usize,
        count: usize,
    },
    Die(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0usize..3, 0usize..3).prop_map(|(worker, mic)| Move::Hello { worker, mic }),
        2 => (0u32..2000).prop_map(Move::Wait),
        4 => (0usize..3, 0usize..9).prop_map(|(worker, count)| Move::Read { worker, count }),
        1 => (1usize..3).prop_map(Move::Die),
    ];
    proptest::collection::vec(one, 0..200)
}

proptest! {
    #[test]
    fn each_microphone_has_one_worker_once_all_is_read(moves in moves()) {
        const MICS: [&str; 3] = ["a", "b", "c"];
        let start = Instant::now();
        let mut now = start;
        let nodes = ["w0", "w1", "w2"];
        let mut workers = nodes.map(|me| LeaseTable::new(me, 9, MICS.map(str::to_owned)));
        workers.iter_mut().for_each(|worker| worker.up(start));
        let mut alive = [true; 3];
        let mut inbox: [VecDeque<(String, Option<String>)>; 3] = Default::default();
        let mut step = |workers: &mut [LeaseTable; 3], alive: &mut [bool; 3], a_move: Move| {
            match a_move {
                Move::Wait(ms) => now += ms * MS,
                Move::Die(node) => alive[node] = false,
                Move::Read { worker, count } if alive[worker] => {
                    let count = count.min(inbox[worker].len());
                    for (mic, node) in inbox[worker].drain(..count).collect::<Vec<_>>() {
                        workers[worker].owner(&mic, node.as_deref(), now);
                    }
                }
                Move::Hello { worker, mic } if alive[worker] => {
                    let mic = MICS[mic];
                    if let Some(Action::Claim(mic)) = workers[worker].hello(mic, now) {
                        inbox.iter_mut().for_each(|all| all.push_back((mic.clone(), Some(nodes[worker].into()))));
                    }
                }
                _ => {}
            }
            for worker in workers {
                for peer in (0..3).filter(|&peer| alive[peer]) {
                    worker.send_heartbeat(nodes[peer], now);
                }
            }
        };
        for a_move in moves {
            step(&mut workers, &mut alive, a_move);
        }
        for _ in 0..20 {
            step(&mut workers, &mut alive, Move::Wait(500));
            for worker in 0..3 {
                step(&mut workers, &mut alive, Move::Read { worker, count: usize::MAX });
                for mic in 0..3 {
                    step(&mut workers, &mut alive, Move::Hello { worker, mic });
                    (0..3).for_each(|w| step(&mut workers, &mut alive, Move::Read { worker: w, count: usize::MAX }));
                }
            }
        }
        let mut held = BTreeSet::new();
        for worker in (0..3).filter(|&worker| alive[worker]) {
            for mic in workers[worker].held() {
                prop_assert!(held.insert(mic.to_owned()), "{} is heard twice", mic);
            }
        }
        prop_assert_eq!(held.len(), 3);
    }
}
