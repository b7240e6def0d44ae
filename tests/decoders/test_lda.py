import subprocess
import sys
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
