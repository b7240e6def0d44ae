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
from .nuisance import OWN_PART, BoolArray, Nuisance, independent

__all__ = ["Levels", "Probes", "probes", "residual_sums", "separate_betas"]

#: A trial, or all others, must have this part of all trials' sum of squares to be told from these: less is rounding.
_LEAST = 1e-10
#: Voxels of one coefficient that are solved at once, at most and at least.
_LARGEST_BLOCK, _SMALLEST_BLOCK = 64, 8
#: Voxels whose products lie in the cache together.
_AT_ONCE = 4096


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


def _blocks(level: IntArray, n_levels: int) -> tuple[list[IntArray], list[IntArray]]:
    """Return voxels in blocks of one level, and the blocks' levels, a part of the blocks at a time.

    Returns
    -------
    tuple of list
        Of voxels (n_blocks, size), the last of a level repeated, and of levels (n_blocks,).
    """
    counts = np.bincount(level, minlength=n_levels)
    size = min(max(len(level) // n_levels, _SMALLEST_BLOCK), _LARGEST_BLOCK)
    stops = np.cumsum(counts)
    n_blocks = -(-counts // size)
    of_block = np.repeat(np.arange(n_levels), n_blocks)
    nth = np.arange(len(of_block)) - np.repeat(np.cumsum(n_blocks) - n_blocks, n_blocks)
    first = (stops - counts)[of_block] + nth * size
    places = np.minimum(first[:, None] + np.arange(size), stops[of_block][:, None] - 1)
    voxels = np.argsort(level, kind="stable")[places]
    parts = range(_AT_ONCE // size, len(of_block), _AT_ONCE // size)
    return np.split(voxels, parts), np.split(of_block, parts)


def separate_betas(
    sums: GroupSums, trials: Sequence[int], beside: BoolArray, levels: Levels, level: IntArray, df: int
) -> tuple[FloatArray, FloatArray]:
    """Return betas and their variances, each (n_trials, n_voxels).

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
    xr, rr = np.where(beside, cleared.xr, 0), np.where(beside, cleared.rr, 1)
    determinant = cleared.xx * rr - xr**2
    by_x, by_both, by_r = ((part / determinant).T[:, :, None] for part in (rr, -xr, cleared.xx))
    rho = levels.rho[level]
    products = np.concatenate([whitened(parts, rho) for parts in sums.signals_with(trials)])
    power = whitened(sums.signal, rho)
    value, variance = np.empty((2, len(trials), len(level)))
    for voxels, of in zip(*_blocks(level, len(levels.rho)), strict=True):
        y, left = _cleared_signals(
            np.take(products, voxels, axis=1), power[voxels], levels.roots[of], cleared.over_roots[of]
        )
        xy = y[1:]
        ry = (y[0] - xy) * beside[:, None, None]
        beta = by_x[:, of] * xy + by_both[:, of] * ry
        unexplained = left - beta * xy - (by_both[:, of] * xy + by_r[:, of] * ry) * ry
        value[:, voxels] = beta
        variance[:, voxels] = np.maximum(unexplained, 0) * (by_x[:, of] / df)
    return value, variance


def _cleared_signals(
    products: FloatArray, power: FloatArray, roots: FloatArray, over_roots: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Clear products of blocks of voxels of the nuisance columns.

    Parameters
    ----------
    products : array of shape (n_nuisance + 1 + n_trials, n_blocks, size)
        With the nuisance columns, the sum of all trials, and each trial.
    power : array of shape (n_blocks, size)
        With themselves.
    roots, over_roots : array of shape (n_blocks, ...)
        Of each block's level, as in `Levels` and `_Cleared`.

    Returns
    -------
    tuple of array
        (1 + n_trials, n_blocks, size) and (n_blocks, size).
    """
    by_block = products.transpose(1, 0, 2)
    n_nuisance = roots.shape[1]
    signal_over_roots = roots @ by_block[:, :n_nuisance]
    y = by_block[:, n_nuisance:] - over_roots.transpose(0, 2, 1) @ signal_over_roots
    left = power - np.einsum("bcv,bcv->bv", signal_over_roots, signal_over_roots)
    return np.ascontiguousarray(y.transpose(1, 0, 2)), left


def residual_sums(sums: GroupSums, nuisance: Nuisance, kept: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return sums over the residuals of all trials as one column: of squares, and of products with the next.

    Parameters
    ----------
    kept : array of bool, shape (n_nuisance,)
        `Nuisance.kept`.
    """
    gram = np.pad(nuisance.gram, ((0, 0), (0, 1), (0, 1)))
    gram[:, -1] = gram[:, :, -1] = sums.total
    penalised = gram[0] + np.pad(nuisance.penalty(), (0, 1))
    kept = np.append(kept, True)
    kept[kept] = independent(penalised[np.ix_(kept, kept)])
    # Zero where not kept, so that no products with voxels need be picked out.
    inverse = np.zeros_like(penalised)
    inverse[np.ix_(kept, kept)] = np.linalg.inv(penalised[np.ix_(kept, kept)])
    residual = sums.signal[:2].copy()
    for start in range(0, residual.shape[1], _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        coefficients = inverse @ sums.common_signal[0, :, some]
        for lag in (0, 1):
            fitted = gram[lag] @ coefficients - 2 * sums.common_signal[lag, :, some]
            residual[lag, some] += np.einsum("cv,cv->v", coefficients, fitted)
    return np.maximum(residual[0], 0), residual[1] / 2
