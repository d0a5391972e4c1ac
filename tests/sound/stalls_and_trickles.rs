//! A line that stalls or trickles: frames go on where they were, what is no sound is not taken for it, and times stay right.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::network_sources::{PIECE, RATE, ReceivedSound, connect, free_port, offline, online, piece, start};
use cpc_stream::internal::capture::{Notice, PcmForm, SourceChange};

#[test]
fn a_client_that_stalls_in_the_middle_of_a_sample_goes_on_there() {
    let port = free_port();
    let (mut source, notices) = start(&format!("tcp-listen://127.0.0.1:{port}"), PcmForm::default());
    let (mut heard, mut client) = (ReceivedSound::default(), connect(port));
    let bytes: Vec<u8> = (0..10).flat_map(piece).collect();
    let (first, second) = bytes.split_at(5 * 2 * PIECE + 1);
    client.write_all(first).unwrap();
    online(&notices);
    heard.until(&mut source, "the first half", |heard| heard.samples.len() == 5 * PIECE);
    assert!(offline(&notices).contains("no sound for 2 s"));
    client.write_all(second).unwrap();
    heard.until(&mut source, "the second half", |heard| heard.samples.len() == 10 * PIECE);
    assert!(heard.is_ramp_from(0), "half a sample is missing, and all after it is noise");
    assert!(heard.lost > u64::from(RATE), "{} lost", heard.lost);
    assert_eq!(source.counters.bytes_refused(), 0);
}

/// A line that gives some samples now and then is not taken for sound, and its time is a gap.
#[test]
fn a_client_that_trickles_is_offline_and_its_time_is_a_gap() {
    let port = free_port();
    let (mut source, notices) = start(&format!("tcp-listen://127.0.0.1:{port}"), PcmForm::default());
    let (mut heard, mut client) = (ReceivedSound::default(), connect(port));
    let play = |client: &mut TcpStream| {
        for n in 0..50 {
            client.write_all(&piece(n)).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
    };
    play(&mut client);
    online(&notices);
    let since = Instant::now();
    let told = loop {
        client.write_all(&[0, 0]).unwrap();
        thread::sleep(Duration::from_millis(300));
        if let Some(Notice { change: SourceChange::Offline { reason }, .. }) = notices.try_iter().last() {
            break reason;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "nobody noticed");
    };
    assert!(told.contains("less than a quarter of 16000 samples"), "{told}");
    (0..5).for_each(|_| {
        client.write_all(&[0, 0]).unwrap();
        thread::sleep(Duration::from_millis(300));
    });
    play(&mut client);
    online(&notices);
    let time = since.elapsed().as_secs_f64();
    heard.until(&mut source, "the end", |heard| heard.samples.len() > 100 * PIECE);
    let found = (heard.samples.len() - 50 * PIECE) as f64 + heard.lost as f64;
    let off = found / f64::from(RATE) - time;
    assert!(off.abs() < 1.0, "{off} s between the sound with its gaps and the time");
}
