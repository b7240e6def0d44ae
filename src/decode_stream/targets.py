"""The targets that there are, by name."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.target import Picture, Target, find_target
from decode_stream.replay_data.pictures.picture_space import (
    EMBEDDING_SIZE,
    embed,
    picture_layout,
    picture_space,
    space_id,
)
from decode_stream.stream.errors import UsageError

__all__ = ["TARGETS", "objects_space", "open_target"]


def objects_space() -> EmbeddingSpace:
    """Return the space of the pictures that come with the program; a change of its numbers changes its name."""
    return EmbeddingSpace(f"objects {space_id()}", "colour layout and meaning", EMBEDDING_SIZE)


def _objects(name: str) -> Target:
    if name != "objects":
        raise UsageError(f"--target is {name!r}; the target 'objects' takes nothing behind its name.")
    from decode_stream.decoders.targets.efficientnet import efficientnet_features

    def encode(pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
        space = picture_space()
        layouts = np.array([picture_layout(picture) for picture in pictures])
        layouts = layouts.reshape(len(pictures), len(space.layout_mean))
        return embed(layouts, efficientnet_features(pictures), space)

    return Target(name, objects_space(), encode)


def _open_clip(name: str) -> Target:
    from decode_stream.decoders.targets.open_clip_images import open_clip_target

    return open_clip_target(name)


#: What makes a target, by the word its name begins with; libraries are loaded when one is asked for.
TARGETS = {"objects": _objects, "open_clip": _open_clip}


def open_target(name: str) -> Target:
    """Return the target of a name: ``objects``, or ``open_clip:MODEL:WEIGHTS``.

    Raises
    ------
    UsageError
        If there is no such target, or it cannot be had here.
    """
    return find_target(name, TARGETS)
