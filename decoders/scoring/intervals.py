"""Intervals of proportions and means: of independent trials, of trials that overlap, and of pictures shown again."""

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from decode_stream.stream.types import FloatArray, IntArray

__all__ = [
    "LEAST_PICTURES",
    "SHORTEST_BLOCK",
    "block_bootstrap",
    "bootstrap_interval",
    "bootstrap_means",
    "picture_bootstrap",
    "picture_interval",
    "wilson",
]

#: Trials that are drawn together where they overlap in time.
SHORTEST_BLOCK, _LONGEST_BLOCK = 2, 20
#: With fewer pictures than this, drawing pictures says nothing about others.
LEAST_PICTURES = 8


def wilson(
    successes: FloatArray | float, n: FloatArray | IntArray | float, level: float = 0.95
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return Wilson's interval of a proportion (Wilson 1927, JASA 22:209).

    Parameters
    ----------
    successes, n : array or number
        Counts, whole or effective; n above 0.

    Returns
    -------
    low, high : array of float64
    """
    z = float(norm.ppf(0.5 + level / 2))
    n_ = np.asarray(n, dtype=np.float64)
    p = np.asarray(successes, dtype=np.float64) / n_
    middle = (p + z**2 / (2 * n_)) / (1 + z**2 / n_)
    half = z / (1 + z**2 / n_) * np.sqrt(p * (1 - p) / n_ + z**2 / (4 * n_**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def bootstrap_interval(values: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrap replicates, NaNs left out."""
    low, high = np.nanquantile(values, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def block_bootstrap(
    values: FloatArray, runs: IntArray, *, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return a 95 % interval of the mean over trials that overlap in time; see `bootstrap_means`."""
    return bootstrap_interval(bootstrap_means(values, runs, n_resamples=n_resamples, seed=seed))


def bootstrap_means(
    values: FloatArray, runs: IntArray, *, n_resamples: int = 2000, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return bootstrap replicates of the mean over trials that overlap in time.

    Runs are drawn with replacement where there are at least five; otherwise blocks of successive trials within each
    run (moving blocks on a circle, Politis and Romano 1992), since neighbours share samples. Blocks hold a tenth of
    the run, between 2 and 20 trials: longer ones leave too few to draw from, and trials overlap with few others.

    Parameters
    ----------
    values : array of shape (n_trials,) or (n_trials, n_values)
        Of each trial in order of onset.
    runs : array of shape (n_trials,), int
        Run of each trial.

    Returns
    -------
    array of shape (n_resamples,) or (n_resamples, n_values), float64
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(runs == run) for run in np.unique(runs)]
    if len(groups) >= 5:
        sums = np.array([values[g].sum(axis=0) for g in groups])
        sizes = np.array([len(g) for g in groups])
        drawn = rng.integers(len(groups), size=(n_resamples, len(groups)))
        n_drawn = sizes[drawn].sum(axis=1)
        means: npt.NDArray[np.float64] = (sums[drawn].sum(axis=1).T / n_drawn).T
        return means
    total = np.zeros((n_resamples, *values.shape[1:]))
    for group in groups:
        x = values[group]
        length = min(max(SHORTEST_BLOCK, len(x) // 10), _LONGEST_BLOCK)
        n_blocks = -(-len(x) // length)
        starts = rng.integers(len(x), size=(n_resamples, n_blocks))
        # Sums of blocks from running sums, over the seam of the circle; the last block only fills up.
        so_far = np.concatenate(
            [np.zeros((1, *x.shape[1:])), np.cumsum(np.concatenate([x, x[:length]]), axis=0)]
        )
        lengths = np.full(n_blocks, length)
        lengths[-1] = len(x) - length * (n_blocks - 1)
        total += (so_far[starts + lengths] - so_far[starts]).sum(axis=1)
    return total / len(values)


def picture_bootstrap(
    values: FloatArray, pictures: IntArray, *, n_resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return a 95 % interval of the mean of `values`, of pictures drawn with replacement, each with all its trials.

    Parameters
    ----------
    values : array of shape (n,)
    pictures : array of shape (n,), int
    """
    _, group = np.unique(pictures, return_inverse=True)
    sums, sizes = np.bincount(group, values), np.bincount(group)
    n = len(sizes)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    return bootstrap_interval((drawn @ sums) / (drawn @ sizes))


def picture_interval(values: FloatArray, pictures: IntArray, *, seed: int = 0) -> tuple[float, float, str]:
    """Return a 95 % interval of the mean of `values`, and how it was made.

    That of `picture_bootstrap`, since trials of one picture are right or wrong together. Where there are fewer than
    eight pictures that would say nothing: then it is Wilson's over trials.

    Parameters
    ----------
    values : array of shape (n,)
        Between 0 and 1.
    pictures : array of shape (n,), int
    """
    if len(np.unique(pictures)) < LEAST_PICTURES:
        low, high = wilson(float(values.sum()), len(values))
        return float(low), float(high), "Wilson, over trials"
    return *picture_bootstrap(values, pictures, seed=seed), "bootstrap over pictures"
