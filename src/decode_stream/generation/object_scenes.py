"""The pictures that come with the program as something to learn from."""

from functools import cache
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.distillation.flow_training import Drawn
from decode_stream.decoders.generation.condition import LayoutMap, PictureModel
from decode_stream.replay_data.pictures.picture_space import (
    EMBEDDING_SIZE,
    LAYOUT_SIZE,
    picture_space,
    scene_embedding,
)
from decode_stream.replay_data.pictures.scenes import N_CONCEPTS, N_OBJECTS, Scene, compose, draw_scenes
from decode_stream.stream.types import IntArray

__all__ = ["ObjectScenes", "draw_mixed", "scene_pictures"]

_SIDE_PX = 64
#: Singles are what most sessions show.
_PAIR_SHARE = 0.25
#: Scenes that training draws from: 400 MB. Composing each anew takes as long as learning from it.
_N_SCENES, _SCENES_SEED = 30_000, 21
_N_FOR_MODEL, _MODEL_SEED = 6000, 20
_GRID = 8
_MOST_OBJECTS, _NO_OBJECT = 2, N_OBJECTS


def draw_mixed(n: int, rng: np.random.Generator) -> tuple[Scene, ...]:
    """Return scenes of one object or, a quarter of them, of two, with everything at random."""
    paired = rng.random(n) < _PAIR_SHARE
    concepts = np.where(paired, rng.integers(N_OBJECTS, N_CONCEPTS, n), rng.integers(N_OBJECTS, size=n))
    return draw_scenes(n, int(rng.integers(1 << 31)), concepts.tolist())


class ObjectScenes:
    """Scenes as a source of pictures, of 64 pixels a side."""

    side_px = _SIDE_PX

    def __init__(self) -> None:
        self._scenes: Drawn | None = None

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Return n scenes of those that are kept, with their objects and the places of these."""
        kept = self._kept()
        return _of(kept, rng.integers(len(kept.pictures), size=n))

    def some(self, n: int, rng: np.random.Generator) -> Drawn:
        """Return n different ones, or all where there are no more."""
        kept = self._kept()
        return _of(kept, rng.permutation(len(kept.pictures))[:n])

    def _kept(self) -> Drawn:
        if self._scenes is None:
            self._scenes = _composed(draw_mixed(_N_SCENES, np.random.default_rng(_SCENES_SEED)))
        return self._scenes


def _of(kept: Drawn, rows: IntArray) -> Drawn:
    assert kept.kinds is not None
    assert kept.places is not None
    return Drawn(kept.pictures[rows], kept.embeddings[rows], kept.kinds[rows], kept.places[rows])


def _composed(scenes: tuple[Scene, ...]) -> Drawn:
    pictures = np.empty((len(scenes), _SIDE_PX, _SIDE_PX, 3), np.uint8)
    kinds = np.full((len(scenes), _MOST_OBJECTS), _NO_OBJECT, np.int64)
    places = np.full((len(scenes), _MOST_OBJECTS, 3), np.nan, np.float32)
    for number, scene in enumerate(scenes):
        pictures[number] = compose(scene, _SIDE_PX)
        # An embedding does not tell which of two objects is which; their numbers do.
        for part, placed in enumerate(sorted(scene.objects, key=lambda placed: placed.object)):
            kinds[number, part] = placed.object
            places[number, part] = 2 * placed.x - 1, 2 * placed.y - 1, log(placed.size)
    embeddings: npt.NDArray[np.float32] = np.stack([scene_embedding(scene) for scene in scenes])
    return Drawn(pictures, embeddings, kinds, places)


@cache
def scene_pictures() -> PictureModel:
    """Return what scenes are before one is known: the moments of their embeddings, and what their numbers mean."""
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
