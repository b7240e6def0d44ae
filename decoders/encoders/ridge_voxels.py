"""Which voxels a ridge regression may use: those that hold numbers, and of each dimension the best."""

import numpy as np
from scipy.linalg import solve

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray, IntArray

from .ridge_systems import add_products, mirror
from .ridge_trials import RidgeTrials

__all__ = ["check_finite", "fit_selected"]

SELECTED_AT_ONCE = 1024
_NAMED = 5


def check_finite(features: FloatArray) -> None:
    """Refuse voxels that hold no number in some trial.

    Parameters
    ----------
    features : array of shape (n_trials, n_voxels)

    Raises
    ------
    RecordingError
    """
    # Row by row: a mask of all values would be a quarter of them in size.
    sound = np.ones(features.shape[1], np.bool_)
    for trial in features:
        sound &= np.isfinite(trial)
    if not sound.all():
        raise RecordingError(
            f"{_told(np.flatnonzero(~sound))} of {len(sound)} hold values that are not numbers in some trials. "
            "Leave them out with a --mask of voxels that hold data in every recording."
        )


def _told(voxels: IntArray) -> str:
    told = ", ".join(f"number {i + 1}" for i in voxels[:_NAMED])
    more = ", ..." if len(voxels) > _NAMED else ""
    return f"{len(voxels)} {'voxel' if len(voxels) == 1 else 'voxels'} ({told}{more})"


def fit_selected(trials: RidgeTrials, n_selected: int, penalty: float) -> FloatArray:
    """Return the weights of ridge regressions that use, of each dimension, the voxels that correlate most with it.

    Parameters
    ----------
    n_selected : int
    penalty : float
        Added to the diagonal of the sums of products of standardised voxels, as FastL2LiR does (Kamitani Lab). That
        program penalises the constant term too, which is 0 here: voxels and embeddings are taken around their means.

    Returns
    -------
    array of shape (n_voxels, dimension)
        0 where a voxel is not used.
    """
    x = trials.x(slice(None))
    n_trials, n_voxels = x.shape
    n_selected = min(n_selected, n_voxels)
    products = None
    if n_voxels <= n_trials:
        products = np.zeros((n_voxels, n_voxels), x.dtype)
        add_products(products, x)
        mirror(products)
    weights = np.zeros((n_voxels, trials.dimension), x.dtype)
    for start in range(0, trials.dimension, SELECTED_AT_ONCE):
        right = (x.T @ trials.y(slice(None), slice(start, start + SELECTED_AT_ONCE))).T
        # All voxels have the same spread, so the product with a dimension orders them as their correlation does.
        chosen = np.argpartition(-np.abs(right), n_selected - 1, axis=1)[:, :n_selected]
        for dimension, (voxels, along) in enumerate(zip(chosen, right, strict=True), start):
            square = x[:, voxels].T @ x[:, voxels] if products is None else products[np.ix_(voxels, voxels)]
            square = square.astype(np.float64) + penalty * np.eye(n_selected)
            weights[voxels, dimension] = solve(square, along[voxels], assume_a="pos")
    return weights
