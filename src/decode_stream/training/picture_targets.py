"""What a network of whole trials is trained against, read a batch at a time from the galleries that hold it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.recipe import Gallery
from decode_stream.stream.types import IntArray

__all__ = ["PictureTargets", "TargetPart", "of_gallery"]


@dataclass(frozen=True, eq=False)
class TargetPart:
    """Embeddings of some pictures, and what is trained besides.

    Attributes
    ----------
    embeddings : array of shape (n, dimension), float32
    structure : array of shape (n_structures, structure_dim), float32, or None
        Targets of a second head.
    structure_rows : array of shape (n,), int64, or None
        Row of `structure` of each embedding; None where each has its own.
    """

    embeddings: npt.NDArray[np.float32]
    structure: npt.NDArray[np.float32] | None = None
    structure_rows: IntArray | None = None

    def rows(self, places: IntArray, *, unit: bool) -> npt.NDArray[np.float32]:
        """Return some targets, those of both heads side by side, (n, dimension + structure_dim)."""
        found = self.embeddings[places]
        if unit:
            found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        if self.structure is None:
            return found
        own = places if self.structure_rows is None else self.structure_rows[places]
        return np.concatenate([found, self.structure[own]], axis=1)


class PictureTargets:
    """The targets of several parts, one after the other, as an array of which rows are asked.

    Nothing is copied but what is asked for: 9,000 pictures of 257 tokens of 768 are 7 GB.

    Parameters
    ----------
    parts : sequence of TargetPart
    unit : bool
        Whether the embeddings, of which the first head's targets are made, are brought to unit length.
    """

    def __init__(self, parts: Sequence[TargetPart], *, unit: bool) -> None:
        self._parts, self._unit = parts, unit
        self._starts = np.cumsum([0, *(len(part.embeddings) for part in parts)])
        first = parts[0]
        width = 0 if first.structure is None else first.structure.shape[1]
        self._width = first.embeddings.shape[1] + width

    @property
    def shape(self) -> tuple[int, int]:
        """Number of targets, and of their dimensions."""
        return len(self), self._width

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: slice | IntArray, /) -> npt.NDArray[np.float32]:
        """Return some targets, by a slice or by places."""
        places = np.arange(len(self))[index]
        found = np.empty((len(places), self._width), np.float32)
        of_part = np.searchsorted(self._starts, places, "right") - 1
        for i, part in enumerate(self._parts):
            mine = np.flatnonzero(of_part == i)
            found[mine] = part.rows(places[mine] - self._starts[i], unit=self._unit)
        return found


def of_gallery(gallery: Gallery) -> TargetPart:
    """Return what trials are trained against: a row an entry, or where it has captions a row each."""
    captions, structure = gallery.captions, gallery.structure
    if captions is None:
        return TargetPart(gallery.embeddings, structure)
    rows = np.repeat(np.arange(len(gallery.names)), np.diff(captions.starts))
    return TargetPart(captions.embeddings, structure, rows)
