"""Continuity, on simulated streams: what was sent is known, so every verdict can be checked."""

import numpy as np
import pytest

from decode_stream.stream.continuity import Continuity
from decode_stream.stream.types import Chunk, Gap

from .continuity_streams import START_S, emitted, every, feed, gaps_of, packets, stream


@pytest.mark.parametrize("sfreq_hz", [0.5, 2.0, 100.0, 256.0, 1000 / 3, 1200.0, 5000.0])
@pytest.mark.parametrize("rate_error", [0.0, 0.005, -0.005])
def test_a_clean_stream_passes_whole(sfreq_hz, rate_error):
    data, _ = stream(3000)
    stamps_s = START_S + np.arange(3000) / (sfreq_hz * (1 + rate_error))
    continuity = Continuity(sfreq_hz)
    out = feed(continuity, data, stamps_s, every(13, 3000), flush=False)
    index, rows = emitted(out)
    assert np.array_equal(rows, data)
    assert np.array_equal(index, np.arange(3000))
    assert (continuity.received, continuity.lost, continuity.held) == (3000, 0, 0)


@pytest.mark.parametrize("sfreq_hz", [100.0, 250.0, 256.0, 1000 / 3, 1000.0, 1200.0])
@pytest.mark.parametrize("at_s", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("n_lost", [1, 2, 7, 40, 3000])
def test_a_loss_in_a_clean_stream_is_exact(sfreq_hz, at_s, n_lost):
    data, stamps_s = stream(int(8 * sfreq_hz) + n_lost, sfreq_hz)
    at = int(at_s * sfreq_hz)
    kept = np.r_[:at, at + n_lost : len(data)]
    continuity = Continuity(sfreq_hz)
    out = feed(continuity, data[kept], stamps_s[kept], every(11, len(kept)), flush=False)
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [(at, n_lost, "loss")]
    assert gaps_of(out)[0].time_s == stamps_s[at + n_lost]
    index, rows = emitted(out)
    assert np.array_equal(index, rows[:, 0])
    assert continuity.lost == n_lost
    assert continuity.held == 0


@pytest.mark.parametrize("sfreq_hz", [250.0, 256.0, 1200.0])
@pytest.mark.parametrize("part", [0.01, 0.1])
def test_losses_that_follow_on_one_another_are_all_found_where_they_are(sfreq_hz, part):
    # Packets of 10 ms, of which a part never comes, from the very first second on.
    size = round(0.01 * sfreq_hz)
    data, stamps_s = stream(size * 1000, sfreq_hz)
    came = np.random.default_rng(1).random(1000) >= part
    came[[0, -1]] = True
    came = came.repeat(size)
    continuity = Continuity(sfreq_hz)
    out = feed(continuity, data[came], stamps_s[came], every(size, len(data)))
    assert continuity.lost == np.count_nonzero(~came) > 0
    index, rows = emitted(out)
    np.testing.assert_array_equal(index, rows[:, 0])


@pytest.mark.parametrize("sfreq_hz", [0.5, 1.0, 4.0])
def test_a_lost_volume_is_known_at_the_next_one(sfreq_hz):
    data, stamps_s = stream(40, sfreq_hz)
    kept = np.r_[:20, 21:30]
    continuity = Continuity(sfreq_hz)
    out = feed(continuity, data[kept], stamps_s[kept], every(1, 40), flush=False)
    assert [(g.start, g.n_lost) for g in gaps_of(out)] == [(20, 1)]
    assert continuity.held == 0


@pytest.mark.parametrize("gap_s", [0.02, 0.1, 0.5, 3.0])
@pytest.mark.parametrize(("sfreq_hz", "jitter_s"), [(500.0, 0.0), (1000.0, 1e-3), (256.0, 1e-3)])
def test_a_second_after_a_gap_the_clock_is_right(gap_s, sfreq_hz, jitter_s):
    worst = 0.0
    for seed in range(5):
        data, true_s = stream(int(24 * sfreq_hz), sfreq_hz)
        jitter = np.random.default_rng(seed).normal(0, jitter_s, len(data) // 12 + 1)
        stamps_s = true_s + np.repeat(jitter, 12)[: len(data)]
        at, after = int(15 * sfreq_hz), int((15 + gap_s) * sfreq_hz)
        until = after + int(sfreq_hz)
        kept = np.r_[:at, after:until]
        continuity = Continuity(sfreq_hz)
        out = feed(continuity, data[kept], stamps_s[kept], every(12, len(kept)), flush=False)
        (gap,) = gaps_of(out)
        assert gap.n_lost == pytest.approx(after - at, abs=0 if jitter_s == 0 else 2)
        index, rows = emitted(out)
        # From a second after the gap on, what the clock says of a sample against when it was taken.
        for k in (np.searchsorted(index, gap.start) - 1, -1):
            worst = max(worst, abs(continuity.clock.time_at(float(index[k])) - true_s[int(rows[k, 0])]))
    assert worst < (1e-6 if jitter_s == 0 else 2e-3)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [1, 12, 32])
def test_jitter_is_no_gap_and_drops_nothing(size, seed):
    data, _ = stream(5000)
    stamps_s = packets(5000, 256.0, seed, size=size)
    assert (np.diff(stamps_s) <= 0).any()
    continuity = Continuity(256.0)
    out = feed(continuity, data, stamps_s, every(13, 5000))
    assert gaps_of(out) == []
    assert np.array_equal(emitted(out)[1], data)
    assert (continuity.duplicate, continuity.reordered) == (0, 0)


@pytest.mark.parametrize("start", [0, 5, 13, 100, 700, 5000, 12345])
@pytest.mark.parametrize("run", range(1, 6))
def test_a_real_headband_loses_nothing(real_data, run, start):
    path = real_data / "eeg_faces_houses" / f"run-0{run}.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1)[start:]
    continuity = Continuity(256.0)
    out = feed(continuity, table[:, 1:6], table[:, 0], every(12, len(table)))
    assert gaps_of(out) == []
    assert np.array_equal(emitted(out)[1], table[:, 1:6])


def test_a_loss_beyond_the_jitter_is_found_in_a_jittery_stream():
    data, _ = stream(8000)
    stamps_s = packets(8000, 256.0, seed=1, worst_s=0.015)
    kept = np.r_[:4000, 4040:8000]
    out = feed(Continuity(256.0), data[kept], stamps_s[kept], every(12, len(kept)))
    (gap,) = gaps_of(out)
    assert gap.kind == "loss"
    assert gap.n_lost == pytest.approx(40, abs=3)
    assert gap.start == pytest.approx(4000, abs=2)


def test_a_stall_whose_stamps_come_back_is_jitter():
    data, stamps_s = stream(2000, 256.0)
    stamps_s[1000:1012] += 0.15
    continuity = Continuity(256.0)
    out = feed(continuity, data, stamps_s, every(12, 2000))
    assert gaps_of(out) == []
    assert np.array_equal(emitted(out)[1], data)


def test_samples_are_held_for_a_tenth_of_a_second_and_no_longer():
    data, stamps_s = stream(4000, 1000.0)
    kept = np.r_[:3000, 3100:4000]
    continuity = Continuity(1000.0)
    held = []
    for k in kept:
        continuity.admit(data[k : k + 1], stamps_s[k : k + 1], 0.0)
        held.append(continuity.held)
    assert max(held) == 99
    assert held[3099] == 0


@pytest.mark.parametrize("size", [1, 3, 12, 40])
def test_a_chunk_sent_twice_is_dropped_once(size):
    data, stamps_s = stream(2000)
    sent = np.r_[:1000, 1000 - size : 2000]
    continuity = Continuity(250.0)
    out = feed(continuity, data[sent], stamps_s[sent], every(7, len(sent)), flush=False)
    assert gaps_of(out) == []
    assert np.array_equal(emitted(out)[1], data)
    assert (continuity.duplicate, continuity.held) == (size, 0)


def test_swapped_chunks_leave_a_counted_hole():
    data, stamps_s = stream(2000)
    sent = np.r_[:1000, 1012:1024, 1000:1012, 1024:2000]
    continuity = Continuity(250.0)
    out = feed(continuity, data[sent], stamps_s[sent], every(12, 2000))
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [(1000, 12, "loss")]
    assert continuity.reordered == 12
    index, rows = emitted(out)
    assert np.array_equal(index, rows[:, 0])


@pytest.mark.parametrize("size", [12, 60])
def test_a_chunk_that_comes_after_its_hole_was_declared_is_dropped(size):
    data, stamps_s = stream(2000)
    sent = np.r_[:1000, 1000 + size : 1200, 1000 : 1000 + size, 1200:2000]
    continuity = Continuity(250.0)
    out = feed(continuity, data[sent], stamps_s[sent], every(12, 2000))
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [(1000, size, "loss")]
    assert continuity.reordered == size
    index, rows = emitted(out)
    assert np.array_equal(index, rows[:, 0])


@pytest.mark.parametrize("leap_s", [-900.0, -1.3, 7200.0])
def test_a_clock_that_was_set_is_a_reset(leap_s):
    data, stamps_s = stream(2000)
    stamps_s[1000:] += leap_s
    continuity = Continuity(250.0)
    out = feed(continuity, data, stamps_s, every(12, 2000), flush=False)
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [(1000, 0, "reset")]
    assert np.array_equal(emitted(out)[1], data)
    assert continuity.clock.index_at(stamps_s[1500]) == pytest.approx(1500, abs=1e-3)
    assert continuity.lost == 0


def test_a_second_reset_and_a_loss_are_found_after_a_reset():
    data, stamps_s = stream(3000)
    stamps_s[1000:] -= 500.0
    stamps_s[2000:] -= 500.0
    kept = np.r_[:1500, 1510:3000]
    out = feed(Continuity(250.0), data[kept], stamps_s[kept], every(12, len(kept)))
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [
        (1000, 0, "reset"),
        (1500, 10, "loss"),
        (2000, 0, "reset"),
    ]


@pytest.mark.parametrize(("away_s", "n_lost"), [(4.2, 1050), (0.0, 0), (-50.0, 0), (9999.0, 0)])
def test_an_outlet_that_returns_begins_with_a_gap(away_s, n_lost):
    data, stamps_s = stream(1000)
    continuity = Continuity(250.0)
    feed(continuity, data[:600], stamps_s[:600], flush=False)
    continuity.reconnect()
    out = continuity.admit(data[600:], stamps_s[600:] + away_s, 0.0)
    gap, chunk = out[0], out[1]
    assert isinstance(gap, Gap)
    assert isinstance(chunk, Chunk)
    assert (gap.start, gap.n_lost, gap.kind) == (600, n_lost, "reconnect")
    assert chunk.start == 600 + n_lost
    assert continuity.clock.time_at(float(chunk.start)) == pytest.approx(stamps_s[600] + away_s, abs=1e-3)


def test_a_reconnect_before_the_first_sample_is_no_gap():
    data, stamps_s = stream(100)
    continuity = Continuity(250.0)
    continuity.reconnect()
    assert gaps_of(continuity.admit(data, stamps_s, 0.0)) == []


def test_held_samples_come_out_before_a_reconnect():
    data, stamps_s = stream(2000)
    continuity = Continuity(250.0)
    kept = np.r_[:1000, 1030:1040]
    out = feed(continuity, data[kept], stamps_s[kept], flush=False)
    assert continuity.held == 10
    continuity.reconnect()
    out += continuity.admit(data[1500:], stamps_s[1500:], 0.0)
    assert [(g.start, g.n_lost, g.kind) for g in gaps_of(out)] == [
        (1000, 30, "loss"),
        (1040, 460, "reconnect"),
    ]
    index, rows = emitted(out)
    assert np.array_equal(index, rows[:, 0])


def test_replay_at_speed_counts_in_recording_time():
    data, stamps_s = stream(3000, 250.0 * 4)
    kept = np.r_[:2000, 2025:3000]
    continuity = Continuity(250.0, speed=4.0)
    out = feed(continuity, data[kept], stamps_s[kept], every(12, len(kept)))
    assert [(g.start, g.n_lost) for g in gaps_of(out)] == [(2000, 25)]
    assert continuity.clock.index_at(stamps_s[2500]) == pytest.approx(2500, abs=1e-3)


def test_stamps_that_are_not_numbers_are_filled_in():
    data, stamps_s = stream(2000)
    bad = stamps_s.copy()
    bad[[0, 500, 501, 502, 1200]] = np.nan
    bad[0] = np.nan
    continuity = Continuity(250.0)
    out = continuity.admit(data[:1], bad[:1], START_S)
    out += feed(continuity, data[1:], bad[1:], every(12, 1999))
    assert gaps_of(out) == []
    assert np.array_equal(emitted(out)[1], data)


def test_a_dead_input_with_equal_stamps_is_not_taken_for_duplicates():
    data = np.zeros((3000, 3))
    stamps_s = np.repeat(START_S + np.arange(250) * 12 / 250, 12)  # a packet's samples are stamped alike
    continuity = Continuity(250.0)
    out = feed(continuity, data, stamps_s, every(12, 3000))
    assert (continuity.received, continuity.duplicate, gaps_of(out)) == (3000, 0, [])


def test_one_stamp_a_sample_is_demanded():
    with pytest.raises(ValueError, match="one stamp each"):
        Continuity(250.0).admit(np.zeros((3, 2)), np.zeros(2), 0.0)
    assert Continuity(250.0).admit(np.zeros((0, 2)), np.zeros(0), 0.0) == []
