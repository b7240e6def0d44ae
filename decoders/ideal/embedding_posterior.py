r"""What the ideal observer knows of a picture's embedding where any picture may have been shown: closed form.

All that a window tells of the drives a of the sources is :math:`b \sim N(G a, G)` (`ideal_observer`), and
:math:`a = W' e + c + s z` with the picture's own rest :math:`z \sim N(0, 1)`. With the rest integrated out, b tells of
the embedding with the precision :math:`W H G W'`, where :math:`H = 1 - G s (1 + s G s)^{-1} s`, and under a Gaussian
prior :math:`e \sim N(m, S)` the posterior is Gaussian, with the precision :math:`S^{-1} + W H G W'`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.stream.types import FloatArray, IntArray

from .ideal_observer import Sufficient

__all__ = ["KnownDrives", "OpenPosterior", "embedding_posterior"]


@dataclass(frozen=True, slots=True, eq=False)
class KnownDrives:
    """How a subject's sources follow the embedding of a picture.

    Attributes
    ----------
    weights : array of shape (n_dims, n_sources)
    bias, specific : array of shape (n_sources,)
        The response common to all pictures, and the standard deviation of what a picture adds to its own that its
        embedding does not tell, the same at every showing.
    """

    weights: FloatArray
    bias: FloatArray
    specific: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class OpenPosterior:
    """Gaussians over embeddings.

    Attributes
    ----------
    mean : array of shape (n, n_dims), float64
    covariances : array of shape (n_kinds, n_dims, n_dims), float64
        Trials with as many windows at each place between two samples share one.
    kind : array of shape (n,), int64
        Which of these each trial has.
    """

    mean: npt.NDArray[np.float64]
    covariances: npt.NDArray[np.float64]
    kind: IntArray


def embedding_posterior(
    seen: Sufficient, drives: KnownDrives, mean: FloatArray, covariance: FloatArray
) -> OpenPosterior:
    """Return what trials, or pools of trials of a picture, tell of its embedding.

    Parameters
    ----------
    seen : Sufficient
    drives : KnownDrives
    mean : array of shape (n_dims,)
    covariance : array of shape (n_dims, n_dims)
        Of pictures before anything is seen; positive definite.
    """
    weights, bias, specific = (
        np.asarray(part, np.float64) for part in (drives.weights, drives.bias, drives.specific)
    )
    before = linalg.inv(np.asarray(covariance, np.float64))
    kinds, kind = np.unique(seen.counts, axis=0, return_inverse=True)
    means, covariances = np.empty((len(seen.b), len(weights))), []
    for number, counts in enumerate(kinds):
        mine = kind == number
        gram = np.tensordot(counts, seen.grams, 1)
        inner = np.eye(len(gram)) + specific[:, None] * gram * specific
        # With what a picture adds of its own integrated out; G may be singular, so nothing is divided by it.
        left = np.eye(len(gram)) - (gram * specific) @ linalg.solve(inner, np.diag(specific), assume_a="pos")
        after = linalg.inv(before + weights @ left @ gram @ weights.T)
        off = seen.b[mine] - (bias + mean @ weights) @ gram
        means[mine] = mean + off @ left.T @ weights.T @ after
        covariances.append(after)
    return OpenPosterior(means, np.stack(covariances), kind.astype(np.int64).ravel())
