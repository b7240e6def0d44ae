"""Volumes seconds apart on the way that was made for samples milliseconds apart."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decode_stream.decoders.chains import volume_schedule, watch_schedule
from decode_stream.stream.continuity import Continuity
from decode_stream.stream.cutter import WindowCutter, held_s
from decode_stream.stream.errors import UsageError
from decode_stream.stream.filters import CausalChain, ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.metadata import channel_type
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Chunk, Gap, Marker, StreamInfo
from decode_stream.stream.units import handy_unit, unit_factor, unit_symbol
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

PERIODS_S = [1.0, 1.333, 4 / 3, 1.6, 0.8, 2.0, 2.5, 3.21, 4.0]
VOXELS = tuple(Channel(f"{i},0,0", "voxel", "") for i in range(3))


@pytest.mark.parametrize("tr_s", PERIODS_S)
def test_a_rate_below_one_is_one_over_a_simple_time(tr_s: float) -> None:
    rate = exact_sfreq(1 / tr_s)
    assert float(1 / rate) == pytest.approx(tr_s, abs=1e-12)
    # What is written into a manifest and read again is the same schedule.
    schedule = volume_schedule(1 / tr_s)
    texts = [str(float(x)) for x in (schedule.length_s, schedule.step_s, schedule.lag_s)]
    again = WindowSchedule(rate, *map(Fraction, texts))
    assert [again.stop(k) for k in range(200)] == [schedule.stop(k) for k in range(200)]
    assert again.n_times == schedule.n_times == max(1, round(4 / tr_s))
    assert schedule.stop(1) - schedule.stop(0) == 1


def test_a_lag_moves_all_windows_and_leaves_their_length() -> None:
    plain, late = WindowSchedule(Fraction(200)), WindowSchedule(Fraction(200), lag_s=Fraction(1, 2))
    assert late.n_times == plain.n_times
    assert [late.stop(k) - plain.stop(k) for k in range(50)] == [100] * 50
    assert late.latency_s(2) == pytest.approx(0.55)
    assert late.count(late.stop(7)) == 8
    with pytest.raises(ValueError, match="begin at the onset or later"):
        WindowSchedule(Fraction(200), lag_s=Fraction(-1))


def test_the_window_of_a_trial_is_whole_volumes() -> None:
    schedule = volume_schedule(0.4, 5.0, 22.5)
    assert (schedule.n_times, schedule.stop(0)) == (9, 11)
    assert volume_schedule(0.1).n_times == 1
    for lag_s, width_s in ((-1.0, 4.0), (4.0, 0.0), (4.0, 1e3), (float("nan"), 4.0)):
        with pytest.raises(UsageError, match="the lag is 0 or more"):
            volume_schedule(0.4, lag_s, width_s)


@pytest.mark.parametrize("rate_hz", [0.1, 0.4, 0.75, 1.0, 5.0, 20.0, 39.0, 40.0, 250.0])
def test_any_stream_can_be_watched(rate_hz: float) -> None:
    schedule = watch_schedule(rate_hz)
    assert schedule.n_times >= 1
    assert schedule.stop(1) > schedule.stop(0)
    if rate_hz >= 40:
        assert schedule == WindowSchedule(exact_sfreq(rate_hz))


def chain(memory_s: float = 20.0) -> CausalChain:
    names = tuple(channel.name for channel in VOXELS)
    return CausalChain(ChainSpec(names, ("",) * 3, 0.5, running_mean_s=memory_s), VOXELS, 0.5)


def test_the_running_mean_is_that_of_earlier_volumes() -> None:
    data = np.random.default_rng(0).standard_normal((9, 3)) + 1000
    out = chain().process(data, 0)
    assert out[0].tolist() == [0, 0, 0]
    for i in range(1, 9):
        assert out[i] == pytest.approx(data[i] - data[:i].mean(axis=0), abs=1e-4)


def test_an_old_level_is_forgotten_and_a_drift_followed() -> None:
    drift = np.arange(400.0)[:, None] * np.ones(3)
    out = chain().process(drift, 0)
    # A straight line stays ahead of a fading mean of n samples by n.
    assert out[-1] == pytest.approx(np.full(3, 10.0), rel=1e-3)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 17), min_size=1, max_size=12))
def test_the_running_mean_does_not_depend_on_chunks(sizes: list[int]) -> None:
    data = np.random.default_rng(1).standard_normal((sum(sizes), 3)) * 50
    whole, parts = chain().process(data, 0), chain()
    edges = np.cumsum([0, *sizes])
    pieces = [parts.process(data[a:b], int(a)) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_only_the_first_volume_waits_for_a_mean() -> None:
    assert chain().settle_samples == 1
    assert not chain().has_filters
    with pytest.raises(ValueError, match="fades over a time above 0 s"):
        ChainSpec(("a",), ("",), 1.0, running_mean_s=0.0)


def test_the_ring_holds_a_trial_of_volumes_and_a_late_marker() -> None:
    info = StreamInfo("s", "FMRI", "", "", VOXELS, 0.4)
    schedule, names = volume_schedule(0.4, 60.0, 100.0), tuple(channel.name for channel in VOXELS)
    spec = ChainSpec(names, ("",) * 3, 0.4)
    ingest = Ingest(info, spec, held_s(schedule, 1, WindowSpec()))
    trials = Trials(schedule, 1, {"face": 0})
    cutter = WindowCutter(ingest, schedule, WindowSpec(), trials)
    ingest.take([Chunk(0, np.arange(210.0).reshape(70, 3), 0.0)])
    trials.add(Marker(4.0, "face", 0.0))
    trials.place(int, ingest.ring.stop)
    (window,) = cutter.locked()
    assert window.data is not None
    assert window.data[0].tolist() == list(range(3 * 28, 3 * 68, 3))


@pytest.mark.parametrize("tr_s", [1.0, 1.333, 2.5, 4.0])
@pytest.mark.parametrize("jitter_s", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("dropped", [(), (20,), (20, 21, 40)])
def test_lost_volumes_are_noticed_with_the_next_one(
    tr_s: float, jitter_s: float, dropped: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    continuity, losses = Continuity(1 / tr_s), []
    for i in (i for i in range(120) if i not in dropped):
        stamp_s = 100 + i * tr_s + rng.uniform(0, jitter_s)
        for piece in continuity.admit(rng.standard_normal((1, 2)), np.array([stamp_s]), stamp_s):
            if isinstance(piece, Gap):
                losses.append(piece.n_lost)
            else:
                assert piece.start == i
    assert losses == {0: [], 1: [1], 3: [2, 1]}[len(dropped)]
    assert continuity.held == 0


def test_voxels_and_percent_are_known() -> None:
    assert [channel_type(text) for text in ("VOXEL", "fMRI", "bold")] == ["voxel"] * 3
    assert [unit_symbol(text, "voxel") for text in ("%", "percent", "0")] == ["%"] * 3
    assert handy_unit("%") == "%"
    assert unit_factor("%", "%") == 1
    assert unit_factor("%", "V") is None
