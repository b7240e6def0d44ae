"""Betas of single trials out of sums of cross-products: each trial beside all others together.

Least squares - separate (Mumford et al. 2012, NeuroImage 59, 2636-2643): a trial's model has its own column, one of
all other trials, and the nuisance columns. By the theorem of Frisch, Waugh and Lovell the two columns of interest,
cleared of the nuisance columns, give the same two coefficients, variances and residuals as the whole model, so that
the nuisance columns are solved once for all trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decode_stream.stream.types import FloatArray, IntArray

from .autoregression import whitened
from .group_sums import GroupSums
from .nuisance import OWN_PART, BoolArray

__all__ = ["Levels", "Probes", "probes", "residual_sums", "separate_betas"]

#: A trial, or all others, must have this part of all trials' sum of squares to be told from these: less is rounding.
_LEAST = 1e-10
#: Voxels of one coefficient that are solved at once, at most and at least.
_LARGEST_BLOCK, _SMALLEST_BLOCK = 64, 8


@dataclass(frozen=True, slots=True)
class Probes:
    """What the design alone says of the trials' models.

    Attributes
    ----------
    beside_others : array of bool, shape (n_trials,)
        Whether any other trial has a response of its own yet.
    told_apart : array of bool, shape (n_trials,)
        Whether a trial's response can be told from the others and from the nuisance columns.
    """

    beside_others: BoolArray
    told_apart: BoolArray


@dataclass(frozen=True, slots=True)
class Levels:
    """Coefficients of the noise, and what the nuisance columns are solved by at each.

    Attributes
    ----------
    rho : array of shape (n_levels,)
        Coefficients that voxels have.
    roots : array of shape (n_levels, n_nuisance, n_nuisance)
        `Nuisance.roots` at each.
    """

    rho: FloatArray
    roots: FloatArray


@dataclass(frozen=True, slots=True)
class _Cleared:
    """Products of trials' columns x and of the others' r, cleared of the nuisance columns: (n_levels, n_trials)."""

    xx: FloatArray
    xr: FloatArray
    rr: FloatArray
    #: The sum of all trials and each trial over the roots, (n_levels, n_nuisance, 1 + n_trials).
    over_roots: FloatArray


def _cleared(sums: GroupSums, trials: Sequence[int] | slice, levels: Levels) -> _Cleared:
    of_common, of_itself = sums.trials(trials)
    total = whitened(sums.total[:, None], levels.rho[:, None])
    probe = whitened(of_common[:, None], levels.rho[:, None, None])
    columns = np.concatenate([total[:, None, :-1], probe[:, :, :-1]], axis=1)
    over_roots = levels.roots @ columns.transpose(0, 2, 1)
    of_total, of_probe = over_roots[:, :, :1], over_roots[:, :, 1:]
    ss = total[:, -1:] - (of_total**2).sum(axis=1)
    xs = probe[:, :, -1] - (of_total * of_probe).sum(axis=1)
    xx = whitened(of_itself[:, None], levels.rho[:, None]) - (of_probe**2).sum(axis=1)
    return _Cleared(xx, xs - xx, ss - 2 * xs + xx, over_roots)


def probes(sums: GroupSums, root: FloatArray) -> Probes:
    """Return what the design says of all trials' models, with white noise and the nuisance columns' `root` there."""
    cleared = _cleared(sums, slice(None), Levels(np.zeros(1), root[None]))
    of_common, of_itself = sums.trials(slice(None))
    xx, xs, ss = of_itself[0], of_common[0, :, -1], sums.total[0, -1]
    rr = ss - 2 * xs + xx
    beside = (rr > _LEAST * ss) & (cleared.rr[0] > OWN_PART * rr)
    shared = np.where(beside, cleared.xr[0] ** 2 / np.where(beside, cleared.rr[0], 1), 0)
    own = (cleared.xx[0] > OWN_PART * xx) & (cleared.xx[0] - shared > OWN_PART * xx)
    return Probes(beside, (xx > _LEAST * ss) & own)


def _blocks(level: IntArray, n_levels: int) -> tuple[IntArray, IntArray]:
    """Return voxels in blocks of one level, (n_blocks, size), the last of a level repeated, and each block's level."""
    counts = np.bincount(level, minlength=n_levels)
    size = min(max(len(level) // n_levels, _SMALLEST_BLOCK), _LARGEST_BLOCK)
    stops = np.cumsum(counts)
    n_blocks = -(-counts // size)
    of_block = np.repeat(np.arange(n_levels), n_blocks)
    nth = np.arange(len(of_block)) - np.repeat(np.cumsum(n_blocks) - n_blocks, n_blocks)
    first = (stops - counts)[of_block] + nth * size
    places = np.minimum(first[:, None] + np.arange(size), stops[of_block][:, None] - 1)
    return np.argsort(level, kind="stable")[places], of_block


def separate_betas(
    sums: GroupSums, trials: Sequence[int], beside: BoolArray, levels: Levels, level: IntArray, df: int
) -> tuple[FloatArray, FloatArray]:
    """Return betas and their variances, each (n_voxels, n_trials).

    With a penalty on nuisance columns the variance is that of the posterior under the prior that it stands for.

    Parameters
    ----------
    beside : array of bool, shape (n_trials,)
        Whether a trial's model has a column of the others.
    level : array of shape (n_voxels,)
        Which of the levels is the coefficient of a voxel.
    df : int
        Degrees of freedom of the residuals.
    """
    cleared = _cleared(sums, trials, levels)
    voxels, of_block = _blocks(level, len(levels.rho))
    products, power = _with_voxels(sums, trials, levels.rho[level])
    of_voxels = products[voxels]
    n_nuisance = levels.roots.shape[1]
    over_roots = of_voxels[..., :n_nuisance] @ levels.roots.transpose(0, 2, 1)[of_block]
    y = of_voxels[..., n_nuisance:] - over_roots @ cleared.over_roots[of_block]
    xy = y[..., 1:]
    ry = np.where(beside, y[..., :1] - xy, 0)
    xx = cleared.xx
    xr, rr = np.where(beside, cleared.xr, 0), np.where(beside, cleared.rr, 1)
    determinant = xx * rr - xr**2
    x_to_beta, r_to_beta, r_to_others = ((part / determinant)[of_block][:, None] for part in (rr, -xr, xx))
    beta = x_to_beta * xy + r_to_beta * ry
    explained = beta * xy + (r_to_others * ry + r_to_beta * xy) * ry
    left = (power[voxels] - np.einsum("bvc,bvc->bv", over_roots, over_roots))[..., None] - explained
    value, variance = np.empty((2, len(level), len(trials)))
    value[voxels] = beta
    variance[voxels] = np.maximum(left, 0) * (x_to_beta / df)
    return value, variance


def _with_voxels(sums: GroupSums, trials: Sequence[int], rho: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return products of voxels with the common columns and the trials, and with themselves, prewhitened."""
    n_common = sums.common_signal.shape[2]
    products = np.empty((len(rho), n_common + len(trials)))
    for columns, parts in (
        (slice(n_common), sums.common_signal),
        (slice(n_common, None), sums.trials_signal(trials)),
    ):
        products[:, columns] = whitened(parts.transpose(1, 0, 2), rho[:, None])
    return products, whitened(sums.signal, rho)


def residual_sums(sums: GroupSums, gram: FloatArray, inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return sums over the residuals of all trials as one column: of squares, and of products with the next.

    Parameters
    ----------
    gram : array of shape (n_lags, n_common, n_common)
        Products of the common columns.
    inverse : array of shape (n_common, n_common)
        What their products with a voxel are led by to its coefficients.
    """
    coefficients = sums.common_signal[:, 0] @ inverse
    power, both = (
        sums.signal[lag]
        + np.einsum("vc,vc->v", coefficients, coefficients @ gram[lag] - 2 * sums.common_signal[:, lag])
        for lag in (0, 1)
    )
    return np.maximum(power, 0), both / 2
