r"""The ideal observer of fMRI: the exact posterior over a gallery where the truth about a simulated person is known.

As `decode_stream.decoders.ideal.ideal_observer` has it, all that data y tell of a picture with embedding e is
:math:`b = R \Sigma^{-1} y` and :math:`G = R \Sigma^{-1} R'`, and the log-likelihood of an entry is
:math:`e'b - e'Ge/2` up to a constant. Here R holds what each dimension gives to the voxels, and the noise's covariance
is a product of one over voxels, a diagonal and a few common sources, and one over time, a first-order autoregression,
so that both are inverted in closed form.

It is an upper bound for every decoder that sees the same data: answers to the other pictures are known to it and taken
off, drifts and movements are not there, and nothing has to be learned.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

from .ideal_observer import Sufficient

__all__ = ["VoxelModel", "alone", "betas_observer", "volumes_observer"]


@dataclass(frozen=True, eq=False)
class VoxelModel:
    """The true model of voxels: ``y = common + tuning (e - origin) + noise``.

    Attributes
    ----------
    tuning : array of shape (n_voxels, n_dims)
        What a unit of each dimension gives to each voxel.
    common : array of shape (n_voxels,)
        Answer to the picture at the origin.
    origin : array of shape (n_dims,)
    own_noise : array of shape (n_voxels,)
        Standard deviation of each voxel's own noise, above 0.
    shared_noise : array of shape (n_voxels, n_shared)
        What each common source of noise, of unit variance, gives to each voxel.
    """

    tuning: FloatArray
    common: FloatArray
    origin: FloatArray
    own_noise: FloatArray
    shared_noise: FloatArray

    def __post_init__(self) -> None:
        n_voxels, n_dims = self.tuning.shape
        shapes = {"common": (n_voxels,), "origin": (n_dims,), "own_noise": (n_voxels,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}; the tuning asks for {shape}."
                )
        if (
            self.shared_noise.ndim != 2
            or len(self.shared_noise) != n_voxels
            or not (self.own_noise > 0).all()
        ):
            raise ValueError(
                "The noise needs a spread above 0 and the common sources' share for every voxel."
            )

    def matched(self) -> npt.NDArray[np.float64]:
        """Return the tuning weighted by the inverse covariance of the noise over voxels, shape (n_dims, n_voxels).

        By Woodbury's identity: only a matrix as large as there are common sources is inverted.
        """
        precision = 1 / np.asarray(self.own_noise, np.float64) ** 2
        shared = np.asarray(self.shared_noise, np.float64)
        weighted = precision[:, None] * shared
        tuned = np.asarray(self.tuning, np.float64).T * precision
        inner = np.eye(shared.shape[1]) + shared.T @ weighted
        matched: npt.NDArray[np.float64] = tuned - (tuned @ shared) @ np.linalg.solve(inner, weighted.T)
        return matched


def betas_observer(betas: FloatArray, model: VoxelModel, rows: IntArray | None = None) -> Sufficient:
    """Return all that betas tell of the pictures.

    Parameters
    ----------
    betas : array of shape (n, n_voxels)
        Of independent trials, in the model's units.
    model : VoxelModel
        With the noise of a beta.
    rows : array of shape (n,), int64, optional
        What the trials are called, such as rows of a table; their numbers by default.

    Returns
    -------
    Sufficient
        Its drives are embeddings: the likelihood of a gallery is `log_likelihood` of its embeddings.
    """
    return _sufficient(betas, 1.0, model, rows)


def alone(
    volumes: FloatArray,
    onsets: IntArray,
    answers: FloatArray,
    course: FloatArray,
    n_before: int,
    n_after: int,
) -> tuple[npt.NDArray[np.float64], IntArray]:
    """Return the volumes about each onset without the answers to all other pictures.

    Parameters
    ----------
    volumes : array of shape (n_volumes, n_voxels)
        Percent about the voxels' level.
    onsets : array of shape (n,), int64
        Volume of each onset.
    answers : array of shape (n, n_voxels)
        True answer to each picture, percent.
    course : array of shape (n_course,)
        Share of the answer in the volumes from the onset on.
    n_before, n_after : int
        Volumes before the onset, and from it on.

    Returns
    -------
    array of shape (n_kept, n_before + n_after, n_voxels), float64
    array of shape (n_kept,), int64
        Which onsets these are: those whose volumes lie in the recording.
    """
    rest = np.array(volumes, np.float64)
    for onset, answer in zip(onsets, answers, strict=True):
        n = min(len(course), len(rest) - int(onset))
        rest[onset : onset + n] -= course[:n, None] * answer
    own = np.concatenate([np.zeros(n_before), course, np.zeros(max(0, n_after - len(course)))])
    kept = np.flatnonzero((onsets >= n_before) & (onsets + n_after <= len(rest)))
    cut = np.empty((len(kept), n_before + n_after, rest.shape[1]))
    for place, i in enumerate(kept):
        span = rest[onsets[i] - n_before : onsets[i] + n_after]
        cut[place] = span + own[: n_before + n_after, None] * answers[i]
    return cut, kept


def volumes_observer(
    volumes: FloatArray, course: FloatArray, ar: float, model: VoxelModel, rows: IntArray | None = None
) -> Sufficient:
    """Return all that volumes tell of one picture each.

    Volumes from the one before the onset to the last that a decoder sees make it a bound for decoders that see all the
    past as well: under this noise what came before tells no more (Markov), with the answers to other pictures taken
    off.

    Parameters
    ----------
    volumes : array of shape (n, n_volumes, n_voxels)
        For each trial, in the model's units about the voxels' level, without the answers to other pictures.
    course : array of shape (n_volumes,)
        Answer to a picture in these volumes, as a share of that in `model`; 0 before its onset.
    ar : float
        Correlation of the noise between neighbouring volumes, in absolute value below 1.
    model : VoxelModel
        With the noise of a volume.
    rows : array of shape (n,), int64, optional
        As in `betas_observer`.

    Returns
    -------
    Sufficient

    Raises
    ------
    ValueError
        If the shapes do not fit, or the correlation is out of range.
    """
    course = np.asarray(course, np.float64)
    if volumes.ndim != 3 or course.shape != volumes.shape[1:2] or not abs(ar) < 1:
        raise ValueError(
            f"Volumes of shape {volumes.shape} do not fit a course of shape {course.shape}, or {ar} is no correlation."
        )
    correlation = ar ** np.abs(np.subtract.outer(np.arange(len(course)), np.arange(len(course))))
    weights = np.linalg.solve(correlation, course)
    gain = float(course @ weights)
    if gain <= 0:
        raise ValueError("The course has no answer in these volumes.")
    # Over time the answer's size is estimated with variance 1 / gain, and that estimate is all that counts.
    sizes = np.einsum("t,ntv->nv", weights / gain, np.asarray(volumes, np.float64))
    return _sufficient(sizes, gain, model, rows)


def _sufficient(sizes: FloatArray, gain: float, model: VoxelModel, rows: IntArray | None) -> Sufficient:
    """Return what sizes of answers tell whose noise has the model's covariance divided by `gain`."""
    matched = gain * model.matched()
    gram = matched @ np.asarray(model.tuning, np.float64)
    gram = (gram + gram.T) / 2
    # Embeddings count from the origin: e - o instead of e shifts b by G o, but for a constant.
    b = (np.asarray(sizes, np.float64) - model.common) @ matched.T + gram @ model.origin
    names = np.arange(len(b)) if rows is None else np.asarray(rows, np.int64)
    return Sufficient(names, b, np.ones((len(b), 1), np.int64), gram[None])
