"""z and c of recordings."""

import json
import os
import subprocess
import threading
import time

import numpy as np
import pytest

import cpc_stream
from conftest import RATE, REPOSITORY, program

BUILT_IN = REPOSITORY / "models" / "cpc-edge.safetensors"


def in_numpy(rebuild, samples):
    tensors, more = rebuild.tensors(BUILT_IN)
    z = rebuild.encode(samples / 32_768, tensors, json.loads(more["cpc-stream.manifest"])["architecture"])
    return z, rebuild.contexts(z, tensors)


def test_numpy_computes_the_same(model, rebuild, sweep):
    z, c = model.encode(sweep, RATE)
    theirs_z, theirs_c = in_numpy(rebuild, sweep)
    assert z.dtype == c.dtype == np.float32
    assert z.shape == theirs_z.shape == (300, model.latent_width)
    assert c.shape == theirs_c.shape == (300, model.context_width)
    assert np.abs(z).max() > 1 and np.abs(c).max() > 0.1
    np.testing.assert_allclose(z, theirs_z, atol=1e-4)
    np.testing.assert_allclose(c, theirs_c, atol=1e-4)


def test_encode_of_the_program_gives_the_same(model, rebuild, sweep, written, tmp_path):
    lab, recording = program("cpc-lab"), written(sweep)
    features = tmp_path / "features.safetensors"
    subprocess.run([lab, "encode", recording, "--out", features], check=True, capture_output=True)
    theirs, _ = rebuild.tensors(features)
    z, c = model.encode(recording)
    np.testing.assert_allclose(z, theirs["z"].reshape(z.shape), atol=1e-5)
    np.testing.assert_allclose(c, theirs["c"].reshape(c.shape), atol=1e-5)


def test_a_file_gives_what_its_samples_give(model, sweep, written):
    path = written(sweep)
    for recording in (path, os.fspath(path)):
        for ours, theirs in zip(model.encode(recording), model.encode(sweep, RATE)):
            np.testing.assert_array_equal(ours, theirs)


def test_types_of_samples_give_the_same(model, sweep):
    expected = model.encode(sweep, RATE)
    floats = sweep / np.float32(32_768)
    every_second = np.zeros(2 * len(floats), np.float32)
    every_second[::2] = floats
    read_only = floats.copy()
    read_only.flags.writeable = False
    for samples in (floats, floats.astype(np.float64), floats.tolist(), sweep.astype(np.int32) << 16, every_second[::2], read_only):
        for ours, theirs in zip(model.encode(samples, RATE), expected):
            np.testing.assert_array_equal(ours, theirs)


def test_other_rates_are_resampled(model):
    z, c = model.encode(np.zeros(44_100, np.float32), 44_100)
    assert len(z) == len(c) == 100


def test_no_sound_gives_no_rows(model):
    z, c = model.encode(np.zeros(159, np.float32), RATE)
    assert z.shape == (0, model.latent_width) and c.shape == (0, model.context_width)


def test_the_arrays_belong_to_the_caller(model, sweep):
    z, _ = model.encode(sweep, RATE)
    z += 1
    assert not np.array_equal(z, model.encode(sweep, RATE)[0])


def test_what_cannot_be_read_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="2 dimensions, expected 1"):
        model.encode(np.zeros((100, 2)), RATE)
    with pytest.raises(TypeError, match="uint8"):
        model.encode(np.zeros(100, np.uint8), RATE)
    with pytest.raises(TypeError, match="sample_rate is missing"):
        model.encode(np.zeros(100))
    with pytest.raises(TypeError, match="leave it out"):
        model.encode("recording.wav", RATE)
    with pytest.raises(OSError, match="rate|Hz"):
        model.encode(np.zeros(100), 0)
    with pytest.raises(OSError, match="does not exist"):
        model.encode(tmp_path / "missing.wav")
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no sound at all")
    with pytest.raises(OSError, match="noise.wav"):
        model.encode(noise)


def test_a_model_comes_from_a_file(model, tmp_path):
    loaded = cpc_stream.Model.load(BUILT_IN)
    assert (loaded.name, loaded.sha256, loaded.horizons) == (model.name, model.sha256, model.horizons)
    assert model.horizons > 0 and len(model.sha256) == 64
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(BUILT_IN.read_bytes()[:-1])
    for path in (damaged, tmp_path / "missing.safetensors"):
        with pytest.raises(ValueError, match=path.name):
            cpc_stream.Model.load(path)


def test_other_threads_run_meanwhile(model):
    sound = np.random.default_rng(0).standard_normal(600 * RATE).astype(np.float32)
    ticks, ended = [], threading.Event()

    def tick():
        while not ended.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    ticking = threading.Thread(target=tick)
    ticking.start()
    begun = time.monotonic()
    model.encode(sound, RATE)
    done = time.monotonic()
    ended.set()
    ticking.join()
    # with Python's lock held, no tick falls into the second half of the call but at its very end
    assert sum(begun + 0.25 * (done - begun) < tick < begun + 0.75 * (done - begun) for tick in ticks) > 3
