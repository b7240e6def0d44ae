"""What is taken out of the signal beside responses: a constant, slow drift and confounds."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpstrf

from decode_stream.stream.types import FloatArray

from .autoregression import lagged, whitened
from .drift import Drift

__all__ = ["OWN_PART", "BoolArray", "Nuisance", "independent"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]

#: A column of which the others leave less than this part of its sum of squares says nothing of its own.
OWN_PART = 1e-9


def independent(gram: FloatArray) -> BoolArray:
    """Return which columns are kept so that none is a combination of the others, by a pivoted Cholesky factor."""
    kept = np.zeros(len(gram), bool)
    (some,) = np.nonzero(np.diag(gram) > 0)
    scale = 1 / np.sqrt(np.diag(gram)[some])
    _, pivots, rank, _ = dpstrf(gram[np.ix_(some, some)] * np.outer(scale, scale), tol=OWN_PART)
    kept[some[pivots[:rank] - 1]] = True
    return kept


class Nuisance:
    """Nuisance columns and the sums of their products; shared by all voxels.

    Parameters
    ----------
    drift : Drift
        The constant and the cosines of the planned run.
    n_confounds : int
        Columns that come with the volumes.
    n_lags : int
        Sums of a product, see `autoregression`.
    penalty : float
        Ridge penalty on cosines and confounds, each in a column of unit mean square: a cosine's over the planned run,
        a confound's about its mean over the volumes so far. It stays as it is while sums of squares grow, so that it
        shrinks much early in a run and little at its end.

    Attributes
    ----------
    gram : array of shape (n_lags, n_columns, n_columns)
        Products of the columns: the constant, the cosines in the drift's present basis, the confounds.
    """

    def __init__(self, drift: Drift, n_confounds: int, n_lags: int, penalty: float) -> None:
        self._drift, self._penalty = drift, penalty
        self.n_columns = drift.n_columns + n_confounds
        self.gram = np.zeros((n_lags, self.n_columns, self.n_columns))

    def row(self, volume: int, confounds: FloatArray) -> FloatArray:
        """Return the columns at a volume."""
        return np.concatenate([self._drift.row(np.array([volume]))[0], confounds])

    def add(self, now: FloatArray, before: FloatArray) -> None:
        """Take in a row, and the one before, zero where it is missing."""
        self.gram += lagged(now, before, now, before, len(self.gram))

    def next_stage(self, volume: int) -> FloatArray | None:
        """Return the matrix that leads columns over into the drift's next stage, if `volume` begins one."""
        if not self._drift.is_due(volume):
            return None
        matrix = np.eye(self.n_columns)
        n = self._drift.n_columns
        while self._drift.is_due(volume):
            matrix[:n, :n] = self._drift.next_stage() @ matrix[:n, :n]
        self.gram = matrix @ self.gram @ matrix.T
        return matrix

    def penalty(self) -> FloatArray:
        """Return the penalty on the coefficients, as a matrix (n_columns, n_columns)."""
        penalty = np.zeros((self.n_columns, self.n_columns))
        if not self._penalty:
            return penalty
        n = self._drift.n_columns
        cosines = self._drift.of_cosines()[:, 1:]
        penalty[:n, :n] = self._drift.cosine_mean_square * (cosines @ cosines.T)
        gram, n_volumes = self.gram[0], max(self.gram[0, 0, 0], 1)
        confounds = np.arange(n, self.n_columns)
        penalty[confounds, confounds] = np.diag(gram)[n:] / n_volumes - (gram[0, n:] / n_volumes) ** 2
        return self._penalty * penalty

    def kept(self) -> BoolArray:
        """Return which columns hold more than rounding and are no combination of the others."""
        told_apart = np.ones(self.n_columns, bool)
        told_apart[: self._drift.n_columns] = self._drift.told_apart
        some = np.ix_(told_apart, told_apart)
        told_apart[told_apart] = independent((self.gram[0] + self.penalty())[some])
        return told_apart

    def n_free(self, kept: BoolArray) -> int:
        """Return how many degrees of freedom the columns take; one that is penalised takes none."""
        return 1 if self._penalty else int(kept.sum())

    def roots(self, kept: BoolArray, rho: FloatArray) -> FloatArray:
        """Return inverse Cholesky factors of the products prewhitened by each of `rho`, zero where not kept.

        Returns
        -------
        array of shape (n_rho, n_columns, n_columns)
            R with R' R the inverse of the products plus the penalty.
        """
        kept_gram = self.gram[:, kept][:, :, kept][:, None]
        gram = whitened(kept_gram, rho[:, None, None]) + self.penalty()[np.ix_(kept, kept)]
        scale = 1 / np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
        factors = np.linalg.cholesky(gram * scale[:, :, None] * scale[:, None])
        every = np.ones(len(rho), bool)
        roots = np.zeros((len(rho), self.n_columns, self.n_columns))
        roots[np.ix_(every, kept, kept)] = np.linalg.inv(factors) * scale[:, None]
        return roots
