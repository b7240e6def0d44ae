"""Ridge regression from whole trials: the sum of the windows, blocks of trials, averaged samples, growing windows."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from decode_stream.decoders.encoders import linear_windows
from decode_stream.decoders.encoders.linear_windows import LinearTrials, fit_linear
from decode_stream.decoders.epochs import grown
from decode_stream.stream.errors import UsageError
from decode_stream.stream.windows import WindowSchedule

SLIDING = WindowSchedule(Fraction(50), lag_s=Fraction(2, 50))
GROWING = WindowSchedule(Fraction(50), Fraction(1, 2), Fraction(1, 20), first_s=Fraction(1, 10))
N_LATENCIES, N_CHANNELS, N_DIMS = 9, 2, 3


def answers(n_trials: int, n_samples: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return epochs that answer to embeddings, (n_trials, n_channels, n_samples), the embeddings, and eight runs."""
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((n_trials, N_DIMS))
    tuning = rng.standard_normal((N_DIMS, N_CHANNELS * n_samples))
    epochs = embeddings @ tuning + noise * rng.standard_normal((n_trials, N_CHANNELS * n_samples)) + 2.0
    epochs *= rng.uniform(0.1, 10, epochs.shape[1])
    runs = np.arange(n_trials) * 8 // n_trials
    return epochs.reshape(n_trials, N_CHANNELS, n_samples), embeddings, runs


def sliding(n_trials: int = 150, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return windows, the epochs they were cut from, embeddings and runs."""
    first, last = SLIDING.start(0), SLIDING.stop(N_LATENCIES - 1)
    epochs, embeddings, runs = answers(n_trials, last - first, noise)
    windows = [epochs[:, :, SLIDING.start(k) - first : SLIDING.stop(k) - first] for k in range(N_LATENCIES)]
    return np.stack(windows, axis=1), epochs, embeddings, runs


def closed_form(x: np.ndarray, embeddings: np.ndarray, penalty: float) -> np.ndarray:
    """Return the regression's answers to the trials it was fitted on."""
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = embeddings - embeddings.mean(axis=0)
    return np.asarray(x @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y))


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_windows, "_FEW_TRIALS", 0)
    monkeypatch.setattr(linear_windows, "_BLOCK", 37)


def same(one: LinearTrials, other: LinearTrials) -> bool:
    close = [np.allclose(getattr(one, a), getattr(other, a), rtol=1e-4) for a in ("weights", "center")]
    return bool(np.isclose(one.penalty, other.penalty)) and all(close)


def test_the_sum_of_the_windows_is_the_answer_of_the_whole_trial() -> None:
    windows, epochs, embeddings, runs = sliding()
    fitted = fit_linear(windows, embeddings, runs, SLIDING)
    readout = fitted.sliding(SLIDING, N_LATENCIES)
    expected = closed_form(epochs.reshape(len(epochs), -1), embeddings, fitted.penalty)
    got = readout.embed(windows)
    assert got.shape == (150, N_LATENCIES, N_DIMS)
    np.testing.assert_allclose(got.sum(axis=1), expected, atol=1e-4 * np.abs(expected).max())
    assert np.corrcoef(got.sum(axis=1).ravel(), embeddings.ravel())[0, 1] > 0.9
    assert fitted.n_averaged == 1


@pytest.mark.usefixtures("in_blocks")
def test_blocks_of_trials_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, _, embeddings, runs = sliding()
    windows = windows.astype(np.float32)
    windows += 1e3  # far from zero, as the field of a magnetometer
    windows[:, :, 1, 2] = (
        0.1 + 7.0 / 3
    )  # a sample that never changes, where it is not overwritten by a later window
    blocks = fit_linear(windows, embeddings, runs, SLIDING)
    monkeypatch.setattr(linear_windows, "_FEW_TRIALS", 2000)
    held = fit_linear(windows, embeddings, runs, SLIDING)
    assert same(blocks, held)
    monkeypatch.setattr(linear_windows, "_FEW_TRIALS", 0)
    assert not same(blocks, fit_linear(windows[:140], embeddings[:140], runs[:140], SLIDING))


@pytest.mark.usefixtures("in_blocks")
def test_the_penalty_follows_the_noise_in_blocks_too() -> None:
    windows, _, embeddings, runs = sliding(noise=0.1)
    clear = fit_linear(windows, embeddings, runs, SLIDING)
    noise = np.random.default_rng(1).standard_normal(embeddings.shape)
    assert fit_linear(windows, noise, runs, SLIDING).penalty > clear.penalty


def test_it_decodes_trials_it_has_not_seen() -> None:
    windows, _, embeddings, runs = sliding(200, noise=2.0)
    readout = fit_linear(windows[:150], embeddings[:150], runs[:150], SLIDING).sliding(SLIDING, N_LATENCIES)
    answer = readout.embed(windows[150:]).sum(axis=1)
    others = embeddings[np.random.default_rng(2).permutation(50)]
    right = (answer * embeddings[150:]).sum(axis=1) > (answer * others).sum(axis=1)
    assert right.mean() > 0.8


@pytest.mark.parametrize("in_memory", [True, False])
def test_too_many_samples_are_averaged_with_their_neighbours(
    monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    windows, epochs, embeddings, runs = sliding()
    n_samples = epochs.shape[2]
    monkeypatch.setattr(linear_windows, "_MOST_FEATURES", 2 * 4)
    monkeypatch.setattr(linear_windows, "_FEW_TRIALS", 2000 if in_memory else 0)
    fitted = fit_linear(windows, embeddings, runs, SLIDING)
    assert fitted.n_averaged == 4
    assert n_samples % 4, "the last feature has fewer samples"
    means = np.stack([epochs[:, :, i : i + 4].mean(axis=2) for i in range(0, n_samples, 4)], axis=2).reshape(
        len(epochs), -1
    )
    expected = closed_form(means, embeddings, fitted.penalty)
    got = fitted.sliding(SLIDING, N_LATENCIES).embed(windows).sum(axis=1)
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_a_growing_window_adds_what_has_happened() -> None:
    epochs, embeddings, runs = answers(150, GROWING.n_times)
    windows = epochs[:, None].astype(np.float32)
    assert GROWING.n_windows == N_LATENCIES
    fitted = fit_linear(windows, embeddings, runs, GROWING)
    readout = fitted.growing(GROWING, N_LATENCIES)
    expected = closed_form(epochs.reshape(len(epochs), -1), embeddings, fitted.penalty)
    whole = readout.embed(grown(windows, GROWING, N_LATENCIES - 1), N_LATENCIES - 1)
    np.testing.assert_allclose(whole, expected, atol=1e-4 * np.abs(expected).max())
    for k in range(N_LATENCIES):
        n_over = GROWING.stop(k)
        got = readout.embed(grown(windows, GROWING, k), k)
        part = (epochs - epochs.mean(axis=0))[:, :, :n_over]
        np.testing.assert_allclose(
            got, np.einsum("nct,dct->nd", part, fitted.weights[:, :, :n_over]), atol=1e-4
        )
        np.testing.assert_allclose(
            got.mean(axis=0), 0, atol=1e-4, err_msg="the mean trial gives no difference"
        )
    np.testing.assert_allclose(readout.latencies_s, 0.1 + 0.05 * np.arange(N_LATENCIES))
    with pytest.raises(ValueError, match="slide; they do not grow"):
        fitted.growing(SLIDING, N_LATENCIES)


@pytest.mark.parametrize(("n_groups", "n_folds"), [(1, 5), (2, 2), (5, 5), (12, 5)])
def test_groups_are_left_out_together(n_groups: int, n_folds: int) -> None:
    groups = np.random.default_rng(0).permutation(np.arange(60) % n_groups) + 7
    folds = linear_windows._folds(groups)
    assert set(folds) == set(range(n_folds))
    assert np.bincount(folds).max() <= 3 * np.bincount(folds).min()
    if n_groups > 1:
        assert all(len(set(folds[groups == group])) == 1 for group in set(groups))


def test_too_few_trials_are_refused() -> None:
    windows, _, embeddings, runs = sliding()
    with pytest.raises(UsageError, match="needs 10 at least, and there are 9"):
        fit_linear(windows[:9], embeddings[:9], runs[:9], SLIDING)


def test_it_needs_no_torch() -> None:
    code = "import sys, decode_stream.decoders.encoders.linear_windows; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
