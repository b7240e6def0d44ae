r"""Noise that says something of the next volume: first-order autoregression out of sums over pairs of volumes.

With a volume's row :math:`a_t` of a product's one side and :math:`b_t` of the other's, three sums are kept: of
:math:`a_t b_t`, of :math:`a_t b_{t-1} + a_{t-1} b_t` and of :math:`a_{t-1} b_{t-1}`, the last two over volumes that
follow each other. Prewhitening takes :math:`\rho` times the row before from each row; the first row of a run or
behind a gap is left as it is, as nilearn leaves it. The product is then the first sum, less :math:`\rho` times the
second, plus :math:`\rho^2` times the third, for any :math:`\rho`: no volume need be read again.
"""

import numpy as np
from scipy.linalg.blas import dgemm

from decode_stream.stream.types import FloatArray

__all__ = ["N_LAGS", "accumulate", "lagged", "rounded", "whitened", "yule_walker"]

#: Sums of a product by noise model.
N_LAGS = {"ols": 1, "ar1": 3}
#: Coefficients are told to so many parts of 1, as in nilearn; voxels of one coefficient share a model.
_PARTS = 100
#: Few volumes can give a coefficient of 1 or more, by which no noise is stationary.
_HIGHEST = 0.99


def lagged(
    now: FloatArray, before: FloatArray, other_now: FloatArray, other_before: FloatArray, n_lags: int
) -> FloatArray:
    """Return what a volume adds to the sums of the products of two rows, (n_lags, len(now), len(other_now)).

    Rows before are zero where the volume before is missing: then nothing is added to the sums over pairs.
    """
    if n_lags == 1:
        return np.multiply.outer(now, other_now)[None]
    return np.stack(
        [
            np.multiply.outer(now, other_now),
            np.multiply.outer(now, other_before) + np.multiply.outer(before, other_now),
            np.multiply.outer(before, other_before),
        ]
    )


def accumulate(sums: FloatArray, now: FloatArray, before: FloatArray, signals: FloatArray) -> None:
    """Add a volume to sums over voxels, in place.

    Parameters
    ----------
    sums : array of shape (n_lags, n_columns, n_voxels), float64
        Products of columns and voxels, contiguous.
    now, before : array of shape (n_columns,)
        Rows of the design at the volume and at the one before.
    signals : array of shape (1 or 2, n_voxels), float64
        The volume, and the one before where pairs are summed.
    """
    n_lags, n_columns, n_voxels = sums.shape
    parts = now[None]
    if n_lags > 1:
        nothing = np.zeros_like(now)
        parts = np.stack([np.concatenate([now, before, nothing]), np.concatenate([nothing, now, before])])
    # Transposed, what is contiguous here is what BLAS adds to in place.
    flat = sums.reshape(n_lags * n_columns, n_voxels).T
    dgemm(1.0, signals.T, parts.T, beta=1.0, c=flat, trans_b=1, overwrite_c=1)


def whitened(sums: FloatArray, rho: FloatArray) -> FloatArray:
    """Return products prewhitened by `rho`: sums (n_lags, ...) and coefficients that broadcast to the rest."""
    if len(sums) == 1:
        return np.broadcast_to(sums[0], np.broadcast_shapes(sums[0].shape, rho.shape))
    product: FloatArray = sums[0] - rho * (sums[1] - rho * sums[2])
    return product


def yule_walker(power: FloatArray, pairs: FloatArray, n_volumes: int, n_pairs: int) -> FloatArray:
    """Return the coefficient of each voxel's noise by the Yule-Walker equations, unbiased in the counts.

    Parameters
    ----------
    power, pairs : array of shape (n_voxels,)
        Sums of the residuals' squares, and of their products with the next volume's.
    """
    if n_pairs == 0:
        return np.zeros_like(power)
    rho = np.where(power > 0, pairs / np.where(power > 0, power, 1), 0) * (n_volumes / n_pairs)
    return np.clip(rho, -_HIGHEST, _HIGHEST)


def rounded(rho: FloatArray) -> FloatArray:
    """Return coefficients to hundredths, towards zero, as nilearn rounds them."""
    return np.trunc(rho * _PARTS) / _PARTS
