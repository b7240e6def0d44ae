"""How long calls take, those that are compared by turns; and how much memory this process holds."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Times", "peak_bytes", "resident_bytes", "timed"]

#: Calls that are not counted: buffers are made and caches filled.
_N_WARM = 5
#: A 99th percentile of fewer is one call's.
_N_LEAST = 20
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Times:
    """How long a call takes.

    Attributes
    ----------
    n : int
        Calls that were counted.
    """

    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def timed(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Times]:
    """Return how long each of several calls takes.

    They are called by turns, so that whatever else the machine does meets all of them alike.

    Parameters
    ----------
    calls : mapping of str to callable
    seconds : float
        For each of them; at least twenty calls are counted, however long they take.
    """
    for call in calls.values():
        for _ in range(_N_WARM):
            call()
    taken: dict[str, list[int]] = {name: [] for name in calls}
    end_s, n = time.perf_counter() + seconds * len(calls), 0
    while calls and (n < _N_LEAST or time.perf_counter() < end_s):
        for name, call in calls.items():
            began = time.perf_counter_ns()
            call()
            taken[name].append(time.perf_counter_ns() - began)
        n += 1
    return {name: _times(np.array(one) / 1e6) for name, one in taken.items()}


def _times(taken_ms: np.ndarray) -> Times:
    p50, p95, p99 = np.percentile(taken_ms, [50, 95, 99]).tolist()
    return Times(len(taken_ms), p50, p95, p99)


def resident_bytes() -> int | None:
    """Return the memory of this process that is in RAM, bytes; None where the system does not tell."""
    try:
        import resource

        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (ImportError, OSError):
        return None


def peak_bytes() -> int | None:
    """Return the most memory that this process has had in RAM, bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    # In bytes on macOS, in kB everywhere else.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
