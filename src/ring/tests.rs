use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Read(usize),
    Gap(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..40).prop_map(Step::Push),
        3 => (1usize..40).prop_map(Step::Read),
        1 => (0u64..30).prop_map(Step::Gap),
    ];
    prop::collection::vec(step, 1..400)
}

/// Follows the reader's clock; samples are numbered by the writer's, so both must agree at every sample.
#[derive(Default)]
struct Follower {
    clock: u64,
    gaps: u64,
    last_was_gap: bool,
}

impl Follower {
    fn take(&mut self, reader: &mut RingReader, room: usize) -> Read {
        let mut out = vec![f32::NAN; room];
        let found = reader.read(&mut out);
        match found {
            Read::Samples(n) => {
                assert!(n > 0);
                for &x in &out[..n] {
                    assert_eq!(x, self.clock as f32, "a sample at the wrong place");
                    self.clock += 1;
                }
                self.last_was_gap = false;
            }
            Read::Gap { lost } => {
                assert!(lost > 0 && !self.last_was_gap, "gaps at one place must merge");
                self.clock += lost;
                self.gaps += lost;
                self.last_was_gap = true;
            }
            _ => {}
        }
        found
    }
}

proptest! {
    #[test]
    fn order_gap_positions_and_counts_hold(capacity in 1usize..64, steps in steps()) {
        let (mut writer, mut reader) = ring(capacity);
        let counters = writer.counters();
        let mut follower = Follower::default();
        let (mut clock, mut offered, mut marked) = (0u64, 0u64, 0u64);
        for step in steps {
            match step {
                Step::Push(n) => {
                    let samples: Vec<f32> = (0..n as u64).map(|i| (clock + i) as f32).collect();
                    writer.push(&samples);
                    clock += n as u64;
                    offered += n as u64;
                }
                Step::Read(n) => { follower.take(&mut reader, n); }
                Step::Gap(n) => { writer.mark_gap(n); clock += n; marked += n; }
            }
            prop_assert_eq!(counters.pushed(), counters.read() + reader.len() as u64);
            prop_assert_eq!(counters.pushed() + counters.refused(), offered);
        }
        writer.close();
        while follower.take(&mut reader, 7) != Read::Closed {}
        prop_assert_eq!(follower.clock, clock);
        prop_assert_eq!(follower.gaps, counters.refused() + marked);
        prop_assert_eq!(follower.gaps, counters.lost());
        prop_assert_eq!(counters.pushed(), counters.read());
    }
}

#[test]
fn two_threads_agree_on_the_clock() {
    let (mut writer, mut reader) = ring(512);
    let counters = reader.counters();
    // f32 counts exactly up to 2^24
    let total = 4_000_000u64;
    let thread = std::thread::spawn(move || {
        let (mut clock, mut turn) = (0u64, 0u64);
        let mut block = [0f32; 97];
        while clock < total {
            block.iter_mut().enumerate().for_each(|(i, x)| *x = (clock + i as u64) as f32);
            writer.push(&block);
            clock += block.len() as u64;
            turn += 1;
            if turn.is_multiple_of(1000) {
                writer.mark_gap(5);
                clock += 5;
            }
        }
        clock
    });
    let mut follower = Follower::default();
    while follower.take(&mut reader, 160) != Read::Closed {
        if !reader.is_ready() {
            let _ = reader.wait(Duration::from_millis(50));
        }
    }
    assert_eq!(follower.clock, thread.join().unwrap());
    assert_eq!(follower.gaps, counters.lost());
    assert!(counters.read() > 0 && counters.pushed() == counters.read());
}

#[test]
fn a_full_mark_ring_lets_gaps_grow_but_not_move() {
    let (mut writer, mut reader) = ring(100_000);
    let mut clock = 0u64;
    for _ in 0..MARKS + 50 {
        writer.push(&[clock as f32]);
        writer.mark_gap(3);
        clock += 4;
    }
    writer.close();
    let mut follower = Follower::default();
    while follower.take(&mut reader, 16) != Read::Closed {}
    assert_eq!(follower.clock, clock);
}

#[test]
fn a_rate_change_converts_the_outstanding_gap() {
    let (mut writer, mut reader) = ring(16);
    let mut out = [0.0; 16];
    writer.set_rate(48_000);
    writer.push(&[1.0; 4]);
    writer.mark_gap(480);
    writer.set_rate(16_000);
    writer.push(&[2.0; 4]);
    let found: Vec<Read> = (0..6).map(|_| reader.read(&mut out)).collect();
    let expected = [
        Read::Rate(48_000),
        Read::Samples(4),
        Read::Rate(16_000),
        Read::Gap { lost: 160 },
        Read::Samples(4),
        Read::Empty,
    ];
    assert_eq!(found, expected);
    assert_eq!(reader.rate(), 16_000);
}

#[test]
fn the_capture_time_follows_the_clock_over_gaps_and_rate_changes() {
    let (mut writer, mut reader) = ring(1024);
    let mut out = [0.0; 1024];
    let start = Instant::now();
    let near = |at: Option<Instant>, ms: u64| {
        let want = start + Duration::from_millis(ms);
        let at = at.unwrap();
        at.max(want).duration_since(at.min(want)) < Duration::from_micros(10)
    };
    writer.set_rate(1000);
    writer.anchor(start);
    writer.push(&[0.0; 100]);
    assert!(reader.captured_at().is_none(), "the rate was not read yet");
    reader.read(&mut out);
    assert!(near(reader.captured_at(), 0));
    reader.read(&mut out[..40]);
    assert!(near(reader.captured_at(), 40));
    writer.mark_gap(1000);
    writer.anchor(start + Duration::from_millis(1100));
    writer.push(&[0.0; 10]);
    reader.read(&mut out);
    reader.read(&mut out);
    assert!(near(reader.captured_at(), 1100));
    writer.set_rate(500);
    writer.anchor(start + Duration::from_millis(3000));
    writer.push(&[0.0; 10]);
    assert_eq!(reader.read(&mut out), Read::Samples(10));
    assert!(reader.captured_at().is_none(), "the word belongs to the next rate");
    assert_eq!(reader.read(&mut out), Read::Rate(500));
    reader.read(&mut out[..5]);
    assert!(near(reader.captured_at(), 3010));
}

#[test]
fn rate_changes_without_a_sample_between_them_keep_the_capture_time() {
    let (mut writer, mut reader) = ring(64);
    let mut out = [0.0; 64];
    let start = Instant::now();
    writer.set_rate(1000);
    writer.push(&[0.0; 10]);
    for rate in [500, 250, 1000, 500] {
        writer.set_rate(rate);
        writer.anchor(start);
    }
    writer.mark_gap(50);
    writer.anchor(start + Duration::from_millis(100));
    writer.push(&[0.0; 10]);
    let found: Vec<Read> = (0..5).map(|_| reader.read(&mut out[..10])).collect();
    let expected =
        [Read::Rate(1000), Read::Samples(10), Read::Rate(500), Read::Gap { lost: 50 }, Read::Samples(10)];
    assert_eq!(found, expected);
    let at = reader.captured_at().unwrap();
    let want = start + Duration::from_millis(120);
    assert!(at.max(want).duration_since(at.min(want)) < Duration::from_micros(10));
}

#[test]
fn waiting_on_several_rings_ends_with_the_first_push() {
    let (first, one) = ring(64);
    let (mut second, two) = ring(64);
    assert!(!wait_any([&one, &two], Duration::from_millis(5)));
    let (go, may_go) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        may_go.recv().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        second.push(&[1.0]);
        second
    });
    go.send(()).unwrap();
    let start = Instant::now();
    assert!(wait_any([&one, &two], Duration::from_secs(20)));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(!one.is_ready() && two.is_ready());
    drop((first, thread.join().unwrap()));
    assert!(one.is_ready(), "a closed ring is ready");
}

#[test]
fn a_blocking_push_delivers_all_and_ends_with_the_reader() {
    let (mut writer, mut reader) = ring(64);
    let samples: Vec<f32> = (0..10_000).map(|i| i as f32).collect();
    let thread = std::thread::spawn(move || {
        let whole = writer.push_blocking(&samples, || true);
        let cut = writer.push_blocking(&[0.0; 1000], || true);
        (whole, cut, writer.counters().refused())
    });
    let mut follower = Follower::default();
    while follower.clock < 10_000 {
        follower.take(&mut reader, (10_000 - follower.clock).min(33) as usize);
    }
    drop(reader);
    assert_eq!(thread.join().unwrap(), (true, false, 0));
    assert_eq!(follower.gaps, 0);
    let (mut writer, _reader) = ring(4);
    assert!(!writer.push_blocking(&[0.0; 8], || false));
}
