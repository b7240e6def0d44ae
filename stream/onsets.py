"""Stimulus onsets from a photodiode or trigger channel, to correct what the markers say."""

from collections import deque

import numpy as np
import numpy.typing as npt

__all__ = ["OnsetChannel"]


class OnsetChannel:
    """Finds rising edges in one channel and gives the one that belongs to a marker.

    An edge is a rise through the middle between the channel's low and high level; it counts again only after the
    channel has come down. The levels follow the signal, so that neither gain nor offset need be known, and until
    the difference between them stands out of the noise nothing counts.

    Parameters
    ----------
    index : int
        Column of the channel in the stream.
    sfreq_hz : float
        The stream's sampling rate in recording time.
    tolerance_s : float
        How far an edge may lie from its marker.

    Attributes
    ----------
    corrected, uncorrected : int
        Markers with and without an edge within the tolerance.
    mismatch_s : deque of float
        Edge minus marker of the last 1000 corrected markers, seconds.
    """

    def __init__(self, index: int, sfreq_hz: float, tolerance_s: float = 0.1) -> None:
        self.index = index
        self._sfreq_hz = sfreq_hz
        self.tolerance = max(1, round(tolerance_s * sfreq_hz))
        self._edges: deque[int] = deque(maxlen=4096)
        self._low = self._high = self._before = np.nan
        self._noise = 0.0
        self._up = False
        self._warm_up = max(8, round(0.25 * sfreq_hz))
        self._n_seen = 0
        # The levels forget within about a minute, so that one outlier does not silence the channel for good.
        self._forget = 1.0 / (60 * sfreq_hz)
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
        for i, value in enumerate(values.tolist(), start):
            if not np.isfinite(value):
                continue
            if not self._n_seen:
                self._low = self._high = self._before = value
            self._n_seen += 1
            span = self._high - self._low
            self._low = min(value, self._low + self._forget * span)
            self._high = max(value, self._high - self._forget * span)
            # Mean step size; large steps are cut, so that the edges themselves hardly count as noise.
            step = abs(value - self._before)
            self._before = value
            warm = self._n_seen > self._warm_up
            rate = 0.001 if warm else 1.0 / self._n_seen
            self._noise += rate * ((min(step, 4 * self._noise) if warm else step) - self._noise)
            span = self._high - self._low
            height = (value - self._low) / span if span > 0 else 0.0
            if warm and not self._up and height > 0.6 and span > 10 * self._noise:
                self._edges.append(i)
            self._up = height > 0.6 or (self._up and height > 0.4)

    def nearest(self, sample: int) -> int | None:
        """Return the edge nearest to a marker's sample, or None if none lies within the tolerance."""
        edge = min(self._edges, key=lambda edge: abs(edge - sample), default=None)
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
