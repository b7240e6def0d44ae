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
