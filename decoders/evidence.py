"""From similarities to a posterior over the gallery."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["Calibration", "Evidence", "fit_calibration", "similarity"]

NORMS = ("unit", "none")


def similarity(embeddings: FloatArray, gallery: FloatArray, norm: str) -> npt.NDArray[np.float64]:
    """Return how well each embedding fits each entry of the gallery.

    Parameters
    ----------
    embeddings : array of shape (n_windows, dimension)
        Decoded embeddings.
    gallery : array of shape (n_entries, dimension)
        Embeddings of the candidates.
    norm : {"unit", "none"}
        ``"unit"`` gives cosine similarity, ``"none"`` the plain inner product.

    Returns
    -------
    array of shape (n_windows, n_entries), float64
    """
    a, b = embeddings.astype(np.float64), gallery.astype(np.float64)
    if norm == "unit":
        a = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12)
        b = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    return a @ b.T


@dataclass(frozen=True)
class Calibration:
    """How much each window's similarity counts as evidence.

    The log-posterior of gallery entry c after the windows of a trial is, up to a constant,
    ``sum_k weights[k] * similarity[k, c]`` with a flat prior. Windows overlap, so their evidence is correlated; the
    weights are therefore fitted together (see `fit_calibration`), not each by itself.

    Attributes
    ----------
    weights : tuple of float
        One a latency, at least 0.
    free_running : float
        Weight of a window whose latency is unknown.
    """

    weights: tuple[float, ...]
    free_running: float

    def __post_init__(self) -> None:
        if not self.weights or not all(w >= 0 for w in (*self.weights, self.free_running)):
            raise ValueError("A calibration needs a weight of at least 0 for each latency.")


def _log_loss(log_evidence: FloatArray, labels: IntArray) -> tuple[float, FloatArray]:
    """Return the mean log loss and its gradient with respect to the log-evidence, both (n, K)."""
    log_p = log_softmax(log_evidence, axis=-1)
    n = len(labels)
    error = np.exp(log_p)
    error[np.arange(n), labels] -= 1
    return float(-log_p[np.arange(n), labels].mean()), error / n


def fit_calibration(
    similarities: FloatArray, labels: IntArray, free_similarities: FloatArray, ridge: float = 1.0
) -> Calibration:
    """Fit the weight of each latency on trials that the encoder was not trained on.

    Minimises the log loss of the trial posterior over non-negative weights, with a penalty on differences between
    neighbouring latencies and from equal weights: a multinomial logistic regression with one coefficient a latency.
    A last factor on all of them is fitted without the penalty.

    Parameters
    ----------
    similarities : array of shape (n_trials, n_latencies, n_entries)
        Held-out similarities.
    labels : array of shape (n_trials,), int
        True gallery entry of each trial.
    free_similarities : array of shape (n_windows, n_entries)
        Held-out similarities of windows decoded with unknown latency; the labels repeat as often as needed.
    ridge : float
        Strength of the penalty, in units of the scale that fits best with equal weights.

    Returns
    -------
    Calibration
    """

    def equal(scale: FloatArray, s: FloatArray, y: IntArray) -> tuple[float, FloatArray]:
        loss, error = _log_loss(scale[0] * s, y)
        return loss, np.array([(error * s).sum()])

    n_latencies = similarities.shape[1]
    bounds = [(0.0, None)]
    start = np.ones(1)
    scale = float(minimize(equal, start, (similarities.sum(1), labels), jac=True, bounds=bounds).x[0])
    free_labels = np.resize(labels, len(free_similarities))
    free = float(minimize(equal, start, (free_similarities, free_labels), jac=True, bounds=bounds).x[0])
    if scale < 1e-9:
        return Calibration((0.0,) * n_latencies, free)

    def joint(weights: FloatArray) -> tuple[float, FloatArray]:
        loss, error = _log_loss(np.einsum("nlk,l->nk", similarities, weights * scale), labels)
        gradient = scale * np.einsum("nk,nlk->l", error, similarities)
        away, step = weights - 1, np.diff(weights)
        penalty = ridge * (away @ away + step @ step) / n_latencies
        slope = 2 * ridge / n_latencies * (away - np.diff(step, prepend=0, append=0))
        return loss + penalty, gradient + slope

    shape = minimize(joint, np.ones(n_latencies), jac=True, bounds=bounds * n_latencies).x * scale
    # The penalty pulls on the size of the weights as well; one last factor without it restores the slope.
    total = np.einsum("nlk,l->nk", similarities, shape)
    factor = float(minimize(equal, start, (total, labels), jac=True, bounds=bounds).x[0])
    return Calibration(tuple(float(w) for w in shape * factor), free)


class Evidence:
    """The log-evidence of every open trial, window after window.

    Parameters
    ----------
    calibration : Calibration
        What each window counts.
    n_entries : int
        Size of the gallery.
    """

    def __init__(self, calibration: Calibration, n_entries: int) -> None:
        self._calibration = calibration
        self._n_entries = n_entries
        self._similarities: dict[int, npt.NDArray[np.float64]] = {}

    def add(self, trial: int, k: int, similarities: FloatArray) -> None:
        """Count window `k` of a trial.

        Parameters
        ----------
        similarities : array of shape (n_entries,)
            Similarity of the window's embedding to the gallery.
        """
        if trial not in self._similarities:
            shape = (len(self._calibration.weights), self._n_entries)
            self._similarities[trial] = np.full(shape, np.nan)
        self._similarities[trial][k] = similarities

    def log_evidence(self, trial: int) -> npt.NDArray[np.float64]:
        """Return the log-evidence of a trial so far, shape (n_entries,); zeros before its first window.

        It is summed anew in the order of the latencies, so that it does not depend on the order of arrival.
        """
        if trial not in self._similarities:
            return np.zeros(self._n_entries)
        weights = np.array(self._calibration.weights)
        total: npt.NDArray[np.float64] = (weights[:, None] * np.nan_to_num(self._similarities[trial])).sum(
            axis=0
        )
        return total

    def belief(self, trial: int) -> npt.NDArray[np.float64]:
        """Return the posterior probability of every gallery entry, shape (n_entries,)."""
        p: npt.NDArray[np.float64] = softmax(self.log_evidence(trial))
        return p

    def free_belief(self, similarities: FloatArray) -> npt.NDArray[np.float64]:
        """Return the posterior from one window of unknown latency, shape (n_entries,)."""
        p: npt.NDArray[np.float64] = softmax(self._calibration.free_running * similarities)
        return p

    def keep(self, trials: Iterable[int]) -> None:
        """Forget every trial but these."""
        kept = set(trials)
        for trial in [trial for trial in self._similarities if trial not in kept]:
            del self._similarities[trial]

    def by_latency(self, trial: int) -> npt.NDArray[np.float64]:
        """Return the similarities of each window, shape (n_latencies, n_entries); NaN where none was decoded."""
        return self._similarities[trial]
