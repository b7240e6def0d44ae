"""How long each stage takes, over the last 400 windows and the whole session."""

import time
from array import array
from collections import deque

import numpy as np

from decode_stream import BEGAN_S

__all__ = ["Arrivals", "StageTimes", "Startup", "duration_text"]

_RECENT = 400  # hops of 25 ms in ten seconds


def duration_text(time_s: float) -> str:
    """Return a duration in words: milliseconds below two seconds, seconds from there on."""
    return f"{1e3 * time_s:.0f} ms" if time_s < 2 else f"{time_s:.1f} s"


class Arrivals:
    """When the newest samples arrived: one thread adds, another asks."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[int, float, float]] = deque(maxlen=4 * _RECENT)

    def add(self, stop: int, stamp_s: float, arrived_s: float) -> None:
        """Note that the signal now ends at sample `stop`, stamped `stamp_s` and in hand at `arrived_s`."""
        self._arrivals.append((stop, stamp_s, arrived_s))

    def of(self, stop: int) -> tuple[float, float] | None:
        """Return stamp and arrival of the sample before `stop`, or None if that is long ago."""
        found = None
        for newest, stamp_s, arrived_s in reversed(tuple(self._arrivals)):
            if newest < stop:
                break
            found = stamp_s, arrived_s
        return found


class StageTimes:
    """Durations of one stage in milliseconds; one thread adds, any number ask."""

    def __init__(self) -> None:
        self._all = array("f")
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, duration_s: float) -> None:
        """Count one duration, in seconds."""
        self._all.append(1e3 * duration_s)
        self._recent.append(1e3 * duration_s)

    def recent_ms(self) -> tuple[float, float] | None:
        """Return median and 99th percentile of the last 400 durations, or None before the first."""
        values = list(self._recent)
        if not values:
            return None
        p50, p99 = np.percentile(values, [50, 99])
        return float(p50), float(p99)

    def summary_ms(self) -> dict[str, float] | None:
        """Return p50, p95 and p99 of the whole session, or None if the stage never ran."""
        if not len(self._all):
            return None
        values = np.percentile(np.array(self._all[:]), [50, 95, 99])
        return {name: round(float(v), 3) for name, v in zip(("p50", "p95", "p99"), values, strict=True)}


class Startup:
    """When a session had reached what, from the moment at which the program began."""

    def __init__(self) -> None:
        self._reached_s: dict[str, float | None] = dict.fromkeys(
            ("window_up", "connected", "first_sample", "first_trial_decoded")
        )

    def reach(self, name: str) -> None:
        """Note that something is reached now; the first time counts."""
        if self._reached_s[name] is None:
            self._reached_s[name] = time.monotonic() - BEGAN_S

    def summary_s(self) -> dict[str, float | None]:
        """Return seconds from the beginning of the program; None for what was never reached."""
        return {name: None if t is None else round(t, 3) for name, t in self._reached_s.items()}
