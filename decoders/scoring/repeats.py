"""Single trials against the mean of n showings of a picture."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

from .intervals import LEAST_PICTURES, bootstrap_interval, wilson
from .measured import Curve
from .scores import hits

__all__ = ["groups_of", "repeat_curve", "sizes_of"]


def sizes_of(truth: IntArray) -> tuple[int, ...]:
    """Return how many showings to put together: 1, 2, 4, ... and all that at least half of the pictures have."""
    most = int(np.quantile(np.unique(truth, return_counts=True)[1], 0.5, method="lower"))
    doubled = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return tuple(sorted({*doubled, most}))


def groups_of(truth: IntArray, size: int, seed: int) -> Iterator[tuple[int, IntArray]]:
    """Yield pictures with `size` of their trials, each trial at most once, in an order drawn by the seed."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))
    for picture in np.unique(truth):
        own = order[truth[order] == picture]
        for start in range(0, len(own) - size + 1, size):
            yield int(picture), own[start : start + size]


def repeat_curve(
    name: str,
    combine: Callable[[Sequence[IntArray]], FloatArray],
    truth: IntArray,
    sizes: Sequence[int],
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n_resamples: int = 2000,
) -> tuple[Curve, npt.NDArray[np.int64]]:
    """Return the accuracy of decisions that rest on n showings of a picture, for several n.

    Parameters
    ----------
    combine : callable
        Takes groups of trials, each of one picture, and returns the evidence of each group, (n_groups, n_entries).
    truth : array of shape (n_trials,), int
    sizes : sequence of int
        Each n; only pictures shown that often are scored, always against the whole gallery.
    seeds : sequence of int
        Trials are grouped anew with each; accuracies are averaged.

    Returns
    -------
    Curve
        With bootstrap intervals over pictures, which are drawn with all their groups; Wilson's over the groups of one
        draw where there are fewer than eight pictures.
    array of shape (n_sizes,), int64
        Pictures scored.
    """
    points, n_pictures = list[tuple[float, float, float]](), list[int]()
    rng = np.random.default_rng(seeds[0])
    for size in sizes:
        right, shown = [], []
        for seed in seeds:
            pictures, groups = zip(*groups_of(truth, size, seed), strict=True)
            shown.append(np.array(pictures, np.int64))
            right.append(hits(combine(groups), shown[-1]))
        # A picture with few groups counts no less than one with many.
        _, of = np.unique(np.concatenate(shown), return_inverse=True)
        mean = np.bincount(of, np.concatenate(right)) / np.bincount(of)
        drawn = rng.multinomial(len(mean), np.full(len(mean), 1 / len(mean)), size=n_resamples)
        low, high = bootstrap_interval(drawn @ mean / len(mean))
        if len(mean) < LEAST_PICTURES:
            n = len(of) / len(seeds)
            low, high = (float(end) for end in wilson(float(mean.mean()) * n, n))
        points.append((float(mean.mean()), low, high))
        n_pictures.append(len(mean))
    return Curve.of(name, np.array(sizes), *np.array(points).T), np.array(n_pictures)
