"""The way from stamped samples to windows, with a channel that carries the sample number."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decode_stream.stream.cutter import WindowCutter
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Marker, StreamInfo
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

FS = 200.0
COUNTER = Channel("counter", "misc", "")


def info(sfreq_hz: float = FS) -> StreamInfo:
    return StreamInfo("s", "EEG", "id", "here", (COUNTER, Channel("x", "misc", "")), sfreq_hz)


def pipeline(
    sfreq_hz: float = FS, *, window: WindowSpec | None = None, n_latencies: int = 4, hold_s: float = 10.0
) -> tuple[Ingest, Trials, WindowCutter]:
    ingest = Ingest(info(sfreq_hz), ChainSpec(("counter",), ("",), FS), hold_s=hold_s)
    schedule = WindowSchedule(exact_sfreq(FS))
    trials = Trials(schedule, n_latencies, {"face": 0})
    return ingest, trials, WindowCutter(ingest, schedule, window or WindowSpec(), trials)


def samples(
    start: int, stop: int, sfreq_hz: float = FS, t0: float = 1000.0
) -> tuple[np.ndarray, np.ndarray, float]:
    number = np.arange(start, stop)
    data = np.stack([number, np.zeros(len(number))], axis=1).astype(np.float32)
    stamps = t0 + number / sfreq_hz
    return data, stamps, float(stamps[-1]) if len(number) else t0


def test_ten_seconds_give_397_windows_with_the_right_samples() -> None:
    ingest, _, cutter = pipeline()
    cut = []
    for start in range(0, 2000, 13):
        ingest.feed(*samples(start, min(start + 13, 2000)))
        cut += cutter.free()
    assert cutter.due == len(cut) == 397
    for window in cut:  # without filters the very first sample is as good as any
        assert window.data is not None
        assert window.data[0].tolist() == list(range(window.stop - 20, window.stop))
        assert window.data.shape == (1, 20)


def test_the_next_stop_is_where_the_next_window_ends() -> None:
    ingest, trials, cutter = pipeline()
    ingest.feed(*samples(0, 20))
    assert cutter.next_stop(20) == 25
    trials.add(Marker(1000 + 12 / FS, "face", 0.0))
    trials.place(ingest.onset, ingest.ring.stop)
    assert cutter.next_stop(20) == 25
    assert cutter.next_stop(25) == 30
    assert cutter.next_stop(30) == 32  # the trial's first window: samples 12 to 32
    assert ingest.samples_until(32) == 12


def test_decimated_windows_are_ready_with_their_last_sample() -> None:
    ingest, _, cutter = pipeline(1000.0)
    needed = ingest.samples_until(cutter.next_stop(0))
    assert needed == 96  # the 20th sample at 200 Hz is input sample 95
    ingest.feed(*samples(0, needed - 1, 1000.0))
    assert cutter.free() == []
    ingest.feed(*samples(needed - 1, needed, 1000.0))
    assert [window.stop for window in cutter.free()] == [20]


@settings(deadline=None, max_examples=40)
@given(
    lost=st.integers(5, 400),
    at=st.integers(150, 600),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=20),
)
def test_no_window_spans_an_unflagged_gap(lost: int, at: int, sizes: list[int]) -> None:
    ingest, trials, cutter = pipeline()
    keep = [i for i in range(1200) if not at <= i < at + lost]
    cut, position = [], 0
    for onset in range(40, 1000, 90):
        trials.add(Marker(1000 + onset / FS, "face", 0.0))
    while position < len(keep):
        size = sizes[position % len(sizes)]
        piece = keep[position : position + size]
        data = np.stack([piece, np.zeros(len(piece))], axis=1).astype(np.float32)
        stamps = 1000 + np.array(piece) / FS
        ingest.feed(data, stamps, float(stamps[-1]))
        trials.place(ingest.onset, ingest.ring.stop)
        cut += cutter.free() + cutter.locked()
        position += size
    ingest.flush()
    cut += cutter.free() + cutter.locked()
    assert ingest.continuity.lost == lost
    assert ingest.ring.stop == 1200
    for window in cut:
        spans = window.stop - 20 < at + lost and at < window.stop
        assert (window.reason == "gap") >= spans
        if window.data is not None:
            assert window.data[0].tolist() == list(range(window.stop - 20, window.stop))
    onsets = {w.locked.trial.onset for w in cut if w.locked}
    assert onsets == set(range(40, 1000, 90))


@pytest.mark.parametrize(
    ("sfreq_hz", "first", "stop"), [(200.0, 601, 604), (400.0, 301, 303), (1000.0, 121, 122)]
)
def test_a_nan_is_flagged_on_the_samples_that_it_reaches(sfreq_hz: float, first: int, stop: int) -> None:
    # Input samples 601 to 603 are bad; without filters their echo is one sample of the decoder long.
    ingest = Ingest(info(sfreq_hz), ChainSpec(("counter",), ("",), FS))
    ingest.chain._sos = np.empty((0, 6))
    data, stamps, arrived = samples(0, 900, sfreq_hz)
    data[601:604, 0] = np.nan
    cuts = [0, 602, 603, 700, 900]
    for begin, end in pairwise(cuts):
        ingest.feed(data[begin:end], stamps[begin:end], arrived)
    assert ingest.chain.non_finite == 3
    bad = [i for i in range(ingest.ring.stop) if ingest.flags.reason(i, i + 1) == "not finite"]
    assert bad[0] == first
    assert set(range(first, stop)) <= set(bad)


def test_a_bad_sample_of_what_is_only_picked_costs_no_other() -> None:
    # A beta is a trial: the one after a bad one is sound.
    ingest = Ingest(info(), ChainSpec(("counter",), ("",), FS))
    data, stamps, arrived = samples(0, 100)
    data[[10, 20, 21], 0] = np.nan
    ingest.feed(data, stamps, arrived)
    ingest.flush()
    assert [(flag.start, flag.stop) for flag in ingest.flags] == [(10, 11), (20, 22)]


def test_a_window_with_a_nan_is_withheld() -> None:
    ingest, _, cutter = pipeline()
    data, stamps, arrived = samples(0, 400)
    data[100, 0] = np.nan
    ingest.feed(data, stamps, arrived)
    windows = cutter.free()
    bad = [w for w in windows if w.reason == "not finite"]
    assert any(w.stop - 20 <= 100 < w.stop for w in bad)
    assert all(w.stop - 20 <= 101 for w in bad)
    assert all(w.data is not None for w in windows if w.stop - 20 > 101)


def test_a_marker_before_the_first_sample_waits() -> None:
    ingest, trials, _ = pipeline()
    trials.add(Marker(1000.5, "face", 0.0))
    assert trials.place(ingest.onset, ingest.ring.stop) == []
    ingest.feed(*samples(0, 200))
    assert [trial.onset for trial in trials.place(ingest.onset, ingest.ring.stop)] == [100]


def test_the_baseline_before_onset_is_taken_away_and_must_be_sound() -> None:
    ingest, trials, cutter = pipeline(window=WindowSpec(baseline_s=(-0.1, 0.0)))
    for onset in (10, 100):
        trials.add(Marker(1000 + onset / FS, "face", 0.0))
    ingest.feed(*samples(0, 300))
    trials.place(ingest.onset, ingest.ring.stop)
    cut = cutter.locked()
    # The first trial's baseline begins before the recording: its windows cannot be served.
    assert trials.missed == 1
    first = cut[0]
    assert first.data is not None
    assert first.data[0] == pytest.approx(np.arange(100, 120) - np.arange(80, 100).mean())


def test_a_late_reader_is_told_what_it_missed() -> None:
    ingest, _, cutter = pipeline(hold_s=1.0)
    ingest.feed(*samples(0, 1000))
    cut = cutter.free()
    assert len(cut) == cutter.due == 197
    assert cutter.skipped == sum(w.reason == "overwritten" for w in cut) > 150
    assert all(w.data is not None for w in cut if not w.reason)


@pytest.mark.parametrize("sfreq_hz", [256.0, 1200.0, 1000 / 3])
def test_markers_fall_on_their_sample(sfreq_hz: float) -> None:
    ingest = Ingest(info(sfreq_hz), ChainSpec(("counter",), ("",), sfreq_hz))
    rng = np.random.default_rng(0)
    for start in range(0, 3000, 30):
        ingest.feed(*samples(start, start + 30, sfreq_hz, t0=54321.0))
    for sample in rng.integers(600, 3000, 50):
        assert ingest.onset(54321.0 + sample / sfreq_hz) == sample
        assert ingest.onset(54321.0 + (sample + 0.4) / sfreq_hz) == sample


def test_onsets_go_to_the_nearest_sample_of_the_decoder() -> None:
    ingest, _, _ = pipeline(1000.0)
    assert [ingest.to_decoder(sample) for sample in (0, 2, 3, 5, 7, 8)] == [0, 0, 1, 1, 1, 2]
