import subprocess
import sys
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from decode_stream.decoders.encoders.lda import fit_lda, join_windows
from decode_stream.stream.errors import UsageError
from decode_stream.stream.windows import WindowSchedule

N_LATENCIES = 21


def trials(
    n_entries: int, sfreq_hz: int, n: int = 120
) -> tuple[WindowSchedule, np.ndarray, np.ndarray, np.ndarray]:
    """Return a schedule, epochs with a bump that differs between classes, their windows, and labels."""
    schedule = WindowSchedule(Fraction(sfreq_hz))
    rng = np.random.default_rng(5)
    labels = np.arange(n) % n_entries
    times = np.arange(schedule.stop(N_LATENCIES - 1)) / sfreq_hz
    bump = np.exp(-(((times - 0.2) / 0.04) ** 2))
    topography = rng.normal(size=(n_entries, 3, 1))
    epochs = rng.normal(size=(n, 3, len(times))) + topography[labels] * bump
    stops = [schedule.stop(k) for k in range(N_LATENCIES)]
    windows = np.stack([epochs[:, :, stop - schedule.n_times : stop] for stop in stops], axis=1)
    return schedule, epochs, windows, labels


@pytest.mark.parametrize("sfreq_hz", [128, 250, 256])
@pytest.mark.parametrize("n_entries", [2, 3])
def test_windows_add_up_to_the_discriminant_of_the_epoch(sfreq_hz: int, n_entries: int) -> None:
    schedule, epochs, windows, labels = trials(n_entries, sfreq_hz)
    readout = fit_lda(epochs, labels, schedule, N_LATENCIES, n_entries=n_entries)
    part = epochs[:, :, round(0.047 * sfreq_hz) : round(0.5 * sfreq_hz)].reshape(len(epochs), -1)
    whole = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(part, labels)
    got, expected = readout.embed(windows).sum(axis=1), whole.decision_function(part)
    if n_entries == 2:
        got = got[:, 1] - got[:, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)
    assert readout.gallery.shape == (n_entries, n_entries)
    np.testing.assert_allclose(readout.bias, readout.bias[:1].repeat(N_LATENCIES, axis=0))


def test_joined_windows_are_the_epochs_they_were_cut_from() -> None:
    schedule, epochs, windows, _ = trials(2, 250)
    np.testing.assert_array_equal(join_windows(windows, schedule), epochs)


def test_it_decodes_trials_it_has_not_seen() -> None:
    schedule, epochs, windows, labels = trials(3, 128, n=300)
    readout = fit_lda(epochs[:150], labels[:150], schedule, N_LATENCIES, n_entries=3)
    right = readout.embed(windows[150:]).sum(axis=1).argmax(axis=1) == labels[150:]
    assert right.mean() > 0.6


@pytest.mark.parametrize("n_each", [(9, 14), (12, 5, 2), (30, 40, 20, 30)])
def test_few_trials_of_many_samples_give_the_same_discriminant(n_each: tuple[int, ...]) -> None:
    """Three channels of 58 samples: more than there are trials, which are then multiplied instead."""
    schedule, epochs, windows, _ = trials(2, 128)
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(n_each)), n_each))
    n, (first, last) = len(labels), (6, 64)
    epochs = epochs[:n].copy()
    epochs[:, 0, 20] = 3.5  # never changes
    readout = fit_lda(epochs, labels, schedule, N_LATENCIES, n_entries=len(n_each))
    part = epochs[:, :, first:last].reshape(n, -1)
    assert n < part.shape[1]
    whole = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(part, labels)
    stops = [schedule.stop(k) for k in range(N_LATENCIES)]
    windows = np.stack([epochs[:, :, stop - schedule.n_times : stop] for stop in stops], axis=1)
    got = readout.embed(windows).sum(axis=1)
    if len(n_each) == 2:
        got = got[:, 1] - got[:, 0]
    np.testing.assert_allclose(got, whole.decision_function(part), rtol=1e-6, atol=1e-6)
    assert readout.n_averaged == 1


def test_two_trials_a_stimulus_do_not_tell_how_many_samples_scatter() -> None:
    schedule, epochs, _, _ = trials(2, 128)
    with pytest.raises(UsageError, match=r"LDA on 174 samples a trial .* more than 2 trials .* \[2, 2\]"):
        fit_lda(epochs[:4], np.array([0, 0, 1, 1]), schedule, N_LATENCIES)


def test_all_sensors_of_meg_take_little_memory() -> None:
    """The products of 271 sensors' samples alone would take 4.9 GB."""
    schedule = WindowSchedule(Fraction(200))
    n_samples = schedule.stop(N_LATENCIES - 1)
    epochs = np.random.default_rng(0).standard_normal((40, 271, n_samples), np.float32)
    tracemalloc.start()
    try:
        fit_lda(epochs, np.arange(40) % 2, schedule, N_LATENCIES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_many_samples_of_many_trials_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, epochs, windows, labels = trials(3, 128, n=300)
    monkeypatch.setattr("decode_stream.decoders.encoders.lda._MOST_PRODUCTS", 90)
    readout = fit_lda(epochs[:150], labels[:150], schedule, N_LATENCIES, n_entries=3)
    assert readout.n_averaged == 2
    right = readout.embed(windows[150:]).sum(axis=1).argmax(axis=1) == labels[150:]
    assert right.mean() > 0.6
    # What it says is the discriminant of the averages.
    part = epochs[:150, :, 6:64].reshape(150, 3, 29, 2).mean(axis=3).reshape(150, -1)
    whole = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(part, labels[:150])
    got = readout.embed(windows[:150]).sum(axis=1)
    np.testing.assert_allclose(got, whole.decision_function(part), rtol=1e-6, atol=1e-6)


def test_windows_that_do_not_cover_the_part_are_refused() -> None:
    schedule, epochs, _, labels = trials(2, 128)
    with pytest.raises(UsageError, match=r"cover 0 to 29 samples.*6 to 64.*Take more windows"):
        fit_lda(epochs, labels, schedule, 6)
    with pytest.raises(UsageError, match="shorter part"):
        fit_lda(epochs, labels, schedule, N_LATENCIES, start_s=0.3, stop_s=0.2)


def test_a_stimulus_without_trials_is_refused() -> None:
    schedule, epochs, _, labels = trials(2, 128)
    with pytest.raises(UsageError, match=r"at least 2 trials.*\[60, 60, 0\]"):
        fit_lda(epochs, labels, schedule, N_LATENCIES, n_entries=3)


def test_it_needs_no_torch() -> None:
    code = "import sys, decode_stream.decoders.encoders.lda; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
