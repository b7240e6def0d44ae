"""What the judgement on suspicious samples rests on: the samples just let through and those held back."""

from dataclasses import dataclass, field
from math import inf

import numpy as np

from .line import Times
from .types import FloatArray

__all__ = ["Held", "Recent", "Verdict"]

#: A stamp this near to a whole sample lies on the grid. Samples.
_WHOLE = 0.1


class Recent:
    """The last samples let through, to know a sample that comes twice.

    Parameters
    ----------
    capacity : int
        Number of samples looked back on.

    Attributes
    ----------
    newest_s : float
        Latest stamp seen.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._stamps = np.empty(0)
        self._rows: FloatArray = np.empty((0, 0))
        self._stop = 0
        self.newest_s = -inf

    def add(self, data: FloatArray, stamps_s: Times) -> None:
        """Take samples that were let through."""
        self.newest_s = max(self.newest_s, float(stamps_s.max()))
        data, stamps_s = data[-self._capacity :], stamps_s[-self._capacity :]
        if not len(self._stamps):
            self._stamps = np.empty(2 * self._capacity)
            self._rows = np.empty((2 * self._capacity, data.shape[1]), dtype=data.dtype)
        if self._stop + len(data) > len(self._stamps):
            kept = slice(max(0, self._stop - self._capacity), self._stop)
            n = kept.stop - kept.start
            self._stamps[:n], self._rows[:n] = self._stamps[kept].copy(), self._rows[kept].copy()
            self._stop = n
        self._stamps[self._stop : self._stop + len(data)] = stamps_s
        self._rows[self._stop : self._stop + len(data)] = data
        self._stop += len(data)

    def clear(self) -> None:
        """Forget all, as after a clock was set back."""
        self._stop = 0
        self.newest_s = -inf

    def first_repeat(self, stamps_s: Times) -> int:
        """Return the place of the first stamp that occurred before, or the number of stamps."""
        n = len(stamps_s)
        if stamps_s[0] > self.newest_s and (stamps_s[1:] > stamps_s[:-1]).all():
            return n
        known = np.concatenate([self._stamps[: self._stop], stamps_s])
        _, first = np.unique(known, return_index=True)
        if len(first) == len(known):
            return n
        repeated = np.ones(len(known), dtype=bool)
        repeated[first] = False
        places = np.flatnonzero(repeated[self._stop :])
        return int(places[0]) if len(places) else n

    def ends_with(self, row: FloatArray) -> bool:
        """Return whether the last sample let through has these values."""
        return self._stop > 0 and _same(self._rows[self._stop - 1], row)

    def has_stamp(self, stamp_s: float) -> bool:
        """Return whether a sample with this very stamp was let through."""
        return bool((self._stamps[: self._stop] == stamp_s).any())

    def has(self, row: FloatArray, stamp_s: float, flat_counts: bool) -> bool:
        """Return whether this very sample was let through.

        Parameters
        ----------
        flat_counts : bool
            Whether a sample that equals its forerunner in all channels can be known again: on a dead input
            every sample looks like the last.
        """
        for k in np.flatnonzero(self._stamps[: self._stop] == stamp_s):
            if _same(self._rows[k], row) and (flat_counts or (k and not _same(self._rows[k - 1], row))):
                return True
        return False


def _same(a: FloatArray, b: FloatArray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """From held sample `change` on, the stamps run `jump` samples ahead of the count, give or take `spread`."""

    change: int
    jump: float
    spread: float


@dataclass(slots=True)
class Held:
    """Samples whose stamps left the line, held back until it shows whether they return.

    Attributes
    ----------
    places : list of float
        Where on the old line each stamp lies, in samples from the first index not yet given.
    newest_s : float
        Latest stamp held.
    """

    rows: list[FloatArray] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    places: list[float] = field(default_factory=list)
    newest_s: float = -inf

    def __len__(self) -> int:
        return len(self.stamps)

    def append(self, row: FloatArray, stamp_s: float, place: float) -> None:
        """Hold one more sample."""
        self.rows.append(row.copy())
        self.stamps.append(stamp_s)
        self.places.append(place)
        self.newest_s = max(self.newest_s, stamp_s)

    def clear(self) -> None:
        """Hold nothing."""
        self.rows, self.stamps, self.places, self.newest_s = [], [], [], -inf

    def has(self, row: FloatArray, stamp_s: float) -> bool:
        """Return whether this very sample is held."""
        return stamp_s <= self.newest_s and any(
            s == stamp_s and _same(r, row) for s, r in zip(self.stamps, self.rows, strict=True)
        )

    def excess(self) -> Times:
        """Return how many samples each is ahead of the count, shape (n,)."""
        return np.array(self.places) - np.arange(len(self))

    def steps(self) -> list[tuple[int, int]]:
        """Return (held sample, samples lost before it) where successive losses explain every stamp held; else nothing.

        That is where the stamps step ahead by whole samples only: jitter comes in fractions, and goes back.
        """
        excess = self.excess()
        whole = np.rint(excess)
        rises = np.diff(whole, prepend=0.0)
        if not len(excess) or np.abs(excess - whole).max() > _WHOLE or rises.min() < 0:
            return []
        return [(int(at), int(rises[at])) for at in np.flatnonzero(rises)]

    def verdict(self, persist: int, tolerance: float) -> Verdict | None:
        """Return the jump if the last `persist` samples agree on one within `tolerance` samples."""
        excess = self.excess()
        tail = excess[-persist:]
        jump = float(np.median(tail))
        if np.abs(tail - jump).max() > tolerance:
            return None
        apart = np.flatnonzero(np.abs(excess - jump) > tolerance)
        return Verdict(int(apart[-1]) + 1 if len(apart) else 0, jump, float(tail.std()))
