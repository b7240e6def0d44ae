"""Trials in FIF files, located in the file and mapped, not loaded; and written trial block by trial block.

A FIF file is a row of tags: kind, type, size in bytes, place of the next (0: right behind, -1: none), data; numbers are
big-endian. Tags of kind 104 and 105 open and close blocks. MNE-Python stores all trials of a file as one matrix
(trials, channels, times) in one tag, followed by its dimensions.
"""

import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray

__all__ = ["EpochPart", "read_part", "write_part"]

_TAG = struct.Struct(">iIii")
_NEXT_NONE = -1
# Kinds of tags.
_FILE_ID, _DIRECTORY_AT, _NO_DATA, _BLOCK_START, _BLOCK_END = 100, 101, 108, 104, 105
_REF_ROLE, _REF_NUMBER, _REF_NAME, _TEXT = 115, 117, 118, 206
_FIRST, _LAST, _TRIALS, _EVENTS = 208, 209, 302, 3561
_SELECTION, _DROP_LOG = 3800, 3801
# Blocks.
_MEASUREMENT, _INFO, _PROCESSED = 100, 101, 103
_IN_REF, _IN_EVENTS, _IN_EPOCHS, _IN_METADATA = 118, 361, 373, 3811
# Types.
_INT, _FLOAT, _DOUBLE, _STRING, _MATRIX = 3, 4, 5, 10, 1 << 30
_STORED = {_MATRIX | _FLOAT: ">f4", _MATRIX | _DOUBLE: ">f8"}
_NEXT_FILE = 2


@dataclass(frozen=True, slots=True, eq=False)
class EpochPart:
    """One FIF file of trials.

    Attributes
    ----------
    shape : tuple of (int, int, int)
        Trials, channels, times.
    first : int
        Sample of the first time, counted from the stimulus onset.
    events : array of shape (n_trials, 3), int64
        Sample in the recording before it was cut, 0, event id.
    metadata : bytes
        The trials' table as JSON records, empty where there is none.
    follows : str
        Name of the file in which the trials go on, empty in the last one.
    """

    path: Path
    shape: tuple[int, int, int]
    first: int
    events: npt.NDArray[np.int64]
    metadata: bytes
    follows: str
    stored: str
    start: int

    def map(self) -> FloatArray:
        """Return the trials as they are stored, mapped: to be multiplied by each channel's ``cal``."""
        return np.memmap(self.path, self.stored, "r", self.start, self.shape)


def _tags(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, type, place of the data and size of every tag."""
    end = file.seek(0, 2)
    at = 0
    while True:
        file.seek(at)
        head = file.read(_TAG.size)
        if len(head) < _TAG.size:
            raise _cut_off(path, end, at + _TAG.size)
        kind, type_, size, following = _TAG.unpack(head)
        if at == 0 and kind != _FILE_ID:
            raise RecordingError(f"{path} is no FIF file. Download it again.")
        start = at + _TAG.size
        if size < 0 or start + size > end:
            raise _cut_off(path, end, start + size)
        yield kind, type_, start, size
        if following == _NEXT_NONE:
            return
        if 0 < following <= at:
            raise RecordingError(f"{path} is damaged: its parts go round in a circle. Download it again.")
        at = following if following > 0 else start + size


def _cut_off(path: Path, held: int, needed: int) -> RecordingError:
    return RecordingError(
        f"{path} is cut off or damaged: it has {held / 1e6:.1f} MB, and goes on to {needed / 1e6:.1f} MB at least. "
        "Download it again."
    )


def read_part(path: Path) -> EpochPart:
    """Return what a FIF file of trials holds, without its samples.

    Raises
    ------
    RecordingError
        If it is no FIF file, holds no trials, or is cut off.
    """
    found: dict[tuple[int, int], bytes] = {}
    trials: tuple[int, int, int] | None = None
    blocks = [0]
    try:
        with path.open("rb") as file:
            for kind, type_, start, size in _tags(file, path):
                if kind == _TRIALS:
                    trials = type_, start, size
                elif kind == _BLOCK_END:
                    blocks.pop()
                elif kind == _BLOCK_START or (blocks[-1], kind) in _WANTED:
                    file.seek(start)
                    data = file.read(size)
                    if kind == _BLOCK_START:
                        blocks.append(struct.unpack(">i", data)[0])
                    else:
                        found[blocks[-1], kind] = data
            if trials is None:
                raise RecordingError(f"{path} holds no trials. Give a file of trials, NAME-epo.fif.")
            return _part(path, file, trials, found)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise RecordingError(f"{path} is damaged: {error!r}. Download it again.") from error


_WANTED = frozenset(
    [
        *((_IN_EVENTS, _EVENTS), (_IN_METADATA, _TEXT), (_IN_EPOCHS, _FIRST), (_IN_EPOCHS, _LAST)),
        *((_IN_REF, _REF_ROLE), (_IN_REF, _REF_NAME)),
    ]
)


def _part(
    path: Path, file: BinaryIO, trials: tuple[int, int, int], found: dict[tuple[int, int], bytes]
) -> EpochPart:
    type_, start, size = trials
    if type_ not in _STORED:
        raise RecordingError(f"{path} holds trials of FIF type {type_:#x}; only real numbers are read.")
    file.seek(start + size - 16)
    n_times, n_channels, n_trials, n_axes = struct.unpack(">4i", file.read(16))
    stored = _STORED[type_]
    if n_axes != 3 or n_times * n_channels * n_trials * np.dtype(stored).itemsize != size - 16:
        raise RecordingError(f"{path} is damaged: its trials are of no shape that fits. Download it again.")
    events = np.frombuffer(found[_IN_EVENTS, _EVENTS], ">i4").astype(np.int64)
    first, last = (struct.unpack(">i", found[_IN_EPOCHS, kind])[0] for kind in (_FIRST, _LAST))
    if last - first + 1 != n_times or events.size != 3 * n_trials:
        raise RecordingError(
            f"{path} is damaged: {n_trials} trials of {n_times} samples with {events.size // 3} events and times from "
            f"{first} to {last}. Download it again."
        )
    is_next = found.get((_IN_REF, _REF_ROLE), b"") == struct.pack(">i", _NEXT_FILE)
    return EpochPart(
        path,
        (n_trials, n_channels, n_times),
        first,
        events.reshape(n_trials, 3),
        found.get((_IN_METADATA, _TEXT), b""),
        found.get((_IN_REF, _REF_NAME), b"").decode() if is_next else "",
        stored,
        start,
    )


def write_part(
    path: Path,
    info: Any,
    blocks: Iterable[FloatArray],
    *,
    n_times: int,
    first: int,
    events: npt.NDArray[np.int64],
    event_id: str,
    place: tuple[int, int],
    metadata: bytes = b"",
    follows: tuple[str, int] | None = None,
) -> None:
    """Write trials to a FIF file as MNE-Python stores them, float32, one block after the other.

    Parameters
    ----------
    path : Path
        The file to be.
    info : mne.Info
        Channels and rate.
    blocks : iterable of array of shape (n, n_channels, n_times)
        All trials in order, any number at once, in the channels' units.
    n_times, first : int
        Samples of a trial, and the first one counted from the onset.
    events : array of shape (n_trials, 3), int64
        Sample, 0, id.
    event_id : str
        Names of the ids, ``NAME:ID;NAME:ID``.
    place : tuple of (int, int)
        Number of the first trial among those of all parts, from 0, and how many there are in all.
    metadata : bytes
        The trials' table as JSON records; empty for none.
    follows : tuple of (str, int) or None
        Name and number of the file in which the trials go on.

    Raises
    ------
    RecordingError
        If the blocks hold more or fewer trials than there are events, or of another shape.
    """
    n_trials, n_channels = len(events), len(info["ch_names"])
    if 4 * n_trials * n_channels * n_times + 16 >= 2**31:
        raise ValueError(f"{n_trials} trials are more than a FIF file holds; give fewer.")
    with path.open("wb") as file:
        file.write(_measurement_info(info))
        _block(file, _BLOCK_START, _PROCESSED)
        _block(file, _BLOCK_START, _IN_EPOCHS)
        _write_events(file, events, event_id, metadata)
        _tag(file, _FIRST, _INT, struct.pack(">i", first))
        _tag(file, _LAST, _INT, struct.pack(">i", first + n_times - 1))
        scales = np.array([1 / (ch["cal"] * ch.get("scale", 1.0)) for ch in info["chs"]])
        _write_trials(file, blocks, scales, (n_trials, n_channels, n_times))
        begin, n_all = place
        before, behind = ['["IGNORED"]'] * begin, ['["IGNORED"]'] * (n_all - begin - n_trials)
        _tag(file, _DROP_LOG, _STRING, f"[{','.join([*before, *['[]'] * n_trials, *behind])}]".encode())
        _tag(file, _SELECTION, _INT, np.arange(begin, begin + n_trials, dtype=">i4").tobytes())
        if follows is not None:
            _block(file, _BLOCK_START, _IN_REF)
            _tag(file, _REF_ROLE, _INT, struct.pack(">i", _NEXT_FILE))
            _tag(file, _REF_NAME, _STRING, follows[0].encode())
            _tag(file, _REF_NUMBER, _INT, struct.pack(">i", follows[1]))
            _block(file, _BLOCK_END, _IN_REF)
        for block_kind in (_IN_EPOCHS, _PROCESSED, _MEASUREMENT):
            _block(file, _BLOCK_END, block_kind)
        file.write(_TAG.pack(_NO_DATA, 0, 0, _NEXT_NONE))


def _write_events(file: BinaryIO, events: npt.NDArray[np.int64], event_id: str, metadata: bytes) -> None:
    _block(file, _BLOCK_START, _IN_EVENTS)
    _tag(file, _EVENTS, _INT, np.ascontiguousarray(events, ">i4").tobytes())
    _tag(file, _TEXT, _STRING, event_id.encode())
    _block(file, _BLOCK_END, _IN_EVENTS)
    if metadata:
        _block(file, _BLOCK_START, _IN_METADATA)
        _tag(file, _TEXT, _STRING, metadata)
        _block(file, _BLOCK_END, _IN_METADATA)


def _write_trials(
    file: BinaryIO, blocks: Iterable[FloatArray], scales: FloatArray, shape: tuple[int, int, int]
) -> None:
    """Write the tag that holds the trials, as they come."""
    n_trials, n_channels, n_times = shape
    file.write(_TAG.pack(_TRIALS, _MATRIX | _FLOAT, 4 * n_trials * n_channels * n_times + 16, 0))
    n_written = 0
    for block in blocks:
        n_written += len(block)
        if block.shape[1:] != (n_channels, n_times) or n_written > n_trials:
            raise RecordingError(
                f"A block of shape {block.shape} does not fit {n_trials} trials of shape {(n_channels, n_times)}."
            )
        file.write(np.ascontiguousarray(block * scales[:, None], ">f4").data)
    if n_written != n_trials:
        raise RecordingError(f"{n_written} trials came for {n_trials} events.")
    file.write(struct.pack(">4i", n_times, n_channels, n_trials, 3))


def _tag(file: BinaryIO, kind: int, type_: int, data: bytes) -> None:
    file.write(_TAG.pack(kind, type_, len(data), 0) + data)


def _block(file: BinaryIO, kind: int, block: int) -> None:
    _tag(file, kind, _INT, struct.pack(">i", block))


def _measurement_info(info: Any) -> bytes:
    """Return the tags up to the end of the block of channels, as mne writes them."""
    import mne

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x-info.fif"
        mne.io.write_info(path, info, verbose="error")
        kept = []
        with path.open("rb") as file:
            for kind, type_, start, size in _tags(file, path):
                file.seek(start)
                # No directory: readers go from tag to tag.
                data = struct.pack(">i", -1) if kind == _DIRECTORY_AT else file.read(size)
                kept.append(_TAG.pack(kind, type_, size, 0) + data)
                if kind == _BLOCK_END and data == struct.pack(">i", _INFO):
                    break
        return b"".join(kept)
