"""Representations of sound and anomaly events by Contrastive Predictive Coding (CPC)."""

import os
from typing import Literal, final, type_check_only

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import NotRequired, Self, TypeAlias, TypedDict

__all__ = ["Calibrated", "Frame", "Model", "Stream", "__version__"]

__version__: str

_Path: TypeAlias = str | os.PathLike[str]

# Made from docs/asyncapi.yaml by `CPC_TEST_BLESS=1 cargo test --release --test program references_equal`: edit that.

@type_check_only
class _Detail(TypedDict):
    due_s: NotRequired[float]
    offset_ms: NotRequired[float]
    pitch_percent: NotRequired[float]
    ran_s: NotRequired[float]
    tempo_percent: NotRequired[float]

@type_check_only
class _Nearest(TypedDict):
    cosine: float
    number: int

@type_check_only
class Event(TypedDict):
    """A report about an event, with the keys of the JSON documents. For type checkers alone: the module has no such name at run time."""

    phase: Literal["new", "update", "end"]
    number: int
    onset_sample: int
    onset_s: float
    offset_sample: int | None
    offset_s: float | None
    emitted_s: float
    reported_s: NotRequired[float]
    peak_s: float
    score: float
    score_mean: float
    p: float
    tier: Literal["alarm", "severe"]
    severity: int
    evidence: Literal["surprise", "novelty"]
    kind: Literal["foreign", "missing", "early", "late", "out_of_order", "stopped", "changed"]
    detail: NotRequired[_Detail]
    summary: str
    repeat_of: NotRequired[int]
    repeats: NotRequired[int]
    surprise: float
    surprise_per_k: list[float | None]
    novelty: float
    band_hz: list[float] | None
    level_dbfs: float
    background_dbfs: float
    level_change_db: float
    nearest: _Nearest | None
    budget_per_hour: float
    calibration: str
    regime: NotRequired[bool]

# End of it.

@final
class Model:
    @staticmethod
    def load(path: _Path | None = None) -> Model: ...
    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def latent_width(self) -> int: ...
    @property
    def context_width(self) -> int: ...
    @property
    def horizons(self) -> int: ...
    def encode(
        self, recording: _Path | ArrayLike, sample_rate: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
    def score(
        self,
        recording: _Path | ArrayLike,
        sample_rate: int | None = None,
        *,
        calibrate_seconds: float = 300.0,
        events_per_hour: float = 12.0,
        hold_budget: bool = False,
    ) -> list[Event]: ...

@final
class Frame:
    @property
    def index(self) -> int: ...
    @property
    def end_s(self) -> float: ...
    @property
    def z(self) -> NDArray[np.float32]: ...
    @property
    def c(self) -> NDArray[np.float32]: ...
    @property
    def pmi(self) -> NDArray[np.float32]: ...
    @property
    def surprise(self) -> float | None: ...
    @property
    def novelty(self) -> float | None: ...
    @property
    def p(self) -> float | None: ...
    @property
    def level_dbfs(self) -> float: ...
    @property
    def learning(self) -> float | None: ...

@final
class Calibrated: ...

@final
class Stream:
    def __new__(
        cls,
        model: Model,
        sample_rate: int,
        *,
        calibrate_seconds: float = 300.0,
        events_per_hour: float = 1.0,
        hold_budget: bool = True,
        frames: bool = True,
        state: bytes | None = None,
    ) -> Self: ...
    def push(self, samples: ArrayLike) -> list[Frame | Calibrated | Event]: ...
    def gap(self, samples: int) -> list[Frame | Calibrated | Event]: ...
    def end(self) -> list[Frame | Calibrated | Event]: ...
    @property
    def state(self) -> bytes | None: ...
