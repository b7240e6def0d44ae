"""From markers to trials, and from trials to the windows that are due."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor, isfinite

from .stimuli import to_hundredths
from .types import Marker, Trial
from .windows import WindowSchedule

__all__ = ["TrialWindow", "Trials"]

#: A marker stamped farther ahead of the signal is not early but wrong. Seconds of LSL time: of a signal that is sent
#: faster than it was recorded they hold more.
_FARTHEST_AHEAD_S = 60


@dataclass(frozen=True, slots=True)
class TrialWindow:
    """Window number `k` after the onset of `trial`: the samples [start, stop), of a growing one those that are over."""

    trial: Trial
    k: int
    start: int
    stop: int


class Trials:
    """Every trial whose windows are not all decided, several at once where stimuli come fast.

    Markers may come before or after their samples, twice, or out of order. A marker waits until the sample of its
    onset has arrived, so that a gap in between cannot move it. Windows that are due for a late marker are served
    from the ring; those that the ring no longer holds are counted as missed.

    `add` may be called from a thread of its own; everything else belongs to the decoding thread.

    Parameters
    ----------
    schedule : WindowSchedule
        Window length and step at the decoder's rate.
    n_latencies : int
        Windows of each trial, no more than the schedule has.
    stimuli : mapping of str to int
        Gallery index by marker label; a label that it lacks is looked up by the marker's concept.
    offset_s : float
        Constant added to every marker's time.
    speed : float
        Seconds of signal to a second of LSL time.

    Raises
    ------
    ValueError
        If windows grow and there are fewer of them than latencies.

    Attributes
    ----------
    n_latencies : int
        Windows of each trial.
    open : tuple of Trial
        Trials whose windows are not all handed out, oldest onset first.
    seen, unknown, duplicate, missed : int
        Markers that became trials; of these, with a label that the gallery lacks; markers dropped because the same
        label stood at the same onset already; trials of which the ring no longer held every window.
    refused : int
        Markers whose time is not a number, or more than a minute ahead of the signal: a stamp of another clock.
    placed_until : int
        Sample index behind the newest sample when markers were placed last: what began before it is known.
    told : callable
        Is told of every new trial when its onset has arrived, of those with a label that the gallery lacks as well.
    ended : callable
        How many windows of a trial have ended once the samples before an index have arrived: by the schedule, unless
        the cutter has another rule.
    """

    def __init__(
        self,
        schedule: WindowSchedule,
        n_latencies: int,
        stimuli: Mapping[str, int],
        offset_s: float = 0.0,
        speed: float = 1.0,
    ) -> None:
        if schedule.n_windows is not None and n_latencies > schedule.n_windows:
            raise ValueError(
                f"A trial of {schedule.n_windows} growing windows has no {n_latencies} latencies."
            )
        self._schedule = schedule
        self.n_latencies = n_latencies
        self._stimuli = stimuli
        self._offset_s = offset_s
        self._waiting: deque[Marker] = deque()
        self._next: dict[Trial, int] = {}
        # What other threads may look at: replaced, never changed.
        self._onsets: tuple[int, ...] = ()
        self._recent: deque[tuple[float, str]] = deque(maxlen=64)
        self._farthest = round(_FARTHEST_AHEAD_S * speed * schedule.sfreq_hz)
        self.placed_until = 0
        self.told: Callable[[Trial], None] = lambda trial: None
        self.ended: Callable[[Trial, int], int] = lambda trial, stop: schedule.count(stop - trial.onset)
        self.seen = self.unknown = self.duplicate = self.missed = self.refused = 0
        self.unknown_labels: set[str] = set()

    @property
    def open(self) -> tuple[Trial, ...]:
        """Trials whose windows are not all handed out, oldest onset first."""
        return tuple(sorted(self._next, key=lambda trial: trial.onset))

    def add(self, marker: Marker) -> None:
        """Take a marker; safe from any thread."""
        self._waiting.append(marker)

    def place(self, onset: Callable[[float], float | None], stop: int) -> list[Trial]:
        """Turn the markers whose onset has arrived into trials.

        Parameters
        ----------
        onset : callable
            Sample index at the decoder's rate for an LSL time, with a fraction if the onset lies between samples, or
            None while it cannot be told yet.
        stop : int
            Sample index behind the newest sample.

        Returns
        -------
        list of Trial
            The new ones. Labels that the gallery lacks give a trial with stimulus -1 and no windows.
        """
        placed = []
        for _ in range(len(self._waiting)):
            marker = self._waiting.popleft()
            time_s = marker.time_s + self._offset_s
            at = onset(time_s) if isfinite(time_s) else None
            if not isfinite(time_s) or (at is not None and at > stop + self._farthest):
                self.refused += 1
                continue
            at = None if at is None else to_hundredths(at)
            if at is None or floor(at + 0.5) >= stop:
                self._waiting.append(marker)
                continue
            if (at, marker.label) in self._recent:
                self.duplicate += 1
                continue
            self._recent.append((at, marker.label))
            placed.append(self._open(at, marker, time_s))
        self.placed_until = stop
        return placed

    def _open(self, at: float, marker: Marker, time_s: float) -> Trial:
        label, sample = marker.label, floor(at + 0.5)
        stimulus = self._stimuli.get(label, self._stimuli.get(marker.concept, -1))
        trial = Trial(self.seen, sample, stimulus, label, time_s, at - sample, marker.duration_s)
        self.seen += 1
        if trial.stimulus < 0:
            self.unknown += 1
            if len(self.unknown_labels) < 100:
                self.unknown_labels.add(label)
        else:
            self._next[trial] = 0
            self._onsets = (*self._onsets, sample)
        self.told(trial)
        return trial

    def due(self, held_from: int, stop: int) -> list[TrialWindow]:
        """Hand out, once each and by the time they end, the windows whose last sample has arrived.

        Parameters
        ----------
        held_from : int
            Oldest sample that is still held; a trial with a window before it is closed and counted as missed.
        stop : int
            Sample index behind the newest sample.
        """
        due = []
        for trial, first in list(self._next.items()):
            served = min(self.n_latencies, self.ended(trial, stop))
            if served <= first:
                continue
            windows = [self._window(trial, k) for k in range(first, served)]
            if windows[0].start < held_from:
                self.missed += 1
                served = self.n_latencies
            else:
                due += windows
            if served < self.n_latencies:
                self._next[trial] = served
            else:
                del self._next[trial]
        self._onsets = tuple({trial.onset for trial in self._next})
        return sorted(due, key=lambda window: (window.stop, window.trial.number))

    def _window(self, trial: Trial, k: int) -> TrialWindow:
        start, stop = self._schedule.start(k), self._schedule.stop(k)
        return TrialWindow(trial, k, trial.onset + start, trial.onset + stop)

    def next_stop(self, after: int) -> int | None:
        """Return where the first window of an open trial ends behind sample `after`; safe from any thread."""
        ends = [onset + self._schedule.stop(self._schedule.count(after - onset)) for onset in self._onsets]
        # The last growing window of a trial that is not handed out yet may lie behind.
        return min((end for end in ends if end > after), default=None)

    @property
    def waiting(self) -> int:
        """Number of markers whose onset has not arrived yet."""
        return len(self._waiting)
