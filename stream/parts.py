"""Parts of a recording that are recordings themselves."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from .recording import Recording
from .stimuli import StimulusTable
from .types import FloatArray, Gap, IntArray

__all__ = ["RecordingPart", "split"]

#: A continuous recording is cut so long before the next onset.
_LEAD_S = 0.5


class RecordingPart:
    """Some stretches of a recording, laid end to end; see `Recording` for its attributes.

    Parameters
    ----------
    whole : Recording
        What it is a part of.
    pieces : sequence of (int, int)
        The stretches [start, stop) of the whole's samples, in order.
    name : str
        Short name for people.
    """

    def __init__(self, whole: Recording, pieces: Sequence[tuple[int, int]], name: str) -> None:
        self._whole = whole
        self._pieces = tuple(pieces)
        self._starts = [start for start, _ in pieces]
        self._ends = list(accumulate(stop - start for start, stop in pieces))
        self.name = name
        self.channels = whole.channels
        self.sfreq_hz = whole.sfreq_hz
        self.n_samples = self._ends[-1]
        self.epoch = whole.epoch
        self.notes = whole.notes
        self.markers = tuple(
            (own, label) for at, label in whole.markers if (own := self._own(at)) is not None
        )
        self.stimuli = self._table(whole.stimuli)
        inner = [
            Gap(own, gap.n_lost, gap.kind, own / whole.sfreq_hz)
            for gap in whole.gaps
            if (own := self._own(gap.start)) is not None and own not in (0, *self._ends)
        ]
        joints = [Gap(end, 0, "reset", end / whole.sfreq_hz) for end in self._ends[:-1]]
        self.gaps = tuple(sorted([*inner, *joints], key=lambda gap: gap.start))

    def _own(self, at: int) -> int | None:
        """Return the place of a sample of the whole among those of the part; None if it is not among them."""
        place = bisect_right(self._starts, at) - 1
        if place < 0 or at >= self._pieces[place][1]:
            return None
        return self._ends[place] - (self._pieces[place][1] - at)

    def _table(self, table: StimulusTable) -> StimulusTable:
        places = [self._own(int(at)) for at in table.onset]
        inside = np.array([place is not None for place in places], dtype=bool)
        onset: IntArray = np.array([place for place in places if place is not None], dtype=np.int64)
        return table.rows(inside).at(onset)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop) of the part, shape (stop - start, n_channels)."""
        start, stop = max(0, start), min(stop, self.n_samples)
        parts = []
        while start < stop:
            place = bisect_right(self._ends, start)
            end = min(stop, self._ends[place])
            offset = self._pieces[place][1] - self._ends[place]
            parts.append(self._whole.read(start + offset, end + offset))
            start = end
        return np.concatenate(parts) if parts else self._whole.read(0, 0)


def split(recording: Recording, n_parts: int) -> tuple[RecordingPart, ...]:
    """Return a recording as parts of nearly the same length that share no sample.

    A continuous recording, or trials in the order shown, give successive parts; a continuous one is cut half a second
    in front of the next onset, so that only trials that last until then are cut in two. Trials that were cut before
    stay whole. Where the order is lost, trials stand by picture, and every n-th goes to the same part.

    Parameters
    ----------
    recording : Recording
    n_parts : int
        At least 2.

    Raises
    ------
    ValueError
        If there are fewer stimuli than parts.
    """
    onsets, epoch = recording.stimuli.onset, recording.epoch
    if not 2 <= n_parts <= len(onsets):
        raise ValueError(f"{len(onsets)} stimuli cannot be split into {n_parts} parts.")
    if epoch is not None and not epoch.in_order:
        n = epoch.n_times
        trials = range(recording.n_samples // n)
        dealt = [[(i * n, (i + 1) * n) for i in trials[k::n_parts]] for k in range(n_parts)]
    else:
        if epoch is not None:
            n_trials = recording.n_samples // epoch.n_times
            cuts = [k * n_trials // n_parts * epoch.n_times for k in range(1, n_parts)]
        else:
            lead = round(_LEAD_S * recording.sfreq_hz)
            cuts = [max(0, int(onsets[k * len(onsets) // n_parts]) - lead) for k in range(1, n_parts)]
        dealt = [[piece] for piece in pairwise([0, *cuts, recording.n_samples])]
    return tuple(
        RecordingPart(recording, pieces, f"{recording.name}, part {k} of {n_parts}")
        for k, pieces in enumerate(dealt, start=1)
    )
