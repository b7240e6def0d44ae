"""Calibration: how much each window counts, fitted on trials that the encoder was not trained on."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from decode_stream.stream.types import FloatArray, IntArray

from .evidence import Calibration

__all__ = ["calibrated_loss", "fit_calibration", "fit_repeat_correlation"]

# How far the factors after neighbouring windows lie apart, as a share of a typical one, before there are data.
_STEP = 0.3
# Fewer sets of showings of one stimulus tell nothing of how they go together.
_LEAST_SETS = 10


def _log_loss(log_evidence: FloatArray, labels: IntArray) -> tuple[float, FloatArray]:
    """Return the mean log loss and its gradient with respect to the log-evidence, both (n, K)."""
    # Called thousands of times a fit: most of SciPy's log_softmax goes into what kind of array it is given.
    shifted = log_evidence - log_evidence.max(axis=-1, keepdims=True)
    error = np.exp(shifted)
    total = error.sum(axis=-1, keepdims=True)
    error /= total
    right = np.arange(len(labels)), labels
    error[right] -= 1
    return float((np.log(total[:, 0]) - shifted[right]).mean()), error / len(labels)


def _scale(evidence: FloatArray, labels: IntArray) -> float:
    """Return the factor of at least 0 that makes evidence (n, K) log-evidence."""

    def loss(scale: FloatArray) -> tuple[float, FloatArray]:
        value, error = _log_loss(scale[0] * evidence, labels)
        return value, np.array([(error * evidence).sum()])

    return float(minimize(loss, np.ones(1), jac=True, bounds=[(0.0, None)]).x[0])


def calibrated_loss(similarities: FloatArray, labels: IntArray) -> float:
    """Return the log loss of trials at the scale of their evidence that fits them best.

    Parameters
    ----------
    similarities : array of shape (n_trials, n_entries)
    labels : array of shape (n_trials,), int

    Returns
    -------
    float
        In nats; log(n_entries) where the similarities tell nothing.
    """
    evidence = similarities.astype(np.float64)
    # Similarities may be of any size; the search for their scale begins where they are of a common one.
    evidence = evidence / max(float(evidence.std()), 1e-12)
    return _log_loss(_scale(evidence, labels) * evidence, labels)[0]


def fit_calibration(
    similarities: FloatArray,
    labels: IntArray,
    free_similarities: FloatArray,
    *,
    growing: bool = False,
    ridge: float = 1.0,
) -> Calibration:
    """Fit what each latency counts on trials that the encoder was not trained on.

    First the weights: minimises the log loss of the trial posterior over non-negative weights, with a penalty on
    differences between neighbouring latencies and from equal weights: a multinomial logistic regression with one
    coefficient a latency. A last factor on all of them is fitted without the penalty.

    Then the factor after each window, by the log loss of the posteriors after all windows, with a penalty on
    differences between neighbours that is a random walk's with steps of 0.3: where trials are few, or windows tell
    little, the factors follow each other. After the last of the windows that slide it is 1, as the weights are fitted
    for that.

    Parameters
    ----------
    similarities : array of shape (n_trials, n_latencies, n_entries)
        Held-out similarities.
    labels : array of shape (n_trials,), int
        True gallery entry of each trial.
    free_similarities : array of shape (n_windows, n_entries)
        Held-out similarities of windows decoded with unknown latency; the labels repeat as often as needed.
    growing : bool
        Whether each window holds those before it, so that its evidence replaces theirs.
    ridge : float
        Strength of the penalty on the weights, in units of the scale that fits best with equal ones.

    Returns
    -------
    Calibration
    """
    n_latencies = similarities.shape[1]
    free = _scale(free_similarities, np.resize(labels, len(free_similarities)))
    flat = (1.0,) * n_latencies
    if growing:
        scale = _scale(similarities.reshape(-1, similarities.shape[2]), np.repeat(labels, n_latencies))
        if scale < 1e-9:
            return Calibration(flat, free, (0.0,) * n_latencies, growing=True)
        after = scale * _fit_after(scale * similarities, labels, anchored=False)
        return Calibration(flat, free, tuple(after.tolist()), growing=True)
    weights = _fit_weights(similarities, labels, ridge)
    if not weights.any():
        return Calibration(tuple(weights.tolist()), free)
    so_far = np.cumsum(similarities * weights[:, None], axis=1)
    after = _fit_after(so_far, labels, anchored=True)
    return Calibration(tuple(weights.tolist()), free, tuple(after.tolist()))


def _fit_weights(similarities: FloatArray, labels: IntArray, ridge: float) -> npt.NDArray[np.float64]:
    """Return the weight of each latency, shape (n_latencies,)."""
    n_latencies = similarities.shape[1]
    scale = _scale(similarities.sum(1), labels)
    if scale < 1e-9:
        return np.zeros(n_latencies)

    def joint(weights: FloatArray) -> tuple[float, FloatArray]:
        loss, error = _log_loss(np.einsum("nlk,l->nk", similarities, weights * scale), labels)
        gradient = scale * np.einsum("nk,nlk->l", error, similarities)
        away, step = weights - 1, np.diff(weights)
        penalty = ridge * (away @ away + step @ step) / n_latencies
        slope = 2 * ridge / n_latencies * (away - np.diff(step, prepend=0, append=0))
        return loss + penalty, gradient + slope

    bounds = [(0.0, None)] * n_latencies
    shape: npt.NDArray[np.float64] = minimize(joint, np.ones(n_latencies), jac=True, bounds=bounds).x * scale
    # The penalty pulls on the size of the weights as well; one last factor without it restores the slope.
    return shape * _scale(np.einsum("nlk,l->nk", similarities, shape), labels)


def _fit_after(evidence: FloatArray, labels: IntArray, *, anchored: bool) -> npt.NDArray[np.float64]:
    """Return the factor of the evidence after each window, shape (n_latencies,).

    Parameters
    ----------
    evidence : array of shape (n_trials, n_latencies, n_entries)
        All that counts after each window.
    anchored : bool
        Whether the last factor is 1.
    """
    n, n_latencies = evidence.shape[:2]
    strength = 1 / (2 * n * _STEP**2)

    def loss(after: FloatArray) -> tuple[float, FloatArray]:
        step = np.diff(after)
        total, gradient = strength * float(step @ step), -2 * strength * np.diff(step, prepend=0, append=0)
        for k in range(n_latencies):
            value, error = _log_loss(after[k] * evidence[:, k], labels)
            total += value
            gradient[k] += (error * evidence[:, k]).sum()
        return total, gradient

    bounds: list[tuple[float, float | None]] = [(0.0, None)] * n_latencies
    if anchored:
        bounds[-1] = (1.0, 1.0)
    after: npt.NDArray[np.float64] = minimize(loss, np.ones(n_latencies), jac=True, bounds=bounds).x
    return after


def fit_repeat_correlation(
    calibration: Calibration,
    log_evidence: FloatArray,
    stimuli: IntArray,
    of_showings: Mapping[int, FloatArray] | None = None,
) -> Calibration:
    """Return the calibration with the correlation that fits held-out showings of the same stimuli.

    Showings of each stimulus are taken together by 2, 4, 8 and so on, in the order given and each once; the log loss of
    what they say together, averaged over such sets and then over their sizes, is the least. The stimuli say which
    trials go together, and, as in every fit, what the truth was.

    Parameters
    ----------
    log_evidence : array of shape (n_trials, n_entries)
        Of held-out trials after their last window.
    stimuli : array of shape (n_trials,), int
        True gallery entry of each trial.
    of_showings : mapping of int to array of shape (n_trials, n_entries), optional
        By numbers of showings, what each trial says as one of so many, where that is not its log-evidence: what comes
        again with the picture was weighed.

    Returns
    -------
    Calibration
        With None where there are fewer than ten pairs of showings.
    """
    sets = list[tuple[int, npt.NDArray[np.float64], IntArray]]()
    n_together = 2
    while len(together := _together(stimuli, n_together)) >= _LEAST_SETS:
        said = log_evidence if of_showings is None else of_showings.get(n_together, log_evidence)
        sets.append((n_together, said[together].sum(axis=1), stimuli[together[:, 0]]))
        n_together *= 2
    if not sets:
        return replace(calibration, repeat_correlation=None)

    def loss(rho: float) -> float:
        tried = replace(calibration, repeat_correlation=float(rho))
        return float(np.mean([_log_loss(tried.of_repeats(total, n), y)[0] for n, total, y in sets]))

    inner = float(minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded").x)
    return replace(calibration, repeat_correlation=min((1.0, inner, 0.0), key=loss))


def _together(stimuli: IntArray, n: int) -> IntArray:
    """Return disjoint sets of `n` trials of one stimulus, in order: places of shape (n_sets, n)."""
    of_each = [np.flatnonzero(stimuli == stimulus) for stimulus in np.unique(stimuli)]
    return np.concatenate([places[: len(places) // n * n].reshape(-1, n) for places in of_each])
