"""What a picture does beyond its embedding: noise to a decoder, that comes again at every showing. Needs no torch."""

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["fit_picture_noise", "shown_again"]

#: Fewer pictures that are shown again tell too little of what comes again.
_FEWEST_PICTURES = 100
#: The pictures are split into so many parts: directions are found in all but one of them and measured in that one.
_N_PARTS = 5


def shown_again(pictures: IntArray) -> npt.NDArray[np.int64]:
    """Return the places of the trials whose picture is shown at least twice; none where such pictures are too few."""
    names, counts = np.unique(pictures, return_counts=True)
    again = names[counts > 1]
    return (
        np.flatnonzero(np.isin(pictures, again)) if len(again) >= _FEWEST_PICTURES else np.empty(0, np.int64)
    )


def fit_picture_noise(
    left: FloatArray, pictures: IntArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the directions in which showings of a picture have most in common, and how much that is.

    The covariance between pictures follows from the expected mean squares of an analysis of variance with random
    effects. Along its own axes it is too large on the first and too small on the last, so that variances are measured
    on pictures that the axes were not found by (Bartz 2016, Cross-validation based nonlinear shrinkage), and drawn
    towards their mean by the share of their differences that is chance. A negative variance is taken for none.

    Parameters
    ----------
    left : array of shape (n_trials, dimension)
        What is left of trials without what their pictures were expected to do; white, of variance 1 in every direction.
    pictures : array of shape (n_trials,), int
        What each trial shows; each at least twice.

    Returns
    -------
    array of shape (dimension, dimension), float64
        Directions at right angles, one a row, those with most in common first.
    array of shape (dimension,), float64
        Variance between pictures along each, from 0 to 1, and so the correlation of two showings.
    """
    _, places, counts = np.unique(pictures, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), left.shape[1]))
    np.add.at(sums, places, left)
    parts = np.arange(len(counts)) % _N_PARTS
    told = np.empty((_N_PARTS, left.shape[1]))
    for part in range(_N_PARTS):
        own = parts == part
        _, axes = linalg.eigh(_between(left, places, sums, counts, ~own))
        told[part] = np.diagonal(axes.T @ _between(left, places, sums, counts, own) @ axes)
    _, axes = linalg.eigh(_between(left, places, sums, counts, np.ones(len(counts), np.bool_)))
    shares = told.mean(axis=0)
    chance = told.var(axis=0, ddof=1).mean() / _N_PARTS
    kept = max(0.0, 1 - chance / max(float(shares.var()), 1e-12))
    shares = shares.mean() + kept * (shares - shares.mean())
    return axes.T[::-1], np.clip(shares, 0.0, 1.0)[::-1]


def _between(
    left: FloatArray, places: IntArray, sums: FloatArray, counts: IntArray, which: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the covariance between some of the pictures, unbiased and so with negative variances by chance."""
    trials, counts, sums = left[which[places]], counts[which], sums[which]
    n_trials, n_pictures = len(trials), len(counts)
    mean = sums.sum(axis=0) / n_trials
    together = (sums / counts[:, None]).T @ sums
    within = (trials.T @ trials - together) / (n_trials - n_pictures)
    between = (together - n_trials * np.outer(mean, mean)) / (n_pictures - 1)
    n_each = (n_trials - (counts**2).sum() / n_trials) / (n_pictures - 1)
    covariance: npt.NDArray[np.float64] = (between - within) / n_each
    return covariance
