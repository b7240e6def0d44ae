"""Is it above chance: cluster tests along latency, and shuffled labels.

Neighbouring windows share samples and are right or wrong together, so single points are not tested but clusters of
neighbours: the sum of the statistic over a cluster is compared with the largest such sum under permutations (Maris and
Oostenveld 2007, J Neurosci Methods 164:177). That holds the chance of any false cluster to 5 % over all latencies; it
says that there is a difference, not that each point of a cluster, or where exactly it begins, is certain.

Of one person the labels of trials are shuffled within runs: under chance they are exchangeable. Signs of single trials
are not flipped: a trial is right or wrong, and with 200 candidates the deviation from chance, 0.995 or -0.005, is far
from symmetric. Over several people, or decoders, mean accuracies are what varies, and the signs of whole curves are
flipped.

MNE-Python has the second test and not the first. Its one-sided form counts the data as they are twice when it goes
through all flips, which doubles the smallest p: five people could never be significant. It finds the same clusters, and
p values that differ by no more than that, which tests check.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import norm, t

from decode_stream.stream.types import FloatArray, IntArray

from .measured import Cluster

__all__ = ["ALPHA", "Choices", "ClusterTest", "flip_test", "shuffle_test", "shuffled_accuracies", "shuffles"]

#: Below it a p value counts; one-sided, points enter a cluster at the same level.
ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Choices:
    """What was picked in every trial at every point, for any labels.

    Attributes
    ----------
    best : array of shape (n_trials, n_entries, n_points), bool
        Whether an entry fits best, perhaps together with others.
    ties : array of shape (n_trials, n_points), int64
        How many do.
    """

    best: npt.NDArray[np.bool_]
    ties: IntArray

    @classmethod
    def of(cls, similarities: FloatArray) -> "Choices":
        """Return the choices from similarities of shape (n_trials, n_points, n_entries)."""
        best = (similarities == similarities.max(axis=2, keepdims=True)).transpose(0, 2, 1)
        return cls(np.ascontiguousarray(best), best.sum(axis=1))

    def right(self, labels: IntArray) -> npt.NDArray[np.float64]:
        """Return whether each choice is right: 1, 0, or the share of a tie; shape (n_trials, n_points)."""
        right: npt.NDArray[np.float64] = self.best[np.arange(len(labels)), labels] / self.ties
        return right


@dataclass(frozen=True, eq=False)
class ClusterTest:
    """Clusters above chance.

    Attributes
    ----------
    labels : array of the points' shape, int
        Number of the cluster that a point lies in, from 1; 0 for none.
    p, mass : array of shape (n_clusters,)
    """

    labels: npt.NDArray[np.intp]
    p: npt.NDArray[np.float64]
    mass: npt.NDArray[np.float64]

    @property
    def significant(self) -> npt.NDArray[np.bool_]:
        """Which points lie in a cluster with a p below 0.05."""
        return np.concatenate([[False], self.p < ALPHA])[self.labels]

    def clusters(self, x: FloatArray) -> tuple[Cluster, ...]:
        """Return the clusters, placed along the first axis of the points, whose values are `x`."""
        found = []
        for number, (p, mass) in enumerate(zip(self.p, self.mass, strict=True), start=1):
            places = np.nonzero(self.labels == number)
            first, last = x[places[0].min()], x[places[0].max()]
            found.append(Cluster(float(p), float(mass), len(places[0]), float(first), float(last)))
        return tuple(found)


def shuffles(labels: IntArray, runs: IntArray, n: int, seed: int) -> Iterator[IntArray]:
    """Yield labels shuffled within each run, n times."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(runs == run) for run in np.unique(runs)]
    for _ in range(n):
        shuffled = labels.copy()
        for group in groups:
            shuffled[group] = labels[rng.permutation(group)]
        yield shuffled


def shuffled_accuracies(
    choices: Choices, labels: IntArray, runs: IntArray, *, n_shuffles: int = 1000, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return the accuracy at every point under shuffled labels, shape (n_shuffles, n_points)."""
    return np.array(
        [choices.right(shuffled).mean(axis=0) for shuffled in shuffles(labels, runs, n_shuffles, seed)]
    )


def _clusters(z: FloatArray, threshold: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the number of the cluster of each point, and the mass of each cluster; neighbours share an edge."""
    labels, n = ndimage.label(z > threshold)
    return labels, np.asarray(ndimage.sum_labels(z, labels, np.arange(1, n + 1)), np.float64).reshape(n)


def shuffle_test(
    choices: Choices,
    labels: IntArray,
    runs: IntArray,
    shape: tuple[int, ...],
    *,
    n_shuffles: int = 1000,
    seed: int = 0,
) -> ClusterTest:
    """Test accuracies against those under labels shuffled within runs.

    The statistic of a point is how many standard deviations of its shuffled accuracies it lies above their mean. It
    enters a cluster above the 95 % point of the normal distribution; the mass of a cluster is the sum of the statistic.

    Parameters
    ----------
    choices : Choices
        Of all points, in C order of `shape`.
    labels, runs : array of shape (n_trials,), int
    shape : tuple of int
        Of the points: ``(n_latencies,)``, or ``(n_latencies, n_latencies)``.

    Returns
    -------
    ClusterTest
    """
    null = shuffled_accuracies(choices, labels, runs, n_shuffles=n_shuffles, seed=seed)
    mean, spread = null.mean(axis=0), null.std(axis=0)
    spread = np.where(spread > 0, spread, np.inf)  # what never varies, says nothing
    threshold = float(norm.ppf(1 - ALPHA))
    seen, mass = _clusters(((choices.right(labels).mean(axis=0) - mean) / spread).reshape(shape), threshold)
    largest = np.array(
        [_clusters(((row - mean) / spread).reshape(shape), threshold)[1].max(initial=0.0) for row in null]
    )
    p = (1 + (largest[:, None] >= mass).sum(axis=0)) / (1 + n_shuffles)
    return ClusterTest(seen, p, mass)


def flip_test(
    accuracies: FloatArray, chance: float, *, n_permutations: int = 4096, seed: int = 0
) -> ClusterTest:
    """Test accuracies of several people, or decoders, against chance by flipping signs of whole curves.

    The statistic of a point is Student's t, one-sided. All 2^n ways to flip are gone through where they are no more
    than `n_permutations`, so that p cannot fall below 1 / 2^n: fewer than five people are never enough.

    Parameters
    ----------
    accuracies : array of shape (n, n_points) or (n, n_rows, n_columns)
        n at least 2.
    chance : float

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    n, shape = len(accuracies), accuracies.shape[1:]
    if n < 2:
        raise ValueError("One curve cannot be tested against chance by flipping signs; at least two can.")
    above = (np.asarray(accuracies, np.float64) - chance).reshape(n, -1)
    threshold = float(t.ppf(1 - ALPHA, n - 1))
    seen, mass = _clusters(_t(above, np.ones(n)).reshape(shape), threshold)
    largest = np.array(
        [
            _clusters(_t(above, signs).reshape(shape), threshold)[1].max(initial=0.0)
            for signs in _signs(n, n_permutations, seed)
        ]
    )
    # Sums of the same numbers in another order differ in the last digit.
    p = (largest[:, None] >= mass * (1 - 1e-9)).mean(axis=0)
    return ClusterTest(seen, p, mass)


def _signs(n: int, n_permutations: int, seed: int) -> npt.NDArray[np.float64]:
    """Return signs for n curves, none flipped first: all ways, or `n_permutations` drawn ones; (n_ways, n)."""
    if n < 63 and 2**n <= n_permutations:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        bits = np.random.default_rng(seed).integers(2, size=(n_permutations, n))
        bits[0] = 0
    return np.asarray(1.0 - 2.0 * bits, np.float64)


def _t(x: FloatArray, signs: FloatArray) -> npt.NDArray[np.float64]:
    """Return Student's t of curves (n, n_points) with these signs, 0 where nothing varies at all.

    A thousandth of the largest variance is added everywhere, so that a few curves that happen to agree at a point do
    not outweigh all others (Ridgway et al. 2012, NeuroImage 59:2131).
    """
    n = len(x)
    mean = signs @ x / n
    variance = np.maximum((x**2).mean(axis=0) - mean**2, 0.0) * n / (n - 1)
    error = np.sqrt((variance + 1e-3 * variance.max()) / n)
    statistic: npt.NDArray[np.float64] = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)
    return statistic
