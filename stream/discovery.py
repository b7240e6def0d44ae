"""Find a stream on the network, or say what is there instead."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pylsl

from .errors import StreamError, did_you_mean

__all__ = ["StreamQuery", "StreamSearch", "find_streams", "resolve_stream"]

#: How long to look for a second stream that matches, once the first has answered. Of outlets on one machine only one
#: may hear liblsl's question to all; it asks at each port half a second later, and a packet may get lost. Seconds.
_SETTLE_S = 1.1


@dataclass(frozen=True)
class StreamQuery:
    """Which stream is wanted; what is left empty may be anything.

    Attributes
    ----------
    name, type, source_id : str
        As the outlet declares them.
    predicate : str
        Any predicate of liblsl (XPath 1.0), such as ``"starts-with(name,'Bio') and channel_count=32"``.
    """

    name: str = ""
    type: str = ""
    source_id: str = ""
    predicate: str = ""

    def xpath(self) -> str:
        """Return the predicate that liblsl evaluates."""
        parts = [
            f"{field}={_literal(value)}"
            for field in ("name", "type", "source_id")
            if (value := getattr(self, field))
        ]
        if self.predicate:
            parts.append(f"({self.predicate})")
        return " and ".join(parts) if parts else "channel_count>0"

    def __str__(self) -> str:
        parts = [
            f"{word} {value!r}"
            for word, value in (
                ("name", self.name),
                ("type", self.type),
                ("source_id", self.source_id),
                ("predicate", self.predicate),
            )
            if value
        ]
        return ", ".join(parts) if parts else "any stream"


def _literal(text: str) -> str:
    # XPath 1.0 knows no escapes: a text with both kinds of quotes is put together from pieces.
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    return "concat(" + ', "\'", '.join(f"'{part}'" for part in text.split("'")) + ")"


def find_streams(query: StreamQuery, wait_s: float) -> list[pylsl.StreamInfo]:
    """Return every stream that matches, after looking for `wait_s` seconds.

    Returns
    -------
    list of pylsl.StreamInfo
        Without channel descriptions; those come from an open inlet.
    """
    return _in_order(pylsl.resolve_bypred(query.xpath(), 1024, wait_s))


class StreamSearch:
    """Looks for streams for as long as it is kept; each answer counts for five seconds.

    A search of half a second asks once, and where that question gets lost every time it never finds a stream that is
    there. One that lasts asks again, and in more than one way.

    Parameters
    ----------
    query : StreamQuery
        Which streams.
    """

    def __init__(self, query: StreamQuery) -> None:
        self._resolver = pylsl.ContinuousResolver(pred=query.xpath())
        self._answered_s: float | None = None

    def found(self) -> list[pylsl.StreamInfo]:
        """Return every stream that has answered, as `find_streams` does; at once."""
        return _in_order(self._resolver.results())

    def settled(self) -> list[pylsl.StreamInfo]:
        """Return every stream that has answered, once the others have had the time to as well; none before."""
        found = self.found()
        if not found:
            self._answered_s = None
            return []
        self._answered_s = self._answered_s or time.monotonic()
        return found if time.monotonic() - self._answered_s >= _SETTLE_S else []


def _in_order(found: list[pylsl.StreamInfo]) -> list[pylsl.StreamInfo]:
    return sorted(found, key=lambda info: (info.name(), info.source_id(), info.uid()))


def resolve_stream(
    query: StreamQuery, wait_s: float, stop: threading.Event | None = None
) -> pylsl.StreamInfo:
    """Return the one stream that matches.

    Parameters
    ----------
    query : StreamQuery
        Which stream.
    wait_s : float
        How long to wait for it, in seconds.
    stop : threading.Event, optional
        Ends the search early.

    Raises
    ------
    StreamError
        If none matches within `wait_s`, if several do, or if `stop` was set.
    """
    stop = stop or threading.Event()
    # One resolver for the whole search: each new one would begin its rounds of questions from the start.
    resolver = pylsl.ContinuousResolver(pred=query.xpath())
    deadline = time.monotonic() + wait_s
    found: list[pylsl.StreamInfo] = []
    while not (found := resolver.results()) and time.monotonic() < deadline:
        if stop.wait(0.01):
            raise StreamError(f"The search for {query} was stopped.")
    if not found:
        raise StreamError(_nothing_found(query, wait_s))
    if not query.source_id:
        stop.wait(_SETTLE_S)
        found = resolver.results() or found
    if len(found) > 1:
        raise StreamError(_several_found(query, found))
    return found[0]


def _line(info: pylsl.StreamInfo) -> str:
    rate_hz = float(info.nominal_srate())
    rate = f"{rate_hz:g} Hz" if rate_hz else "irregular"
    return (
        f"  {info.name()!r}, type {info.type()!r}, source_id {info.source_id()!r}, "
        f"{info.channel_count()} ch, {rate}, on {info.hostname()}"
    )


def _lines(found: Sequence[pylsl.StreamInfo]) -> str:
    return "\n".join(sorted(_line(info) for info in found))


def _nothing_found(query: StreamQuery, wait_s: float) -> str:
    others = pylsl.resolve_streams(1.0)
    message = f"No stream answered to {query} within {wait_s:g} s."
    if not others:
        return (
            f"{message} No LSL stream is on the network at all. Start the amplifier's LSL application, check "
            "that the firewall lets UDP port 16571 through, or replay a recording: "
            "decode-stream replay RECORDING."
        )
    same_name = [info for info in others if query.name and info.name() == query.name]
    if query.type and same_name:
        types = ", ".join(sorted({repr(info.type()) for info in same_name}))
        message += f" {query.name!r} is there, but of type {types}, not {query.type!r}."
    elif query.name:
        message += did_you_mean(query.name, {info.name() for info in others})
    hint = "Name one of them with --stream NAME or --source-id ID."
    return f"{message} On the network now:\n{_lines(others)}\n{hint}"


def _several_found(query: StreamQuery, found: Sequence[pylsl.StreamInfo]) -> str:
    hint = "Say which with --source-id ID."
    if len({info.source_id() for info in found}) < len(found):
        hint = "Some share a source_id: close one of them, or tell them apart by name or host in a predicate."
    return f"{len(found)} streams match {query}, and one is needed:\n{_lines(found)}\n{hint}"
