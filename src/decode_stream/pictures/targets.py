"""The targets that there are, by name."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.target import AnyTarget, Embeddings, Picture, Target, find_target
from decode_stream.replay_data.pictures.picture_space import (
    EMBEDDING_SIZE,
    LAYOUT_SIZE,
    embed,
    picture_layout,
    picture_space,
    space_id,
)
from decode_stream.stream.errors import UsageError

__all__ = ["TARGETS", "objects_space", "open_target"]

#: Which of an embedding's numbers the parts of the space are.
_PARTS = {
    "": ("colour layout and meaning", slice(EMBEDDING_SIZE)),
    "layout": ("colour layout", slice(LAYOUT_SIZE)),
    "meaning": ("meaning", slice(LAYOUT_SIZE, EMBEDDING_SIZE)),
}


def objects_space(part: str = "") -> EmbeddingSpace:
    """Return the space of the pictures that come with the program; a change of its numbers changes its name.

    Parameters
    ----------
    part : str
        ``layout`` or ``meaning`` for one half of it.
    """
    layer, numbers = _PARTS[part]
    return EmbeddingSpace(f"objects {space_id()}", layer, len(range(EMBEDDING_SIZE)[numbers]))


def _objects(name: str) -> Target:
    _, given, part = name.partition(":")
    if part not in _PARTS or (given and not part):
        raise UsageError(f"--target is {name!r}; write objects, objects:meaning or objects:layout.")
    numbers = _PARTS[part][1]

    def encode(pictures: Sequence[Picture]) -> Embeddings:
        space = picture_space()
        layouts = np.array([picture_layout(picture) for picture in pictures])
        layouts = layouts.reshape(len(pictures), len(space.layout_mean))
        if part == "layout":  # needs no network
            features = np.zeros((len(pictures), len(space.feature_mean)), np.float32)
        else:
            from decode_stream.decoders.efficientnet import efficientnet_features

            features = efficientnet_features(pictures)
        return embed(layouts, features, space)[:, numbers]

    return Target(name, objects_space(part), encode)


def _open_clip(name: str) -> AnyTarget:
    from decode_stream.decoders.targets.open_clip_images import open_clip_target

    return open_clip_target(name)


def _open_clip_text(name: str) -> AnyTarget:
    from decode_stream.decoders.targets.open_clip_texts import open_clip_text_target

    return open_clip_text_target(name)


def _vae(name: str) -> AnyTarget:
    from decode_stream.decoders.targets.vae_latents import vae_target

    return vae_target(name)


def _colour_layout(name: str) -> AnyTarget:
    from decode_stream.decoders.targets.colour_layout import colour_layout_target

    return colour_layout_target(name)


def _stored(name: str) -> AnyTarget:
    from .stored_target import stored_target

    return stored_target(name)


#: What makes a target, by the word its name begins with; libraries are loaded when one is asked for.
TARGETS: Mapping[str, Callable[[str], AnyTarget]] = {
    "objects": _objects,
    "open_clip": _open_clip,
    "open_clip_text": _open_clip_text,
    "vae": _vae,
    "colour-layout": _colour_layout,
    "file": _stored,
}


def open_target(name: str) -> AnyTarget:
    """Return the target of a name.

    Parameters
    ----------
    name : str
        One of these, and ``clamp-1.5:`` before any of them to limit its numbers:

        - ``objects``, ``objects:meaning``, ``objects:layout``: the space of the pictures that come with the program;
        - ``open_clip:MODEL:WEIGHTS[:LAYER]``: see `open_clip_target`;
        - ``open_clip_text:MODEL:WEIGHTS``: captions, see `open_clip_text_target`;
        - ``vae:FOLDER[:SIDE]``: see `vae_target`;
        - ``colour-layout[:NxN]``: see `colour_layout_target`;
        - ``file:PATH``: see `stored_target`.

    Raises
    ------
    UsageError
        If there is no such target, or it cannot be had here.
    """
    return find_target(name, TARGETS)
