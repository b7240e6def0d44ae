"""The pictures that come with the program as something to learn from: every scene is a new one."""

from functools import cache
from math import sqrt

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.generation.condition import LayoutMap, PictureModel
from decode_stream.replay_data.pictures.picture_space import (
    EMBEDDING_SIZE,
    LAYOUT_SIZE,
    picture_space,
    scene_embedding,
)
from decode_stream.replay_data.pictures.scenes import N_CONCEPTS, N_OBJECTS, Scene, compose, draw_scenes

__all__ = ["ObjectScenes", "draw_mixed", "scene_pictures"]

_SIDE_PX = 64
#: Singles are what most sessions show.
_PAIR_SHARE = 0.25
_N_FOR_MODEL = 6000
_MODEL_SEED = 20
_GRID = 8


def draw_mixed(n: int, rng: np.random.Generator) -> tuple[Scene, ...]:
    """Return scenes of one object or, a quarter of them, of two, with everything at random."""
    paired = rng.random(n) < _PAIR_SHARE
    concepts = np.where(paired, rng.integers(N_OBJECTS, N_CONCEPTS, n), rng.integers(N_OBJECTS, size=n))
    return draw_scenes(n, int(rng.integers(1 << 31)), concepts.tolist())


class ObjectScenes:
    """Scenes as a source of pictures, of 64 pixels a side."""

    side_px = _SIDE_PX

    def draw(self, n: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Return n pictures (n, 64, 64, 3), RGB, and their embeddings (n, 192)."""
        scenes = draw_mixed(n, rng)
        embeddings = [scene_embedding(scene) for scene in scenes]
        return np.stack([compose(scene, _SIDE_PX) for scene in scenes]), np.stack(embeddings)


@cache
def scene_pictures() -> PictureModel:
    """Return what scenes are before anything is known of one: the moments of their embeddings, and what these mean."""
    scenes = draw_mixed(_N_FOR_MODEL, np.random.default_rng(_MODEL_SEED))
    embeddings = np.stack([scene_embedding(scene) for scene in scenes]).astype(np.float64)
    space = picture_space()
    weight = np.zeros((3 * _GRID**2, EMBEDDING_SIZE), np.float32)
    weight[:, :LAYOUT_SIZE] = sqrt(2) * float(space.layout_scale) * space.layout_axes.T
    return PictureModel(
        embeddings.mean(axis=0).astype(np.float32),
        np.cov(embeddings, rowvar=False).astype(np.float32),
        (LAYOUT_SIZE, EMBEDDING_SIZE),
        LayoutMap(weight, space.layout_mean, _GRID, _GRID),
    )
