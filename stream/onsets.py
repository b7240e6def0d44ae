"""Stimulus onsets from a photodiode or trigger channel, to correct what the markers say."""

from bisect import bisect_left
from collections import deque

import numpy as np
import numpy.typing as npt

__all__ = ["OnsetChannel"]


class OnsetChannel:
    """Finds rising edges in one channel and gives the one that belongs to a marker.

    An edge is a rise, within about 50 ms, by half of what the channel spans between its lowest and highest value; it
    counts again only after the channel has come down by as much. Neither gain nor offset need be known, a drift is no
    edge, and until the span stands out of the noise nothing counts. All pulses are taken to be about as high. In a
    digital channel, whose pulses are codes of any height, every rise is an edge.

    Parameters
    ----------
    index : int
        Column of the channel in the stream.
    sfreq_hz : float
        The stream's sampling rate in recording time.
    tolerance_s : float
        How far an edge may lie from its marker.
    digital : bool
        Whether the channel carries codes and no noise.

    Attributes
    ----------
    corrected, uncorrected : int
        Markers with and without an edge within the tolerance.
    mismatch_s : deque of float
        Edge minus marker of the last 1000 corrected markers, seconds.
    """

    def __init__(
        self, index: int, sfreq_hz: float, tolerance_s: float = 0.1, *, digital: bool = False
    ) -> None:
        self.index = index
        self._sfreq_hz = sfreq_hz
        self._digital = digital
        self.tolerance = max(1, round(tolerance_s * sfreq_hz))
        self._edges: deque[int] = deque(maxlen=4096)
        self._low = self._high = self._before = np.nan
        self._trough = self._peak = np.nan
        self._noise = 0.0
        self._up = False
        self._warm_up = max(8, round(0.25 * sfreq_hz))
        self._n_seen = 0
        self._next = 0
        self._answers: dict[int, int | None] = {}
        # The span forgets within about a minute, so that one outlier does not silence the channel for good.
        self._forget = 1.0 / (60 * sfreq_hz)
        self._leak = min(1.0, 1.0 / (0.05 * sfreq_hz))
        self.corrected = self.uncorrected = 0
        self.mismatch_s: deque[float] = deque(maxlen=1000)

    def feed(self, values: npt.NDArray[np.floating], start: int) -> None:
        """Take the channel's next samples.

        Parameters
        ----------
        values : array of shape (n_samples,)
        start : int
            Sample index of ``values[0]``.
        """
        # An edge inside a gap has no place: what the channel does is judged from the first sample after it.
        fresh = start != self._next or not self._n_seen
        self._next = start + len(values)
        for i, value in enumerate(values.tolist(), start):
            if not np.isfinite(value):
                continue
            if not self._n_seen:
                self._low = self._high = value
            if fresh:
                self._before = self._trough = value
                self._up = fresh = False
            self._n_seen += 1
            if self._digital:
                if value > self._before:
                    self._edges.append(i)
                self._before = value
                continue
            self._follow(value)
            if self._rises(value) and self._n_seen > self._warm_up:
                self._edges.append(i)

    def _follow(self, value: float) -> None:
        """Take one sample into the span and the noise."""
        span = self._high - self._low
        self._low = min(value, self._low + self._forget * span)
        self._high = max(value, self._high - self._forget * span)
        # Mean step size; large steps are cut, so that the edges themselves hardly count as noise.
        step = abs(value - self._before)
        self._before = value
        warm = self._n_seen > self._warm_up
        rate = 0.001 if warm else 1.0 / self._n_seen
        self._noise += rate * ((min(step, 4 * self._noise) if warm else step) - self._noise)

    def _rises(self, value: float) -> bool:
        """Return whether the channel has just gone up."""
        span = self._high - self._low
        if self._up:
            self._peak = max(self._peak, value)
            if self._peak - value > 0.5 * span:
                self._up, self._trough = False, value
            return False
        self._trough = min(value, self._trough + self._leak * (value - self._trough))
        self._up = span > 16 * self._noise and value - self._trough > 0.5 * span
        self._peak = value
        return self._up

    def nearest(self, sample: int) -> int | None:
        """Return the edge nearest to a marker's sample, or None if none lies within the tolerance.

        The same sample asked for again gives the same answer and is counted once.
        """
        if sample not in self._answers:
            self._answers[sample] = self._find(sample)
        return self._answers[sample]

    def _find(self, sample: int) -> int | None:
        edges = tuple(self._edges)  # a copy: another thread feeds
        at = bisect_left(edges, sample)
        edge = min(edges[max(0, at - 1) : at + 1], key=lambda edge: abs(edge - sample), default=None)
        if edge is None or abs(edge - sample) > self.tolerance:
            self.uncorrected += 1
            return None
        self.corrected += 1
        self.mismatch_s.append((edge - sample) / self._sfreq_hz)
        return edge

    def summary(self) -> str:
        """Return the mismatch in words."""
        if not self.mismatch_s:
            return f"no marker has an edge within {1000 * self.tolerance / self._sfreq_hz:.0f} ms"
        low, median, high = 1000 * np.quantile(np.array(self.mismatch_s), [0.05, 0.5, 0.95])
        return (
            f"edge after marker: median {median:+.1f} ms, 90 % within {low:+.1f} to {high:+.1f} ms "
            f"(n = {self.corrected}, without edge {self.uncorrected})"
        )
