"""Losses, duplicates and late-comers by a running number that each sample carries."""

from math import ceil

import numpy as np

from .holding import Held
from .ledger import LEAP_S, Ledger
from .line import Times
from .types import FloatArray

__all__ = ["ByCounter"]


class ByCounter:
    """Judges samples by their number; exact whatever the jitter.

    A number ahead of the count is a loss. One behind is a duplicate, or a late-comer where it falls in a hole;
    when 100 ms of samples are behind the counter was set anew, and when their stamps fit it wrapped. Where the number
    is too large for its type to count by ones, losses are exact to that type's step.

    Parameters
    ----------
    ledger : Ledger
        The count of the stream.
    channel : int
        Index of the channel that carries the number. A value that is not finite says nothing.

    Attributes
    ----------
    held : Held
        Samples behind the count, not yet judged; their places are their numbers.
    """

    def __init__(self, ledger: Ledger, channel: int) -> None:
        self.held = Held()
        self._ledger = ledger
        self._channel = channel
        self._base = 0  # the number that sample 0 would carry
        self._persist = max(1, ceil(0.1 * ledger.rate_hz))
        self._holes: list[tuple[int, int]] = []

    def start(self, row: FloatArray) -> None:
        """Take the number of this sample as that of the next index."""
        self._base += self._ahead(row)

    def _ahead(self, row: FloatArray) -> int:
        value = float(row[self._channel])
        return round(value) - self._base - self._ledger.next if np.isfinite(value) else 0

    def missing(self, row: FloatArray, by_stamps: int) -> int:
        """Return how many samples went before this one while the outlet was away.

        The counter is believed where it agrees with the stamps within 1 %; an outlet may begin to count anew.
        """
        ahead = self._ahead(row)
        return ahead if ahead >= 0 and abs(ahead - by_stamps) <= max(2, 0.01 * by_stamps) else by_stamps

    def n_sound(self, data: FloatArray, stamps_s: Times) -> int:
        """Return how many of the first samples carry the number that is due."""
        due = np.arange(self._ledger.next, self._ledger.next + len(data)) + self._base
        numbers = data[:, self._channel]
        # A float32 counter knows only every second number from 2**24 on, every fourth from 2**25, ...
        step = np.spacing(np.abs(numbers)).astype(np.float64)
        wrong = np.isfinite(numbers) & (np.abs(np.rint(numbers) - due) > np.where(step > 1, step, 0))
        return int(wrong.argmax()) if wrong.any() else len(data)

    def passed(self, data: FloatArray, stamps_s: Times) -> None:
        """Learn from samples that were let through: nothing."""

    def ponder(self, row: FloatArray, stamp_s: float) -> None:
        """Judge one sample that does not carry the number that is due."""
        ledger, ahead = self._ledger, self._ahead(row)
        on_line = abs(ledger.place(stamp_s) - len(self.held)) <= ledger.tolerance
        if ahead < -2 * self._persist and on_line:
            self._base += ahead  # the counter wrapped
            ahead = 0
        if ahead < 0:
            self.held.append(row, stamp_s, float(row[self._channel]))
            if len(self.held) >= self._persist:
                self._begin_anew()
            return
        self.release()
        if ahead * ledger.clock.period_s >= LEAP_S:
            self._base += ahead
            ledger.restart(0, "reset", stamp_s, stamp_s)
        elif ahead:
            self._holes = [*self._holes[-15:], (ledger.next, ledger.next + ahead)]
            ledger.lose(ahead, "loss", stamp_s, stamp_s)
        ledger.let_through([row], [stamp_s])

    def _begin_anew(self) -> None:
        rows, stamps = self.held.rows, self.held.stamps
        self.held.clear()
        self._base += self._ahead(rows[0])
        self._ledger.restart(0, "reset", stamps[0], stamps[0])
        self._ledger.let_through(rows, stamps)

    def release(self) -> None:
        """Drop the held samples: their number was passed already."""
        for number in self.held.places:
            index = round(number) - self._base
            if any(start <= index < stop for start, stop in self._holes):
                self._ledger.reordered += 1
            else:
                self._ledger.duplicate += 1
        self.held.clear()

    def forget(self) -> None:
        """Forget what was seen before a break of the clock: nothing, numbers go on."""
