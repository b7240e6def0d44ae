"""The gallery as embeddings are compared with it: its lengths are taken once, and it stays in single precision."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["Candidates", "lengths"]

#: Entries, and numbers, that are in double precision at once: what a processor's cache holds.
_ROWS, _VALUES = 512, 1 << 19


@dataclass(frozen=True, eq=False)
class Candidates:
    """Entries of a gallery, ready to be compared with.

    All is computed in double precision, a block at a time: of 200 pictures of 257 tokens of 768 a copy in double
    precision takes .3 GB, and making it for every decision half a second.

    Attributes
    ----------
    entries : array of shape (n_entries, dimension)
        May be mapped from a file; must not be changed any more.
    norm : {"unit", "none"}
        ``"unit"`` gives cosine similarity, ``"none"`` the plain inner product.
    """

    entries: FloatArray
    norm: str

    @cached_property
    def _lengths(self) -> npt.NDArray[np.float64]:
        return lengths(self.entries, self.norm)

    def block(self, places: slice | IntArray, dimensions: slice = slice(None)) -> npt.NDArray[np.float64]:
        """Return some numbers of some entries as they enter similarity, shape (n, n_dimensions), float64."""
        given = self.entries[:, dimensions][places].astype(np.float64)
        if self.norm == "unit":
            given /= self._lengths[places, None]
        return given

    def similarity(self, embeddings: FloatArray) -> npt.NDArray[np.float64]:
        """Return how well each embedding fits each entry, shape (n_windows, n_entries), float64.

        Parameters
        ----------
        embeddings : array of shape (n_windows, dimension)
            May be mapped from a file.
        """
        found = np.zeros((len(embeddings), len(self.entries)))
        dimension = self.entries.shape[1]
        for some in _slices(len(self.entries), _ROWS):
            step = max(1, _VALUES // max(1, some.stop - some.start))
            for part in _slices(dimension, step):
                entries = np.asarray(self.entries[some, part], np.float64).T
                for rows in _slices(len(embeddings), _ROWS):
                    found[rows, some] += np.asarray(embeddings[rows, part], np.float64) @ entries
        if self.norm == "unit":
            found /= lengths(embeddings, self.norm)[:, None]
            found /= self._lengths
        return found


def lengths(rows: FloatArray, norm: str) -> npt.NDArray[np.float64]:
    """Return what each row is divided by before it is compared, shape (n,): 1 where the norm is ``none``."""
    found = np.ones(len(rows))
    if norm == "unit":
        for some in _slices(len(rows), max(1, _VALUES // max(1, rows.shape[1]))):
            # As sums over whole rows, so that an embedding's length does not depend on what it is compared with.
            found[some] = np.linalg.norm(np.asarray(rows[some], np.float64), axis=1)
    return np.maximum(found, 1e-12)


def _slices(n: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
