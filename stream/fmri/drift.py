"""Slow drift of the signal as cosines, in a basis that can be told apart however short the run still is."""

from math import floor, pi, sqrt

import numpy as np
from scipy.linalg import qr, solve_triangular

from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["Drift"]

#: A stage of the basis is so much longer than the one before: a polynomial of the drift's order grows little in it.
_LONGER = 1.25
#: What a cosine holds beside the ones before it, below this part of it, is rounding.
_TOLD_APART = 1e-11


class Drift:
    """A constant and cosines, fixed for the planned run as in nilearn's cosine drift, and how to combine them.

    Early in a run all cosines look like the constant: their cross-products hold no more of the fine differences than
    rounding leaves. So the columns that are accumulated are the same cosines made orthogonal over a stage of
    the run, known beforehand; a stage ends, the next is a quarter longer, and what is accumulated is led over
    by a matrix. Behind the planned run the cosines go on as they are.

    Parameters
    ----------
    planned_volumes : int
        Planned length of the run.
    high_pass_s : float or None
        Longest period that stays in; None for the constant alone.
    tr_s : float
        From one volume to the next.

    Attributes
    ----------
    n_columns : int
        The constant, first, and the cosines.
    cosine_mean_square : float
        Of each cosine over the planned run.
    told_apart : array of bool, shape (n_columns,)
        Which columns hold more than rounding in the present stage.
    """

    def __init__(self, planned_volumes: int, high_pass_s: float | None, tr_s: float) -> None:
        self._planned = max(planned_volumes, 2)
        n_cosines = 0
        if high_pass_s is not None:
            n_cosines = min(self._planned - 1, floor(2 * self._planned * (1 / high_pass_s) * tr_s))
        self.n_columns = 1 + n_cosines
        self.cosine_mean_square = 1 / self._planned
        self._stage(min(self._planned, self.n_columns + 4))

    def cosines(self, volumes: IntArray) -> FloatArray:
        """Return the constant and the cosines at volumes, (n_volumes, n_columns); sum of squares 1 over the run."""
        phase = (pi / self._planned) * (np.asarray(volumes, float)[:, None] + 0.5)
        columns = sqrt(2 / self._planned) * np.cos(phase * np.arange(self.n_columns))
        columns[:, 0] = 1
        return columns

    def _stage(self, length: int) -> None:
        self.stage_stop = length
        (triangle,) = qr(self.cosines(np.arange(length)), mode="r")
        triangle = triangle[: self.n_columns]
        own = np.abs(np.diag(triangle))
        whole = np.linalg.norm(triangle, axis=0)
        self.told_apart = own > _TOLD_APART * whole
        # A column of rounding stays finite; nothing is asked of it while it is not told apart.
        np.fill_diagonal(triangle, np.where(own > 1e-14 * whole, np.diag(triangle), 1e-14 * whole))
        # The constant stays 1, so that its sum is that of the volumes.
        triangle[0] /= triangle[0, 0]
        self._triangle = triangle

    def row(self, volumes: IntArray) -> FloatArray:
        """Return the columns at volumes, (n_volumes, n_columns), in the basis of the present stage."""
        rows: FloatArray = solve_triangular(self._triangle, self.cosines(volumes).T, trans="T").T
        return rows

    def of_cosines(self) -> FloatArray:
        """Return the matrix that leads the cosines over into the columns of the present stage."""
        matrix: FloatArray = solve_triangular(self._triangle, np.eye(self.n_columns), trans="T")
        return matrix

    def next_stage(self) -> FloatArray:
        """Go on to the next stage, and return the matrix that leads columns of the last one over into it."""
        before = self._triangle
        longer = max(self.stage_stop + 1, round(self.stage_stop * _LONGER))
        self._stage(min(self._planned, longer))
        matrix: FloatArray = solve_triangular(self._triangle, before.T, trans="T")
        return matrix

    def is_due(self, volume: int) -> bool:
        """Return whether `volume` lies behind the present stage, and another follows."""
        return self.stage_stop <= volume and self.stage_stop < self._planned
