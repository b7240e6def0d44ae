"""Every sample gets its index: losses, duplicates, reordering and clock jumps are told from jitter."""

import numpy as np

from .by_counter import ByCounter
from .by_stamps import ByStamps
from .clock import SampleClock
from .ledger import Ledger
from .line import Times
from .types import Chunk, FloatArray, Gap

__all__ = ["Continuity"]


class Continuity:
    """Counts samples, and finds what is missing, repeated or out of order.

    Lab Streaming Layer numbers no samples, so a loss shows in the stamps alone. A sample whose stamp leaves
    the line of the `SampleClock` by more than 0.6 samples and 5 times the running jitter is held back. If the
    stamps return to the line it was jitter, and nothing is changed; if 100 ms of samples agree on a new line,
    it was a loss (ahead) or a clock that was set (behind, or more than an hour ahead). Losses that follow on one
    another before that, as over a bad radio link, are told by stamps that step ahead by whole samples only. Results
    do not depend on how the samples were cut into chunks.

    Parameters
    ----------
    sfreq_hz : float
        Sampling rate in recording time.
    speed : float
        How much faster than recorded a replay runs; stamps come at ``sfreq_hz * speed``.
    counter_channel : int or None
        Index of a channel that carries a running sample number. Losses, duplicates and reordering are then
        exact, and stamps serve the clock only.

    Notes
    -----
    In the first two seconds, while the jitter is being learnt, a jump below 50 ms must last for 500 ms, and
    later in a jittery stream one below twice the tolerance. A loss smaller than the tolerance cannot be seen
    without a counter; the clock then follows the new line within a second.
    """

    def __init__(self, sfreq_hz: float, speed: float = 1.0, counter_channel: int | None = None) -> None:
        self._ledger = Ledger(sfreq_hz * speed)
        self._judge: ByStamps | ByCounter = (
            ByStamps(self._ledger) if counter_channel is None else ByCounter(self._ledger, counter_channel)
        )
        self._last_stamp_s: float | None = None
        self._returning = False

    @property
    def clock(self) -> SampleClock:
        """Sample index <-> LSL time."""
        return self._ledger.clock

    @property
    def received(self) -> int:
        """Number of samples let through."""
        return self._ledger.received

    @property
    def lost(self) -> int:
        """Number of samples that never came."""
        return self._ledger.lost

    @property
    def duplicate(self) -> int:
        """Number of samples dropped because they came twice."""
        return self._ledger.duplicate

    @property
    def reordered(self) -> int:
        """Number of samples dropped because they came too late for their place."""
        return self._ledger.reordered

    @property
    def held(self) -> int:
        """Number of samples held back until it shows what became of the line."""
        return len(self._judge.held)

    def admit(self, data: FloatArray, stamps_s: Times, arrived_s: float) -> list[Chunk | Gap]:
        """Give samples their index.

        Parameters
        ----------
        data : array of shape (n_samples, n_channels)
            Values in the stream's units.
        stamps_s : array of shape (n_samples,), float64
            LSL time of each sample on this machine's clock, in seconds. One that is not finite is filled in.
        arrived_s : float
            LSL time at which they were in hand.

        Returns
        -------
        list of Chunk or Gap
            In order; may be empty while samples are held back. A chunk's data may be a view of `data`.

        Raises
        ------
        ValueError
            If there is not one stamp a sample.
        """
        stamps_s = np.asarray(stamps_s, dtype=np.float64)
        if data.ndim != 2 or stamps_s.shape != (len(data),):
            raise ValueError(
                f"Samples come as (n_samples, n_channels) with one stamp each; "
                f"got {data.shape} and {stamps_s.shape} stamps."
            )
        if not len(data):
            return []
        self._ledger.arrived_s = arrived_s
        stamps_s = self._filled_in(stamps_s)
        if not self.clock.ready:
            self.clock.begin(self._ledger.next, float(stamps_s[0]))
            self._judge.start(data[0])
        elif self._returning:
            self._come_back(data[0], float(stamps_s[0]))
        self._returning = False
        at = 0
        while at < len(data):
            if not self._judge.held:
                at = self._pass(data, stamps_s, at)
            if at < len(data):
                self._judge.ponder(data[at], float(stamps_s[at]))
                at += 1
        return self._take_out()

    def flush(self) -> list[Chunk | Gap]:
        """Return the samples held back, judged by what is known; for the end of a stream, or a stall."""
        self._judge.release()
        return self._take_out()

    def reconnect(self) -> None:
        """Say that the outlet went and came back: the next samples begin with a gap of kind ``reconnect``."""
        self._returning = True

    def _take_out(self) -> list[Chunk | Gap]:
        out, self._ledger.out = self._ledger.out, []
        return out

    def _filled_in(self, stamps_s: Times) -> Times:
        """Return the stamps with one sample's time after the last where one is not finite."""
        good = np.isfinite(stamps_s)
        if not good.all():
            stamps_s = stamps_s.copy()
            for k in np.flatnonzero(~good):
                last = stamps_s[k - 1] if k else self._last_stamp_s
                stamps_s[k] = self._ledger.arrived_s if last is None else last + self.clock.period_s
        self._last_stamp_s = float(stamps_s[-1])
        return stamps_s

    def _pass(self, data: FloatArray, stamps_s: Times, begin: int) -> int:
        """Let samples through up to the first suspicious one; return its place."""
        ledger, judge = self._ledger, self._judge
        at, first = begin, ledger.next
        while at < len(data):
            part = slice(at, min(len(data), at + ledger.clock.room))
            n = judge.n_sound(data[part], stamps_s[part])
            sound = slice(at, at + n)
            at += n
            if n:
                ledger.count(stamps_s[sound])
                judge.passed(data[sound], stamps_s[sound])
            if at < part.stop:
                break
        if at > begin:
            ledger.out.append(Chunk(first, data[begin:at], ledger.arrived_s))
        return at

    def _come_back(self, row: FloatArray, stamp_s: float) -> None:
        self._judge.release()
        n_lost = self._judge.missing(row, self._ledger.n_missing(stamp_s))
        if not n_lost:
            self._judge.forget()
        self._ledger.restart(n_lost, "reconnect", stamp_s, stamp_s)
        self._judge.start(row)
