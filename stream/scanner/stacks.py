"""Make volumes of single slices."""

from collections.abc import Sequence
from math import gcd

import numpy as np

from .scans import Scan, Slice, Unreadable, as_scan

__all__ = ["SliceStacks", "stacked"]


def stacked(slices: Sequence[Slice], count: int) -> Scan:
    """Stack the slices of one volume by where they lie in the head.

    They are put along their normal (direction of rows cross direction of columns), whichever way the scanner numbers
    them, as `dcm2niix` does.

    Parameters
    ----------
    slices : sequence of Slice
        All slices of the volume, in any order.
    count : int
        The scanner's number of the volume.

    Raises
    ------
    Unreadable
        If they do not make a grid: of different size or orientation, two at one place, or unevenly spaced.
    """
    slices = sorted(slices, key=lambda one: one.height_mm)
    first, last = slices[0], slices[-1]
    if any(one.pixels.shape != first.pixels.shape or one.spacing_mm != first.spacing_mm for one in slices):
        raise Unreadable(f"the slices of volume {count} have different matrices")
    if any(not np.allclose(one.orientation, first.orientation, atol=1e-4) for one in slices):
        raise Unreadable(f"the slices of volume {count} are not parallel")
    steps_mm = np.diff([one.height_mm for one in slices])
    if len(steps_mm) and (steps_mm.min() <= 0 or np.ptp(steps_mm) > 0.05 + 0.01 * steps_mm.mean()):
        raise Unreadable(
            f"the slices of volume {count} lie {steps_mm.min():.2f} to {steps_mm.max():.2f} mm apart, not evenly"
        )
    along_row, along_column = first.orientation
    affine = np.eye(4)
    affine[:3, 0] = along_column * first.spacing_mm[0]
    affine[:3, 1] = along_row * first.spacing_mm[1]
    if len(slices) > 1:
        affine[:3, 2] = (last.position_mm - first.position_mm) / (len(slices) - 1)
    else:
        affine[:3, 2] = np.cross(along_row, along_column) * first.thickness_mm
    affine[:3, 3] = first.position_mm
    data, affine_mm = as_scan(np.stack([one.pixels for one in slices], axis=2), affine)
    times = [one.acquired_s for one in slices if one.acquired_s is not None]
    return Scan(first.series, count, 1, data, affine_mm, first.tr_s, first.echo_s, min(times, default=None))


class SliceStacks:
    """Gathers the slices of one series until a volume has all of its own, in whatever order they come.

    How many slices a volume has is what the files say. Where they do not, slices are kept until two lie at one place:
    their numbers in the series are whole volumes apart, and a volume has as many slices as places were seen.

    Attributes
    ----------
    n_slices : int or None
        How many a volume has; None while it is not known.
    """

    _KEPT = 64  # volumes that are not whole, so that a run with many lost slices does not fill the memory

    def __init__(self) -> None:
        self.n_slices: int | None = None
        self._stacks: dict[tuple[int, str, float | None], dict[float, Slice]] = {}
        self._waiting: list[Slice] = []
        self._first_at: dict[float, int] = {}
        self._apart = 0

    def add(self, one: Slice) -> list[Scan | Unreadable]:
        """Take a slice, and return the volumes that are whole with it, or why one cannot be."""
        self._waiting.append(one)
        self.n_slices = self.n_slices or one.n_slices or self._told_by_places(one)
        if self.n_slices is None:
            return []
        waiting, self._waiting = self._waiting, []
        found = (self._place(slice_, self.n_slices) for slice_ in waiting)
        return [scan for scan in found if scan is not None]

    def n_came(self, count: int) -> int:
        """Return how many slices there are of a volume that is not whole."""
        return max((len(stack) for (number, *_), stack in self._stacks.items() if number == count), default=0)

    def _told_by_places(self, one: Slice) -> int | None:
        first = self._first_at.setdefault(one.height_mm, one.instance)
        self._apart = gcd(self._apart, abs(one.instance - first))
        return self._apart if self._apart == len(self._first_at) else None

    def _place(self, one: Slice, n_slices: int) -> Scan | Unreadable | None:
        count = (one.instance - 1) // n_slices + 1 if one.count is None else one.count
        key = (count, one.kind, one.echo_s)
        stack = self._stacks.setdefault(key, {})
        if one.height_mm in stack:
            return Unreadable(f"slice {one.instance} is the second at its place in volume {count}")
        stack[one.height_mm] = one
        if len(stack) < n_slices:
            if len(self._stacks) > self._KEPT:
                self._stacks.pop(next(iter(self._stacks)))
            return None
        del self._stacks[key]
        try:
            return stacked(list(stack.values()), count)
        except Unreadable as error:
            return error
