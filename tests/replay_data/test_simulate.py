from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfilt, welch

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.simulate import save_fif, simulate_demo
from decode_stream.replay_data.stimuli import demo_pictures, picture_embedding
from decode_stream.stream.types import Channel, FloatArray

NAMES = tuple(demo_pictures())
EMBEDDINGS = np.stack([picture_embedding(picture) for picture in demo_pictures().values()])


@pytest.fixture(scope="module")
def runs() -> list[ArrayRecording]:
    return simulate_demo(EMBEDDINGS, NAMES, n_runs=4)


def epochs(runs: list[ArrayRecording], first: float, last: float) -> tuple[FloatArray, FloatArray]:
    """Return filtered trials (n, n_times * n_channels) in uV between two latencies, and their stimuli."""
    trials, stimuli = [], []
    for run in runs:
        sos = butter(4, (1, 30), "bandpass", fs=run.sfreq_hz, output="sos")
        signal = 1e6 * sosfilt(sos, run.read(0, run.n_samples), axis=0)
        for onset, label in run.markers:
            trials.append(signal[onset + round(first * 250) : onset + round(last * 250) : 4].ravel())
            stimuli.append(NAMES.index(label))
    return np.array(trials), np.array(stimuli)


def top1(train: list[ArrayRecording], test: list[ArrayRecording], first: float, last: float) -> float:
    """Return the accuracy of a shrunken linear discriminant."""
    (x, y), (x_test, y_test) = epochs(train, first, last), epochs(test, first, last)
    means = np.stack([x[y == k].mean(axis=0) for k in range(len(NAMES))])
    within = np.cov((x - means[y]).T)
    shrunk = 0.9 * within + 0.1 * np.trace(within) / len(within) * np.eye(len(within))
    weights = np.linalg.solve(shrunk, means.T)
    scores = x_test @ weights - 0.5 * np.sum(means.T * weights, axis=0)
    return float(np.mean(scores.argmax(axis=1) == y_test))


def test_a_linear_decoder_is_right_more_than_by_chance_and_often_wrong(runs: list[ArrayRecording]) -> None:
    assert 0.25 < top1(runs[:3], runs[3:], 0.05, 0.5) < 0.75
    # Nothing is told before the onset; 0.25 is chance plus five standard deviations of 90 trials.
    assert top1(runs[:3], runs[3:], -0.3, 0.0) < 0.25


def test_same_seed_same_signal_other_seed_other(runs: list[ArrayRecording]) -> None:
    again = simulate_demo(EMBEDDINGS, NAMES, n_runs=2)
    for one, other in zip(runs, again, strict=False):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.markers == other.markers
    assert not np.array_equal(runs[0].data, runs[1].data)
    assert not np.array_equal(simulate_demo(EMBEDDINGS, NAMES, n_runs=1, seed=1)[0].data, runs[0].data)


def test_stimuli_come_equally_often_at_jittered_times(runs: list[ArrayRecording]) -> None:
    for run in runs:
        onsets = np.array([onset for onset, _ in run.markers])
        labels = [label for _, label in run.markers]
        counts = [labels.count(name) for name in NAMES]
        assert max(counts) - min(counts) <= 1
        assert all(a != b for a, b in pairwise(labels))
        steps_s = np.diff(onsets) / run.sfreq_hz
        assert steps_s.min() >= 0.6
        assert steps_s.max() <= 0.8
        # Off the grid of 25 ms: nearly every remainder is met.
        assert len(np.unique(onsets * 4 % 25)) > 20


def test_the_background_looks_like_eeg(runs: list[ArrayRecording]) -> None:
    signal_uv = runs[0].data * 1e6
    assert 10 < signal_uv.std() < 40
    frequencies_hz, power = welch(signal_uv, 250, nperseg=500, axis=0)
    mean = power.mean(axis=1)

    def at(hz: float) -> float:
        return float(mean[np.argmin(abs(frequencies_hz - hz))])

    assert at(2) > 3 * at(20) > 3 * at(40)
    assert at(10) > 2 * at(14)
    assert at(50) > 3 * at(46)


def test_a_saved_run_is_read_back_as_it_was(runs: list[ArrayRecording], tmp_path: Path) -> None:
    path = tmp_path / "demo_eeg.fif"
    save_fif(runs[0], path)
    assert path.stat().st_size < 500_000
    recording = open_recording(path)
    assert recording.channels == runs[0].channels
    assert recording.sfreq_hz == runs[0].sfreq_hz
    assert recording.markers == runs[0].markers
    np.testing.assert_array_equal(recording.read(0, recording.n_samples), runs[0].data)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 names do not fit"):
        simulate_demo(EMBEDDINGS, NAMES[:3])
    with pytest.raises(ValueError, match="1 to 22 electrodes"):
        simulate_demo(EMBEDDINGS, NAMES, n_channels=23)
    loud = ArrayRecording(np.ones((10, 1)), (Channel("Oz", unit="V"),), 250.0)
    with pytest.raises(ValueError, match=r"up to 3\.9 mV"):
        save_fif(loud, tmp_path / "loud_raw.fif")
