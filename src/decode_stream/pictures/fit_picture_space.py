"""The embedding space of the pictures that come with the program, made anew: scenes, features, axes.

``python -m decode_stream.pictures.fit_picture_space`` writes ``replay_data/pictures/space.safetensors`` and says how
well the meaning of a picture names its object. The same seed gives the same numbers, to the rounding of the machine.
"""

import sys

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.efficientnet import N_FEATURES, efficientnet_features
from decode_stream.replay_data.pictures.picture_space import (
    LAYOUT_SIZE,
    SPACE_FILE,
    PictureSpace,
    embed,
    fit_space,
    picture_layout,
    save_space,
)
from decode_stream.replay_data.pictures.scenes import N_OBJECTS, Scene, compose, draw_scenes
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["draw_objects", "features_and_layouts", "retrieval"]

_SEED = 0
_SCENES_PER_OBJECT = 60
_N_PAIRS = 2000
_FRESH_PER_OBJECT = 10
_SIDE_PX = 64
_BLOCK = 200


def draw_objects(per_object: int, seed: int) -> tuple[tuple[Scene, ...], IntArray]:
    """Return scenes of every single object, and which object each shows."""
    objects = np.tile(np.arange(N_OBJECTS), per_object)
    return draw_scenes(len(objects), seed, objects.tolist()), objects


def features_and_layouts(scenes: tuple[Scene, ...]) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """Return what the image encoder and the coarse layout say of each scene, painted a block at a time."""
    features, layouts = [np.empty((0, N_FEATURES), np.float32)], []
    for start in range(0, len(scenes), _BLOCK):
        pictures = [compose(scene, _SIDE_PX) for scene in scenes[start : start + _BLOCK]]
        features.append(efficientnet_features(pictures))
        layouts += [picture_layout(picture) for picture in pictures]
        print(f"\r{start + len(pictures)} of {len(scenes)} scenes", end="", file=sys.stderr)
    print(file=sys.stderr)
    return np.concatenate(features), np.stack(layouts)


def retrieval(embeddings: FloatArray, objects: IntArray, space: PictureSpace) -> tuple[float, float]:
    """Return how often the meaning of a picture is nearest to its own object, and among the nearest five."""
    similarity = embeddings[:, LAYOUT_SIZE:] @ space.centres.T
    own = similarity[np.arange(len(objects)), objects]
    rank = (similarity > own[:, None]).sum(axis=1)
    return float((rank == 0).mean()), float((rank < 5).mean())


def _fit() -> None:
    scenes, objects = draw_objects(_SCENES_PER_OBJECT, _SEED)
    features, layouts = features_and_layouts(scenes)
    pairs = draw_scenes(_N_PAIRS, _SEED + 1, range(N_OBJECTS, N_OBJECTS + _N_PAIRS))
    of_pairs = np.stack([picture_layout(compose(scene, _SIDE_PX)) for scene in pairs])
    # As many layouts of single objects as of pairs: both are shown.
    space = fit_space(np.concatenate([layouts[:_N_PAIRS], of_pairs]), features, objects)
    save_space(space, SPACE_FILE)
    fresh, shown = draw_objects(_FRESH_PER_OBJECT, _SEED + 2)
    features, layouts = features_and_layouts(fresh)
    top1, top5 = retrieval(embed(layouts, features, space), shown, space)
    print(
        f"{SPACE_FILE}: object of {len(shown)} fresh scenes among {N_OBJECTS}: top-1 {top1:.3f}, top-5 {top5:.3f}"
    )


if __name__ == "__main__":
    _fit()
