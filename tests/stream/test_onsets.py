"""Edges in a photodiode or trigger channel, and the trials that are placed by them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.onsets import OnsetChannel
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Marker, StreamInfo
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

FS = 1000.0


def pulses(onsets: list[int], n_samples: int, *, width: int = 300) -> np.ndarray:
    x = np.zeros(n_samples)
    for onset in onsets:
        x[onset : onset + width] = 1.0
    return x


def edges_near(x: np.ndarray, markers: list[int], *, sizes: list[int] | None = None) -> list[int | None]:
    channel = OnsetChannel(0, FS)
    start, turn = 0, 0
    while start < len(x):
        size = len(x) if sizes is None else sizes[turn % len(sizes)]
        channel.feed(x[start : start + size], start)
        start, turn = start + size, turn + 1
    return [channel.nearest(marker) for marker in markers]


ONSETS = list(range(1000, 19_000, 700))


def test_a_trigger_channel_gives_the_very_sample() -> None:
    x = 5.0 * pulses(ONSETS, 20_000)
    assert edges_near(x, [onset - 13 for onset in ONSETS]) == ONSETS


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (3e-4, -2.0), (4e5, 1e6)])
def test_a_photodiode_needs_no_gain_no_offset_and_no_drift(gain: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    drift = 8 * np.sin(2 * np.pi * np.arange(20_000) / 12_000)
    x = offset + gain * (40 * pulses(ONSETS, 20_000) + drift + rng.standard_normal(20_000))
    assert edges_near(x, [onset + 20 for onset in ONSETS]) == ONSETS


def test_a_slow_rise_counts_at_about_its_middle() -> None:
    rng = np.random.default_rng(1)
    rising = np.convolve(pulses(ONSETS, 20_000), np.ones(10) / 10)[:20_000]
    found = edges_near(40 * rising + rng.standard_normal(20_000), ONSETS)
    # The first pulse is found as soon as it stands out of the noise: its height is not known yet.
    assert found[0] is not None
    assert 0 <= found[0] - ONSETS[0] <= 5
    for edge, onset in zip(found[1:], ONSETS[1:], strict=True):
        assert edge is not None
        assert abs(edge - (onset + 5)) <= 2


@pytest.mark.parametrize("seed", range(3))
def test_nothing_counts_in_pure_noise_nor_in_a_drift(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(60_000)
    drift = 20 * np.sin(2 * np.pi * np.arange(60_000) / 30_000)
    for x in (noise, drift, noise + drift, np.cumsum(noise), np.zeros(60_000)):
        assert set(edges_near(x, list(range(0, 60_000, 150)))) == {None}


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    seed=st.integers(0, 99),
    noise=st.sampled_from([0.0, 0.02, 0.5]),
)
def test_chunks_make_no_difference(sizes: list[int], seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    onsets = sorted(rng.choice(4000, 6, replace=False).tolist())
    x = pulses(onsets, 4000, width=60) + noise * rng.standard_normal(4000)
    x[rng.integers(0, 4000, 5)] = np.nan
    markers = list(range(0, 4000, 40))
    assert edges_near(x, markers, sizes=sizes) == edges_near(x, markers)


def test_the_nearest_edge_within_the_tolerance_is_taken_and_both_kinds_are_counted() -> None:
    channel = OnsetChannel(0, FS, tolerance_s=0.1)
    channel.feed(5.0 * pulses([1000, 1150, 3000], 4000, width=50), 0)
    asked = {900: 1000, 899: None, 1074: 1000, 1076: 1150, 1250: 1150, 1251: None, 3000: 3000}
    assert {sample: channel.nearest(sample) for sample in asked} == asked
    assert (channel.corrected, channel.uncorrected) == (5, 2)
    # Asked again, as for a marker that waits, nothing is counted twice.
    assert channel.nearest(3000) == 3000
    assert channel.nearest(899) is None
    assert (channel.corrected, channel.uncorrected) == (5, 2)
    assert list(channel.mismatch_s) == pytest.approx([0.1, -0.074, 0.074, -0.1, 0.0])


def test_the_mismatch_is_told_in_words() -> None:
    channel = OnsetChannel(0, FS)
    assert channel.summary() == "no marker has an edge within 100 ms"
    channel.feed(5.0 * pulses(ONSETS, 20_000), 0)
    for onset in ONSETS:
        channel.nearest(onset - 12)
    channel.nearest(19_900)
    words = channel.summary()
    assert "median +12.0 ms" in words
    assert f"n = {len(ONSETS)}, without edge 1" in words


def test_an_edge_inside_a_gap_does_not_count() -> None:
    channel = OnsetChannel(0, FS)
    x = 5.0 * pulses([1000, 2000, 3000], 4000)
    channel.feed(x[:1900], 0)
    channel.feed(x[2100:], 2100)  # the second pulse is up already
    assert [channel.nearest(sample) for sample in (1000, 2050, 3000)] == [1000, None, 3000]


def test_one_outlier_does_not_silence_the_channel_for_good() -> None:
    onsets = list(range(1000, 150_000, 1000))
    x = 5.0 * pulses(onsets, 150_500)
    x[500] = 50.0
    found = edges_near(x, onsets)
    assert found[-30:] == onsets[-30:]


def ingest_of(decimation: int) -> Ingest:
    channels = (Channel("Oz", "eeg", "uV"), Channel("diode", "misc"))
    info = StreamInfo("s", "EEG", "id", "here", channels, FS)
    chain = ChainSpec(("Oz",), ("uV",), FS / decimation)
    return Ingest(info, chain, hold_s=20.0, onset_channel="diode")


@pytest.mark.parametrize("decimation", [1, 5])
def test_trials_are_placed_where_the_picture_came(decimation: int) -> None:
    ingest = ingest_of(decimation)
    shown = [1000, 2200, 3400, 4600]
    diode = 5.0 * pulses(shown, 6000)
    rng = np.random.default_rng(2)
    early = rng.integers(5, 60, len(shown))
    trials = Trials(WindowSchedule(exact_sfreq(FS / decimation)), 2, {"face": 0})
    placed = []
    for onset, lead in zip(shown, early, strict=True):
        trials.add(Marker(500.0 + (onset - int(lead)) / FS, "face", 0.0))
    for start in range(0, 6000, 40):
        number = np.arange(start, start + 40)
        data = np.column_stack([np.zeros(40), diode[number]]).astype(np.float32)
        ingest.feed(data, 500.0 + number / FS, 500.0 + (start + 40) / FS)
        placed += trials.place(ingest.onset, ingest.ring.stop)
    assert [trial.onset for trial in placed] == [ingest.to_decoder(onset) for onset in shown]
    channel = ingest.onset_channel
    assert channel is not None
    assert (channel.corrected, channel.uncorrected) == (4, 0)
    assert list(channel.mismatch_s) == pytest.approx(early / FS)


def test_at_the_end_a_marker_waits_for_no_edge() -> None:
    ingest = ingest_of(1)
    number = np.arange(3000)
    data = np.column_stack([np.zeros(3000), 5.0 * pulses([2990], 3000)]).astype(np.float32)
    ingest.feed(data, 500.0 + number / FS, 503.0)
    assert ingest.onset(500.0 + 2.98) is None
    ingest.flush()
    assert ingest.onset(500.0 + 2.98) == 2990
    assert ingest.onset(500.0 + 3.5) is None  # never came


def test_codes_of_any_height_are_edges_in_a_digital_channel() -> None:
    channel = OnsetChannel(0, 1000.0, digital=True)
    values = np.zeros(1000)
    for at, code in ((100, 64), (300, 1), (500, 255), (505, 3)):
        values[at : at + 10] = code
    values[600:620] = 7
    values[610:620] = 9
    channel.feed(values[:303], 0)
    channel.feed(values[303:], 303)
    assert [channel.nearest(at) for at in (100, 300, 500, 600, 612)] == [100, 300, 500, 600, 610]
