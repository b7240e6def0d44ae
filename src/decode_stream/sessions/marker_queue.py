"""Markers that are known beforehand, handed on in good time before the volumes that they belong to."""

import threading
from bisect import bisect_right
from collections.abc import Iterable
from math import inf

from decode_stream.stream.types import Marker

__all__ = ["MarkerQueue"]

#: So long before its volume a marker is handed on: less than a marker may lie ahead of the signal. Seconds.
_AHEAD_S = 30.0


class MarkerQueue:
    """Keeps two threads in step: the one that takes markers is ahead of the one that takes volumes.

    Volumes that were kept or lie in the folder already come at once; without this, a trial would be known before the
    volumes of its response or after them, as chance has it, and its beta would depend on that.

    Parameters
    ----------
    markers : iterable of Marker
    """

    def __init__(self, markers: Iterable[Marker] = ()) -> None:
        self._markers = sorted(markers, key=lambda marker: marker.time_s)
        self._times_s = [marker.time_s for marker in self._markers]
        self._news = threading.Condition()
        self._next = 0
        # Markers up to these times are asked for, were handed on, and have been taken in.
        self._asked_s = self._given_s = self._taken_s = -inf

    def ready(self, time_s: float, timeout_s: float) -> bool:
        """Wait until all markers up to the time of a volume have been taken in; return whether they have."""
        with self._news:
            self._asked_s = max(self._asked_s, time_s + _AHEAD_S)
            self._news.notify_all()
            return self._news.wait_for(lambda: self._taken_s >= time_s, timeout_s)

    def pull(self, timeout_s: float) -> list[Marker]:
        """Return the markers that are due; those of the call before have been taken in by now."""
        with self._news:
            self._taken_s = self._given_s
            self._news.notify_all()
            self._news.wait_for(lambda: self._asked_s > self._given_s, timeout_s)
            self._given_s = self._asked_s
            stop = bisect_right(self._times_s, self._given_s)
            due = self._markers[self._next : stop]
            self._next = max(self._next, stop)
            return due
