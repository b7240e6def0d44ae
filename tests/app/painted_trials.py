"""Trials as a decoder tells a painter of them, and what is asked of it in tests."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from decode_stream.gui.snapshot import Reconstruction
from decode_stream.sessions.painter import Painter
from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.trials import TrialWindow
from decode_stream.stream.types import Trial
from tests.decoders.generation.picture_bundle import N_LATENCIES

_ENDS = 13  # samples of the first window at 128 Hz


class Trials:
    """Says what a decoder says: windows of trials a second apart, and what a session asks the decoder."""

    def __init__(self, painter: Painter) -> None:
        self.painter, self.rng = painter, np.random.default_rng(0)
        self.decoder: Any = SimpleNamespace(
            scores=SimpleNamespace(overlapping=False),
            cutter=SimpleNamespace(schedule=SimpleNamespace(sfreq_hz=128)),
            novelty=None,
        )
        self.said = 0

    def say(self, trial: int, k: int, embedding: np.ndarray | None = None) -> None:
        onset = 128 * trial
        shown = Trial(trial, onset, 0, "1", onset / 128)
        stop = onset + _ENDS + 3 * k
        window = CutWindow(stop, TrialWindow(shown, k, stop - 13, stop), np.zeros((2, 13), np.float32))
        if embedding is None:
            embedding = 5 * self.rng.standard_normal(5).astype(np.float32)
            embedding[-1] = 40 / N_LATENCIES
        self.painter.keep(window, embedding)
        self.painter.look(self.decoder, lambda stop: time.monotonic())
        self.said += 1


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def picture_of(painter: Painter) -> Reconstruction:
    shown = painter.reconstruction()
    assert shown is not None
    return shown


def accounted(painter: Painter) -> int:
    summary = painter.summary()
    return sum(summary[name] for name in ("made", "superseded", "skipped", "held", "failed"))


def raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail
