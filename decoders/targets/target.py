"""What a decoder is trained to give: an embedding of the picture that was seen, or of what is said about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import UsageError, did_you_mean

__all__ = [
    "AnyTarget",
    "Embeddings",
    "Picture",
    "StoredTarget",
    "Target",
    "TextTarget",
    "clamped",
    "find_target",
    "limited",
]

Picture: TypeAlias = npt.NDArray[np.uint8]
Embeddings: TypeAlias = npt.NDArray[np.float32]

_CLAMP = "clamp-"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """An image encoder, ready to run.

    Attributes
    ----------
    name : str
        As it was asked for.
    space : EmbeddingSpace
        Where its embeddings lie; two targets of one space are one encoder with one set of weights.
    encode : callable
        Takes a sequence of RGB pictures, each (height, width, 3) uint8 of any size, and returns embeddings
        (n_pictures, ``space.dimension``) float32, laid out flat. They are as the encoder gives them, clamped where
        the space says so; ``space.norm`` says how they compare.
    """

    name: str
    space: EmbeddingSpace
    encode: Callable[[Sequence[Picture]], Embeddings]


@dataclass(frozen=True, slots=True, eq=False)
class TextTarget:
    """A text encoder, ready to run, with the image encoder that it was trained with.

    Attributes
    ----------
    name : str
    space : EmbeddingSpace
    raw : callable
        Takes a sequence of texts and returns embeddings (n_texts, ``space.dimension``) float32, before any clamp:
        that is what the two encoders compare by.
    pictures : Target
        The image encoder, never clamped.
    logit_scale : float
        By what the cosine of a picture and a text is multiplied before the softmax, in the training of the two.
    """

    name: str
    space: EmbeddingSpace
    raw: Callable[[Sequence[str]], Embeddings]
    pictures: Target
    logit_scale: float

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """Return the embeddings of texts as the space has them, shape (n_texts, ``space.dimension``), float32."""
        return limited(self.raw(texts), self.space.clamp)


@dataclass(frozen=True, slots=True, eq=False)
class StoredTarget:
    """Embeddings that were computed elsewhere, by the name or the number of their picture.

    Attributes
    ----------
    name : str
    space : EmbeddingSpace
    embeddings : array of shape (n, ``space.dimension``), float32
        May be mapped from a file.
    by_name : mapping of str to int
        Row by a picture's name.
    by_id : mapping of (str or None, int) to int
        Row by a picture's split, where the dataset counts by split, and its number there.
    """

    name: str
    space: EmbeddingSpace
    embeddings: Embeddings
    by_name: Mapping[str, int]
    by_id: Mapping[tuple[str | None, int], int]


AnyTarget: TypeAlias = Target | TextTarget | StoredTarget


def limited(embeddings: Embeddings, clamp: float | None) -> Embeddings:
    """Return embeddings with every number within +-clamp; as they are where that is None."""
    return embeddings if clamp is None else np.clip(embeddings, np.float32(-clamp), np.float32(clamp))


def clamped(target: AnyTarget, clamp: float) -> AnyTarget:
    """Return a target whose numbers are limited to +-clamp, before anything is made of unit length.

    A few numbers of CLIP's embeddings are many times larger than the rest and the same for every picture; Lin et al.
    (Mind Reader, NeurIPS 2022) limit them to +-1.5, so that what is left of an embedding says more.
    """
    name, space = f"{_CLAMP}{clamp:g}:{target.name}", replace(target.space, clamp=clamp)
    if isinstance(target, Target):
        encode = target.encode
        return Target(name, space, lambda pictures: limited(encode(pictures), clamp))
    if isinstance(target, StoredTarget):
        return replace(target, name=name, space=space, embeddings=limited(target.embeddings, clamp))
    return replace(target, name=name, space=space)


def find_target(name: str, table: Mapping[str, Callable[[str], AnyTarget]]) -> AnyTarget:
    """Return the target of a name.

    Parameters
    ----------
    name : str
        As ``objects`` or ``open_clip:MODEL:WEIGHTS``: the word before the first colon is looked up. ``clamp-1.5:``
        may stand before any name; see `clamped`.
    table : mapping of str to callable
        What makes a target of the whole name, by that word.

    Raises
    ------
    UsageError
        If there is no such target, or it cannot be had here.
    """
    family, _, rest = name.partition(":")
    if family.startswith(_CLAMP):
        if rest.startswith(_CLAMP):
            raise UsageError(f"--target is {name!r}; one clamp is enough.")
        return clamped(find_target(rest, table), _limit(family, name))
    if family not in table:
        raise UsageError(
            f"There is no target {family!r}.{did_you_mean(family, table)} Targets are: {', '.join(sorted(table))}."
        )
    return table[family](name)


def _limit(word: str, name: str) -> float:
    try:
        limit = float(word.removeprefix(_CLAMP))
    except ValueError:
        limit = 0.0
    if not 0 < limit < inf:
        raise UsageError(f"--target is {name!r}; a clamp is a number above 0, as in clamp-1.5:objects.")
    return limit
