"""Sounds, a model, and the program of this repository where it is built."""

import importlib.util
import os
import pathlib
import wave

import numpy as np
import pytest

import cpc_stream

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RATE = 16_000


@pytest.fixture(scope="session")
def model():
    return cpc_stream.Model.load()


@pytest.fixture(scope="session")
def rebuild():
    """docs/rebuild.py, which computes z and c in numpy."""
    spec = importlib.util.spec_from_file_location("rebuild", REPOSITORY / "docs" / "rebuild.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sweep():
    """3.006 s at 16 kHz as int16: a tone from 200 Hz upward in noise."""
    t = np.arange(48_100) / RATE
    noise = np.random.default_rng(7).uniform(-0.05, 0.05, len(t))
    return ((0.4 * np.sin(2 * np.pi * (200 + 900 * t) * t) + noise) * 32_000).astype(np.int16)


@pytest.fixture(scope="session")
def room():
    """40 s at 16 kHz: a hum in noise, with beeps of 3 kHz at 28 s and 34 s."""
    t = np.arange(40 * RATE) / RATE
    sound = 0.02 * np.sin(2 * np.pi * 100 * t) + 0.01 * np.random.default_rng(3).standard_normal(len(t))
    for start in (28, 34):
        beep = slice(start * RATE, start * RATE + RATE // 4)
        sound[beep] += 0.1 * np.sin(2 * np.pi * 3_000 * t[beep])
    return sound.astype(np.float32)


@pytest.fixture
def written(tmp_path):
    """Writes int16 samples as a WAV file of one channel."""

    def write(samples, rate=RATE):
        path = tmp_path / "recording.wav"
        with wave.open(os.fspath(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples.astype("<i2").tobytes())
        return path

    return write


def program(name):
    """The program of this repository, or the one that its variable (CPC_STREAM, CPC_LAB) names."""
    path = os.environ.get(name.upper().replace("-", "_")) or REPOSITORY / "target" / "release" / name
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} is not built")
    return path
