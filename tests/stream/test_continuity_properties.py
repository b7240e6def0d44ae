"""Continuity with a counter, and on any troubled stream that hypothesis can think of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decode_stream.stream.continuity import Continuity

from .continuity_streams import emitted, every, feed, gaps_of, packets, stream


@pytest.mark.parametrize("n_lost", [1, 5, 200])
def test_a_counter_makes_losses_exact_whatever_the_jitter(n_lost):
    data, _ = stream(4000)
    stamps_s = packets(4000, 256.0, seed=2)
    kept = np.r_[:1000, 1000 + n_lost : 4000]
    continuity = Continuity(256.0, counter_channel=0)
    out = feed(continuity, data[kept], stamps_s[kept], every(12, len(kept)), flush=False)
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [(1000, n_lost, "loss")]
    index, rows = emitted(out)
    assert np.array_equal(index, rows[:, 0])


def test_a_counter_tells_duplicates_from_late_comers():
    data, _ = stream(3000)
    stamps_s = packets(3000, 256.0, seed=3)
    sent = np.r_[:1000, 990:1000, 1012:1024, 1000:1012, 1024:3000]
    continuity = Continuity(256.0, counter_channel=0)
    out = feed(continuity, data[sent], stamps_s[sent], every(5, len(sent)))
    assert (continuity.duplicate, continuity.reordered, continuity.lost) == (10, 12, 12)
    index, rows = emitted(out)
    assert np.array_equal(index, rows[:, 0])


def test_a_float32_counter_goes_on_where_it_can_no_longer_count_by_ones():
    first = 2**24 - 500
    data, stamps_s = stream(4000, first=first)
    data = data.astype(np.float32)
    keep = np.r_[0:2000, 2300:4000]
    continuity = Continuity(250.0, counter_channel=0)
    out = feed(continuity, data[keep], stamps_s[keep], every(12, len(keep)))
    assert continuity.duplicate == continuity.reordered == 0
    assert [gap.kind for gap in gaps_of(out)] == ["loss"]
    assert abs(continuity.lost - 300) <= 2
    assert continuity.received == len(keep)


def test_a_counter_that_wraps_goes_on():
    data, stamps_s = stream(3000, 256.0)
    wrapped = data.copy()
    wrapped[:, 0] %= 256
    kept = np.r_[:1000, 1020:3000]
    continuity = Continuity(256.0, counter_channel=0)
    out = feed(continuity, wrapped[kept], stamps_s[kept], every(12, len(kept)))
    assert [(g.start, g.n_lost) for g in gaps_of(out)] == [(1000, 20)]
    assert continuity.received == len(kept)


def test_a_counter_that_starts_anew_with_its_clock_is_a_reset():
    data, stamps_s = stream(2000)
    data[1000:, 0] -= 1000
    stamps_s[1000:] -= 77.0
    continuity = Continuity(250.0, counter_channel=0)
    out = feed(continuity, data, stamps_s, every(12, 2000))
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [(1000, 0, "reset")]
    assert continuity.received == 2000


@st.composite
def troubled_streams(draw):
    """Draw a stream with jitter, drops, duplicated and swapped chunks, clock jumps."""
    n, size = 1000, draw(st.sampled_from([1, 5, 12, 32]))
    jitter_s = draw(st.sampled_from([0.0, 5e-4, 5e-3]))
    data, _ = stream(n)
    stamps_s = packets(n, 250.0, draw(st.integers(0, 99)), size, jitter_s, 6 * jitter_s, quantum_s=1e-6)
    order = [np.arange(at, min(at + size, n)) for at in range(0, n, size)]
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(1, len(order) - 2))
        trouble = draw(st.sampled_from(["drop", "twice", "swap", "late", "jump"]))
        if trouble == "drop":
            del order[at : at + draw(st.integers(1, 10))]
            order = order if len(order) > 3 else [np.arange(n)] * 4
        elif trouble == "twice":
            order.insert(at, order[at - 1])
        elif trouble == "swap":
            order[at], order[at + 1] = order[at + 1], order[at]
        elif trouble == "late":
            order.insert(draw(st.integers(0, len(order) - 1)), order.pop(at))
        else:
            stamps_s = stamps_s.copy()
            stamps_s[order[at][0] :] += draw(st.sampled_from([-3.0, -0.05, 0.02, 10.0, 8000.0]))
    sent = np.concatenate(order)
    return data[sent], stamps_s[sent]


@settings(deadline=None, max_examples=90)
@given(troubled_streams(), st.lists(st.integers(1, 1200), max_size=60), st.sampled_from([None, 0]))
def test_every_sample_has_one_fate_and_chunks_do_not_matter(sent, cuts, counter):
    data, stamps_s = sent
    results = []
    for where in (cuts, every(1, len(data))):
        continuity = Continuity(250.0, counter_channel=counter)
        out = feed(continuity, data, stamps_s, where, flush=False)
        dropped = continuity.duplicate + continuity.reordered
        assert continuity.received + dropped + continuity.held == len(data)
        out += continuity.flush()
        index, rows = emitted(out)
        assert continuity.held == 0
        assert continuity.received == len(rows)
        assert continuity.received + continuity.duplicate + continuity.reordered == len(data)
        assert continuity.lost == sum(gap.n_lost for gap in gaps_of(out))
        # What comes out is what went in, less what was dropped: unaltered and in order.
        places = iter(data[:, 0])
        assert all(any(sample == place for place in places) for sample in rows[:, 0])
        assert np.array_equal(rows[:, 1], np.sin(rows[:, 0]))
        results.append((index.tolist(), rows[:, 0].tolist(), gaps_of(out)))
    assert results[0] == results[1]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([128.0, 256.0, 1000.0]),
    st.lists(st.tuples(st.integers(20, 900), st.integers(1, 500)), min_size=1, max_size=6),
    st.lists(st.integers(1, 3000), max_size=30),
)
def test_any_losses_of_a_clean_stream_are_found_to_the_sample(sfreq_hz, losses, cuts):
    pieces, expected, at = [], [], 0
    for n_before, n_lost in losses:
        n_good = n_before + int(0.5 * sfreq_hz)
        pieces.append(np.arange(at, at + n_good))
        expected.append((at + n_good, n_lost))
        at += n_good + n_lost
    pieces.append(np.arange(at, at + int(0.6 * sfreq_hz)))
    kept = np.concatenate(pieces)
    data, stamps_s = stream(kept[-1] + 1, sfreq_hz)
    out = feed(Continuity(sfreq_hz), data[kept], stamps_s[kept], cuts)
    assert [(g.start, g.n_lost) for g in gaps_of(out)] == expected
    index, rows = emitted(out)
    assert np.array_equal(index, rows[:, 0])


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([5, 12, 20]), st.floats(0, 6e-3), st.integers(0, 50))
def test_jitter_never_makes_a_gap(seed, size, jitter_s, shift):
    data, _ = stream(2500)
    stamps_s = packets(2500, 256.0, seed, size, jitter_s, max(0.03 * (jitter_s > 2e-3), 1e-9), quantum_s=1e-6)
    data, stamps_s = data[shift:], stamps_s[shift:]
    continuity = Continuity(256.0)
    out = feed(continuity, data, stamps_s, every(12, 2500))
    assert gaps_of(out) == []
    assert np.array_equal(emitted(out)[1], data)
