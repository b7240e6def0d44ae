"""Ridge regression from sums of products, for more trials than fit into memory. Needs no torch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from decode_stream.stream.types import FloatArray, IntArray

from .ridge_settings import PENALTIES

__all__ = ["fit_sums"]


@dataclass(eq=False)
class _Sums:
    """Sums over trials of features x and embeddings y, and of their products."""

    n: int
    x: FloatArray
    y: FloatArray
    xx: FloatArray
    xy: FloatArray
    yy: FloatArray

    @staticmethod
    def none(n_features: int, dimension: int) -> "_Sums":
        shapes = ((n_features,), (dimension,), (n_features,) * 2, (n_features, dimension), (dimension,))
        return _Sums(0, *(np.zeros(shape) for shape in shapes))

    def add(self, x: FloatArray, y: FloatArray) -> None:
        self.n += len(x)
        self.x += x.sum(axis=0)
        self.y += y.sum(axis=0)
        self.xx += x.T @ x
        self.xy += x.T @ y
        self.yy += (y**2).sum(axis=0)

    def plus(self, other: "_Sums", sign: int = 1) -> "_Sums":
        """Return the sums over the trials of both, or without those of the other."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("x", "y", "xx", "xy", "yy"))
        return _Sums(self.n + sign * other.n, *(a + sign * b for a, b in pairs))

    def around_means(
        self, scale: FloatArray, *, overwrite: bool = False
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the sums of products xx, xy and yy around their means, features divided by their scale.

        With `overwrite` they take the place of xx, so that one large matrix less is held.
        """
        x, y = self.x / scale, self.y
        xx = np.divide(self.xx, scale, out=self.xx if overwrite else None)
        xx /= scale[:, None]
        for row, product in zip(xx, x, strict=True):
            row -= product * x / self.n
        xy = self.xy / scale[:, None] - np.outer(x, y / self.n)
        return xx, xy, self.yy - y**2 / self.n


def fit_sums(
    blocks: Iterable[tuple[slice, FloatArray]], n_features: int, embeddings: FloatArray, folds: IntArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Fit a ridge regression on trials that are read in blocks; its penalty is chosen as `fit_ridge` chooses it.

    Only sums of products are kept, which hold all that the regression and the predictions of trials left out need.
    Nine matrices (n_features, n_features) of float64 are in memory at once with five parts, however many trials there
    are.

    Parameters
    ----------
    blocks : iterable of (slice, array of shape (n, n_features))
        Places of some trials and their features, in order.
    n_features : int
        Fewer than trials.
    embeddings : array of shape (n_trials, dimension)
    folds : array of shape (n_trials,), int64
        Part that each trial is left out with, from 0 on; each part is left out once.

    Returns
    -------
    weights : array of shape (n_features, dimension), float64
        From features to how an embedding differs from the mean one.
    center : array of shape (n_features,), float64
        The mean of the features.
    penalty : float
        The penalty chosen, on features of unit spread over trials.
    """
    y = embeddings.astype(np.float64)
    y -= y.mean(axis=0)
    parts, origin = _sums(blocks, n_features, y, folds)
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    mean = total.x / total.n
    scale = np.sqrt(np.maximum(np.diagonal(total.xx) / total.n - mean**2, 0.0))
    # As in `fit_ridge`: what never changes has a spread of rounding errors.
    scale[scale <= 1e-9 * (np.abs(mean + origin) + scale.max())] = 1.0
    penalties = n_features * np.array(PENALTIES)
    scores = np.zeros(len(penalties))
    for part in parts:
        rest = total.plus(part, -1).around_means(scale, overwrite=True)
        scores += _correlations(rest, part.around_means(scale), penalties)
    penalty = float(penalties[np.argmax(scores)])
    parts.clear()
    xx, xy, _ = total.around_means(scale, overwrite=True)
    return _solve(xx, xy, penalty) / scale[:, None], mean + origin, penalty


def _sums(
    blocks: Iterable[tuple[slice, FloatArray]], n_features: int, y: FloatArray, folds: IntArray
) -> tuple[list[_Sums], npt.NDArray[np.float64]]:
    """Return the sums over each part, and what was taken from the features before."""
    parts = [_Sums.none(n_features, y.shape[1]) for _ in range(folds.max() + 1)]
    origin = np.zeros(n_features)
    for some, x in blocks:
        if some.start == 0:
            # Sums of squares of numbers far from zero lose what is small beside them.
            origin = x.mean(axis=0)
        for fold in np.unique(folds[some]):
            these = folds[some] == fold
            parts[fold].add(x[these] - origin, y[some][these])
    return parts, origin


def _solve(xx: FloatArray, xy: FloatArray, penalty: float) -> npt.NDArray[np.float64]:
    """Return the weights of a ridge regression, shape (n_features, dimension)."""
    with_penalty = xx.copy()
    with_penalty[np.diag_indices_from(with_penalty)] += penalty
    factor = cho_factor(with_penalty, lower=True, overwrite_a=True, check_finite=False)
    weights: npt.NDArray[np.float64] = cho_solve(factor, xy, check_finite=False)
    return weights


def _correlations(
    rest: tuple[FloatArray, FloatArray, FloatArray],
    left_out: tuple[FloatArray, FloatArray, FloatArray],
    penalties: FloatArray,
) -> npt.NDArray[np.float64]:
    """Return how well each penalty's predictions correlate with the truth over the trials left out, mean of dimensions.

    Neither predictions nor trials are needed for it: the sums of products over the trials left out hold it all.
    """
    xx, xy, yy = left_out
    found = np.zeros(len(penalties))
    for i, penalty in enumerate(penalties):
        weights = _solve(rest[0], rest[1], penalty)
        together = (weights * xy).sum(axis=0)
        size = np.sqrt(np.maximum((weights * (xx @ weights)).sum(axis=0) * yy, 0.0))
        found[i] = np.mean(together / np.where(size > 0, size, 1.0))
    return found
