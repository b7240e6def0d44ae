"""The chunks of an XDF file: which streams it holds, and where it ends if it was cut off."""

import gzip
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.metadata import channel_type, read_description
from decode_stream.stream.types import StreamInfo

__all__ = ["XdfIndex", "XdfStream", "index_xdf", "open_xdf"]

_MAGIC = b"XDF:"
_HEADER, _FOOTER = 2, 6


@dataclass(frozen=True, slots=True)
class XdfStream:
    """One stream of a file.

    Attributes
    ----------
    number : int
        As the file counts.
    info : StreamInfo
        What it says of itself, in the words of a live stream.
    notes : tuple of str
        What its description leaves out.
    format : str
        ``float32``, ``double64``, ``string``, ``int32``, ...
    """

    number: int
    info: StreamInfo
    notes: tuple[str, ...]
    format: str

    @property
    def is_signal(self) -> bool:
        """Whether it holds numbers at a regular rate."""
        return self.info.sfreq_hz > 0 and self.format != "string"

    @property
    def is_markers(self) -> bool:
        """Whether it holds markers: text, or whole numbers at no regular rate in a stream that says so."""
        irregular = not self.info.sfreq_hz > 0
        says_so = channel_type(self.info.type) == "stim"
        return self.format == "string" or (irregular and says_so)

    def __str__(self) -> str:
        rate = f"{self.info.sfreq_hz:g} Hz" if self.info.sfreq_hz > 0 else "irregular"
        return f"{self.info.name!r} ({self.info.type}, {len(self.info.channels)} ch {self.format}, {rate})"


@dataclass(frozen=True, slots=True)
class XdfIndex:
    """What a file holds.

    Attributes
    ----------
    streams : tuple of XdfStream
        In the order of the file.
    stop : int
        Where its last whole chunk ends, in bytes.
    cut_off : bool
        Whether something that is not whole follows.
    closed : bool
        Whether every stream has its footer, as a recording that was ended has.
    """

    streams: tuple[XdfStream, ...]
    stop: int
    cut_off: bool
    closed: bool


def open_xdf(path: Path) -> IO[bytes]:
    """Open a file, packed or not."""
    packed = path.suffix.lower() in (".xdfz", ".gz")
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def index_xdf(path: Path) -> XdfIndex:
    """Return what a file holds, without reading any sample.

    Raises
    ------
    RecordingError
        If it is no XDF file, or a stream's header is damaged.
    """
    streams: list[XdfStream] = []
    footers: set[int] = set()
    stop, size = len(_MAGIC), 0
    with open_xdf(path) as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise RecordingError(f"{path} is no XDF file: it does not begin with 'XDF:'. Copy it again.")
        for tag, begin, end in _chunks(file):
            if tag == _HEADER:
                file.seek(begin)
                number = int.from_bytes(file.read(4), "little")
                streams.append(_stream(number, file.read(end - begin - 4), path))
            elif tag == _FOOTER:
                file.seek(begin)
                footers.add(int.from_bytes(file.read(4), "little"))
            stop = end
        size = file.seek(0, 2) if path.suffix.lower() not in (".xdfz", ".gz") else _end_of_packed(file, stop)
    return XdfIndex(tuple(streams), stop, size > stop, {stream.number for stream in streams} <= footers)


def _chunks(file: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """Yield (tag, where its content begins, where it ends) of every whole chunk."""
    at = file.tell()
    while True:
        file.seek(at)
        width = int.from_bytes(file.read(1), "little")
        length_bytes = file.read(width) if width in (1, 4, 8) else b""
        if not width or len(length_bytes) < width:
            return
        length = int.from_bytes(length_bytes, "little")
        begin, end = at + 1 + width + 2, at + 1 + width + length
        tag = file.read(2)
        if len(tag) < 2 or length < 2:
            return
        # Seeking beyond the end is no error: the last byte is read to know that it is there.
        if end > begin:
            file.seek(end - 1)
            if not file.read(1):
                return
        yield struct.unpack("<H", tag)[0], begin, end
        at = end


def _end_of_packed(file: IO[bytes], stop: int) -> int:
    file.seek(stop)
    return stop + len(file.read(1))


def _stream(number: int, header: bytes, path: Path) -> XdfStream:
    try:
        root = ElementTree.fromstring(header.decode("utf-8", "replace"))
        info, notes = read_description(_Info(root))
    except (ElementTree.ParseError, ValueError) as error:
        raise RecordingError(
            f"{path}: the header of stream {number} is damaged: {error}. Copy the file again."
        ) from error
    return XdfStream(number, info, notes, root.findtext("channel_format", "").strip())


class _Element:
    """An XML element that answers as liblsl's does; None stands for one that is not there."""

    def __init__(self, siblings: list[ElementTree.Element], place: int = 0) -> None:
        self._siblings = siblings
        self._place = place

    def empty(self) -> bool:
        return self._place >= len(self._siblings)

    def child(self, name: str) -> "_Element":
        return _Element([] if self.empty() else self._siblings[self._place].findall(name))

    def next_sibling(self, name: str) -> "_Element":
        return _Element(self._siblings, self._place + 1)

    def child_value(self, name: str) -> str:
        return "" if self.empty() else self._siblings[self._place].findtext(name, "").strip()


class _Info:
    """A stream's header that answers as `pylsl.StreamInfo` does, so that `read_description` reads both."""

    def __init__(self, root: ElementTree.Element) -> None:
        self._root = root

    def __getattr__(self, name: str) -> Any:
        return lambda: self._root.findtext(name, "").strip()

    def channel_count(self) -> int:
        return int(self._root.findtext("channel_count", ""))

    def nominal_srate(self) -> float:
        return float(self._root.findtext("nominal_srate", "0"))

    def desc(self) -> _Element:
        return _Element([self._root]).child("desc")
