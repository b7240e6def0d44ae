"""Ridge regressions of many voxels and many dimensions: one Cholesky factor of each penalty serves all dimensions.

With more trials than voxels the unknowns are the weights w of (X'X + a) w = X'y, else the trials' multipliers m of
(XX' + a) m = y, with the weights X'm. Both are one square matrix, which is made once; what a fold leaves out is taken
from it, and the factor of each penalty is reused over all dimensions, in batches.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .ridge_trials import RidgeTrials

__all__ = ["READ_AT_ONCE", "LeftOut", "RidgeSystem", "add_products", "batches", "left_out_scores", "mirror"]

#: Trials, or voxels, read at once; rows of products made at once; dimensions solved for at once.
READ_AT_ONCE, _ROWS, _DIMENSIONS = 2048, 1024, 2048


def add_products(square: FloatArray, x: FloatArray, sign: int = 1) -> None:
    """Add the products of the columns of `x`, shape (n, k), to the upper half of `square`, (k, k); the rest is kept."""
    for start in range(0, x.shape[1], _ROWS):
        rows = slice(start, start + _ROWS)
        square[rows, start:] += sign * (x[:, rows].T @ x[:, start:])


def mirror(square: FloatArray) -> None:
    """Fill the lower half of a matrix with its upper half, in place: a second matrix may not fit into the memory."""
    for rows in batches(len(square), _ROWS):
        square[rows.stop :, rows] = square[rows, rows.stop :].T
        diagonal = square[rows, rows]
        diagonal[:] = np.triu(diagonal) + np.triu(diagonal, 1).T


def batches(n: int, size: int = _DIMENSIONS) -> Iterator[slice]:
    """Return slices of so many, one after the other: by default of dimensions that are solved for at once."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@dataclass(eq=False)
class _Part:
    """The regression of the trials of a fold: predictions for those left out are `cross` times its solution.

    Attributes
    ----------
    square : array of shape (n_unknowns, n_unknowns)
        Its upper half.
    right : array of shape (n_unknowns, dimension)
    cross : array of shape (n_left_out, n_unknowns)
    """

    square: FloatArray
    right: FloatArray
    cross: FloatArray

    def predictions(self, penalty: float) -> Iterator[tuple[slice, FloatArray]]:
        """Yield dimensions and what is predicted of them, (n_left_out, n); nothing if the penalty is too small."""
        factor = _factor(self.square, penalty)
        if factor is None:
            return
        n_left_out, dimension = len(self.cross), self.right.shape[1]
        # Solved for whichever are fewer.
        to_all = cho_solve(factor, self.cross.T, check_finite=False).T if n_left_out < dimension else None
        for some in batches(dimension, _DIMENSIONS):
            right = self.right[:, some]
            if to_all is not None:
                yield some, to_all @ right
            else:
                yield some, self.cross @ cho_solve(factor, right, check_finite=False)


def _factor(square: FloatArray, penalty: float) -> tuple[FloatArray, bool] | None:
    """Return the Cholesky factor of a matrix given by its upper half, or None where the penalty is too small for it."""
    with_penalty = square.copy()
    with_penalty[np.diag_indices_from(with_penalty)] += square.dtype.type(penalty)
    try:
        # The transpose of what lies row by row is what LAPACK takes without a copy.
        factor: tuple[FloatArray, bool] = cho_factor(
            with_penalty.T, lower=True, overwrite_a=True, check_finite=False
        )
    except LinAlgError:
        return None
    return factor


class RidgeSystem:
    """The regression of all trials.

    Parameters
    ----------
    trials : RidgeTrials
        Four matrices of the smaller of trials and voxels, and one of that by the dimension, are in memory at most.
    """

    def __init__(self, trials: RidgeTrials) -> None:
        n_trials, n_voxels = trials.shape
        self._trials, self._by_trials = trials, n_trials <= n_voxels
        n_unknowns = min(n_trials, n_voxels)
        self._square = np.zeros((n_unknowns, n_unknowns), trials.dtype)
        if self._by_trials:
            for voxels in batches(n_voxels, READ_AT_ONCE):
                add_products(self._square, trials.x(slice(None), voxels).T)
            self._right = trials.y(slice(None))
            return
        self._right = np.zeros((n_unknowns, trials.dimension), trials.dtype)
        for some in batches(n_trials, READ_AT_ONCE):
            self._add(np.arange(some.start, some.stop), 1)

    def _add(self, rows: IntArray, sign: int) -> None:
        """Add the products of some trials; a second time with the other sign they are gone again."""
        for some in batches(len(rows), READ_AT_ONCE):
            x = self._trials.x(rows[some])
            add_products(self._square, x, sign)
            for dimensions in batches(self._trials.dimension, _DIMENSIONS):
                y = self._trials.y(rows[some], dimensions)
                self._right[:, dimensions] += sign * (x.T @ y)

    @contextmanager
    def without(self, rows: IntArray) -> Iterator[_Part]:
        """Give the regression without some trials; the whole waits until it is given back."""
        if not self._by_trials:
            left_out = self._trials.x(rows)
            self._add(rows, -1)
            try:
                yield _Part(self._square, self._right, left_out)
            finally:
                self._add(rows, 1)
            return
        kept = np.setdiff1d(np.arange(len(self._square)), rows)
        upper = self._square
        # Of a pair of trials the product lies in the upper half.
        first, last = np.minimum(rows[:, None], kept), np.maximum(rows[:, None], kept)
        yield _Part(upper[np.ix_(kept, kept)], self._right[kept], upper[first, last])

    def weights(self, penalties: FloatArray) -> FloatArray:
        """Return the weights, shape (n_voxels, dimension), and use the regression up.

        Parameters
        ----------
        penalties : array of shape (dimension,)

        Raises
        ------
        UsageError
            If voxels depend on each other so much that a penalty is too small to tell them apart.
        """
        solution = self._right
        for penalty in np.unique(penalties):
            factor = _factor(self._square, float(penalty))
            if factor is None:
                raise UsageError(
                    f"A penalty of {penalty:g} is too small: some of the voxels are sums of others, to the digits that "
                    "there are. Take a larger one, as --model ridge does, or fewer voxels by --mask."
                )
            mine = np.flatnonzero(penalties == penalty)
            for some in batches(len(mine), _DIMENSIONS):
                solution[:, mine[some]] = cho_solve(factor, solution[:, mine[some]], check_finite=False)
        if not self._by_trials:
            return solution
        n_voxels = self._trials.shape[1]
        weights = np.empty((n_voxels, solution.shape[1]), solution.dtype)
        for voxels in batches(n_voxels, READ_AT_ONCE):
            np.matmul(self._trials.x(slice(None), voxels).T, solution, out=weights[voxels])
        return weights


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What each penalty predicts of trials left out.

    Attributes
    ----------
    correlation : array of shape (n_penalties,), float64
        With the truth, mean of dimensions and folds; -inf for a penalty that is too small to be solved for.
    error : array of shape (n_penalties, dimension), float64
        Mean squared error; inf likewise.
    spread : array of shape (n_penalties, dimension), float64
        Standard deviation of the predictions.
    """

    correlation: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]


def left_out_scores(
    trials: RidgeTrials, system: RidgeSystem, folds: Sequence[IntArray], penalties: FloatArray
) -> LeftOut:
    """Return what each penalty predicts of each fold from the trials that are not in it.

    Parameters
    ----------
    folds : sequence of array of int64
        Trials of each fold.
    penalties : array of shape (n_penalties,)
    """
    shape = (len(penalties), trials.dimension)
    correlation, error, first, second = (np.zeros(shape) for _ in range(4))
    n = sum(len(rows) for rows in folds)
    for rows in folds:
        with system.without(rows) as part:
            for i, penalty in enumerate(penalties):
                solved = False
                for some, predicted in part.predictions(float(penalty)):
                    truth, solved = trials.y(rows, some), True
                    correlation[i, some] += _correlations(predicted, truth) / len(folds)
                    error[i, some] += ((predicted - truth) ** 2).sum(axis=0, dtype=np.float64) / n
                    first[i, some] += predicted.sum(axis=0, dtype=np.float64) / n
                    second[i, some] += (predicted**2).sum(axis=0, dtype=np.float64) / n
                if not solved:
                    correlation[i], error[i] = -np.inf, np.inf
    return LeftOut(correlation.mean(axis=1), error, np.sqrt(np.maximum(second - first**2, 0.0)))


def _correlations(predicted: FloatArray, truth: FloatArray) -> npt.NDArray[np.float64]:
    a, b = predicted - predicted.mean(axis=0), truth - truth.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0, dtype=np.float64) * (b**2).sum(axis=0, dtype=np.float64))
    return np.asarray((a * b).sum(axis=0, dtype=np.float64) / np.where(size > 0, size, 1.0))
