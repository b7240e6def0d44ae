"""Windows that grow with the trial: the beginnings of the whole one, live as offline, and nothing of the future."""

from fractions import Fraction

import numpy as np
import pytest

from decode_stream.decoders import epochs
from decode_stream.decoders.epochs import cut_trials, grown, play_into, stream_info
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.cutter import CutWindow, WindowCutter, held_s
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Gap
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule

CHANNELS = tuple(Channel(name, "eeg", "uV") for name in ("Oz", "Pz", "Cz"))
STIMULI = {"1": 0, "2": 1}
SCHEDULE = WindowSchedule(Fraction(100), Fraction(1, 2), first_s=Fraction(1, 10))
N_LATENCIES = 17
CHAIN = ChainSpec(
    ("Pz", "Oz"), ("uV", "uV"), 100.0, highpass_hz=1.0, lowpass_hz=30.0, center=(0.5, -1.0), scale=(8.0, 9.0)
)
WINDOW = WindowSpec(baseline_s=(-0.1, 0.0), clamp=1.5, reject_peak=20.0)


def recording(*, troubled: bool = False, n_samples: int = 6000) -> ArrayRecording:
    """Return noise at 200 Hz, a stimulus every 230 ms, so that two or three trials are open at once."""
    data = 10 * np.random.default_rng(0).standard_normal((n_samples, 3))
    gaps: tuple[Gap, ...] = ()
    if troubled:
        data[3000, 1] = np.nan
        data[4000:4010, 0] = 1000.0
        gaps = (Gap(2001, 7, "loss", 0.0), Gap(5003, 0, "reset", 0.0))
    markers = tuple((onset, "12"[i % 2]) for i, onset in enumerate(range(701, n_samples - 50, 46)))
    return ArrayRecording(data, CHANNELS, 200.0, markers, gaps=gaps)


def cut_live(
    run: ArrayRecording, schedule: WindowSchedule = SCHEDULE
) -> tuple[list[CutWindow], WindowCutter]:
    """Return every window as a live session cuts it, in the order in which they are handed on."""
    n_latencies = schedule.n_windows or 0
    ingest = Ingest(stream_info(run), CHAIN, held_s(schedule, n_latencies, WINDOW))
    trials = Trials(schedule, n_latencies, STIMULI)
    cutter = WindowCutter(ingest, schedule, WINDOW, trials)
    windows = []
    for _ in play_into(ingest, run, trials):
        assert cutter.next_stop(ingest.ring.stop) > ingest.ring.stop
        windows += cutter.locked()
        assert cutter.free() == []
    return windows, cutter


def by_trial(windows: list[CutWindow]) -> dict[int, list[CutWindow]]:
    trials: dict[int, list[CutWindow]] = {}
    for window in windows:
        assert window.locked is not None
        trials.setdefault(window.locked.trial.number, []).append(window)
    return {number: of for number, of in trials.items() if len(of) == N_LATENCIES}


@pytest.mark.parametrize("block_s", [0.011, 0.13, 2.0])
@pytest.mark.parametrize("troubled", [False, True])
def test_a_trial_grows_live_as_it_was_trained_on(
    monkeypatch: pytest.MonkeyPatch, block_s: float, troubled: bool
) -> None:
    run = recording(troubled=troubled)
    offline = cut_trials([run], CHAIN, WINDOW, SCHEDULE, N_LATENCIES, STIMULI)
    monkeypatch.setattr(epochs, "BLOCK_S", block_s)
    windows, cutter = cut_live(run)
    whole = {n: of for n, of in by_trial(windows).items() if all(window.data is not None for window in of)}
    assert offline.windows.shape == (len(whole), 1, 2, 50)
    assert len(whole) > (60 if troubled else 100)
    for k in range(N_LATENCIES):
        expected = grown(offline.windows, SCHEDULE, k)
        n_over = SCHEDULE.stop(k)
        assert np.abs(expected[:, :, :n_over]).max() == 1.5  # clamped
        assert not expected[:, :, n_over:].any()
        for row, of in zip(expected, whole.values(), strict=True):
            assert np.array_equal(of[k].data, row)
    assert {window.reason for window in windows} == (
        {"", "gap", "not finite", "artefact"} if troubled else {""}
    )
    assert (set(offline.left_out) >= {"gap", "not finite", "artefact"}) == troubled
    assert (cutter.due, cutter.withheld, cutter.skipped) == (0, 0, 0)
    assert offline.overlapping


def test_what_is_withheld_of_a_trial_is_what_had_met_the_trouble() -> None:
    windows, _ = cut_live(recording(troubled=True))
    for of in by_trial(windows).values():
        sound = [window.data is not None for window in of]
        assert sound == sorted(sound, reverse=True)
    assert any(of[0].data is not None and of[-1].data is None for of in by_trial(windows).values())


def test_what_comes_later_changes_nothing_that_was_handed_on_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "BLOCK_S", 0.02)
    run = recording(n_samples=2400)
    before, _ = cut_live(run)
    at = 1600
    run.data[at:] = 50 * np.random.default_rng(1).standard_normal(run.data[at:].shape)
    run.data[at + 300, 0] = np.nan
    after, _ = cut_live(run)
    n_same = 0
    for one, other in zip(before, after, strict=False):
        if one.stop > at // 2:  # the decoder runs at half the rate
            continue
        assert (one.stop, one.locked, one.reason) == (other.stop, other.locked, other.reason)
        assert np.array_equal(one.data, other.data)
        n_same += 1
    open_then = [w for w in before if w.locked is not None and w.locked.start < at // 2 < w.stop]
    assert n_same > 100
    assert open_then


def test_a_window_that_is_decoded_once_is_the_whole_trial() -> None:
    once = WindowSchedule(Fraction(100), Fraction(1, 2), first_s=Fraction(1, 2))
    run = recording()
    windows, _ = cut_live(run, once)
    offline = cut_trials([run], CHAIN, WINDOW, once, 1, STIMULI)
    assert np.array_equal(np.stack([w.data for w in windows if w.data is not None]), offline.windows[:, 0])
    plain = WindowSchedule(Fraction(100), Fraction(1, 2))
    assert np.array_equal(cut_trials([run], CHAIN, WINDOW, plain, 1, STIMULI).windows, offline.windows)
    assert np.array_equal(grown(offline.windows, once, 0), offline.windows[:, 0])


def test_windows_that_slide_do_not_grow() -> None:
    windows = np.zeros((2, 1, 2, 50), np.float32)
    for schedule, k in ((WindowSchedule(Fraction(100)), 0), (SCHEDULE, 17), (SCHEDULE, -1)):
        with pytest.raises(ValueError, match="no growing window"):
            grown(windows, schedule, k)
