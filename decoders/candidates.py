"""The gallery as embeddings are compared with it: its lengths are taken once, and it stays in single precision."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

from .ranking import largest

__all__ = ["Candidates", "lengths"]

#: Entries, and numbers, that are in double precision at once: what a processor's cache holds.
_ROWS, _VALUES = 512, 1 << 19

#: Relative error of one operation in single precision.
_ROUNDING = 2.0**-24
#: What a product below the smallest normal number of single precision may be off by; and the length below which numbers
#: of an embedding itself may be.
_TINY, _SHORT = 2.0**-126, 1e-18


@dataclass(frozen=True, eq=False)
class Candidates:
    """Entries of a gallery, ready to be compared with.

    All is compared in double precision, a block at a time, but for a first look of `best`: of 200 pictures of 257
    tokens of 768 a copy in double precision takes .3 GB, and making it for every decision half a second.

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
    def _norms(self) -> npt.NDArray[np.float64]:
        return lengths(self.entries, "unit")

    @cached_property
    def _lengths(self) -> npt.NDArray[np.float64]:
        return self._norms if self.norm == "unit" else lengths(self.entries, self.norm)

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

    def best(self, embedding: FloatArray, k: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Return the k entries that an embedding fits best, as `similarity` in double precision ranks them.

        The gallery is read once, in the single precision that it is kept in. That rounds a similarity by at most
        ``gamma |x| |g|`` with ``gamma = n u / (1 - n u)``, in whatever order the n products are summed (Higham,
        Accuracy and Stability of Numerical Algorithms, 2002, section 3.1); the few entries that the rounding leaves in
        question are compared in double precision.

        Parameters
        ----------
        embedding : array of shape (dimension,)
        k : int
            At least 0; more than there are gives all.

        Returns
        -------
        places : array of shape (min(k, n_entries),), int
            Best first; of equal ones the first places. Those whose similarity is a NaN come last.
        similarities : array of shape (min(k, n_entries),), float64
        """
        among = self._in_question(embedding, k)
        some = self if among is None else Candidates(self.entries[among], self.norm)
        found = some.similarity(embedding[None])[0]
        first = largest(found, k)
        return first if among is None else among[first], found[first]

    def _in_question(self, embedding: FloatArray, k: int) -> npt.NDArray[np.intp] | None:
        """Return, in order, the places of all entries that may be among the best k; None where all may."""
        n = self.entries.shape[1]
        if self.entries.dtype != np.float32 or not 0 < k < len(self.entries):
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            length = float(np.linalg.norm(np.asarray(embedding, np.float64)))
            roughly = (self.entries @ np.asarray(embedding, np.float32)).astype(np.float64)
            # One more operation rounds the embedding itself.
            gamma = (n + 1) * _ROUNDING / (1 - (n + 1) * _ROUNDING)
            off = gamma * length * self._norms
            off += n * _TINY
            roughly /= self._lengths
            off /= self._lengths
        if not (length > _SHORT and np.isfinite(roughly).all() and np.isfinite(off).all()):
            return None
        least = np.partition(roughly - off, len(roughly) - k)[len(roughly) - k]
        return np.flatnonzero(roughly + off >= least)


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
