"""Encoding models: from a picture's embedding to the answer of every voxel. Needs himalaya, and no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .standardise import check_trials, standardised, with_data

__all__ = ["PENALTIES", "VoxelEncoder", "VoxelEncoding", "encode_voxels", "fit_voxels", "held_out_parts"]

#: Penalties tried, as multiples of the number of dimensions: the mean eigenvalue of an embedding's numbers at unit
#: spread.
PENALTIES = tuple(float(10.0**power) for power in np.arange(-3.0, 4.01, 0.5))
_N_PARTS, _LEAST_TRIALS = 5, 10
#: Trials of a session that are held out together tell a correlation from so many on.
_LEAST_CORRELATED = 3
#: Voxels solved for at once: every penalty has predictions of all of them.
_AT_ONCE = 4096

Split = tuple[IntArray, IntArray]


@dataclass(frozen=True, slots=True, eq=False)
class VoxelEncoder:
    """A linear map from embeddings to voxels.

    Attributes
    ----------
    weights : array of shape (dimension, n_voxels), float32
    center : array of shape (dimension,), float64
        The mean embedding of training.
    mean : array of shape (n_voxels,), float64
        The mean answer of training.
    penalties : array of shape (n_voxels,), float64
        Chosen for each voxel.
    """

    weights: npt.NDArray[np.float32]
    center: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    penalties: npt.NDArray[np.float64]

    def predict(self, embeddings: FloatArray) -> npt.NDArray[np.float32]:
        """Return the answers to pictures, shape (n, n_voxels), from their embeddings (n, dimension)."""
        moved = (embeddings - self.center).astype(np.float32) @ self.weights
        return np.asarray(moved + self.mean, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class VoxelEncoding:
    """How well answers to held-out pictures are predicted.

    Attributes
    ----------
    correlation : array of shape (n_voxels,), float64
        Of predictions with single trials that were held out, within sessions; NaN for voxels without data in some
        session.
    n_trials : int
        Trials that were predicted.
    n_parts : int
        Into so many the runs were divided to hold each out once.
    """

    correlation: npt.NDArray[np.float64]
    n_trials: int
    n_parts: int


def held_out_parts(runs: IntArray, pictures: IntArray | None) -> list[Split]:
    """Divide trials by their runs into at most five parts, each of which is held out once.

    A picture that is shown in the part held out is not learnt from in any other: what a model knows of a picture itself
    says nothing about pictures.

    Parameters
    ----------
    runs : array of shape (n_trials,), int64
        Of a single run, each fifth is a part.
    pictures : array of shape (n_trials,), int64, or None
        None to learn from other trials of the same ones, as categories are.

    Returns
    -------
    list of (array, array), int64
        Trials to learn from and trials held out.

    Raises
    ------
    UsageError
        If fewer than ten trials are left to learn from.
    """
    names = list(dict.fromkeys(runs.tolist()))
    if len(names) > 1:
        part_of = {name: i * min(_N_PARTS, len(names)) // len(names) for i, name in enumerate(names)}
        part = np.array([part_of[name] for name in runs.tolist()])
    else:
        part = np.arange(len(runs)) * _N_PARTS // max(1, len(runs))
    found = list[Split]()
    for number in np.unique(part):
        held = part == number
        rest = ~held if pictures is None else ~held & ~np.isin(pictures, pictures[held])
        if np.count_nonzero(rest) < _LEAST_TRIALS:
            raise UsageError(
                f"With a part of the runs held out, and the pictures that it shows, {np.count_nonzero(rest)} of "
                f"{len(runs)} trials are left to learn from; an encoding model needs {_LEAST_TRIALS}. Give more "
                "sessions."
            )
        found.append((np.flatnonzero(rest), np.flatnonzero(held)))
    return found


def fit_voxels(embeddings: FloatArray, voxels: FloatArray, groups: IntArray) -> VoxelEncoder:
    """Fit a ridge regression from embeddings to voxels, with a penalty of its own for each voxel.

    Penalties are those whose predictions correlate most with trials left out, a fifth of the groups at a time. Solved
    by himalaya (Dupré la Tour et al. 2022, NeuroImage 264:119728).

    Parameters
    ----------
    embeddings : array of shape (n_trials, dimension)
        Of each trial's picture.
    voxels : array of shape (n_trials, n_voxels)
        All with data.
    groups : array of shape (n_trials,), int64
        Trials of one group are left out together: those of a run, or of a picture where it is shown again.

    Raises
    ------
    UsageError
        If there are too few trials.
    """
    check_trials(voxels, groups)
    splits = held_out_parts(groups, None)
    center, mean = embeddings.mean(axis=0, dtype=np.float64), voxels.mean(axis=0, dtype=np.float64)
    x = (embeddings - center).astype(np.float32)
    # One size for all dimensions: those that tell pictures apart more may answer for more.
    size = max(float(np.sqrt(np.mean(x**2, dtype=np.float64))), 1e-12)
    x /= np.float32(size)
    weights = np.empty((x.shape[1], voxels.shape[1]), np.float32)
    penalties = np.empty(voxels.shape[1])
    for start in range(0, voxels.shape[1], _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        y = (voxels[:, some] - mean[some]).astype(np.float32)
        weights[:, some], penalties[some] = _solve(x, y, splits)
    weights /= np.float32(size)
    return VoxelEncoder(weights, center, mean, penalties)


def _solve(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], splits: Sequence[Split]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return weights, shape (dimension, n_voxels), and each voxel's penalty, of centred data."""
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score

    penalties = x.shape[1] * np.array(PENALTIES)
    how: dict[str, Any] = {"n_alphas_batch": 1, "local_alpha": True, "score_func": correlation_score}
    if len(x) <= x.shape[1]:
        kernel = KernelRidgeCV(penalties, kernel="linear", solver_params=how, cv=list(splits)).fit(x, y)
        weights = x.T @ np.asarray(kernel.dual_coef_, np.float32)
        return weights, np.asarray(kernel.best_alphas_, np.float64)
    ridge = RidgeCV(penalties, solver_params=how, cv=list(splits)).fit(x, y)
    return np.asarray(ridge.coef_, np.float32), np.asarray(ridge.best_alphas_, np.float64)


def encode_voxels(
    embeddings: FloatArray,
    voxels: FloatArray,
    runs: IntArray,
    sessions: IntArray,
    pictures: IntArray | None,
) -> VoxelEncoding:
    """Hold parts of the runs out in turn, and correlate the predictions of voxels with what they answered.

    Trials to learn from are standardised session by session, by themselves. Correlations are taken within each session,
    so that those held out need no statistic of their own; they are averaged by their numbers of trials.

    Parameters
    ----------
    embeddings : array of shape (n_trials, dimension)
    voxels : array of shape (n_trials, n_voxels)
        In any unit.
    runs, pictures
        As in `held_out_parts`.
    sessions : array of shape (n_trials,), int64

    Raises
    ------
    UsageError
        If there are too few trials, or no voxel holds data in all sessions.
    """
    check_trials(voxels, runs, sessions)
    held = with_data(voxels, sessions)
    splits = held_out_parts(runs, pictures)
    total, n_counted = np.zeros(np.count_nonzero(held)), 0
    for learnt, left in splits:
        y = standardised(voxels[np.ix_(learnt, held)], sessions[learnt])
        groups = runs if pictures is None else pictures
        predicted = fit_voxels(embeddings[learnt], y, groups[learnt]).predict(embeddings[left])
        for session in np.unique(sessions[left]):
            own = sessions[left] == session
            if (n := int(np.count_nonzero(own))) >= _LEAST_CORRELATED:
                total += n * _correlations(predicted[own], voxels[np.ix_(left[own], held)])
                n_counted += n
    if not n_counted:
        raise UsageError(
            f"No session has {_LEAST_CORRELATED} trials in one of the parts that were held out. Give longer sessions."
        )
    correlation = np.full(len(held), np.nan)
    correlation[held] = total / n_counted
    return VoxelEncoding(correlation, n_counted, len(splits))


def _correlations(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float64]:
    """Return Pearson's correlation over trials of each column with the same of another matrix; 0 for a constant."""
    a, b = (x - x.mean(axis=0, dtype=np.float64) for x in (a, b))
    sizes = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    together: npt.NDArray[np.float64] = (a * b).sum(axis=0) / np.where(sizes > 0, sizes, 1.0)
    return together
