import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decode_stream.replay_data.formats.stamps import USUAL_RATES_HZ, find_gaps, measured_sfreq, sample_places
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray, Gap


def bursty(n: int, sfreq_hz: float, seed: int = 0) -> FloatArray:
    """Stamps as a wireless headband's: packets of 12, each up to 15 ms early or late, rounded to 1 ms."""
    rng = np.random.default_rng(seed)
    late_s = np.repeat(rng.uniform(-0.015, 0.015, n // 12 + 1), 12)[:n]
    return np.round(150_000 + np.arange(n) / sfreq_hz + late_s, 3)


def test_jitter_is_no_gap_and_leaves_the_rate_alone() -> None:
    stamps_s = bursty(30_000, 256.02)
    steps_ms = np.diff(stamps_s) * 1e3
    assert steps_ms.min() < -15
    assert steps_ms.max() > 25
    assert measured_sfreq(stamps_s) == 256.0
    assert find_gaps(stamps_s, 256.0) == ()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(20, 2000), st.integers(0, 2**31))
def test_losses_among_jitter_are_found_with_their_length(place: int, n_lost: int, seed: int) -> None:
    at = 2000 + 5 * place
    stamps_s = np.delete(bursty(12_000, 256.0, seed), slice(at, at + n_lost))
    assert measured_sfreq(stamps_s) == 256.0
    (gap,) = find_gaps(stamps_s, 256.0)
    assert gap.kind == "loss"
    # Within the jitter of the packets (15 ms) it cannot be told exactly, and one of 12 samples is missed at times.
    assert abs(gap.n_lost - n_lost) <= 6
    assert abs(gap.start - at) <= 12


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1000, 2500), st.integers(1, 500)), min_size=1, max_size=6))
def test_clean_stamps_tell_every_loss_exactly(losses: list[tuple[int, int]]) -> None:
    times, expected, own = [np.arange(500)], [], 500
    for length, n_lost in losses:
        begin = times[-1][-1] + 1 + n_lost
        times.append(np.arange(begin, begin + length))
        expected.append((own, n_lost, "loss"))
        own += length
    times.append(np.arange(times[-1][-1] + 1, times[-1][-1] + 500))
    stamps_s = np.concatenate(times) / 500
    gaps = find_gaps(stamps_s, 500.0)
    assert [(gap.start, gap.n_lost, gap.kind) for gap in gaps] == expected
    assert [gap.time_s for gap in gaps] == [stamps_s[gap.start] for gap in gaps]


def test_a_clock_that_jumps_is_a_reset() -> None:
    stamps_s = np.arange(5000) / 250
    for jump_s in (-3.0, 3600.0):
        jumped_s = stamps_s + np.where(np.arange(5000) >= 1700, jump_s, 0)
        (gap,) = find_gaps(jumped_s, 250.0)
        assert (gap.start, gap.n_lost, gap.kind) == (1700, 0, "reset")


@pytest.mark.parametrize("sfreq_hz", [100, 128, 200, 250, 256, 500, 512, 1000, 1024, 1200, 2048, 1000 / 3])
def test_usual_rates_are_snapped_to(sfreq_hz: float) -> None:
    assert sfreq_hz in USUAL_RATES_HZ
    assert measured_sfreq(np.arange(5000) / (sfreq_hz * 1.0015)) == sfreq_hz


def test_an_unusual_rate_stays_as_measured() -> None:
    assert measured_sfreq(np.arange(5000) / 253.127) == 253.13


def test_chunks_that_share_a_stamp_have_a_rate() -> None:
    stamps_s = np.floor(np.arange(5000) / 16) * 16 / 125
    assert measured_sfreq(stamps_s) == 125.0
    assert find_gaps(stamps_s, 125.0) == ()


@pytest.mark.parametrize("stamps_s", [[1.0], [2.0, 2.0, 2.0], [3.0, 2.0, 1.0]])
def test_stamps_that_do_not_advance_are_refused(stamps_s: list[float]) -> None:
    with pytest.raises(RecordingError, match="that advance"):
        measured_sfreq(np.array(stamps_s))


def test_times_find_their_sample_through_jitter_losses_and_resets() -> None:
    rng = np.random.default_rng(0)
    # 20 samples lost at 600; a minute passed, or the clock was set, at 1500.
    grid = np.delete(np.arange(2520), np.s_[600:620])
    true_s = 100.0 + grid / 250 + 60.0 * (np.arange(2500) >= 1500)
    stamps_s = true_s + rng.normal(0, 5e-4, 2500)
    gaps = (Gap(600, 20, "loss", 2.48), Gap(1500, 0, "reset", 66.08))
    samples = np.array([0, 599, 600, 1499, 1500, 2499])
    places, behind = sample_places(true_s[samples] + 1e-3, stamps_s, 250.0, gaps)
    np.testing.assert_array_equal(places, samples)
    np.testing.assert_allclose(behind, 0.25, atol=0.1)
    outside_s = np.array([99.99, 100.0 + 610 / 250, 150.0, 172.0])
    places, behind = sample_places(outside_s, stamps_s, 250.0, gaps)
    assert places.tolist() == [-1, -1, -1, -1]
    assert not behind.any()


def test_a_time_that_occurred_twice_means_the_later_sample() -> None:
    stamps_s = 50.0 + np.r_[np.arange(500), np.arange(500)] / 100
    gaps = (Gap(500, 0, "reset", 0.0),)
    assert sample_places(np.array([51.0]), stamps_s, 100.0, gaps)[0].tolist() == [600]
