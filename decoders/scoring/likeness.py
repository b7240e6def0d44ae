"""How like embeddings are to that of the picture that was seen, and how like to those of pictures at all."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

from .identification import two_way
from .scores import hits

__all__ = ["Likeness", "likeness", "mean_likeness"]

_BATCH = 512


@dataclass(frozen=True, eq=False)
class Likeness:
    """Scores of embeddings, one a trial.

    Attributes
    ----------
    cosine : array of shape (n,)
        To the true picture's.
    two_way : array of shape (n,)
        Share of the other pictures to which it is less like than to the true one.
    found : array of shape (n,)
        Whether the true picture is the nearest by cosine; ties count in part.
    nearest : array of shape (n,)
        Distance to the nearest picture, in units of the mean one between a picture and the nearest other.
    spread : array of shape (n,)
        Squared distance from the mean of all these embeddings, in units of what it is for the pictures shown.

    `spread` is 1 on average of embeddings that vary as pictures do; of those drawn towards the mean it is less, and
    `nearest` tells, beside it, of such as lie where no picture does.
    """

    cosine: npt.NDArray[np.float64]
    two_way: npt.NDArray[np.float64]
    found: npt.NDArray[np.float64]
    nearest: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]

    def means(self) -> dict[str, float]:
        """Return the mean of each score over the trials, by its name."""
        return {one.name: float(getattr(self, one.name).mean()) for one in fields(self)}


def likeness(embeddings: FloatArray, truth: IntArray, pictures: FloatArray) -> Likeness:
    """Score embeddings against those of pictures, both without what all pictures share.

    Parameters
    ----------
    embeddings : array of shape (n, dimension)
        Less the mean of their kind in training.
    truth : array of shape (n,), int
        Row of `pictures` of each.
    pictures : array of shape (n_pictures, dimension)
        Likewise less the mean of pictures in training; at least two.
    """
    given, real = np.asarray(embeddings, np.float64), np.asarray(pictures, np.float64)
    cosines = _unit(given) @ _unit(real).T
    shown = real[truth]
    scale = max(float(((shown - shown.mean(axis=0)) ** 2).sum(axis=1).mean()), 1e-12)
    between = _distances(real, real)
    np.fill_diagonal(between, np.inf)
    unit = max(float(between.min(axis=1).mean()), 1e-12)
    nearest = [_distances(given[at : at + _BATCH], real).min(axis=1) for at in range(0, len(given), _BATCH)]
    return Likeness(
        cosines[np.arange(len(truth)), truth],
        two_way(cosines, truth),
        np.asarray(hits(cosines, truth), np.float64),
        np.concatenate(nearest) / unit,
        ((given - given.mean(axis=0)) ** 2).sum(axis=1) / scale,
    )


def mean_likeness(samples: FloatArray, truth: IntArray, pictures: FloatArray) -> Likeness:
    """Score several samples of each trial one by one, and return the mean of each score over them.

    Parameters
    ----------
    samples : array of shape (n, n_samples, dimension)
        Like `likeness` takes embeddings.
    """
    each = [likeness(samples[:, k], truth, pictures) for k in range(samples.shape[1])]
    return Likeness(
        *(np.mean([getattr(one, part.name) for one in each], axis=0) for part in fields(Likeness))
    )


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _distances(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Euclidean distances, shape (len(a), len(b))."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    distances: npt.NDArray[np.float64] = np.sqrt(np.maximum(squares, 0))
    return distances
