"""The form on disk that every recording can be converted to and that is read lazily, whatever it was before.

A folder ``NAME.recording``::

    recording.json   schema, channels, rate, epoch, breaks, notes, where it comes from
    signal.npy       float32 (n_samples, n_channels), C order: trial after trial where it was cut into trials
    stimuli.tsv      one row a presentation in the recording's order; only the columns that the source gives
    markers.tsv      sample and label, where the markers are not the stimuli's ids
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.channels import select_channels
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch, Recording
from decode_stream.stream.stimuli import StimulusTable, column_kind
from decode_stream.stream.types import Channel, FloatArray, Gap

from .layout import Finding, Inspection, ReadOptions, describe
from .whole import written_whole

__all__ = ["StoredRecording", "inspect", "read", "recognise", "store"]

_SCHEMA = 1
_HEADER, _SIGNAL, _STIMULI, _MARKERS = "recording.json", "signal.npy", "stimuli.tsv", "markers.tsv"
_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class _Header:
    """What `recording.json` holds."""

    schema: int
    name: str
    source: str
    sfreq_hz: float
    n_samples: int
    channels: tuple[Channel, ...]
    gaps: tuple[Gap, ...]
    epoch: Epoch | None
    notes: tuple[str, ...]


class StoredRecording:
    """A recording in the converted form, mapped from disk; see `Recording` for its attributes.

    Attributes
    ----------
    source : str
        What it was converted from.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        header = _read_header(path)
        self._signal = _map_signal(path, header)
        self.stimuli = _read_stimuli(path / _STIMULI)
        self._kept = select_channels(header.channels, str(path), options.exclude_channels, options.modality)
        self._picks = len(self._kept) < len(header.channels)
        self.name = header.name
        self.source = header.source
        self.channels = tuple(header.channels[place] for place in self._kept)
        self.sfreq_hz = header.sfreq_hz
        self.n_samples = header.n_samples
        self.gaps = header.gaps
        self.epoch = header.epoch
        self.notes = header.notes
        own = path / _MARKERS
        self.markers = _read_markers(own) if own.exists() else self.stimuli.markers()

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), float32."""
        block = self._signal[max(0, start) : max(0, stop)]
        return block[:, self._kept] if self._picks else np.array(block)


def recognise(path: Path) -> str:
    """Return ``converted recording`` for a folder of the converted form, as `Layout.recognise` does."""
    return "converted recording" if path.is_dir() and (path / _HEADER).is_file() else ""


def read(path: Path, options: ReadOptions) -> StoredRecording:
    """Open a converted recording.

    Raises
    ------
    RecordingError
        If a part is missing, damaged or cut off, or an option does not apply.
    """
    asked = {"marker column": options.marker_column, "unit": options.unit, "mask": options.mask}
    for what, value in asked.items():
        if value is not None:
            raise RecordingError(
                f"{path} was converted with its {what} decided; {value!r} cannot be asked of it now. Convert it again."
            )
    return StoredRecording(path, options)


def inspect(path: Path) -> Inspection:
    """Return what a converted recording holds."""
    recording = StoredRecording(path, ReadOptions())
    facts = (("converted from", recording.source), ("stored as", "float32"), *describe(recording))
    return Inspection("converted recording", facts, tuple(Finding("note", note) for note in recording.notes))


def store(
    recording: Recording,
    path: Path,
    *,
    source: str = "",
    overwrite: bool = False,
    report: Callable[[int], None] = lambda n_samples: None,
) -> None:
    """Write any recording in the converted form, block by block.

    Parameters
    ----------
    recording : Recording
        Whatever its layout; order, onsets, ids and units are kept, values are rounded to float32.
    path : Path
        The folder to be, ``NAME.recording``.
    source : str
        Where it comes from, kept for people.
    report : callable
        Is told after each block how many samples are written.

    Raises
    ------
    RecordingError
        If it cannot be read or written; nothing is left at `path` then.
    """
    if overwrite and path.exists() and not recognise(path):
        raise RecordingError(
            f"{path} is not a converted recording, and nothing else is replaced. Give another place."
        )
    with written_whole(path, overwrite=overwrite) as folder:
        folder.mkdir()
        header = _Header(
            _SCHEMA,
            recording.name,
            source,
            recording.sfreq_hz,
            recording.n_samples,
            tuple(recording.channels),
            tuple(recording.gaps),
            recording.epoch,
            tuple(recording.notes),
        )
        (folder / _HEADER).write_bytes(msgspec.json.format(msgspec.json.encode(header), indent=1))
        _write_signal(recording, folder / _SIGNAL, report)
        table = recording.stimuli
        columns = ("onset", *(name for name in table.columns if name != "onset"))
        _write_table(folder / _STIMULI, columns, [getattr(table, name).tolist() for name in columns])
        if recording.markers != table.markers():
            samples, labels = zip(*recording.markers, strict=True)
            _write_table(folder / _MARKERS, ("sample", "label"), [samples, labels])


def _write_signal(recording: Recording, path: Path, report: Callable[[int], None]) -> None:
    # Written as a file, not through a memory map, on which a full disk kills the process.
    n_channels = len(recording.channels)
    shape = (recording.n_samples, n_channels)
    step = max(1, _BLOCK_BYTES // (4 * n_channels))
    if recording.epoch is not None and step > recording.epoch.n_times:
        step -= step % recording.epoch.n_times  # readers of trials read whole ones best
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for start in range(0, recording.n_samples, step):
            stop = min(start + step, recording.n_samples)
            block = np.ascontiguousarray(recording.read(start, stop), "<f4")
            if block.shape != (stop - start, n_channels):
                raise RecordingError(
                    f"{recording.name} gave samples of shape {block.shape}, not {(stop - start, n_channels)}. "
                    "It may be cut off; copy it again."
                )
            file.write(block.data)
            report(stop)


def _write_table(path: Path, columns: tuple[str, ...], values: list[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*values, strict=True))


def _read_table(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t")
        if any(len(row) != len(header) for row in rows):
            raise ValueError("rows differ in length")
        return {name: [row[i] for row in rows] for i, name in enumerate(header)}
    except (OSError, ValueError, csv.Error) as error:
        raise RecordingError(f"{path} cannot be read: {error}. Convert the recording again.") from error


def _read_stimuli(path: Path) -> StimulusTable:
    try:
        columns: dict[str, Any] = {
            name: np.array(values, dtype=column_kind(name)) for name, values in _read_table(path).items()
        }
        return StimulusTable(**columns)
    except (TypeError, ValueError) as error:
        raise RecordingError(
            f"{path} is not a table of stimuli: {error}. Convert the recording again."
        ) from error


def _read_markers(path: Path) -> tuple[tuple[int, str], ...]:
    columns = _read_table(path)
    try:
        return tuple(
            (int(sample), label) for sample, label in zip(columns["sample"], columns["label"], strict=True)
        )
    except (KeyError, ValueError) as error:
        raise RecordingError(
            f"{path} is not a table of markers: {error}. Convert the recording again."
        ) from error


def _read_header(path: Path) -> _Header:
    try:
        text = (path / _HEADER).read_bytes()
        if (version := msgspec.json.decode(text)["schema"]) != _SCHEMA:
            raise RecordingError(
                f"{path} has schema {version} and this program reads schema {_SCHEMA}. Install a newer decode-stream, "
                "or convert the recording again."
            )
        return msgspec.json.decode(text, type=_Header)
    except OSError as error:
        raise RecordingError(f"{path / _HEADER} cannot be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{path / _HEADER} is not what it should be: {error}. Convert it again."
        ) from error


def _map_signal(path: Path, header: _Header) -> npt.NDArray[np.float32]:
    shape = (header.n_samples, len(header.channels))
    try:
        signal: npt.NDArray[np.float32] = np.load(path / _SIGNAL, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RecordingError(
            f"{path / _SIGNAL} cannot be read: {error}. Convert the recording again."
        ) from error
    if signal.shape != shape or signal.dtype != np.float32:
        raise RecordingError(
            f"{path / _SIGNAL} holds {signal.dtype} of shape {signal.shape} where {_HEADER} says float32 of {shape}. "
            "Convert the recording again."
        )
    return signal
