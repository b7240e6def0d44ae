"""Accuracy along latency, and generalisation across time."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

from .intervals import wilson
from .measured import Curve, Matrix
from .scores import Scores
from .significance import Choices, ClusterTest, shuffle_test

__all__ = ["LinearAtLatency", "accuracy_curve", "accuracy_matrix", "cross_validated", "given_and_told"]

#: Penalty of the linear decoders, as a multiple of the mean eigenvalue of their features. It is not chosen by data, so
#: that nothing is chosen on what is tested.
_RIDGE = 1.0


def accuracy_curve(
    name: str,
    similarities: FloatArray,
    scores: Scores,
    ends_s: FloatArray,
    *,
    n_shuffles: int = 1000,
    seed: int = 0,
) -> tuple[Curve, ClusterTest]:
    """Return the accuracy at every latency with its interval, and where it lies above chance.

    Parameters
    ----------
    similarities : array of shape (n_trials, n_latencies, n_entries)
        Of single windows, or summed up to them.
    scores : Scores
        Of the same trials: their labels and runs, and how far they overlap.
    ends_s : array of shape (n_latencies,)
        When the windows end after the onset, seconds.
    n_shuffles : int
        Of labels within runs, see `shuffle_test`.

    Returns
    -------
    Curve
        Over milliseconds; intervals are Wilson's, pointwise, of n divided by the design effect of the decisions.
    ClusterTest
    """
    truth = scores.truth()
    runs = np.array([trial.run for trial in scores.trials], np.int64)
    choices = Choices.of(similarities)
    accuracy = choices.right(truth).mean(axis=0)
    n = np.maximum(scores.n / scores.design_effect(scores.hits()), 1.0)
    low, high = wilson(accuracy * n, n)
    test = shuffle_test(choices, truth, runs, accuracy.shape, n_shuffles=n_shuffles, seed=seed)
    x = 1e3 * ends_s
    return Curve.of(name, x, accuracy, low, high, test.clusters(x)), test


def accuracy_matrix(
    choices: Choices,
    truth: IntArray,
    runs: IntArray,
    ends_s: FloatArray,
    *,
    n_shuffles: int = 1000,
    seed: int = 0,
) -> Matrix:
    """Return the accuracy over two latencies, and where it lies above chance.

    Parameters
    ----------
    choices : Choices
        Of points (latency learned, latency decoded) in C order.
    ends_s : array of shape (n_latencies,)
    """
    n = len(ends_s)
    test = shuffle_test(choices, truth, runs, (n, n), n_shuffles=n_shuffles, seed=seed)
    values = choices.right(truth).mean(axis=0).reshape(n, n)
    at = tuple(float(end) for end in ends_s)
    return Matrix(
        at,
        at,
        tuple(tuple(float(v) for v in row) for row in values),
        tuple(tuple(bool(v) for v in row) for row in test.significant),
        test.clusters(ends_s),
    )


def given_and_told(
    embed: Callable[[npt.NDArray[np.float32], int], FloatArray],
    fit: Callable[[FloatArray], FloatArray],
    windows: npt.NDArray[np.float32],
    n_entries: int,
) -> Choices:
    """Return what a latency-conditioned encoder picks when it is told latency i and given window j.

    Parameters
    ----------
    embed : callable
        Takes windows (n, n_channels, n_times) and the number of the latency that the encoder is told; returns
        embeddings (n, dimension).
    fit : callable
        Takes embeddings (n, dimension) and returns similarities (n, n_entries).
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32

    Returns
    -------
    Choices
        Of the points (told, given) in C order.
    """
    n, n_latencies = windows.shape[:2]
    best = np.empty((n, n_entries, n_latencies, n_latencies), np.bool_)
    for given in range(n_latencies):
        cut = np.ascontiguousarray(windows[:, given])
        for told in range(n_latencies):
            fits = fit(embed(cut, told))
            best[:, :, told, given] = fits == fits.max(axis=1, keepdims=True)
    flat = best.reshape(n, n_entries, -1)
    return Choices(flat, flat.sum(axis=1))


class LinearAtLatency:
    """A ridge regression from a window to the embedding of its picture, the same penalty at every latency.

    Parameters
    ----------
    windows : array of shape (n_trials, n_channels, n_times)
        Of one latency.
    wanted : array of shape (n_trials, dimension)
    """

    def __init__(self, windows: FloatArray, wanted: FloatArray) -> None:
        x = np.asarray(windows, np.float64).reshape(len(windows), -1)
        self._mean = x.mean(axis=0)
        x = x - self._mean
        gram = x @ x.T
        size = max(float(np.trace(gram)) / x.shape[1], 1e-12)
        # In the space of trials, of which there are fewer than features or not many more.
        inverse = np.linalg.solve(
            gram + _RIDGE * size * np.eye(len(x)), np.asarray(wanted, np.float64) - wanted.mean(axis=0)
        )
        self._weights = x.T @ inverse

    def embed(self, windows: FloatArray) -> npt.NDArray[np.float64]:
        """Return how the embedding of windows (n, n_channels, n_times) differs from the mean one, (n, dimension)."""
        x = np.asarray(windows, np.float64).reshape(len(windows), -1)
        embeddings: npt.NDArray[np.float64] = (x - self._mean) @ self._weights
        return embeddings


def cross_validated(
    windows: npt.NDArray[np.float32], truth: IntArray, runs: IntArray, features: FloatArray
) -> Choices:
    """Return what linear decoders of each latency pick at every latency, each run decoded without it.

    King and Dehaene 2014, Trends Cogn Sci 18:203: learned at latency i, tested at latency j.

    Parameters
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
    truth, runs : array of shape (n_trials,), int
        At least two runs.
    features : array of shape (n_entries, dimension)
        The gallery, as it enters similarity.

    Returns
    -------
    Choices
        Of the points (learned, tested) in C order.

    Raises
    ------
    ValueError
        If there is one run only.
    """
    if len(np.unique(runs)) < 2:
        raise ValueError("With one run nothing is held out; at least two are needed.")
    n, n_latencies = windows.shape[:2]
    best = np.zeros((n, len(features), n_latencies, n_latencies), np.bool_)
    centred = np.asarray(features, np.float64) - features.mean(axis=0)
    # Only the pictures' differences are learned, so a longer entry must not win by its length.
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    for run in np.unique(runs):
        test, train = np.flatnonzero(runs == run), np.flatnonzero(runs != run)
        for learned in range(n_latencies):
            decoder = LinearAtLatency(windows[train, learned], centred[truth[train]])
            for tested in range(n_latencies):
                fits = decoder.embed(windows[test, tested]) @ centred.T
                best[test, :, learned, tested] = fits == fits.max(axis=1, keepdims=True)
    flat = best.reshape(n, len(features), -1)
    return Choices(flat, flat.sum(axis=1))
