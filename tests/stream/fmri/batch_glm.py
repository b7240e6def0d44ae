"""A run of fMRI, and the linear model of one trial solved on all its volumes at once."""

from dataclasses import dataclass

import numpy as np

from decode_stream.stream.fmri.drift import Drift
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.hrf import GLOVER, DoubleGamma, Responses

TR_S = 4 / 3
CONFOUNDS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


@dataclass(frozen=True)
class Run:
    """Volumes (n_volumes, n_voxels) with drift and autoregressive noise, confounds, and onsets in volumes."""

    volumes: np.ndarray
    confounds: np.ndarray
    onsets: np.ndarray


def simulated_run(n_volumes: int = 120, n_voxels: int = 12, seed: int = 0) -> Run:
    rng = np.random.default_rng(seed)
    scale = np.repeat([0.05, 0.001], 3)
    confounds = 0.2 * scale + scale * np.cumsum(rng.standard_normal((n_volumes, 6)), axis=0)
    onsets = 3 + np.cumsum(rng.uniform(2.5, 4.5, int(n_volumes / 4)))
    onsets = onsets[onsets < n_volumes - 3]
    onsets[::2] = np.floor(onsets[::2])
    columns = trial_columns(onsets, n_volumes, n_volumes)
    noise = rng.standard_normal((n_volumes, n_voxels))
    for now in range(1, n_volumes):
        noise[now] += np.linspace(-0.1, 0.7, n_voxels) * noise[now - 1]
    drift = np.sin(np.arange(n_volumes)[:, None] / 40 + np.arange(n_voxels))
    answers = columns @ rng.standard_normal((len(onsets), n_voxels))
    moved = confounds @ (rng.standard_normal((6, n_voxels)) / scale[:, None])
    return Run(
        900 + 40 * np.arange(n_voxels) + 5 * noise + 20 * drift + 8 * answers + moved, confounds, onsets
    )


def trial_columns(onsets, n_volumes, planned, duration_s=3.0, shape: DoubleGamma = GLOVER) -> np.ndarray:
    responses = Responses(shape, TR_S, planned)
    boxcars = [responses.boxcar(onset * TR_S, duration_s) for onset in onsets]
    return responses.values(boxcars, np.arange(n_volumes))


def trial_design(run: Run, trial: int, n: int, planned: int, spec: GlmSpec, shape=GLOVER) -> np.ndarray:
    """Return [trial, all others, constant, cosines, confounds] over the first n volumes; others only if there are."""
    columns = trial_columns(run.onsets, n, planned, spec.stimulus_s, shape)
    others = np.delete(columns, trial, axis=1).sum(axis=1, keepdims=True)
    drift = Drift(planned, spec.high_pass_s, TR_S).cosines(np.arange(n))
    parts = [columns[:, [trial]], others, drift, run.confounds[:n]]
    return np.concatenate([part for part in parts if part.any()], axis=1)


def whiten(rows: np.ndarray, rho: float, follows: np.ndarray) -> np.ndarray:
    before = np.concatenate([np.zeros((1, rows.shape[1])), rows[:-1]])
    return rows - rho * before * follows[:, None]


def batch_beta(design, volumes, rho, follows=None, penalty=None):
    """Return the first coefficient and its variance for each voxel, by one solution over all rows."""
    n, n_columns = design.shape
    follows = np.arange(n) > 0 if follows is None else follows
    penalty = np.zeros(n_columns) if penalty is None else penalty
    # Columns of unit length, and the mean taken off: the same model with more digits.
    length = np.linalg.norm(design, axis=0)
    value, variance = np.empty((2, volumes.shape[1]))
    for voxel, of_voxel in enumerate(rho):
        rows = whiten(design / length, of_voxel, follows)
        # A ridge is least squares with a row more for each column.
        rows = np.concatenate([rows, np.diag(np.sqrt(penalty) / length)])
        signal = volumes[:, [voxel]] - volumes[0, voxel]
        signal = np.concatenate([whiten(signal, of_voxel, follows)[:, 0], np.zeros(n_columns)])
        inverse = np.linalg.pinv(rows, rcond=1e-14)
        fitted = inverse @ signal
        df = n - np.count_nonzero(penalty == 0)
        square = ((signal - rows @ fitted) ** 2).sum() / df
        value[voxel], variance[voxel] = (
            fitted[0] / length[0],
            square * (inverse[0] ** 2).sum() / length[0] ** 2,
        )
    return value, variance
