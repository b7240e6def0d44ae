from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Marker
from decode_stream.stream.windows import WindowSchedule

SCHEDULE = WindowSchedule(Fraction(200))  # 20 samples every 5
STIMULI = {"house": 0, "1": 0, "face": 1, "73000": 2}


def onset(time_s: float) -> int:
    return round(time_s * 200)


def trials(n_latencies: int = 4, **kwargs: float) -> Trials:
    return Trials(SCHEDULE, n_latencies, STIMULI, **kwargs)


def test_windows_of_a_trial_end_at_their_latencies() -> None:
    t = trials()
    t.add(Marker(1.0, "face", 1.0))
    (trial,) = t.place(onset, 201)
    assert (trial.onset, trial.stimulus, trial.label) == (200, 1, "face")
    assert t.next_stop(201) == 220
    assert t.due(0, 219) == []
    assert [(w.k, w.start, w.stop) for w in t.due(0, 226)] == [(0, 200, 220), (1, 205, 225)]
    assert t.due(0, 229) == []
    assert t.next_stop(226) == 230
    assert [w.k for w in t.due(0, 1000)] == [2, 3]
    assert t.open == ()
    assert t.next_stop(226) is None


def test_an_onset_between_volumes_is_kept_to_a_hundredth_on_the_nearest() -> None:
    t = trials()
    # The clock of a live session is off by less than half a hundredth.
    for place in (10.3002, 19.4996, 29.5003):
        t.add(Marker(place, "face", 1.0, duration_s=2.0))
    assert [trial.onset for trial in t.place(lambda time: time, 20)] == [10]
    (late,) = t.place(lambda time: time, 21)
    assert (late.onset, late.fraction, late.duration_s) == (20, -0.5, 2.0)
    assert t.place(lambda time: time, 30) == []
    t.add(Marker(29.5, "face", 1.0))
    (once,) = t.place(lambda time: time, 31)
    assert (once.onset, t.duplicate) == (30, 1)
    # Another rule may say when windows end.
    t.ended = lambda trial, stop: int(stop >= trial.onset + trial.fraction + 20)
    assert [(w.trial.onset, w.k) for w in t.due(0, 40)] == [(10, 0), (20, 0)]


def test_an_early_marker_waits_for_its_sample() -> None:
    t = trials()
    t.add(Marker(1.0, "1", 0.5))
    assert t.place(onset, 200) == []
    assert t.waiting == 1
    assert len(t.place(onset, 201)) == 1
    assert t.waiting == 0


def test_a_late_marker_is_served_from_the_ring_and_a_later_one_is_missed() -> None:
    t = trials()
    t.add(Marker(1.0, "1", 9.0))
    t.place(onset, 1000)
    assert [w.k for w in t.due(200, 1000)] == [0, 1, 2, 3]
    t.add(Marker(0.99, "1", 9.0))
    t.place(onset, 1000)
    assert t.due(200, 1000) == []
    assert (t.seen, t.missed) == (2, 1)


def test_markers_of_another_clock_are_refused_and_counted() -> None:
    t = trials()
    for time_s in (float("nan"), float("inf"), 1.7e9):
        t.add(Marker(time_s, "face", 1.0))
    t.add(Marker(30.0, "face", 1.0))  # early, but it may come
    assert t.place(onset, 201) == []
    assert (t.refused, t.waiting, t.seen) == (3, 1, 0)


def test_a_minute_ahead_is_one_of_the_clock_however_fast_the_signal_is_sent() -> None:
    for speed, refused in ((1.0, 1), (20.0, 0), (4.0, 1)):
        t = trials(speed=speed)
        t.add(Marker(0.0, "face", 1.0))
        # Fifteen seconds of LSL time at twenty times the speed.
        assert t.place(lambda _: 200 * 300, 1) == []
        assert (t.refused, t.waiting) == (refused, 1 - refused)


def test_duplicates_are_dropped_and_two_labels_at_one_onset_are_not() -> None:
    t = trials()
    for label in ("face", "face", "house"):
        t.add(Marker(1.0, label, 1.0))
    assert [trial.label for trial in t.place(onset, 300)] == ["face", "house"]
    assert (t.seen, t.duplicate) == (2, 1)


def test_unknown_labels_are_counted_and_not_decoded() -> None:
    t = trials()
    t.add(Marker(1.0, "banana", 1.0))
    (trial,) = t.place(onset, 300)
    assert trial.stimulus == -1
    assert t.due(0, 1000) == []
    assert (t.seen, t.unknown, t.unknown_labels) == (1, 1, {"banana"})


def test_five_trials_are_open_at_once_in_rapid_presentation() -> None:
    t = trials(n_latencies=37)  # the last window ends 1 s after onset
    for i in range(6):
        t.add(Marker(0.2 * i, "73000", 0.2 * i))
    t.place(onset, 201)
    t.due(0, 201)
    assert [trial.onset for trial in t.open] == [40, 80, 120, 160, 200]
    together = t.due(0, 205)
    assert {w.trial.onset for w in together} == {40, 80, 120, 160}
    assert {w.stop for w in together} == {205}


def test_the_offset_moves_onsets() -> None:
    t = trials(offset_s=0.05)
    t.add(Marker(1.0, "face", 1.0))
    assert t.place(onset, 300)[0].onset == 210


def test_growing_windows_of_a_trial_begin_at_its_onset_and_the_last_is_whole() -> None:
    schedule = WindowSchedule(Fraction(200), Fraction(1, 5), first_s=Fraction(1, 10))
    t = Trials(schedule, 5, STIMULI)
    t.add(Marker(1.0, "face", 1.0))
    t.place(onset, 201)
    assert t.next_stop(201) == 220
    assert [(w.k, w.start, w.stop) for w in t.due(200, 232)] == [(0, 200, 220), (1, 200, 225), (2, 200, 230)]
    # The samples from the onset on are needed to the end.
    assert t.due(201, 236) == []
    assert (t.missed, t.open) == (1, ())
    t.add(Marker(2.0, "face", 2.0))
    t.place(onset, 450)
    assert t.next_stop(450) is None  # due, and not handed out yet
    assert [w.stop for w in t.due(400, 450)] == [420, 425, 430, 435, 440]
    assert t.open == ()
    with pytest.raises(ValueError, match="5 growing windows has no 6 latencies"):
        Trials(schedule, 6, STIMULI)


@given(
    onsets=st.lists(st.integers(0, 400), min_size=1, max_size=12, unique=True),
    arrivals=st.randoms(use_true_random=False),
    stops=st.lists(st.integers(0, 60), min_size=1, max_size=40),
)
def test_every_window_comes_once_whatever_the_order_of_the_markers(
    onsets: list[int], arrivals, stops: list[int]
) -> None:
    markers = [Marker(o / 200, "face", 0.0) for o in onsets]
    arrivals.shuffle(markers)
    t = trials(n_latencies=6)
    got: list[tuple[int, int, int]] = []
    stop = 0
    for step in [*stops, 1000]:
        stop += step
        for _ in range(arrivals.randint(0, 3)):
            if markers:
                t.add(markers.pop())
        if stop >= 1000:
            while markers:
                t.add(markers.pop())
        t.place(onset, stop)
        batch = t.due(0, stop)
        assert all(w.stop <= stop for w in batch)
        assert [w.stop for w in batch] == sorted(w.stop for w in batch)
        got += [(w.trial.onset, w.k, w.stop) for w in batch]
    assert sorted(got) == sorted((o, k, o + SCHEDULE.stop(k)) for o in onsets for k in range(6))
    assert t.missed == 0
