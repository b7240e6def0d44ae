"""Every sample gets its index: losses, duplicates, reordering and clock jumps are told from jitter."""

from math import ceil, floor

import numpy as np

from .clock import SampleClock
from .holding import Held, Recent, Verdict
from .line import Times
from .types import Chunk, FloatArray, Gap

__all__ = ["Continuity"]

_EARLY_S = 2.0  # while jitter is being learnt
_LEAP_S = 3600.0  # a longer jump is a clock that was set, not a loss


class Continuity:
    """Counts samples, and finds what is missing, repeated or out of order.

    Lab Streaming Layer numbers no samples, so a loss shows in the stamps alone. A sample whose stamp leaves
    the line of the `SampleClock` by more than 0.6 samples and 5 times the running jitter is held back. If the
    stamps return to the line it was jitter, and nothing is changed; if 100 ms of samples agree on a new line,
    it was a loss (ahead) or a clock that was set (behind, or more than an hour ahead). Results do not depend
    on how the samples were cut into chunks.

    Parameters
    ----------
    sfreq_hz : float
        Sampling rate in recording time.
    speed : float
        How much faster than recorded a replay runs; stamps come at ``sfreq_hz * speed``.
    counter_channel : int or None
        Index of a channel that carries a running sample number. Losses, duplicates and reordering are then
        exact, and stamps serve the clock only.

    Attributes
    ----------
    clock : SampleClock
        Sample index <-> LSL time.
    received, lost, duplicate, reordered : int
        Samples let through; samples that never came; samples dropped because they came twice; samples dropped
        because they came too late.

    Notes
    -----
    In the first two seconds, while the jitter is being learnt, a jump below 50 ms must last for 500 ms, and
    later in a jittery stream one below twice the tolerance. A loss smaller than the tolerance cannot be seen
    without a counter; the clock then follows the new line within half a minute.
    """

    def __init__(self, sfreq_hz: float, speed: float = 1.0, counter_channel: int | None = None) -> None:
        self._rate_hz = sfreq_hz * speed
        self.clock = SampleClock(self._rate_hz)
        self.received = self.lost = self.duplicate = self.reordered = 0
        self._next = 0
        self._counter = counter_channel
        self._counter_base = 0
        self._persist = max(1, ceil(0.1 * self._rate_hz))
        self._recent = Recent(max(64, ceil(0.5 * self._rate_hz)))
        self._held = Held()
        # Some devices stamp all samples of a packet alike: an equal stamp is then no sign of a duplicate.
        self._stamps_repeat = False
        self._lost_spans: list[tuple[float, float]] = []
        self._lost_indices: list[tuple[int, int]] = []
        self._last_stamp_s: float | None = None
        self._repeating = False
        self._returning = False
        self._arrived_s = 0.0
        self._out: list[Chunk | Gap] = []

    @property
    def held(self) -> int:
        """Number of samples held back until it shows what became of the line."""
        return len(self._held)

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
        self._arrived_s = arrived_s
        stamps_s = self._filled_in(stamps_s)
        if not self.clock.ready:
            self._start(data[0], float(stamps_s[0]))
        elif self._returning:
            self._come_back(data[0], float(stamps_s[0]))
        self._returning = False
        at = 0
        while at < len(data):
            if not self._held:
                at = self._pass(data, stamps_s, at)
            if at < len(data):
                if self._counter is None:
                    self._ponder(data[at], float(stamps_s[at]))
                else:
                    self._ponder_counted(data[at], float(stamps_s[at]))
                at += 1
        return self._take_out()

    def flush(self) -> list[Chunk | Gap]:
        """Return the samples held back, judged by what is known; for the end of a stream, or a stall."""
        self._release_all()
        return self._take_out()

    def reconnect(self) -> None:
        """Say that the outlet went and came back: the next samples begin with a gap of kind ``reconnect``."""
        self._returning = True

    # -- the way through -------------------------------------------------------------------------------------

    def _take_out(self) -> list[Chunk | Gap]:
        out, self._out = self._out, []
        return out

    def _filled_in(self, stamps_s: Times) -> Times:
        good = np.isfinite(stamps_s)
        if not good.all():
            stamps_s = stamps_s.copy()
            for k in np.flatnonzero(~good):
                last = stamps_s[k - 1] if k else self._last_stamp_s
                stamps_s[k] = self._arrived_s if last is None else last + 1 / self._rate_hz
        self._last_stamp_s = float(stamps_s[-1])
        return stamps_s

    def _start(self, row: FloatArray, stamp_s: float) -> None:
        self.clock.begin(self._next, stamp_s)
        self._counter_base = self._number(row, 0) - self._next

    def _number(self, row: FloatArray, otherwise: int) -> int:
        """Return the running number that a sample carries."""
        value = float(row[self._counter]) if self._counter is not None else otherwise
        return round(value) if np.isfinite(value) else otherwise

    def _tolerance(self) -> float:
        """Return how far from the line a stamp may lie, in samples."""
        return max(0.6, 5 * self.clock.jitter_s / self.clock.period_s)

    def _pass(self, data: FloatArray, stamps_s: Times, begin: int) -> int:
        """Let samples through up to the first suspicious one; return its place."""
        at, first = begin, self._next
        while at < len(data):
            part = stamps_s[at : at + self.clock.room]
            n = self._n_sound(data[at : at + len(part)], part)
            if n:
                self._count(data[at : at + n], part[:n])
                at += n
            if n < len(part):
                break
        if at > begin:
            self._out.append(Chunk(first, data[begin:at], self._arrived_s))
        return at

    def _n_sound(self, data: FloatArray, stamps_s: Times) -> int:
        if self._counter is not None:
            due = self._counter_base + self._next + np.arange(len(data))
            numbers = data[:, self._counter]
            wrong = np.isfinite(numbers) & (np.rint(numbers) != due)
            return int(wrong.argmax()) if wrong.any() else len(data)
        limit = self._tolerance() * self.clock.period_s
        wrong = np.abs(self.clock.errors(self._next, stamps_s)) > limit
        n = int(wrong.argmax()) if wrong.any() else len(data)
        return n if self._stamps_repeat or not n else self._recent.first_repeat(stamps_s[:n])

    def _count(self, data: FloatArray, stamps_s: Times) -> None:
        self.clock.update(self._next, stamps_s)
        if self._counter is None:
            self._recent.add(data, stamps_s)
        self._next += len(data)
        self.received += len(data)

    def _emit(self, rows: list[FloatArray], stamps: list[float]) -> None:
        if rows:
            data = np.stack(rows)
            self._out.append(Chunk(self._next, data, self._arrived_s))
            self._count(data, np.array(stamps))

    # -- judging by stamps -----------------------------------------------------------------------------------

    def _ponder(self, row: FloatArray, stamp_s: float) -> None:
        held, tolerance = self._held, self._tolerance()
        place = float(self.clock.errors(self._next, np.array([stamp_s]))[0]) / self.clock.period_s
        fits = abs(place - len(held)) <= tolerance
        newest_s = max(self._recent.newest_s, held.newest_s)
        flat_counts = not fits and (stamp_s < newest_s or self._repeating)
        self._repeating = self._recent.has(row, stamp_s, flat_counts) or (
            held.has(row, stamp_s) and (flat_counts or not self._recent.ends_with(row))
        )
        if self._repeating:
            self.duplicate += 1
            return
        if fits:
            self._stamps_repeat |= not held and self._recent.has_stamp(stamp_s)
            held.append(row, stamp_s, place)
            self._release()
            return
        if held and self._is_late_comer(place, tolerance):
            self.reordered += 1
            return
        if held and self._are_late_comers(place, tolerance):
            self.reordered += len(held)
            held.clear()
            held.append(row, stamp_s, place)
            self._release()
            return
        held.append(row, stamp_s, place)
        self._judge(tolerance)

    def _knows_order(self) -> bool:
        """Return whether the jitter is known well enough to tell a sample out of order from an early stamp."""
        clean = self._next > 0.3 * self._rate_hz and self.clock.jitter_s < 0.05 * self.clock.period_s
        return clean or self._next > _EARLY_S * self._rate_hz

    def _is_late_comer(self, place: float, tolerance: float) -> bool:
        """Return whether a sample belongs in the hole that the held ones left."""
        first = self._held.places[0]
        steps_back = place < self._held.places[-1]
        return first > 0 and steps_back and -tolerance <= place < first and self._knows_order()

    def _are_late_comers(self, place: float, tolerance: float) -> bool:
        """Return whether the stream goes on at `place` as if the held samples had not been."""
        behind = self._held.places[0] < 0 and place - self._held.places[-1] > 1 + tolerance
        return behind and abs(place) <= tolerance and self._knows_order()

    def _release(self) -> None:
        """Let the held samples through as they came: it was jitter."""
        rows, stamps = self._held.rows, self._held.stamps
        self._held.clear()
        self._emit(rows, stamps)

    def _judge(self, tolerance: float) -> None:
        """Decide on the held samples once enough of them agree, or clearly never will."""
        held, persist = self._held, self._persist
        # Looking at every eighth of the time keeps a long hold at a high rate cheap.
        if len(held) < persist or (len(held) - persist) % max(1, persist // 8):
            return
        jump = abs(float(np.median(held.excess()[-persist:])))
        early = self._next < _EARLY_S * self._rate_hz and jump * self.clock.period_s < 0.05
        if early or 0.6 < tolerance > jump / 2:
            persist *= 5
        if len(held) < persist:
            return
        verdict = held.verdict(persist, tolerance)
        if verdict is not None:
            self._settle(verdict)
        elif len(held) >= max(5 * self._persist, 2 * persist):
            excess = held.excess()
            middle = float(np.median(excess))
            self.clock.widen(1.5 * float(np.median(np.abs(excess - middle))) * self.clock.period_s)
            if abs(middle) > self._tolerance() and not early:
                self._settle(Verdict(0, middle))
            else:
                self._release()

    def _settle(self, verdict: Verdict) -> None:
        """Break the stream where the held samples found their new line."""
        held, change = self._held, verdict.change
        before = held.rows[:change], held.stamps[:change]
        rows, stamps = held.rows[change:], held.stamps[change:]
        jump = float(np.median(held.excess()[change:]))
        held.clear()
        self._emit(*before)
        middle = float(np.median(stamps))
        if jump < 0 and any(start < middle < stop for start, stop in self._lost_spans):
            self.reordered += len(rows)
            return
        time_s = float(np.median(np.array(stamps) - self.clock.period_s * np.arange(len(stamps))))
        if jump >= 0.5 and jump * self.clock.period_s < _LEAP_S:
            self._lost_spans = [*self._lost_spans[-15:], (self._recent.newest_s, stamps[0])]
            self._break(floor(jump + 0.5), "loss", stamps[0], time_s)
        else:
            self._break(0, "reset", stamps[0], time_s)
        self._emit(rows, stamps)

    def _break(self, n_lost: int, kind: str, stamp_s: float, time_s: float) -> None:
        """Note a gap and set the clock: the sample after it was taken at `time_s`."""
        self._out.append(Gap(self._next, n_lost, kind, stamp_s))
        stop = self._next + n_lost
        sd_s = None
        if kind == "loss":
            # The device kept sampling on its grid, so jittery stamps move the line by part of a sample only.
            expected_s = float(self.clock.errors(stop, np.array([time_s]))[0])
            sd_s = 0.5 * self.clock.period_s
            time_s -= expected_s * (1 - sd_s**2 / (sd_s**2 + self.clock.jitter_s**2))
        elif not n_lost:
            self._recent.clear()
            self._lost_spans = []
        self.clock.begin(stop, time_s, sd_s)
        self.lost += n_lost
        self._next = stop

    def _come_back(self, row: FloatArray, stamp_s: float) -> None:
        self._release_all()
        late = float(self.clock.errors(self._next, np.array([stamp_s]))[0])
        n_lost = floor(late * self._rate_hz + 0.5) if 0 < late < _LEAP_S else 0
        counted = self._number(row, 0) - self._counter_base - self._next
        if self._counter is not None and abs(counted - n_lost) <= max(2, 0.01 * n_lost) and counted >= 0:
            n_lost = counted
        self._break(n_lost, "reconnect", stamp_s, stamp_s)
        self._counter_base = self._number(row, 0) - self._next

    def _release_all(self) -> None:
        held = self._held
        if not held:
            return
        if self._counter is not None:
            self._sort_out()
            return
        verdict = held.verdict(len(held), self._tolerance())
        if verdict is None:
            self._release()
        else:
            self._settle(verdict)

    # -- judging by a counter --------------------------------------------------------------------------------

    def _ponder_counted(self, row: FloatArray, stamp_s: float) -> None:
        number = self._number(row, self._counter_base + self._next)
        ahead = number - self._counter_base - self._next
        late = float(self.clock.errors(self._next, np.array([stamp_s]))[0]) / self.clock.period_s
        if ahead < -2 * self._persist and abs(late - len(self._held)) <= self._tolerance():
            self._counter_base += ahead  # the counter wrapped
            ahead = 0
        if ahead >= 0:
            self._sort_out()
            if ahead * self.clock.period_s >= _LEAP_S:
                self._break(0, "reset", stamp_s, stamp_s)
                self._counter_base = number - self._next
            elif ahead:
                self._lost_indices = [*self._lost_indices[-15:], (self._next, self._next + ahead)]
                self._break(ahead, "loss", stamp_s, stamp_s)
            self._emit([row], [stamp_s])
            return
        self._held.append(row, stamp_s, float(number))
        if len(self._held) >= self._persist:
            rows, stamps = self._held.rows, self._held.stamps
            first = self._held.places[0]
            self._held.clear()
            self._break(0, "reset", stamps[0], stamps[0])
            self._counter_base = int(first) - self._next
            self._emit(rows, stamps)

    def _sort_out(self) -> None:
        """Drop held samples whose number was passed already: they came twice, or too late."""
        for number in self._held.places:
            index = int(number) - self._counter_base
            if any(start <= index < stop for start, stop in self._lost_indices):
                self.reordered += 1
            else:
                self.duplicate += 1
        self._held.clear()
