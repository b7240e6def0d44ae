from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode_stream.stream.windows import WindowSchedule, exact_sfreq

RATES = [100, 128, 200, 250, 256, 500, 512, 1000, 1024, 1200, 2048, Fraction(1000, 3)]


def in_words(fs: Fraction, length: Fraction, step: Fraction, k: int) -> int:
    return floor(fs * (length + k * step) + Fraction(1, 2))


@pytest.mark.parametrize("rate", RATES)
def test_ten_seconds_hold_397_windows_and_none_drifts(rate: Fraction) -> None:
    fs = exact_sfreq(float(rate))
    assert fs == rate
    schedule = WindowSchedule(fs)
    assert schedule.count(floor(10 * fs)) == 397
    for k in (0, 1, 2, 3, 396, 100_000):
        assert schedule.stop(k) == in_words(fs, Fraction(1, 10), Fraction(1, 40), k)
        assert abs(schedule.stop(k) / fs - (Fraction(1, 10) + k * Fraction(1, 40))) <= Fraction(1, 2) / fs


def test_steps_at_250_hz_are_6_6_6_7() -> None:
    schedule = WindowSchedule(Fraction(250))
    steps = [schedule.stop(k + 1) - schedule.stop(k) for k in range(40)]
    assert schedule.n_times == 25
    assert sorted(steps) == [6] * 30 + [7] * 10
    assert sum(steps) == 250


def test_a_one_second_epoch_has_37_windows() -> None:
    assert {WindowSchedule(Fraction(rate)).count(int(rate)) for rate in (100, 200, 250, 1000, 1200)} == {37}


@given(
    rate=st.sampled_from(RATES),
    n=st.integers(0, 20_000),
    length_ms=st.integers(25, 400),
    step_ms=st.integers(11, 100),
)
def test_count_agrees_with_stop(rate: Fraction, n: int, length_ms: int, step_ms: int) -> None:
    schedule = WindowSchedule(Fraction(rate), Fraction(length_ms, 1000), Fraction(step_ms, 1000))
    k = schedule.count(n)
    assert schedule.stop(k) > n
    assert k == 0 or schedule.stop(k - 1) <= n
    assert [stop for _, stop in schedule.due(max(0, k - 2), n)] == [
        schedule.stop(i) for i in range(max(0, k - 2), k)
    ]


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), float("inf")])
def test_impossible_rates_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0 Hz"):
        exact_sfreq(bad)


def test_a_step_below_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="step of 0.025 s is shorter than one sample at 20 Hz"):
        WindowSchedule(Fraction(20))


def growing(
    rate: Fraction | int = 250, first_ms: int = 100, length_ms: int = 1000, step_ms: int = 25
) -> WindowSchedule:
    length, step, first = (Fraction(ms, 1000) for ms in (length_ms, step_ms, first_ms))
    return WindowSchedule(Fraction(rate), length, step, first_s=first)


def test_a_growing_window_ends_where_the_sliding_ones_do_and_begins_at_the_onset() -> None:
    schedule, sliding = growing(), WindowSchedule(Fraction(250))
    assert (schedule.n_times, schedule.n_windows) == (250, 37)
    assert [schedule.stop(k) for k in range(37)] == [sliding.stop(k) for k in range(37)]
    assert {schedule.start(k) for k in range(37)} == {0}
    assert [schedule.latency_s(k) for k in (0, 1, 36)] == pytest.approx([0.1, 0.125, 1.0])
    assert sliding.n_windows is None
    assert sliding.start(3) == sliding.stop(3) - 25
    assert sliding.latency_s(3) == pytest.approx(0.075)


def test_the_last_growing_window_is_the_whole_however_the_steps_fall() -> None:
    schedule = growing(200, first_ms=200, length_ms=990, step_ms=100)
    assert [schedule.stop(k) for k in range(9)] == [40, 60, 80, 100, 120, 140, 160, 180, 198]
    assert schedule.n_windows == 9
    assert schedule.latency_s(8) == pytest.approx(0.99)
    once = growing(first_ms=1000)
    assert (once.n_windows, once.stop(0), once.count(249), once.count(10_000)) == (1, 250, 0, 1)
    late = WindowSchedule(Fraction(250), Fraction(1), lag_s=Fraction(1, 10), first_s=Fraction(1, 5))
    assert (late.start(0), late.stop(0), late.stop(32), late.latency_s(32)) == (25, 75, 275, 1.1)


@given(
    rate=st.sampled_from(RATES),
    n=st.integers(-100, 3000),
    first_ms=st.integers(20, 400),
    more_ms=st.integers(0, 900),
    step_ms=st.integers(11, 100),
    lag_ms=st.integers(0, 50),
)
def test_growing_windows_are_counted_as_they_end(
    rate: Fraction, n: int, first_ms: int, more_ms: int, step_ms: int, lag_ms: int
) -> None:
    length, step, lag, first = (Fraction(ms, 1000) for ms in (first_ms + more_ms, step_ms, lag_ms, first_ms))
    schedule = WindowSchedule(Fraction(rate), length, step, lag, first)
    assert schedule.n_windows is not None
    stops = [schedule.stop(k) for k in range(schedule.n_windows)]
    assert stops == sorted(stops)
    assert stops[0] > schedule.start(0) == floor(rate * lag + Fraction(1, 2))
    assert stops[-1] == schedule.start(0) + schedule.n_times
    assert schedule.count(n) == sum(stop <= n for stop in stops)
    assert [k for k, _ in schedule.due(1, n)] == list(range(1, schedule.count(n)))


def test_a_window_that_grows_beyond_its_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="from 1.1 s to 1 s"):
        growing(first_ms=1100)
    with pytest.raises(ValueError, match="first part of 0.001 s is shorter than one sample"):
        growing(first_ms=1)
