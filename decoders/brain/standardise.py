"""Voxels session by session: which of them hold data throughout, and each in units of its spread."""

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["check_trials", "standardised", "with_data"]

#: A voxel that varies by less than this share of its size holds no data: rounding errors are below, noise is above.
_LEAST = 1e-6


def check_trials(voxels: FloatArray, *columns: IntArray) -> None:
    """Refuse arrays that do not go together.

    Raises
    ------
    ValueError
        If the voxels are no matrix, or a column has another number of trials.
    """
    if voxels.ndim != 2 or any(column.shape != (len(voxels),) for column in columns):
        shapes = ", ".join(str(column.shape) for column in columns)
        raise ValueError(f"Voxels of shape {voxels.shape} need one entry a trial; got {shapes}.")


def with_data(voxels: FloatArray, sessions: IntArray) -> npt.NDArray[np.bool_]:
    """Return which voxels hold data in every session, shape (n_voxels,).

    At the edge of the volume a voxel may lie outside it in some sessions, where it is zero, another constant or NaN.

    Parameters
    ----------
    voxels : array of shape (n_trials, n_voxels)
    sessions : array of shape (n_trials,), int64

    Raises
    ------
    UsageError
        If a session has a single trial, or no voxel holds data throughout.
    """
    check_trials(voxels, sessions)
    held = np.ones(voxels.shape[1], dtype=np.bool_)
    for session in np.unique(sessions):
        own = voxels[sessions == session]
        if len(own) < 2:
            raise UsageError(
                "A session holds a single trial, and each is standardised by itself. Leave it out, or give one with "
                "more trials."
            )
        # A sum over trials is NaN or infinite if one of them is.
        size = np.abs(own).sum(axis=0, dtype=np.float64) / len(own)
        held &= np.isfinite(size) & (np.ptp(own, axis=0) > _LEAST * size)
    if not held.any():
        raise UsageError(
            f"None of the {len(held)} voxels holds data in all {len(np.unique(sessions))} sessions: each is constant "
            "or not finite in at least one. Give a mask of the brain, or leave out the session that is empty."
        )
    return held


def standardised(
    voxels: FloatArray, sessions: IntArray, by: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float32]:
    """Return voxels with mean 0 and standard deviation 1 in every session.

    Parameters
    ----------
    voxels : array of shape (n_trials, n_voxels)
        All with data, see `with_data`.
    sessions : array of shape (n_trials,), int64
    by : array of shape (n_trials,), bool, or None
        Trials whose mean and spread they are, by default all; trials of a session that has fewer than two of these
        take the mean and the spread of all of them.

    Returns
    -------
    array of shape (n_trials, n_voxels), float32
    """
    check_trials(voxels, sessions)
    by = np.ones(len(voxels), dtype=np.bool_) if by is None else by
    scaled = np.empty(voxels.shape, np.float32)
    for session in np.unique(sessions):
        own = sessions == session
        learnt = own & by
        some = voxels[learnt if np.count_nonzero(learnt) > 1 else by].astype(np.float64)
        spread = some.std(axis=0, ddof=1)
        spread[spread == 0] = 1.0
        scaled[own] = (voxels[own] - some.mean(axis=0)) / spread
    return scaled
