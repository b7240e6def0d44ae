"""Where a diffusion prior begins: as if embeddings and what is decoded of them were Gaussian together."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["LinearGaussian", "fit_linear_gaussian"]

#: Penalties tried, as multiples of the number of pairs: of standardised embeddings the covariance has a mean of 1.
_PENALTIES = tuple(float(10.0**power) for power in np.arange(-5.0, 3.01, 0.5))


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """The embedding of a picture given the decoded one, if both are Gaussian, standardised.

    Attributes
    ----------
    weight : array of shape (dimension, dimension), float64
        Its mean is ``weight @ decoded``.
    basis : array of shape (dimension, dimension), float64
        Columns: directions in which what is left over varies independently.
    variances : array of shape (2, dimension), float64
        Along them, of what is left over, and of pictures' embeddings as they are.
    """

    weight: npt.NDArray[np.float64]
    basis: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]


def fit_linear_gaussian(
    decoded: FloatArray, embeddings: FloatArray, held_decoded: FloatArray, held_embeddings: FloatArray
) -> LinearGaussian:
    """Fit the mean by ridge regression, and the covariance of what it leaves over.

    A mapper gives an estimate of the embedding already, so the regression begins with that, times the one factor that
    fits best; what is penalised is how far it goes beyond. Of a weak mapper few pairs tell no more than that factor.
    The penalty is that with the least error on the held-out pairs, and may be endless. The covariance is shrunken
    (Ledoit and Wolf 2004, J. Multivar. Anal. 88:365), and enlarged by how much more is left over of the held-out pairs
    than of those fitted on.

    Parameters
    ----------
    decoded, embeddings : array of shape (n, dimension)
        Standardised, of means 0.
    held_decoded, held_embeddings : array of shape (n_held, dimension)
        Of other pictures.
    """
    from sklearn.covariance import ledoit_wolf

    x, y = decoded.astype(np.float64), embeddings.astype(np.float64)
    held_x, held_y = held_decoded.astype(np.float64), held_embeddings.astype(np.float64)
    factor = float((x * y).sum() / max(float((x**2).sum()), 1e-12))
    begun = factor * np.eye(x.shape[1])
    values, vectors = np.linalg.eigh(x.T @ x)
    products = vectors.T @ (x.T @ (y - factor * x))
    weights = [begun]
    weights += [begun + vectors @ (products / (values + len(x) * penalty)[:, None]) for penalty in _PENALTIES]
    errors = [float(((held_y - held_x @ weight) ** 2).mean()) for weight in weights]
    best = int(np.argmin(errors))
    left = y - x @ weights[best]
    covariance, _ = ledoit_wolf(left)
    covariance *= max(1.0, errors[best] / max(float((left**2).mean()), 1e-12))
    variances, basis = np.linalg.eigh(covariance)
    least = 1e-6 * max(float(variances.max()), 1e-12)
    blind = ((y @ basis) ** 2).mean(axis=0)
    return LinearGaussian(weights[best].T, basis, np.maximum(np.stack([variances, blind]), least))
