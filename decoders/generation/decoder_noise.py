"""How noisy decoded directions are, measured while they come, from how far each is from the one before."""

from collections import deque
from math import sqrt

import numpy as np

from decode_stream.stream.types import FloatArray

__all__ = ["DecoderNoise"]

#: What is remembered, in seconds and at the least in pairs.
_MEMORY_S, _LEAST_KEPT = 3.0, 16
#: How many pairs tell something, and over how many windows: those that share samples err alike.
_LEAST_PAIRS, _LEAST_WINDOWS = 8, 6
#: From the median distance to the median to a standard deviation, of a normal distribution.
_NORMAL = 1.4826
_LEAST_SPREAD = 1e-3


class DecoderNoise:
    """A running, robust measure of the noise in unit directions that are decoded from windows which overlap.

    A direction is taken for sqrt(1 - v) times the truth and sqrt(v) times noise: v is the share of noise. Two windows
    that share a part r of their samples share as much of their noise, so the cosine of two directions is, on average
    and for one truth, 1 - (1 - r) v. Of each pair that follow each other v is (1 - cosine) / (1 - r); the share is the
    median over the last seconds, which a few changes of the truth do not move. The scatter of these about it tells over
    how many directions noise spreads: it is sqrt(2 / n) of the share for n of them.

    Parameters
    ----------
    window_s : float
        Length of the windows.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._pairs: deque[tuple[float, float]] = deque()
        self._share = 1.0
        self._scatter = 1.0

    @property
    def known(self) -> bool:
        """Whether enough was seen to tell."""
        if len(self._pairs) < _LEAST_PAIRS:
            return False
        return self._pairs[-1][0] - self._pairs[0][0] >= _LEAST_WINDOWS * self._window_s

    @property
    def share(self) -> float:
        """Share of noise in a direction's squared length, from 0 to 1; 1 until enough was seen to tell."""
        return self._share

    def spread(self, other_share: float = 0.0) -> float:
        """Return the standard deviation, by noise alone, of the cosine of a direction with another of the same truth.

        Parameters
        ----------
        other_share : float
            Share of noise in the other: 0 for the truth itself.
        """
        # Noise along the truth changes the cosine by v times itself, that across it by half its squared length: a
        # variance of v^2 / n (v + (1 - v) / 2), where v^2 / n is half the squared scatter. Noise in both meets as well.
        both = other_share / max(self._share, _LEAST_SPREAD)
        return max(self._scatter * sqrt((1 + self._share) / 4 + both / 2), _LEAST_SPREAD)

    def add(self, before: FloatArray, after: FloatArray, step_s: float, time_s: float) -> None:
        """Count two unit directions that were decoded one after the other.

        Parameters
        ----------
        step_s : float
            Time between them, above 0.
        time_s : float
            When the second was.
        """
        fresh = min(step_s / self._window_s, 1.0)
        # Half the squared distance: 1 less the cosine is lost in rounding where two are nearly the same.
        self._pairs.append((time_s, float(np.sum((after - before) ** 2)) / 2 / fresh))
        while self._pairs[0][0] < time_s - _MEMORY_S and len(self._pairs) > _LEAST_KEPT:
            self._pairs.popleft()
        if self.known:
            shares = np.array([share for _, share in self._pairs])
            middle = float(np.median(shares))
            self._share = min(middle, 1.0)
            self._scatter = _NORMAL * float(np.median(np.abs(shares - middle)))
