"""What every consumer of the ingest benchmark is given: the same streams, windows and filters."""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

__all__ = ["BAND_HZ", "CASES", "CHUNK_S", "LENGTH_S", "ORDER", "STEP_S", "Case", "Handed", "Task"]

LENGTH_S = Fraction(1, 10)
STEP_S = Fraction(1, 40)
#: The outlet pushes every 5 ms, so that every hop of 25 ms ends with a push: nobody waits for half a chunk.
CHUNK_S = Fraction(1, 200)
#: Causal Butterworth band-pass, as scipy and MNE both design it for this order: four second-order sections.
BAND_HZ = (1.0, 40.0)
ORDER = 4


@dataclass(frozen=True)
class Case:
    """One stream.

    Attributes
    ----------
    buffer_s : int
        Seconds of signal that the consumer keeps.
    """

    n_channels: int
    sfreq_hz: int
    buffer_s: int

    @property
    def name(self) -> str:
        """Channels and rate, for people."""
        return f"{self.n_channels} ch @ {self.sfreq_hz} Hz, {self.buffer_s} s"

    @property
    def chunk(self) -> int:
        """Samples in one push of the outlet."""
        return int(self.sfreq_hz * CHUNK_S)

    @property
    def hop(self) -> int:
        """Samples from the end of one window to the end of the next."""
        return int(self.sfreq_hz * STEP_S)

    @property
    def n_times(self) -> int:
        """Samples in one window."""
        return int(self.sfreq_hz * LENGTH_S)


CASES = (Case(63, 1000, 10), Case(271, 1200, 10), Case(306, 1000, 30))


@dataclass(frozen=True)
class Task:
    """One stream to consume, with or without the band-pass."""

    case: Case
    source_id: str
    filtered: bool


class Handed(NamedTuple):
    """A window at the moment its consumer hands it on.

    Attributes
    ----------
    first, last : float
        First and last value of channel 0, which carries the sample number where nothing is filtered.
    newest_s : float
        LSL time stamp of the window's newest sample.
    now_s : float
        LSL time at which the window was in hand.
    """

    first: float
    last: float
    newest_s: float
    now_s: float
