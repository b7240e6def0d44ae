"""Betas of single trials out of sums of cross-products: each trial beside all others together.

Least squares - separate (Mumford et al. 2012, NeuroImage 59, 2636-2643): a trial's model has its own column, one of
all other trials, and the nuisance columns. By the theorem of Frisch, Waugh and Lovell the two columns of interest,
cleared of the nuisance columns, give the same two coefficients, variances and residuals as the whole model, so that
the nuisance columns are solved once for all trials.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpstrf

from decode_stream.stream.types import FloatArray, IntArray

from .autoregression import whitened
from .group_sums import GroupSums

BoolArray: TypeAlias = npt.NDArray[np.bool_]

__all__ = ["Betas", "Probes", "probes", "residual_sums", "separate_betas"]

#: A column of which the others leave less than this part of its sum of squares says nothing of its own.
_OWN_PART = 1e-9
#: A trial, or all others, must have this part of all trials' sum of squares to be told from these: less is rounding.
_LEAST = 1e-10


@dataclass(frozen=True)
class Betas:
    """Betas of trials.

    Attributes
    ----------
    value, variance : array of shape (n_trials, n_voxels), float64
        Betas, and the variances of their estimates.
    df : int
        Degrees of freedom of the residuals.
    """

    value: FloatArray
    variance: FloatArray
    df: int


@dataclass(frozen=True, slots=True)
class Probes:
    """What the design alone says of trials' models.

    Attributes
    ----------
    kept : array of bool, shape (n_nuisance,)
        Nuisance columns that the others do not hold.
    beside_others : array of bool, shape (n_trials,)
        Whether any other trial has a response of its own yet.
    told_apart : array of bool, shape (n_trials,)
        Whether a trial's response can be told from the others and from the nuisance columns.
    """

    kept: BoolArray
    beside_others: BoolArray
    told_apart: BoolArray


def _independent(gram: FloatArray) -> BoolArray:
    """Return which columns are kept so that none is a combination of the others, by a pivoted Cholesky factor."""
    kept = np.diag(gram) > 0
    scale = 1 / np.sqrt(np.diag(gram)[kept])
    _, pivots, rank, _ = dpstrf(gram[np.ix_(kept, kept)] * np.outer(scale, scale), tol=_OWN_PART)
    places = np.flatnonzero(kept)[pivots[:rank] - 1]
    return np.isin(np.arange(len(gram)), places)


@dataclass(frozen=True, slots=True)
class _Cleared:
    """Products of trials' columns x and of the others' r, cleared of the nuisance columns; last axis the trials."""

    xx: FloatArray
    xr: FloatArray
    rr: FloatArray
    #: Inverse of the nuisance columns' Cholesky factor, and it times their products with the sum and the trials.
    root: FloatArray
    with_columns: FloatArray


def _cleared(
    sums: GroupSums, trials: list[int], kept: BoolArray, penalty: FloatArray, rho: FloatArray
) -> _Cleared:
    """Return cleared products for each of the coefficients `rho` (n_rho,)."""
    with_common, own, _ = sums.trials(trials)
    at = rho[:, None, None]
    common = whitened(sums.common[:, None], at)
    nuisance = common[:, :-1, :-1][:, kept][:, :, kept] + penalty[np.ix_(kept, kept)]
    scale = 1 / np.sqrt(np.diagonal(nuisance, axis1=1, axis2=2))
    factor = np.linalg.cholesky(nuisance * scale[:, :, None] * scale[:, None])
    root = np.linalg.inv(factor) * scale[:, None]
    of_trials = whitened(with_common[:, None], at)
    columns = np.concatenate([common[:, -1:, :-1], of_trials[:, :, :-1]], axis=1)[:, :, kept]
    with_columns = root @ columns.transpose(0, 2, 1)
    of_sum, of_probe = with_columns[:, :, :1], with_columns[:, :, 1:]
    ss = common[:, -1, -1, None] - (of_sum**2).sum(axis=1)
    xs = of_trials[:, :, -1] - (of_sum * of_probe).sum(axis=1)
    xx = whitened(own[:, None], rho[:, None]) - (of_probe**2).sum(axis=1)
    return _Cleared(xx, xs - xx, ss - 2 * xs + xx, root, with_columns)


def probes(sums: GroupSums, trials: list[int], told_apart: BoolArray, penalty: FloatArray) -> Probes:
    """Return what the design says of trials' models.

    Parameters
    ----------
    told_apart : array of bool, shape (n_nuisance,)
        Nuisance columns that hold more than rounding.
    penalty : array of shape (n_nuisance, n_nuisance)
        Ridge penalty on their coefficients.
    """
    kept = np.zeros(len(told_apart), bool)
    kept[told_apart] = _independent((sums.common[0, :-1, :-1] + penalty)[np.ix_(told_apart, told_apart)])
    cleared = _cleared(sums, trials, kept, penalty, np.zeros(1))
    with_common, own, _ = sums.trials(trials)
    xx, xs, ss = own[0], with_common[0, :, -1], sums.common[0, -1, -1]
    rr = ss - 2 * xs + xx
    beside = (rr > _LEAST * ss) & (cleared.rr[0] > _OWN_PART * rr)
    alone = cleared.xx[0] > _OWN_PART * xx
    left = cleared.xx[0] - np.where(beside, cleared.xr[0] ** 2 / np.where(beside, cleared.rr[0], 1), 0)
    return Probes(kept, beside, (xx > _LEAST * ss) & alone & (left > _OWN_PART * xx))


def separate_betas(
    sums: GroupSums, trials: list[int], design: Probes, penalty: FloatArray, rho: FloatArray, df: int
) -> tuple[FloatArray, FloatArray]:
    """Return betas and their variances, each (n_trials, n_voxels), for a coefficient `rho` of each voxel.

    Voxels of one coefficient share their model's inverse. With a penalty the variance is that of the posterior under
    the prior that the penalty stands for.
    """
    levels, level, counts = np.unique(rho, return_inverse=True, return_counts=True)
    order = np.argsort(level, kind="stable")
    cleared = _cleared(sums, trials, design.kept, penalty, levels)
    nuisance, others = _with_voxels(sums, trials, design.kept, rho, order)
    signal = whitened(sums.signal, rho)[order]
    beside = design.beside_others[:, None]
    value = np.empty((len(trials), len(rho)))
    variance = np.empty_like(value)
    stops = np.cumsum(counts)
    for i, (start, stop) in enumerate(zip(stops - counts, stops, strict=True)):
        root_y = cleared.root[i] @ nuisance[:, start:stop]
        y = others[:, start:stop] - cleared.with_columns[i].T @ root_y
        xy = y[1:]
        ry = np.where(beside, y[0] - xy, 0)
        xx = cleared.xx[i, :, None]
        xr = np.where(beside, cleared.xr[i, :, None], 0)
        rr = np.where(beside, cleared.rr[i, :, None], 1)
        determinant = xx * rr - xr**2
        beta = (rr * xy - xr * ry) / determinant
        of_others = (xx * ry - xr * xy) / determinant
        left = signal[start:stop] - (root_y**2).sum(axis=0) - beta * xy - of_others * ry
        value[:, order[start:stop]] = beta
        variance[:, order[start:stop]] = np.maximum(left, 0) / df * (rr / determinant)
    return value, variance


def _with_voxels(
    sums: GroupSums, trials: list[int], kept: BoolArray, rho: FloatArray, order: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return products with voxels in `order`, prewhitened: of nuisance columns, and of the sum and each trial."""
    common = whitened(sums.common_signal, rho)
    of_trials = whitened(sums.trials(trials)[2], rho)
    others = np.concatenate([common[-1:], of_trials])
    return common[:-1][kept][:, order], others[:, order]


def residual_sums(sums: GroupSums, penalty: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return sums over the residuals of all trials as one column: of squares, and of products with both neighbours.

    Parameters
    ----------
    penalty : array of shape (n_common, n_common)
        Ridge penalty on the coefficients of the common columns.
    """
    kept = _independent(sums.common[0] + penalty)
    gram = sums.common[:, kept][:, :, kept]
    with_signal = sums.common_signal[:, kept]
    coefficients = np.linalg.solve(gram[0] + penalty[np.ix_(kept, kept)], with_signal[0])
    power, pairs = (
        sums.signal[lag]
        - 2 * (coefficients * with_signal[lag]).sum(axis=0)
        + (coefficients * (gram[lag] @ coefficients)).sum(axis=0)
        for lag in (0, 1)
    )
    return np.maximum(power, 0), pairs
