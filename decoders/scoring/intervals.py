"""Intervals of proportions and means: of independent trials, of trials that overlap, and of pictures shown again."""

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from decode_stream.stream.types import FloatArray, IntArray

__all__ = [
    "LEAST_PICTURES",
    "SHORTEST_BLOCK",
    "block_bootstrap",
    "bootstrap_interval",
    "bootstrap_means",
    "few_drawn",
    "picture_interval",
    "picture_means",
    "picture_spread",
    "wilson",
]

#: Trials that are drawn together where they overlap in time.
SHORTEST_BLOCK, _LONGEST_BLOCK = 2, 20
#: As many runs are drawn as wholes; of fewer, blocks of trials are.
_LEAST_RUNS = 5
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
    """Return a 95 % interval of the mean over trials that overlap in time; see `bootstrap_means` and `few_drawn`."""
    means = bootstrap_means(values, runs, n_resamples=n_resamples, seed=seed)
    mean = values.mean()
    return bootstrap_interval(mean + few_drawn(runs) * (means - mean))


def few_drawn(runs: IntArray) -> float:
    """Return how many times farther than in `bootstrap_means` replicates should lie from the estimate.

    A bootstrap of few runs is too narrow: the spread of G drawn ones is ``sqrt((G - 1) / G)`` of what it should be, and
    the normal's quantile stands where Student's of G - 1 degrees of freedom belongs. The factor is 1.58 for 5 runs,
    1.10 for 20, and fades to 1. It is 1 where blocks are drawn, of which there are many.

    Parameters
    ----------
    runs : array of shape (n_trials,), int
    """
    n_runs = len(np.unique(runs))
    return _student(n_runs) if n_runs >= _LEAST_RUNS else 1.0


def _student(n_groups: int) -> float:
    return float(t.ppf(0.975, n_groups - 1) / norm.ppf(0.975) * np.sqrt(n_groups / (n_groups - 1)))


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
    if len(groups) >= _LEAST_RUNS:
        return _group_means(values, runs, n_resamples, rng)
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


def _group_means(
    values: FloatArray, groups: IntArray, n_resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return replicates of the mean of groups drawn with replacement, each with all its trials."""
    _, of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(of).astype(np.float64)
    columns = values.reshape(len(values), -1)
    sums = np.stack([np.bincount(of, column) for column in columns.T], axis=1)
    n = len(sizes)
    # How often each group is drawn in each resample: many times quicker than numpy's multinomial.
    places = rng.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    drawn = np.bincount(places.ravel(), minlength=n_resamples * n).reshape(n_resamples, n).astype(np.float64)
    means: npt.NDArray[np.float64] = (drawn @ sums) / (drawn @ sizes)[:, None]
    return means.reshape(n_resamples, *values.shape[1:])


def picture_means(
    values: FloatArray, pictures: IntArray, *, n_resamples: int = 2000, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return bootstrap replicates of the mean over pictures drawn with replacement, each with all its trials.

    Parameters
    ----------
    values : array of shape (n,) or (n, n_values)
    pictures : array of shape (n,), int

    Returns
    -------
    array of shape (n_resamples,) or (n_resamples, n_values), float64
    """
    return _group_means(values, pictures, n_resamples, np.random.default_rng(seed))


def picture_spread(values: FloatArray, pictures: IntArray) -> tuple[float, float]:
    """Return a 95 % interval of the mean of `values` from its cluster-robust variance, a cluster a picture.

    With the sum d_g over the trials of each of G pictures of how far they lie from the mean, the variance of the mean
    is ``G / (G - 1) sum_g d_g**2 / n**2`` (Liang and Zeger 1986, Biometrika 73:13), and the quantile Student's of G - 1
    degrees of freedom: what `picture_means` would give, without drawing, so that a window may ask for it at any time.

    Parameters
    ----------
    values : array of shape (n,)
    pictures : array of shape (n,), int
        At least two different ones.
    """
    _, of = np.unique(pictures, return_inverse=True)
    mean = float(values.mean())
    from_mean = np.bincount(of, values - mean)
    half = float(norm.ppf(0.975) * _student(len(from_mean)) * np.sqrt((from_mean**2).sum()) / len(values))
    return mean - half, mean + half


def picture_interval(values: FloatArray, pictures: IntArray, *, seed: int = 0) -> tuple[float, float, str]:
    """Return a 95 % interval of the mean of `values`, and how it was made.

    That of `picture_means`, since trials of one picture are right or wrong together. Where there are fewer than
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
    return *bootstrap_interval(picture_means(values, pictures, seed=seed)), "bootstrap over pictures"
