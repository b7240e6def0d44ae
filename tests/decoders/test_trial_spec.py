"""What a model asks of its trials becomes rate, band and windows, whatever the recordings are."""

from fractions import Fraction

import numpy as np
import pytest

from decode_stream.decoders.design import design
from decode_stream.decoders.recipe import category_gallery
from decode_stream.decoders.trial_spec import TrialSpec
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule

WHOLE = TrialSpec(
    sfreq_hz=250.0, length_s=1.0, growing=True, first_s=0.1, baseline_s=(-0.2, 0.0), reject_peak=None
)


def recording(sfreq_hz: float = 1000.0, epoch: Epoch | None = None) -> ArrayRecording:
    channels = tuple(Channel(name, "eeg", "uV") for name in ("O1", "O2"))
    n = 4 if epoch is None else epoch.n_times
    table = StimulusTable(np.arange(4) * n + max(0, epoch.onset if epoch else 0), np.array([1, 2, 1, 2]))
    gaps = () if epoch is None else epoch_gaps(4, epoch, sfreq_hz)
    return ArrayRecording(np.zeros((4 * n, 2)), channels, sfreq_hz, gaps=gaps, stimuli=table, epoch=epoch)


def recipe(run: ArrayRecording, spec: TrialSpec | None = None):
    return design([run], "eeg", None, category_gallery([run], None), spec=spec)


def test_windows_slide_where_nothing_else_is_asked_for() -> None:
    plain = recipe(recording())
    assert plain.schedule == WindowSchedule(Fraction(125))
    assert plain.n_latencies == 21
    assert plain.window == WindowSpec(clamp=5.0, reject_peak=12.0)
    assert (plain.chain.highpass_hz, plain.chain.lowpass_hz) == (1.0, 30.0)


def test_a_whole_trial_grows_at_the_rate_and_in_the_band_asked_for() -> None:
    whole = recipe(recording(), TrialSpec(**{**vars(WHOLE), "band_hz": (0.1, 100.0)}))
    assert whole.schedule == WindowSchedule(Fraction(250), Fraction(1), first_s=Fraction(1, 10))
    assert (whole.n_latencies, whole.schedule.n_times) == (37, 250)
    assert (whole.chain.sfreq_hz, whole.chain.highpass_hz, whole.chain.lowpass_hz) == (250.0, 0.1, 100.0)
    assert whole.window == WindowSpec((-0.2, 0.0), 5.0, None)
    once = recipe(recording(), TrialSpec(sfreq_hz=250.0, length_s=1.0, growing=True))
    assert (once.n_latencies, once.schedule.stop(0), once.schedule.n_windows) == (1, 250, 1)


@pytest.mark.parametrize(
    ("epoch", "sfreq_hz", "n_times", "n_latencies", "baseline_s"),
    [
        (Epoch(250, 0, False), 250.0, 250, 37, None),  # THINGS-EEG2 as NICE and ATM take it: 0 to 996 ms
        (Epoch(100, 20, False), 100.0, 80, 29, (-0.2, 0.0)),  # as published: -200 to 790 ms
        (Epoch(281, 20, True), 200.0, 200, 37, None),  # THINGS-MEG: -100 to 1300 ms
        (Epoch(63, 3, True), 128.0, 60, 16, None),  # 468.75 ms, between two steps
    ],
)
def test_of_trials_that_were_cut_before_the_whole_is_what_they_hold(
    epoch: Epoch, sfreq_hz: float, n_times: int, n_latencies: int, baseline_s: tuple[float, float] | None
) -> None:
    whole = recipe(recording(sfreq_hz, epoch), WHOLE)
    assert (whole.schedule.n_times, whole.n_latencies) == (n_times, n_latencies)
    assert whole.schedule.stop(n_latencies - 1) == n_times
    assert (whole.chain.highpass_hz, whole.chain.sfreq_hz) == (None, sfreq_hz)
    assert whole.window.baseline_s == baseline_s


def test_trials_that_hold_too_little_are_refused_with_what_they_hold() -> None:
    for epoch, spec, needed in (
        (Epoch(30, 10, True), WHOLE, "0.1"),
        (Epoch(300, -5, True), WHOLE, "0.1"),
        (Epoch(24, 0, True), TrialSpec(), "0.1"),
        (Epoch(24, 0, True), TrialSpec(length_s=1.0, growing=True, step_s=0.2), "0.2"),
    ):
        onset = epoch.onset
        with pytest.raises(
            RecordingError, match=rf"onset at sample {onset}; a trial must hold a window of {needed} s"
        ):
            recipe(recording(250.0, epoch), spec)
    with pytest.raises(
        RecordingError, match=r"a continuous signal; The window step of 0\.025 s is shorter than one"
    ):
        recipe(recording(20.0))


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="slide have no first_s"):
        TrialSpec(first_s=0.1)
    with pytest.raises(ValueError, match="No window of 1 s ends by 0.6 s"):
        TrialSpec(length_s=1.0)
