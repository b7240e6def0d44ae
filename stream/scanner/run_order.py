"""Put volumes into the order of their acquisition, and notice the ones that do not come."""

from collections import deque
from typing import Generic, Literal, TypeVar

from .volume import LostVolumes

__all__ = ["GRACE", "Fate", "RunOrder"]

#: How long the first later volume is granted, in repetition times.
GRACE = 0.1

Item = TypeVar("Item")
Fate = Literal["held", "before", "late", "twice", "far"]


class RunOrder(Generic[Item]):
    """Holds volumes back until those before them are there or given up.

    A place is given up when a later volume has come and a repetition time has passed since it should have been there
    itself, by the earliest of the arrivals so far. A tenth of a repetition time after the later one's arrival is
    granted on top: after a stall of the network many come at once, not always in order.

    Parameters
    ----------
    tr_s : float
        Time from one volume to the next.

    Attributes
    ----------
    next : int
        The place that is to be handed on next.
    """

    _RECENT = (
        64  # arrivals that the earliest is sought among, so that the drift of two clocks does not add up
    )
    _FARTHEST = 10_000  # a number so far ahead is no place in this run

    def __init__(self, tr_s: float) -> None:
        self.next = 0
        self._tr_s = tr_s
        self._held: dict[int, tuple[float, Item | None]] = {}
        self._lost: set[int] = set()
        self._lags_s: deque[float] = deque(maxlen=self._RECENT)

    def add(self, place: int, arrived_s: float, item: Item | None) -> Fate:
        """Take a volume, or None for one that has come and is of no use, and say what becomes of it.

        Returns
        -------
        "held"
            It is handed on in its turn.
        "before"
            It lies before the run's first.
        "late"
            Its place was given up.
        "twice"
            There was one at its place.
        "far"
            Its place is too far ahead to be one of this run.
        """
        if place < 0:
            return "before"
        if place in self._lost:
            self._lost.remove(place)
            return "late"
        if place < self.next or place in self._held:
            return "twice"
        if place >= self.next + self._FARTHEST:
            return "far"
        self._held[place] = (arrived_s, item)
        self._lags_s.append(arrived_s - place * self._tr_s)
        return "held"

    def take(self, now_s: float, *, give_up: bool = True) -> list[tuple[int, Item] | LostVolumes]:
        """Return what may be handed on by now, in order; places lost in a row as one.

        With ``give_up=False`` no place is given up, however late it is.
        """
        out: list[tuple[int, Item] | LostVolumes] = []
        while self._held:
            if self.next not in self._held and not (give_up and now_s >= self._given_up_s()):
                break
            item = self._held.pop(self.next, (0.0, None))[1]
            if item is not None:
                out.append((self.next, item))
            else:
                self._lost.add(self.next)
                if out and isinstance(out[-1], LostVolumes):
                    out[-1] = LostVolumes(out[-1].first, out[-1].n + 1)
                else:
                    out.append(LostVolumes(self.next, 1))
            self.next += 1
        return out

    def _given_up_s(self) -> float:
        """Return when the next place is given up, given that later ones are there."""
        due_s = min(self._lags_s) + self.next * self._tr_s
        later_s = min(arrived_s for arrived_s, _ in self._held.values())
        return max(due_s + self._tr_s, later_s + GRACE * self._tr_s)
