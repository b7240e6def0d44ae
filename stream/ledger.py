"""The count of a stream: what was let through, and where it broke."""

from math import floor

import numpy as np

from .clock import SampleClock
from .line import Times
from .types import Chunk, FloatArray, Gap

__all__ = ["LEAP_S", "Ledger"]

LEAP_S = 3600.0  # a longer jump of the stamps is a clock that was set, not a loss


class Ledger:
    """Gives indices to the samples that are let through, and keeps the clock and the counts with them.

    Parameters
    ----------
    rate_hz : float
        Samples per second of LSL time.

    Attributes
    ----------
    clock : SampleClock
        Sample index <-> LSL time.
    next : int
        Index of the next sample to be let through.
    received, lost, duplicate, reordered : int
        Samples let through; samples that never came; samples dropped because they came twice; samples dropped
        because they came too late.
    arrived_s : float
        LSL time at which the samples at hand arrived.
    out : list of Chunk or Gap
        What was not handed on yet.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.clock = SampleClock(rate_hz)
        self.next = self.received = self.lost = self.duplicate = self.reordered = 0
        self.arrived_s = 0.0
        self.out: list[Chunk | Gap] = []

    @property
    def tolerance(self) -> float:
        """How far from the line a stamp may lie, in samples."""
        return max(0.6, 5 * self.clock.jitter_s / self.clock.period_s)

    def place(self, stamp_s: float) -> float:
        """Return where on the line a stamp lies, in samples from the next index."""
        return float(self.clock.errors(self.next, np.array([stamp_s]))[0]) / self.clock.period_s

    def count(self, stamps_s: Times) -> None:
        """Count samples as let through; the caller hands on their data."""
        self.clock.update(self.next, stamps_s)
        self.next += len(stamps_s)
        self.received += len(stamps_s)

    def let_through(self, rows: list[FloatArray], stamps_s: list[float]) -> None:
        """Hand on samples that were held back."""
        if rows:
            self.out.append(Chunk(self.next, np.stack(rows), self.arrived_s))
            self.count(np.array(stamps_s))

    def lose(self, n_lost: int, kind: str, stamp_s: float, time_s: float) -> None:
        """Note a break of `n_lost` samples on the device's own grid.

        Parameters
        ----------
        stamp_s : float
            Stamp of the first sample after the break.
        time_s : float
            When it was taken, by the stamps of the samples around it.
        """
        stop = self.next + n_lost
        # The device went on sampling on its grid, so jittery stamps move the line by a part of a sample only.
        off_s = float(self.clock.errors(stop, np.array([time_s]))[0])
        sd_s = 0.5 * self.clock.period_s
        trust = sd_s**2 / (sd_s**2 + self.clock.jitter_s**2)
        self._break(n_lost, kind, stamp_s, time_s - off_s * (1 - trust), sd_s)

    def restart(self, n_lost: int, kind: str, stamp_s: float, time_s: float) -> None:
        """Note a break after which the line starts anew; the parameters are those of `lose`."""
        self._break(n_lost, kind, stamp_s, time_s, None)

    def _break(self, n_lost: int, kind: str, stamp_s: float, time_s: float, sd_s: float | None) -> None:
        self.out.append(Gap(self.next, n_lost, kind, stamp_s))
        self.next += n_lost
        self.lost += n_lost
        self.clock.begin(self.next, time_s, sd_s)

    def n_missing(self, stamp_s: float) -> int:
        """Return how many samples would fit before this stamp; 0 if the clock must have been set."""
        late_s = self.place(stamp_s) * self.clock.period_s
        return floor(late_s * self.rate_hz + 0.5) if 0 < late_s < LEAP_S else 0
