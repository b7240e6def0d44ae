"""The embedding space of the pictures that come with the program: where things are, and what they are.

An embedding has 192 numbers. The first 64 are the **layout**: the picture as 8 by 8 patches of mean colour (192
numbers, sRGB / 255), less its mean over random scenes, on its 64 leading principal axes, divided by one fixed scale.
The other 128 are the **meaning**: 1280 pooled features of EfficientNet-Lite0, less the mean of all objects, on the 128
axes that tell the objects apart best (linear discriminant analysis, Fisher 1936: the spread between objects relative to
the spread of one object over places, sizes and grounds), scaled to unit length. Both parts are divided by the square
root of two: the meaning is always 1/sqrt(2) long and the layout as long on average (root mean square), so that the
cosine weighs both alike.

As the length of the meaning is known, a direction alone gives the layout back. The features are not computed here, so
that nothing here needs more than numpy: a scene's meaning is taken from the objects in it.
``python -m decode_stream.pictures.fit_picture_space`` makes the numbers anew.
"""

import hashlib
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors.numpy import load, save

from decode_stream.stream.types import FloatArray, IntArray

from .scenes import N_OBJECTS, Picture, Scene, compose

__all__ = [
    "EMBEDDING_SIZE",
    "LAYOUT_SIZE",
    "SPACE_FILE",
    "PictureSpace",
    "embed",
    "fit_space",
    "picture_layout",
    "picture_space",
    "save_space",
    "scene_embedding",
    "space_id",
]

#: How many of an embedding's numbers are layout; they come first.
LAYOUT_SIZE = 64
_MEANING_SIZE = 128
EMBEDDING_SIZE = LAYOUT_SIZE + _MEANING_SIZE
_GRID = 8
_SCENE_PX = 64
_HALF = 1 / np.sqrt(2)
# The spread within objects is estimated from fewer scenes than directions matter; half of it is taken as round.
_SHRINKAGE = 0.5

#: Where the numbers are kept.
SPACE_FILE = Path(str(files("decode_stream.replay_data") / "pictures" / "space.safetensors"))

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PictureSpace:
    """The numbers that make an embedding of a picture, all float32.

    Attributes
    ----------
    layout_mean : array of shape (192,)
    layout_axes : array of shape (64, 192)
        Orthonormal rows.
    layout_scale : array of shape ()
        Root mean square length of a layout along the axes.
    feature_mean : array of shape (n_features,)
        Mean over the objects.
    feature_axes : array of shape (n_features, 128)
    centres : array of shape (200, 128)
        Meaning of every object, unit norm.
    """

    layout_mean: Array
    layout_axes: Array
    layout_scale: Array
    feature_mean: Array
    feature_axes: Array
    centres: Array


@cache
def picture_space() -> PictureSpace:
    """Return the space that comes with the program."""
    return PictureSpace(**load(SPACE_FILE.read_bytes()))


@cache
def space_id() -> str:
    """Return twelve digits that change whenever a number of the space does."""
    return hashlib.sha256(SPACE_FILE.read_bytes()).hexdigest()[:12]


def picture_layout(picture: Picture) -> npt.NDArray[np.float64]:
    """Return the mean colours of a picture's 8 by 8 patches.

    Parameters
    ----------
    picture : array of shape (height, width, 3), uint8

    Returns
    -------
    array of shape (192,), float64
        sRGB from 0 to 1, row by row, the three colours of a patch together.
    """
    grid = Image.fromarray(picture).resize((_GRID, _GRID), Image.Resampling.BOX)
    return np.asarray(grid, dtype=np.float64).ravel() / 255


def embed(layouts: FloatArray, features: FloatArray, space: PictureSpace) -> Array:
    """Return the embeddings of pictures.

    Parameters
    ----------
    layouts : array of shape (n, 192)
        See `picture_layout`.
    features : array of shape (n, n_features)
        Pooled features of the image encoder.

    Returns
    -------
    array of shape (n, 192), float32
    """
    meaning = _unit((features - space.feature_mean) @ space.feature_axes)
    return _join(layouts, meaning, space)


def scene_embedding(scene: Scene, space: PictureSpace | None = None) -> Array:
    """Return the embedding of a scene: the layout of its picture, the meaning of its objects.

    The meaning is that of the objects themselves, whatever their places; two weigh as their sizes do. What the image
    encoder makes of a picture lies near it: at a cosine of 0.90 on average for one object, of 0.65 for two.

    Parameters
    ----------
    space : PictureSpace, optional
        By default the one that comes with the program.

    Returns
    -------
    array of shape (192,), float32
    """
    space = space or picture_space()
    meaning = sum(placed.size * space.centres[placed.object] for placed in scene.objects)
    layout = picture_layout(compose(scene, _SCENE_PX))
    embedding: Array = _join(layout[None], _unit(np.asarray(meaning, dtype=np.float64)[None]), space)[0]
    return embedding


def _join(layouts: FloatArray, meaning: FloatArray, space: PictureSpace) -> Array:
    layout = (layouts - space.layout_mean) @ space.layout_axes.T / space.layout_scale
    embeddings: Array = (_HALF * np.concatenate([layout, meaning], axis=1)).astype(np.float32)
    return embeddings


def _unit(rows: FloatArray) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def fit_space(layouts: FloatArray, features: FloatArray, objects: IntArray) -> PictureSpace:
    """Find the axes from random scenes.

    Parameters
    ----------
    layouts : array of shape (n_layouts, 192)
        Of scenes of every kind.
    features : array of shape (n, n_features)
        Of scenes of single objects, several of every object.
    objects : array of shape (n,), int
        Which object each shows.
    """
    layout_mean = layouts.mean(axis=0)
    _, strength, axes = np.linalg.svd(layouts - layout_mean, full_matrices=False)
    layout_scale = np.sqrt((strength[:LAYOUT_SIZE] ** 2).sum() / len(layouts))
    means = np.stack([features[objects == item].mean(axis=0) for item in range(N_OBJECTS)])
    centre = means.mean(axis=0)
    whitener = _whitener(features - means[objects])
    _, _, apart = np.linalg.svd((means - centre) @ whitener, full_matrices=False)
    feature_axes = whitener @ apart[:_MEANING_SIZE].T
    meaning = _unit((features - centre) @ feature_axes)
    centres = _unit(np.stack([meaning[objects == item].mean(axis=0) for item in range(N_OBJECTS)]))
    arrays = (layout_mean, axes[:LAYOUT_SIZE], layout_scale, centre, feature_axes, centres)
    return PictureSpace(*(np.array(array, dtype=np.float32, order="C") for array in arrays))


def _whitener(within: FloatArray) -> npt.NDArray[np.float64]:
    """Return the inverse square root of the shrunk covariance of the rows, whose mean is zero."""
    covariance = within.T @ within / len(within)
    round_ = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    spread, directions = np.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * round_)
    whitener: npt.NDArray[np.float64] = directions / np.sqrt(spread) @ directions.T
    return whitener


def save_space(space: PictureSpace, path: Path) -> None:
    """Write the numbers of a space."""
    path.write_bytes(save(asdict(space)))
