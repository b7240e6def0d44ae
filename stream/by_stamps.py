"""Losses, duplicates, late-comers and clock jumps by the stamps alone, told from jitter."""

from math import ceil, floor

import numpy as np

from .holding import Held, Recent, Verdict
from .ledger import LEAP_S, Ledger
from .line import Times
from .types import FloatArray

__all__ = ["ByStamps"]

_EARLY_S = 2.0  # while jitter is being learnt


class ByStamps:
    """Judges samples by where their stamps lie on the clock's line; the rules are those of `Continuity`.

    Parameters
    ----------
    ledger : Ledger
        The count of the stream.

    Attributes
    ----------
    held : Held
        Samples off the line, not yet judged.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.held = Held()
        self._ledger = ledger
        self._persist = max(1, ceil(0.1 * ledger.rate_hz))
        self._recent = Recent(max(64, ceil(0.5 * ledger.rate_hz)))
        self._holes: list[tuple[float, float]] = []
        # Some devices stamp all samples of a packet alike: an equal stamp is then no sign of a duplicate.
        self._stamps_repeat = False
        self._repeating = False

    def start(self, row: FloatArray) -> None:
        """Take the first sample after a start: stamps need no base."""

    def missing(self, row: FloatArray, by_stamps: int) -> int:
        """Return how many samples went before this one while the outlet was away."""
        return by_stamps

    def n_sound(self, data: FloatArray, stamps_s: Times) -> int:
        """Return how many of the first samples lie on the line and came for the first time."""
        clock = self._ledger.clock
        wrong = np.abs(clock.errors(self._ledger.next, stamps_s)) > self._ledger.tolerance * clock.period_s
        n = int(wrong.argmax()) if wrong.any() else len(data)
        return n if self._stamps_repeat or not n else self._recent.first_repeat(stamps_s[:n])

    def passed(self, data: FloatArray, stamps_s: Times) -> None:
        """Remember samples that were let through."""
        self._recent.add(data, stamps_s)

    def forget(self) -> None:
        """Forget the stamps from before a break of the clock."""
        self._recent.clear()
        self._holes = []

    def ponder(self, row: FloatArray, stamp_s: float) -> None:
        """Judge one suspicious sample, or one that follows on held ones."""
        held, tolerance = self.held, self._ledger.tolerance
        place = self._ledger.place(stamp_s)
        fits = abs(place - len(held)) <= tolerance
        self._repeating = self._is_repeated(row, stamp_s, fits)
        if self._repeating:
            self._ledger.duplicate += 1
        elif fits:
            self._stamps_repeat |= not held and self._recent.has_stamp(stamp_s)
            self._release_with(row, stamp_s, place)
        elif held and self._is_late_comer(place, tolerance):
            self._ledger.reordered += 1
        elif held and self._are_late_comers(place, tolerance):
            self._ledger.reordered += len(held)
            held.clear()
            self._release_with(row, stamp_s, place)
        else:
            held.append(row, stamp_s, place)
            self._judge(tolerance)

    def release(self) -> None:
        """Judge the held samples by what is known, for nothing more is to come."""
        if self.held and not self._settle_losses():
            tolerance = self._ledger.tolerance
            verdict = self.held.verdict(len(self.held), tolerance)
            if verdict is None or self._may_be_jitter(verdict.jump, tolerance):
                self._let_go()
            else:
                self._settle(verdict)

    # -- what a sample is ------------------------------------------------------------------------------------

    def _is_repeated(self, row: FloatArray, stamp_s: float, fits: bool) -> bool:
        newest_s = max(self._recent.newest_s, self.held.newest_s)
        flat_counts = not fits and (stamp_s < newest_s or self._repeating)
        return self._recent.has(row, stamp_s, flat_counts) or (
            self.held.has(row, stamp_s) and (flat_counts or not self._recent.ends_with(row))
        )

    def _is_clean(self) -> bool:
        return self._ledger.clock.jitter_s < 0.05 * self._ledger.clock.period_s

    def _may_be_jitter(self, jump: float, tolerance: float) -> bool:
        """Return whether a packet of a jittery stream could be that far off once in a while."""
        return tolerance > 0.6 and abs(jump) < 2 * tolerance

    def _knows_order(self) -> bool:
        """Return whether the jitter is known well enough to tell a sample out of order from an early stamp."""
        seen_s = self._ledger.next / self._ledger.rate_hz
        return seen_s > _EARLY_S or (seen_s > 0.3 and self._is_clean())

    def _is_late_comer(self, place: float, tolerance: float) -> bool:
        """Return whether a sample belongs in the hole that the held ones left."""
        first = self.held.places[0]
        steps_back = place < self.held.places[-1]
        return first > 0 and steps_back and -tolerance <= place < first and self._knows_order()

    def _are_late_comers(self, place: float, tolerance: float) -> bool:
        """Return whether the stream goes on at `place` as if the held samples had not been."""
        behind = self.held.places[0] < 0 and place - self.held.places[-1] > 1 + tolerance
        return behind and abs(place) <= tolerance and self._knows_order()

    # -- what the held samples are ---------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Let the held samples through as they came: it was jitter."""
        rows, stamps = self.held.rows, self.held.stamps
        self.held.clear()
        self._let_through(rows, stamps)

    def _release_with(self, row: FloatArray, stamp_s: float, place: float) -> None:
        self.held.append(row, stamp_s, place)
        self._let_go()

    def _let_through(self, rows: list[FloatArray], stamps: list[float]) -> None:
        if rows:
            self._ledger.let_through(rows, stamps)
            self._recent.add(np.stack(rows), np.array(stamps))

    def _judge(self, tolerance: float) -> None:
        """Decide on the held samples once enough of them agree, or clearly never will."""
        held, persist, clock = self.held, self._persist, self._ledger.clock
        # Looking at every eighth of the time keeps a long hold at a high rate cheap.
        if len(held) < persist or (len(held) - persist) % max(1, persist // 8):
            return
        jump = abs(float(np.median(held.excess()[-persist:])))
        early = self._ledger.next < _EARLY_S * self._ledger.rate_hz and jump * clock.period_s < 0.05
        if early or self._may_be_jitter(jump, tolerance):
            persist *= 5
        if len(held) < persist:
            return
        verdict = held.verdict(persist, tolerance)
        undecided = verdict is None and len(held) >= max(5 * self._persist, 2 * persist)
        if (verdict is not None or undecided) and self._settle_losses():
            return
        if verdict is not None:
            # A small jump may be a part of jitter that is little known yet, a late first packet above all.
            clean = self._is_clean() and verdict.spread < 0.05
            vague = verdict.change > 0 or verdict.jump < 0 or (not clean and jump < 3 * tolerance)
            self._settle(verdict, told=not (early and vague))
        elif undecided:
            excess = held.excess()
            middle = float(np.median(excess))
            clock.widen(1.5 * float(np.median(np.abs(excess - middle))) * clock.period_s)
            unsure = early or abs(middle) <= self._ledger.tolerance
            self._let_go() if unsure else self._settle(Verdict(0, middle, float(excess.std())))

    def _settle_losses(self) -> bool:
        """Break a clean stream at each of several losses that followed on one another; False if it was not that."""
        held, steps = self.held, self.held.steps() if self._is_clean() else []
        if len(steps) < 2 or max(n for _, n in steps) * self._ledger.clock.period_s >= LEAP_S:
            return False
        rows, stamps = held.rows, held.stamps
        held.clear()
        self._let_through(rows[: steps[0][0]], stamps[: steps[0][0]])
        stops = [at for at, _ in steps[1:]] + [len(rows)]
        for (at, n_lost), stop in zip(steps, stops, strict=True):
            self._lose(n_lost, rows[at:stop], stamps[at:stop])
        return True

    def _lose(self, n_lost: int, rows: list[FloatArray], stamps: list[float]) -> None:
        """Note a loss before some samples, and let these through."""
        self._holes = [*self._holes[-15:], (self._recent.newest_s, stamps[0])]
        self._ledger.lose(n_lost, "loss", stamps[0], self._began_s(stamps))
        self._let_through(rows, stamps)

    def _settle(self, verdict: Verdict, told: bool = True) -> None:
        """Break the stream where the held samples found their new line, or move the line only."""
        ledger, held, change = self._ledger, self.held, verdict.change
        rows, stamps = held.rows[change:], held.stamps[change:]
        before = held.rows[:change], held.stamps[:change]
        jump = float(np.median(held.excess()[change:]))
        held.clear()
        self._let_through(*before)
        middle = float(np.median(stamps))
        if jump < 0 and any(start < middle < stop for start, stop in self._holes):
            ledger.reordered += len(rows)
            return
        if told and jump >= 0.5 and jump * ledger.clock.period_s < LEAP_S:
            self._lose(floor(jump + 0.5), rows, stamps)
            return
        time_s = self._began_s(stamps)
        if told:
            self.forget()
            ledger.restart(0, "reset", stamps[0], time_s)
        else:
            ledger.clock.begin(ledger.next, time_s)
        self._let_through(rows, stamps)

    def _began_s(self, stamps: list[float]) -> float:
        """Return when the first of some samples was taken, by the stamps of all of them."""
        return float(np.median(np.array(stamps) - self._ledger.clock.period_s * np.arange(len(stamps))))
