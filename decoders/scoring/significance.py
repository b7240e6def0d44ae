"""Is it above chance: cluster tests along latency, and shuffled labels.

Neighbouring windows share samples and are right or wrong together, so single points are not tested but clusters of
neighbours: the sum of the statistic over a cluster is compared with the largest such sum under permutations (Maris and
Oostenveld 2007, J Neurosci Methods 164:177). That holds the chance of any false cluster to 5 % over all latencies; it
says that there is a difference, not that each point of a cluster, or where exactly it begins, is certain.

Of one person the labels of trials are shuffled within runs: under chance they are exchangeable. Signs of single trials
are not flipped, which the tests in MNE-Python do: a trial is right or wrong, and with 200 candidates the deviation
from chance, 0.995 or -0.005, is far from symmetric. Over several people, or decoders, mean accuracies are what varies,
signs may be flipped, and MNE-Python's test is used.
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
    accuracies: FloatArray, chance: float, *, n_permutations: int = 1024, seed: int = 0
) -> ClusterTest:
    """Test accuracies of several people, or decoders, against chance, with MNE-Python's cluster test.

    Signs of whole curves are flipped; with n of them there are 2^n ways, all of which are gone through where they are
    few, so that p cannot fall below 1 / 2^n.

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
    from mne.stats import permutation_cluster_1samp_test

    n = len(accuracies)
    if n < 2:
        raise ValueError("One curve cannot be tested against chance by flipping signs; at least two can.")
    statistic, clusters, p, _ = permutation_cluster_1samp_test(
        np.asarray(accuracies, np.float64) - chance,
        threshold=float(t.ppf(1 - ALPHA, n - 1)),
        n_permutations=n_permutations,
        tail=1,
        stat_fun=_t,
        out_type="mask",
        seed=seed,
        verbose="error",
    )
    labels = np.zeros(statistic.shape, np.intp)
    for number, mask in enumerate(clusters, start=1):
        labels[mask] = number
    mass = np.array([statistic[mask].sum() for mask in clusters])
    return ClusterTest(labels, np.asarray(p, np.float64), mass)


def _t(x: FloatArray) -> npt.NDArray[np.float64]:
    """Return Student's t over the first axis, 0 where nothing varies at all.

    A thousandth of the largest variance is added everywhere, so that a few curves that happen to agree at a point do
    not outweigh all others (Ridgway et al. 2012, NeuroImage 59:2131).
    """
    variance = x.var(axis=0, ddof=1)
    error = np.sqrt((variance + 1e-3 * variance.max()) / len(x))
    statistic: npt.NDArray[np.float64] = np.divide(
        x.mean(axis=0), error, out=np.zeros(x.shape[1:]), where=error > 0
    )
    return statistic
