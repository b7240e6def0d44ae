"""Cuts the windows that are due out of the ring, each once, each sound or with the reason why it is withheld."""

from dataclasses import dataclass
from math import ceil
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from .ingest import Ingest
from .trials import Trials, TrialWindow
from .window_chain import WindowChain, WindowSpec
from .windows import WindowSchedule

__all__ = ["CutWindow", "Cutter", "WindowCutter", "held_s"]

#: A marker may come so late that its trial is still decoded. Seconds.
_LATE_S = 10.0


def held_s(schedule: WindowSchedule, n_latencies: int, spec: WindowSpec) -> float:
    """Return for how long the signal is held so that a trial is whole although its marker comes ten seconds late."""
    lead = WindowChain(spec, float(schedule.sfreq_hz)).lead
    return _LATE_S + float((lead + schedule.stop(n_latencies - 1)) / schedule.sfreq_hz)


@dataclass(frozen=True, slots=True, eq=False)
class CutWindow:
    """One window on its way to the encoder.

    Attributes
    ----------
    stop : int
        Sample index at the decoder's rate behind its last sample; of a growing window, the last that is over.
    locked : TrialWindow or None
        The trial and latency it belongs to; None for a free-running window.
    data : array of shape (n_channels, n_times), float32, or None
        None if it is withheld. What has not happened yet of a growing window is zero: after scaling, the mean.
    reason : str
        Why it is withheld, or "superseded" where a later one of its trial is cut in its place; else empty.
    revises : {"", "refined", "final"}
        Of fMRI, whether it tells anew of a trial that was decided before, and which way.
    """

    stop: int
    locked: TrialWindow | None
    data: npt.NDArray[np.float32] | None
    reason: str = ""
    revises: Literal["", "refined", "final"] = ""


class Cutter(Protocol):
    """What hands a decoder its windows: `WindowCutter` of the signal, or of fMRI what makes a beta of each trial.

    Attributes
    ----------
    ingest : Ingest
    schedule : WindowSchedule
        When windows of a trial end after its onset.
    trials : Trials
    due, withheld, skipped : int
        As of `WindowCutter`.
    """

    ingest: Ingest
    schedule: WindowSchedule
    trials: Trials
    due: int
    withheld: int
    skipped: int

    def trial_samples(self, n_latencies: int) -> int:
        """Return how many samples a trial of so many windows rests on; trials that share some overlap."""
        ...

    def next_stop(self, after: int) -> int:
        """Return where the first window behind sample `after` ends; safe from any thread."""
        ...

    def free(self) -> list[CutWindow]:
        """Cut the free-running windows that have ended since the last call."""
        ...

    def locked(self, *, supersede: bool = False) -> list[CutWindow]:
        """Cut the windows of open trials that have ended since the last call, in the order of their ends."""
        ...

    def revised(self) -> list[CutWindow]:
        """Return what has changed since the last call of trials that were handed out before."""
        ...

    def finish(self) -> list[CutWindow]:
        """Return what is to be said of all trials once no sample comes any more."""
        ...


class WindowCutter:
    """The windows of a stream: free-running on the hop grid, and locked to each open trial's onset.

    A window that grows does so from an onset, so none of that kind runs freely.

    Used by a live session and by training alike, so that both see the same windows.

    Parameters
    ----------
    ingest : Ingest
        Where the samples come from.
    schedule : WindowSchedule
        Window length and step at the decoder's rate.
    spec : WindowSpec
        Baseline, artefact gate and clamp.
    trials : Trials
        The open trials.

    Attributes
    ----------
    due, withheld, skipped : int
        Free-running windows that ended; of these, not handed on because samples are missing or bad; and those that
        the ring no longer held when their turn came.
    """

    def __init__(self, ingest: Ingest, schedule: WindowSchedule, spec: WindowSpec, trials: Trials) -> None:
        self.ingest = ingest
        self.schedule = schedule
        self.trials = trials
        self._chain = WindowChain(spec, float(schedule.sfreq_hz))
        self._origin = ingest.ring.stop
        self._hop = ceil(schedule.sfreq_hz * schedule.step_s)
        self._next = 0
        self.due = self.withheld = self.skipped = 0

    def trial_samples(self, n_latencies: int) -> int:
        """Return how many samples a trial of so many windows rests on, its baseline included."""
        return self._chain.lead + self.schedule.stop(n_latencies - 1)

    def next_stop(self, after: int) -> int:
        """Return where the first window behind sample `after` ends, or the hop if none does; safe from any thread."""
        locked = self.trials.next_stop(after)
        if self.schedule.n_windows is None:
            free = self._origin + self.schedule.stop(self.schedule.count(after - self._origin))
        else:
            free = after + self._hop
        return free if locked is None else min(free, locked)

    def free(self) -> list[CutWindow]:
        """Cut the free-running windows that have ended since the last call; growing windows are none."""
        windows = list[CutWindow]()
        if self.schedule.n_windows is not None:
            return windows
        for k, end in self.schedule.due(self._next, self.ingest.ring.stop - self._origin):
            self._next = k + 1
            self.due += 1
            window = self._cut(self._origin + end, None)
            self.withheld += window.reason not in ("", "overwritten")
            self.skipped += window.reason == "overwritten"
            windows.append(window)
        return windows

    def locked(self, *, supersede: bool = False) -> list[CutWindow]:
        """Cut the windows of open trials that have ended since the last call, in the order of their ends.

        Parameters
        ----------
        supersede : bool
            Of windows that grow, cut only the newest of each trial; it holds those before it.
        """
        held_from = self.ingest.ring.start + self._chain.lead
        due = self.trials.due(held_from, self.ingest.ring.stop)
        if not supersede or self.schedule.n_windows is None:
            return [self._cut(window.stop, window) for window in due]
        newest = {window.trial.number: window.k for window in due}
        return [
            self._cut(window.stop, window)
            if window.k == newest[window.trial.number]
            else CutWindow(window.stop, window, None, "superseded")
            for window in due
        ]

    def revised(self) -> list[CutWindow]:
        """Return nothing: a window of the signal does not change any more."""
        return []

    def finish(self) -> list[CutWindow]:
        """Return nothing, as `revised` does."""
        return []

    def _cut(self, stop: int, locked: TrialWindow | None) -> CutWindow:
        ring, flags = self.ingest.ring, self.ingest.flags
        start = stop - self.schedule.n_times if locked is None else locked.start
        reference = start if locked is None else locked.trial.onset
        base = self._chain.baseline_span(reference)
        spans = [(start, stop)] if base is None else [(start, stop), base]
        for span in spans:
            reason = flags.reason(*span)
            if reason is not None:
                return CutWindow(stop, locked, None, reason)
        views = [ring.view(*span) for span in spans]
        if any(view is None for view in views):
            return CutWindow(stop, locked, None, "overwritten")
        window, baseline = views[0], views[1] if base is not None else None
        assert window is not None
        data = self._chain.apply(window, baseline)
        if not all(ring.is_intact(span[0]) for span in spans):
            return CutWindow(stop, locked, None, "overwritten")
        if data is None:
            return CutWindow(stop, locked, None, "artefact")
        return CutWindow(stop, locked, self._filled_up(data))

    def _filled_up(self, data: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a window with zeros for what has not happened yet."""
        missing = self.schedule.n_times - data.shape[1]
        return np.pad(data, ((0, 0), (0, missing))) if missing else data
