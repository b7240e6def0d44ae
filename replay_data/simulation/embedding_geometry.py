"""Embeddings of pictures that are not there: drawn with the geometry of a real space."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["CLIP_GEOMETRY", "LAYOUT_GEOMETRY", "Geometry", "draw_embeddings", "geometry_of", "join_parts"]


@dataclass(frozen=True, eq=False)
class Geometry:
    """How unit vectors lie in a space.

    Attributes
    ----------
    mean_cosine : float
        Mean over pairs: CLIP's vectors all lie in one narrow cone.
    spectrum : array of shape (n_dims - 1,), float64
        Share of each principal axis in the variance about the mean, largest first.
    """

    mean_cosine: float
    spectrum: npt.NDArray[np.float64]

    @property
    def n_dims(self) -> int:
        """Dimensions of the space: the principal axes and the direction of the mean."""
        return len(self.spectrum) + 1


def _power_law(mean_cosine: float, n_dims: int, exponent: float, offset: float) -> Geometry:
    spectrum = (np.arange(1.0, n_dims) + offset) ** -exponent
    return Geometry(mean_cosine, spectrum / spectrum.sum())


#: Fitted to the CLIP ViT-L/14 embeddings of the 200 test pictures of THINGS-EEG2.
CLIP_GEOMETRY = _power_law(0.54, 128, 0.76, 1.6)
#: What is where in a picture: assumed, few axes and a wider cone.
LAYOUT_GEOMETRY = _power_law(0.3, 64, 1.0, 0.5)


def geometry_of(embeddings: FloatArray, n_dims: int | None = None) -> Geometry:
    """Return the geometry of real embeddings.

    Parameters
    ----------
    embeddings : array of shape (n, dimension)
        Scaled to unit norm first. `n` vectors tell no more than n - 1 axes.
    n_dims : int or None
        Keep the largest axes only; the space then has as many dimensions.
    """
    unit = np.asarray(embeddings, np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    n, mean = len(unit), unit.mean(axis=0)
    mean_cosine = float((n * mean @ mean - 1) / (n - 1))
    variances = np.linalg.svd(unit - mean, compute_uv=False)[: n - 1] ** 2
    spectrum = variances[: None if n_dims is None else n_dims - 1]
    return Geometry(mean_cosine, spectrum / spectrum.sum())


def draw_embeddings(
    geometry: Geometry,
    n_concepts: int,
    n_images: int,
    rng: np.random.Generator,
    *,
    within_concept: float = 0.4,
    axes: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float32]:
    """Draw embeddings of images of concepts.

    Parameters
    ----------
    geometry : Geometry
    n_concepts, n_images : int
        Concepts, and images of each.
    rng : Generator
    within_concept : float
        Share of the variance that lies between images of one concept. 0.4 is what CLIP shows in THINGS: an image
        has a cosine of 0.89 with the centre of the concept's other images.
    axes : array of shape (n_dims, n_dims), orthogonal, optional
        The mean's direction and the principal axes as rows; drawn if not given. Pictures drawn apart that are to
        lie in one space share them.

    Returns
    -------
    array of shape (n_concepts * n_images, n_dims), float32
        Of unit norm, concept after concept.
    """
    if axes is None:
        axes = np.linalg.qr(rng.standard_normal((geometry.n_dims, geometry.n_dims)))[0]
    shape = (n_concepts, n_images, len(geometry.spectrum))
    spread = np.sqrt(geometry.spectrum * (1 - geometry.mean_cosine))
    of_concept = np.sqrt(1 - within_concept) * rng.standard_normal((shape[0], 1, shape[2]))
    of_image = np.sqrt(within_concept) * rng.standard_normal(shape)
    about = (spread * (of_concept + of_image)).reshape(-1, shape[2])
    looks = np.sqrt(geometry.mean_cosine) * axes[0] + about @ axes[1:]
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    drawn: npt.NDArray[np.float32] = looks.astype(np.float32)
    return drawn


def join_parts(layout: FloatArray, meaning: FloatArray) -> npt.NDArray[np.float32]:
    """Return embeddings whose first dimensions are layout and whose others are meaning."""
    joined: npt.NDArray[np.float32] = np.concatenate([layout, meaning], axis=1, dtype=np.float32)
    return joined
