"""What a decoder is trained to give: the embedding of the picture that was seen, by some image encoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import UsageError, did_you_mean

__all__ = ["Picture", "Target", "find_target"]

Picture: TypeAlias = npt.NDArray[np.uint8]


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
        (n_pictures, ``space.dimension``) float32. They are as the encoder gives them; ``space.norm`` says how they
        compare.
    """

    name: str
    space: EmbeddingSpace
    encode: Callable[[Sequence[Picture]], npt.NDArray[np.float32]]


def find_target(name: str, table: Mapping[str, Callable[[str], Target]]) -> Target:
    """Return the target of a name.

    Parameters
    ----------
    name : str
        ``objects``, or ``open_clip:MODEL:WEIGHTS``: the word before the first colon is looked up.
    table : mapping of str to callable
        What makes a target of the whole name, by that word.

    Raises
    ------
    UsageError
        If there is no such target, or it cannot be had here.
    """
    family = name.partition(":")[0]
    if family not in table:
        raise UsageError(
            f"There is no target {family!r}.{did_you_mean(family, table)} Targets are: {', '.join(sorted(table))}."
        )
    return table[family](name)
