"""What came in of a run, kept on disk as it comes, so that a session that was ended in mid-run can go on."""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, Marker

__all__ = ["Journal", "JournalHeader", "JournalVolume", "KeptRun", "read_journal", "set_aside"]

_MAGIC = b"decode-stream journal 2\n"
#: Kind, length and CRC-32 of what follows.
_FRAME = struct.Struct("<cII")
_HEADER, _REFERENCE, _VOLUME, _MARKER = b"H", b"R", b"V", b"M"
_NUMBER = struct.Struct("<q")
_STATE = struct.Struct("<6d")


@dataclass(frozen=True)
class JournalHeader:
    """What a run's journal belongs to.

    Attributes
    ----------
    bundle : str
        SHA-256 of the decoder's manifest; empty without one.
    series : str
        The scanner's series.
    tr_s : float
        Time from one volume to the next.
    grid : tuple of int
        Voxels of the whole volumes.
    channels : tuple of str
        What a volume's row holds.
    corrected : bool
        Whether volumes were brought to the reference.
    reference : str
        SHA-256 of the reference that was asked for; empty where the run's first volume is it.
    first : int
        Place in the run of the first volume that was in the folder.
    first_sha256 : str
        Of that volume. A NIfTI series has its files' name alone, which those of the next run may have as well.
    began_s : float
        LSL time at which the first volume began.
    began_unix_s : float
        The same in seconds since 1970, as LSL's clock begins anew with the machine.
    """

    bundle: str
    series: str
    tr_s: float
    grid: tuple[int, int, int]
    channels: tuple[str, ...]
    corrected: bool
    reference: str
    first: int
    first_sha256: str
    began_s: float
    began_unix_s: float

    def difference(self, other: "JournalHeader") -> str:
        """Return in words what another header has that this one has not; empty where they go together."""
        said = {
            "another decoder": self.bundle != other.bundle,
            "another series": self.series != other.series,
            "another repetition time": abs(self.tr_s - other.tr_s) > 1e-6,
            "another matrix": self.grid != other.grid,
            "another choice of motion correction": (self.corrected, self.reference)
            != (other.corrected, other.reference),
            "other voxels": self.channels != other.channels,
            # A folder may have been emptied of what was taken in already.
            "another run of this name": self.first == other.first and self.first_sha256 != other.first_sha256,
        }
        return " and ".join(words for words, differs in said.items() if differs)


@dataclass(frozen=True, eq=False)
class JournalVolume:
    """One volume as it went on to the decoder.

    Attributes
    ----------
    number : int
        Place in the run.
    row : array of shape (n_channels,), float32
        Voxels and confounds.
    state : array of shape (6,), float64
        Where the registration goes on from.
    """

    number: int
    row: npt.NDArray[np.float32]
    state: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KeptRun:
    """What a journal holds.

    Attributes
    ----------
    header : JournalHeader
    volumes : tuple of JournalVolume
        In the order in which they went on.
    markers : tuple of Marker
    reference : array of shape (x, y, z), float32, or None
        Volume that the others were brought to.
    n_bytes : int
        Length of what is whole; what follows was being written when the session ended.
    """

    header: JournalHeader
    volumes: tuple[JournalVolume, ...]
    markers: tuple[Marker, ...]
    reference: npt.NDArray[np.float32] | None
    n_bytes: int


class Journal:
    """Adds to a journal.

    Each entry is with the operating system before the next is begun: a session that is killed loses none; a machine
    that loses its power may lose the last ones.

    Parameters
    ----------
    path : Path
        Written anew, or, with `kept`, added to behind what is whole of it.
    header : JournalHeader
    kept : KeptRun, optional
        What `read_journal` gave.

    Raises
    ------
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path, header: JournalHeader, kept: KeptRun | None = None) -> None:
        self.path = path
        if kept is None:
            self._file: BinaryIO = path.open("wb", buffering=0)
            self._file.write(_MAGIC)
            self._add(_HEADER, msgspec.json.encode(header))
        else:
            self._file = path.open("r+b", buffering=0)
            self._file.truncate(kept.n_bytes)
            self._file.seek(kept.n_bytes)

    def add_reference(self, reference: FloatArray) -> None:
        """Keep the volume, shape (x, y, z), that the others are brought to."""
        self._add(_REFERENCE, np.ascontiguousarray(reference, np.float32).tobytes())

    def add_volume(self, volume: JournalVolume) -> None:
        """Keep a volume."""
        row = np.ascontiguousarray(volume.row, np.float32)
        self._add(_VOLUME, _NUMBER.pack(volume.number) + _STATE.pack(*volume.state) + row.tobytes())

    def add_marker(self, marker: Marker) -> None:
        """Keep a marker."""
        self._add(_MARKER, msgspec.json.encode(marker))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, kind: bytes, data: bytes) -> None:
        entry = memoryview(_FRAME.pack(kind, len(data), zlib.crc32(data)) + data)
        # Without a buffer of our own a write may stop in the middle.
        while entry:
            entry = entry[self._file.write(entry) :]


def read_journal(path: Path) -> KeptRun | None:
    """Return what is whole of a journal; None where its header is not, or there is no file.

    Raises
    ------
    UsageError
        If the file is something else, or cannot be read.
    """
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UsageError(f"The journal {path} cannot be read: {error.strerror or error}.") from error
    if not data.startswith(_MAGIC[: len(data)]):
        raise UsageError(f"{path} is no journal of a run. Give another name with --journal.")
    header: JournalHeader | None = None
    reference = None
    volumes, markers = list[JournalVolume](), list[Marker]()
    at = len(_MAGIC)
    for kind, entry in _entries(data):
        if header is None:
            if kind != _HEADER:
                return None
            header = msgspec.json.decode(entry, type=JournalHeader)
        elif kind == _REFERENCE:
            reference = np.frombuffer(entry, np.float32).reshape(header.grid)
        elif kind == _VOLUME:
            (number,), state = _NUMBER.unpack_from(entry), _STATE.unpack_from(entry, _NUMBER.size)
            row = np.frombuffer(entry, np.float32, offset=_NUMBER.size + _STATE.size)
            volumes.append(JournalVolume(number, row, np.array(state)))
        elif kind == _MARKER:
            markers.append(msgspec.json.decode(entry, type=Marker))
        at += _FRAME.size + len(entry)
    return None if header is None else KeptRun(header, tuple(volumes), tuple(markers), reference, at)


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries up to the first that is cut off or damaged."""
    at = len(_MAGIC)
    while at + _FRAME.size <= len(data):
        kind, length, crc = _FRAME.unpack_from(data, at)
        entry = data[at + _FRAME.size : at + _FRAME.size + length]
        if len(entry) < length or zlib.crc32(entry) != crc:
            return
        yield kind, entry
        at += _FRAME.size + length


def set_aside(path: Path) -> Path:
    """Give a journal another name, so that a new one can be begun, and return that.

    Raises
    ------
    OSError
        If it cannot be moved.
    """
    n = 1
    while (other := path.with_name(f"{path.name}.{n}")).exists():
        n += 1
    os.replace(path, other)
    return other
