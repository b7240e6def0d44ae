"""Follows the trials of a run of volumes: seen, rising, decided, and what becomes of them since."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from decode_stream.decoders.trial_news import TrialNews
from decode_stream.gui.scan import TrialLine
from decode_stream.stream.types import Trial

from .withheld import withheld_words

__all__ = ["N_TRIALS", "TrialTrack"]

#: Trials that are kept for views, the newest of them; a run of NSD has 62.
N_TRIALS = 80

_LATE = "its marker came when its volumes were no longer held"
_NOT_IN_GALLERY = "not in the gallery"
_UNDECIDED = "not decided at its moment, "


class TrialTrack:
    """Where each trial of a run stands. Belongs to the decoding thread; others may read `lines` and `compared`.

    Parameters
    ----------
    gallery : tuple of str
        Names of its entries; empty in a session that only watches.
    sfreq_hz : float
        The decoder's rate.
    rises_after : int
        Volumes from the onset to the first that holds some of the response.

    Attributes
    ----------
    lines : tuple of TrialLine
        The last 80 trials, newest onset last. Replaced, never changed.
    """

    def __init__(self, gallery: tuple[str, ...], sfreq_hz: float, rises_after: int) -> None:
        self.lines: tuple[TrialLine, ...] = ()
        self._gallery = gallery
        self._sfreq_hz = sfreq_hz
        self._rises_after = rises_after
        self._kept: dict[int, TrialLine] = {}
        #: By trial that is no longer kept, its state.
        self._gone: dict[int, str] = {}
        self._pending: dict[int, Trial] = {}
        #: By trial, whether it was right as it was decided, and as it stands since.
        self._decided: dict[int, bool] = {}
        self._since: dict[int, bool] = {}
        self._final: set[int] = set()

    @property
    def compared(self) -> tuple[tuple[str, float, int], ...]:
        """Accuracy of the trials that were refined, as they were decided and as they stand since; see `ScanView`."""
        since = dict(self._since)
        n = len(since)
        if not n:
            return ()
        before = sum(self._decided[trial] for trial in since) / n
        state = "final" if self._final >= since.keys() else "refined"
        return (("decided", before, n), (state, sum(since.values()) / n, n))

    @property
    def states(self) -> Counter[str]:
        """How many trials of the whole session are in which state."""
        return Counter(self._gone.values()) + Counter(line.state for line in self.lines)

    def see(self, trial: Trial, name: str) -> None:
        """Take a trial whose onset has come."""
        line = TrialLine(trial.number, name, trial.onset / self._sfreq_hz, "seen")
        if self._gallery and trial.stimulus < 0:
            line = replace(line, state="withheld", reason=_NOT_IN_GALLERY)
        elif self._gallery:
            self._pending[trial.number] = trial
        self._kept[trial.number] = line

    def hear(self, news: Iterable[TrialNews]) -> None:
        """Take what the decoder says of trials; of one withheld at its moment only what is told anew counts."""
        for one in news:
            number, anew = one.trial.number, one.state in ("refined", "final")
            self._compare(one)
            line = self._kept.get(number)
            if line is not None and (anew or line.state != "withheld"):
                self._kept[number] = self._told(line, one)
            elif number in self._gone and anew:
                self._gone[number] = one.state

    def _compare(self, news: TrialNews) -> None:
        """Note whether a trial is right: as it is decided, and since."""
        if news.probability is None:
            return
        number, right = news.trial.number, int(news.probability.argmax()) == news.trial.stimulus
        if news.state == "decided":
            self._decided[number] = right
        elif news.state in ("refined", "final") and number in self._decided:
            self._since[number] = right
            if news.state == "final":
                self._final.add(number)

    def settle(self, stop: int, open_trials: Iterable[int]) -> None:
        """Bring the trials up to the newest volume, for views to read.

        Parameters
        ----------
        stop : int
            Volume behind the newest, at the decoder's rate.
        open_trials : iterable of int
            Numbers of those that can still be decided.
        """
        still_open = set(open_trials)
        for number, trial in list(self._pending.items()):
            line = self._kept[number]
            if number not in still_open:
                del self._pending[number]
                self._kept[number] = replace(line, state="withheld", reason=_LATE)
            elif line.state == "seen" and stop > trial.onset + self._rises_after:
                self._kept[number] = replace(line, state="rising")
        lines = sorted(self._kept.values(), key=lambda line: line.onset_s)
        for line in lines[:-N_TRIALS]:
            self._gone[line.number] = line.state
            del self._kept[line.number]
            self._pending.pop(line.number, None)
        if (newest := tuple(lines[-N_TRIALS:])) != self.lines:
            self.lines = newest

    def _told(self, line: TrialLine, news: TrialNews) -> TrialLine:
        number = line.number
        if news.state != "rising":
            self._pending.pop(number, None)
        if news.state == "withheld" or news.probability is None:
            return replace(line, state="withheld", reason=withheld_words(news.reason))
        best = int(news.probability.argmax())
        return replace(
            line,
            state=news.state,
            probability=float(news.probability[best]),
            best=self._gallery[best],
            right=best == news.trial.stimulus,
            reason=f"{_UNDECIDED}{line.reason}" if line.state == "withheld" else line.reason,
        )
