"""Parts of a recording that can be held out in turn, while it is filtered as a whole."""

from dataclasses import dataclass

import numpy as np

from .recording import Recording, n_missing
from .types import IntArray

__all__ = ["Parts", "split"]


@dataclass(frozen=True, eq=False)
class Parts:
    """Which part of a recording each of its samples belongs to.

    Attributes
    ----------
    n : int
        Number of parts.
    starts : array of shape (n_stretches,), int64
        Where each stretch of one part begins, in ascending order from 0. Counted as a stream counts that lasts as long
        as the recording did: samples that are missing count.
    numbers : array of shape (n_stretches,), int64
        The part that it belongs to, from 0.
    """

    n: int
    starts: IntArray
    numbers: IntArray

    def number(self, samples: IntArray) -> IntArray:
        """Return the part of each sample; what lies before the first sample counts to the first stretch."""
        return self.numbers[np.maximum(np.searchsorted(self.starts, samples, side="right") - 1, 0)]


def split(recording: Recording, n_parts: int) -> Parts:
    """Split a recording into parts of nearly the same number of stimuli that share no sample.

    A continuous recording, or trials in the order shown, give successive parts; a continuous one is parted midway
    between two onsets, so that a trial that outlasts this reaches into the next part. Trials that were cut before stay
    whole. Where the order is lost, trials stand by picture, and every n-th goes to the same part.

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
    onsets, epoch = np.sort(recording.stimuli.onset), recording.epoch
    if not 2 <= n_parts <= len(onsets):
        raise ValueError(f"{len(onsets)} stimuli cannot be split into {n_parts} parts.")
    if epoch is None:
        firsts = [k * len(onsets) // n_parts for k in range(1, n_parts)]
        starts = np.array([0, *((int(onsets[i - 1]) + int(onsets[i]) + 1) // 2 for i in firsts)], np.int64)
        numbers = np.arange(n_parts, dtype=np.int64)
    else:
        trials = np.arange(recording.n_samples // epoch.n_times, dtype=np.int64)
        starts = trials * epoch.n_times
        numbers = trials * n_parts // len(trials) if epoch.in_order else trials % n_parts
    return Parts(n_parts, starts + _missing_before(recording, starts), numbers)


def _missing_before(recording: Recording, samples: IntArray) -> IntArray:
    """Return how many samples are missing in front of some of a recording's, or right before them."""
    gaps = sorted(recording.gaps, key=lambda gap: gap.start)
    lost = np.cumsum([0, *(n_missing(gap, recording.sfreq_hz) for gap in gaps)])
    return np.asarray(lost[np.searchsorted([gap.start for gap in gaps], samples, side="right")], np.int64)
