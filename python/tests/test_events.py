"""Events in recordings and in streams."""

import json
import pickle
import subprocess
import threading

import numpy as np
import pytest

import cpc_stream
from conftest import RATE, program

BEEPS = [28, 34]


def events_of(outputs):
    return [output for output in outputs if isinstance(output, dict)]


def frames_of(outputs):
    return [output for output in outputs if isinstance(output, cpc_stream.Frame)]


def listen(model, sound, cuts, **settings):
    stream = cpc_stream.Stream(model, RATE, calibrate_seconds=20, events_per_hour=12, hold_budget=False, **settings)
    outputs = [output for piece in np.split(sound, cuts) for output in stream.push(piece)]
    return stream, outputs + stream.end()


def test_beeps_are_found_in_samples_and_files(model, room, written):
    as_int16 = (room * 32_767).round().astype(np.int16)
    of_samples = model.score(as_int16, RATE, calibrate_seconds=20)
    of_file = model.score(written(as_int16), calibrate_seconds=20)
    assert [round(event["onset_s"]) for event in of_samples] == BEEPS
    assert of_file == of_samples
    first = of_samples[0]
    assert first["phase"] == "end" and first["kind"] == "foreign" and first["offset_s"] > first["onset_s"]
    low, high = first["band_hz"]
    assert low < 3_000 < high
    json.dumps(of_samples)


def test_score_of_the_program_gives_the_same_events(model, room, written, tmp_path):
    recording, out = written((room * 32_767).round().astype(np.int16)), tmp_path / "events.jsonl"
    command = [program("cpc-stream"), "score", recording, "--out", out, "--calibrate-seconds", "20"]
    subprocess.run(command, check=True, capture_output=True)
    theirs = [json.loads(line) for line in out.read_text().splitlines()]
    ours = model.score(recording, calibrate_seconds=20)
    assert len(ours) == len(theirs) == len(BEEPS)
    for our, their in zip(ours, theirs):
        assert set(our) <= set(their)
        for key in ("number", "kind", "tier", "onset_sample", "offset_sample", "phase"):
            assert our[key] == their[key], key
        for key in ("score", "surprise", "novelty", "level_dbfs"):
            assert our[key] == pytest.approx(their[key], rel=1e-3), key


def test_pieces_do_not_matter(model, room):
    _, whole = listen(model, room, [])
    _, pieces = listen(model, room, np.sort(np.random.default_rng(5).integers(0, len(room), 300)))
    assert [round(event["onset_s"]) for event in events_of(whole) if event["phase"] == "new"] == BEEPS
    assert events_of(pieces) == events_of(whole)
    assert len(frames_of(pieces)) == len(frames_of(whole)) == 100 * 40
    for ours, theirs in zip(frames_of(pieces), frames_of(whole)):
        assert (ours.index, ours.p, ours.learning) == (theirs.index, theirs.p, theirs.learning)
        np.testing.assert_array_equal(ours.z, theirs.z)


def test_frames_are_those_of_encode(model, room):
    stream = cpc_stream.Stream(model, RATE)
    frames = frames_of(stream.push(room[: 3 * RATE]) + stream.end())
    z, c = model.encode(room[: 3 * RATE], RATE)
    assert [frame.index for frame in frames] == list(range(300))
    np.testing.assert_allclose(np.stack([frame.z for frame in frames]), z, atol=2e-5)
    np.testing.assert_allclose(np.stack([frame.c for frame in frames]), c, atol=2e-5)
    assert frames[-1].pmi.shape == (model.horizons,) and np.isfinite(frames[-1].pmi).all()
    assert frames[-1].end_s == pytest.approx(3.0) and frames[-1].p is None and 0 <= frames[-1].learning < 1
    assert np.isnan(frames[0].pmi).all()


def test_calibration_is_told_once(model, room):
    stream, outputs = listen(model, room, [], frames=False)
    assert not frames_of(outputs)
    assert sum(isinstance(output, cpc_stream.Calibrated) for output in outputs) == 1
    assert isinstance(stream.state, bytes)


def test_a_state_goes_on_watching(model, room):
    stream, _ = listen(model, room[: 27 * RATE], [])
    state = pickle.loads(pickle.dumps(stream.state))
    _, outputs = listen(model, room[26 * RATE :], [], state=state)
    assert [round(26 + event["onset_s"]) for event in events_of(outputs) if event["phase"] == "new"] == BEEPS
    with pytest.raises(ValueError, match="state"):
        cpc_stream.Stream(model, RATE, state=b"nothing")


def test_gaps_keep_the_time(model, room):
    stream = cpc_stream.Stream(model, RATE, calibrate_seconds=20, events_per_hour=12)
    outputs = stream.push(room[: 22 * RATE]) + stream.gap(100 * RATE) + stream.push(room[22 * RATE :]) + stream.end()
    onsets = [round(event["onset_s"]) for event in events_of(outputs) if event["phase"] == "new"]
    assert {128, 134} <= set(onsets) and min(onsets) > 122, onsets


def test_an_ended_stream_says_so(model):
    stream = cpc_stream.Stream(model, RATE)
    assert stream.state is None
    assert stream.end() == [] and stream.state is None
    for call in (lambda: stream.push(np.zeros(160)), lambda: stream.gap(160), stream.end):
        with pytest.raises(ValueError, match="has ended"):
            call()


def test_settings_out_of_range_are_named(model, room):
    for settings in ({"calibrate_seconds": 5}, {"events_per_hour": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} is"):
            cpc_stream.Stream(model, RATE, **settings)
        with pytest.raises(ValueError, match=f"{next(iter(settings))} is"):
            model.score(room, RATE, **settings)
    with pytest.raises(ValueError, match="less usable sound than the 60 s"):
        model.score(room, RATE, calibrate_seconds=60)


def test_samples_that_are_no_numbers_do_no_harm(model, room):
    broken = room.copy()
    broken[5 * RATE] = np.nan
    broken[6 * RATE] = np.inf
    _, outputs = listen(model, broken, [])
    assert all(np.isfinite(frame.z).all() for frame in frames_of(outputs))


def test_streams_of_their_own_run_side_by_side(model, room):
    results = [None] * 4

    def run(place):
        results[place] = events_of(listen(model, room, [])[1])

    threads = [threading.Thread(target=run, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] and all(result == results[0] for result in results)
