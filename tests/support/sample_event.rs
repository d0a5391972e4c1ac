/// The sample document as document `seq` of `stream`, as many seconds after its start.
fn sample_event(stream: &str, seq: u64) -> Event {
    let mut event: Event = serde_json::from_str(include_str!("event.json")).unwrap();
    (event.seq, event.stream) = (seq, stream.to_owned());
    let (finding, seconds) = (&mut event.finding, seq as f64);
    finding.number = seq;
    finding.onset_sample += 16_000 * seq;
    finding.onset_s += seconds;
    finding.emitted_s += seconds;
    finding.reported_s = finding.reported_s.map(|s| s + seconds);
    finding.peak_s += seconds;
    event
}
