"""Spans of the signal that no decision may rest on."""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Flag", "Flags"]


class Flag(NamedTuple):
    """Samples [start, stop) that are not to be trusted, and why."""

    start: int
    stop: int
    reason: str


class Flags:
    """What is wrong with which samples; one thread adds, any number ask."""

    def __init__(self) -> None:
        self._flags: tuple[Flag, ...] = ()

    def add(self, start: int, stop: int, reason: str) -> None:
        """Flag the samples [start, stop); a flag that continues the last one of its kind extends it."""
        last = self._flags[-1] if self._flags else None
        if last is not None and last.reason == reason and last.start <= start <= last.stop:
            self._flags = (*self._flags[:-1], Flag(last.start, max(last.stop, stop), reason))
        else:
            self._flags = (*self._flags, Flag(start, stop, reason))

    def reason(self, start: int, stop: int) -> str | None:
        """Return why the samples [start, stop) are flagged, or None if they are sound."""
        for flag in reversed(self._flags):
            if flag.start < stop and start < flag.stop:
                return flag.reason
        return None

    def forget(self, before: int) -> None:
        """Drop the flags that end before a sample that is no longer held."""
        if self._flags and self._flags[0].stop < before:
            self._flags = tuple(flag for flag in self._flags if flag.stop >= before)

    def __iter__(self) -> Iterator[Flag]:
        """Iterate over the flags, oldest first."""
        return iter(self._flags)
