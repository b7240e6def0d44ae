"""The hour in small: what the benchmark replays, and that it would notice what is wrong."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from decode_stream.stream.lsl import lsl_now
from decode_stream.stream.types import Marker

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.replay_hour")


@pytest.mark.lsl
def test_a_minute_arrives_whole_in_time_and_in_place(benchmark: ModuleType) -> None:
    recording = benchmark.RampRecording(60.0, n_channels=8)
    outcome = benchmark.replay(recording, 30.0)
    assert (outcome.n_samples, outcome.n_lost, outcome.n_wrong, outcome.n_early) == (15_000, 0, 0, 0)
    assert outcome.n_markers == len(recording.markers) > 290
    assert (outcome.n_markers_lost, outcome.n_markers_off, outcome.n_markers_misplaced) == (0, 0, 0)
    assert outcome.sound
    # 60 s at 30 times the speed, less the first chunk.
    assert 1.9 < outcome.took_s < 4.0


class _Inlet:
    """Hands out a prepared stream, of which one sample is in hand before its stamp."""

    def __init__(self, recording: Any, began_s: float) -> None:
        self.recording = recording
        self.began_s = began_s
        self.at = 0

    def pull(self, n_samples: int, drain: bool = False) -> Any:
        data = self.recording.read(self.at, min(self.at + 50, self.recording.n_samples))
        stamps_s = self.began_s + np.arange(self.at, self.at + len(data)) / 250
        self.at += len(data)
        return data, stamps_s, stamps_s[-1] - 0.001 * (self.at == 300)


class _Markers:
    """Hands out all markers at once, the first of them a sample late."""

    def __init__(self, recording: Any, began_s: float) -> None:
        self.recording = recording
        self.began_s = began_s
        self.sent = False

    def pull(self, timeout_s: float) -> Any:
        late = [int(k == 0) for k in range(len(self.recording.markers))]
        all_ = [
            Marker(self.began_s + (at + more) / 250, label, 1e9)
            for (at, label), more in zip(self.recording.markers, late, strict=True)
        ]
        out, self.sent = ([] if self.sent else all_), True
        return out


def test_a_sample_of_the_future_and_a_marker_off_its_sample_are_noticed(benchmark: ModuleType) -> None:
    recording = benchmark.RampRecording(8.0, n_channels=2)
    began_s = lsl_now()
    outcome = benchmark._Check(recording, 1.0).run(_Inlet(recording, began_s), _Markers(recording, began_s))
    assert (outcome.n_early, outcome.n_markers_off, outcome.n_markers_misplaced) == (1, 1, 1)
    assert (outcome.n_lost, outcome.n_wrong) == (0, 0)
    assert not outcome.sound
