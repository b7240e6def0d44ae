"""Durations: the last ten seconds for people, the whole session for the summary."""

import numpy as np
import pytest

from decode_stream.sessions.timing import StageTimes, Startup


def test_nothing_is_told_before_the_first() -> None:
    stage = StageTimes()
    assert stage.recent_ms() is None
    assert stage.summary_ms() is None


def test_one_duration_is_every_percentile() -> None:
    stage = StageTimes()
    stage.add(0.002)
    assert stage.recent_ms() == pytest.approx((2.0, 2.0))
    assert stage.summary_ms() == {"p50": 2.0, "p95": 2.0, "p99": 2.0}


def test_recent_is_ten_seconds_of_hops_and_the_summary_all() -> None:
    stage = StageTimes()
    for _ in range(1000):
        stage.add(0.1)
    for _ in range(400):  # 400 hops of 25 ms
        stage.add(0.001)
    assert stage.recent_ms() == pytest.approx((1.0, 1.0))
    assert stage.summary_ms() == {"p50": 100.0, "p95": 100.0, "p99": 100.0}
    stage.add(0.05)
    recent = stage.recent_ms()
    assert recent is not None
    assert recent[0] == pytest.approx(1.0)


def test_percentiles_are_those_of_numpy() -> None:
    stage = StageTimes()
    durations_ms = np.random.default_rng(0).gamma(2.0, size=350)
    for duration in durations_ms:
        stage.add(duration / 1e3)
    assert stage.recent_ms() == pytest.approx(np.percentile(durations_ms, [50, 99]))
    summary = stage.summary_ms()
    assert summary is not None
    assert list(summary.values()) == pytest.approx(np.percentile(durations_ms, [50, 95, 99]), abs=1e-3)


def test_what_was_reached_first_counts_and_the_rest_is_open() -> None:
    startup = Startup()
    startup.reach("first_sample")
    first = startup.summary_s()
    startup.reach("first_sample")
    assert startup.summary_s() == first
    assert first["first_sample"] is not None
    assert first["first_sample"] > 0
    assert [name for name, time_s in first.items() if time_s is None] == [
        "window_up",
        "connected",
        "first_trial_decoded",
    ]
