"""Read CSV recorded from LSL: a column of time stamps, the channels, and a column that holds the markers."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import IO

import numpy as np

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.types import Channel, FloatArray
from decode_stream.stream.units import UNITS, unit_symbol

from .channels import guess_type, select_channels
from .stamps import find_gaps, measured_sfreq

__all__ = ["inspect", "read", "recognise"]

_TIME = re.compile(r"(lsl[ _]?)?(time[ _]?stamps?|times?)([ _]s)?(\s*[\[(]s[\])])?", re.IGNORECASE)
_MARKERS = re.compile(r"(marker|stim|stimulus|trigger|event)s?[ _]?\d*", re.IGNORECASE)
_UNIT = re.compile(r"(?P<name>.*\S)\s*[\[(](?P<unit>[^\])]+)[\])]")
_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_BLOCK_ROWS = 8192
#: Values held in memory, 2 GiB of them.
_MOST_VALUES = 2**28


@dataclass(frozen=True)
class _Layout:
    """Which column is what."""

    header: tuple[str, ...]
    time: int
    markers: tuple[int, ...]
    signals: tuple[int, ...]


def recognise(path: Path) -> str:
    """Return ``CSV recorded from LSL`` for a text table, as `Layout.recognise` does."""
    return "CSV recorded from LSL" if path.is_file() and path.name.lower().endswith(_ENDINGS) else ""


def inspect(path: Path) -> Inspection:
    """Return what a CSV recording holds."""
    recording = read(path, ReadOptions())
    return Inspection(
        recognise(path), describe(recording), tuple(Finding("note", n) for n in recording.notes)
    )


def read(path: Path, options: ReadOptions) -> ArrayRecording:
    """Read a CSV recording.

    Columns are separated by commas, semicolons or tabs, and named in the first row. A marker column holds 0
    or nothing where there is no marker; a marker sits where its value begins. A last row that was cut off is
    dropped with a note.

    Returns
    -------
    ArrayRecording
        The recording, float64.

    Raises
    ------
    RecordingError
        If the file is not such a table, is damaged, or lacks what was asked of it.
    """
    notes: list[str] = []
    try:
        with _open_text(path) as file:
            rows = csv.reader(file, delimiter=_delimiter(file, path))
            layout = _layout(next(rows), path, options.marker_column)
            stamps_s, data, markers = _values(rows, layout, path, notes)
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path} is not a text table: {error}. Give a CSV file.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingError(f"{path} is damaged or cut off: {error}. Copy it again.") from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}.") from error

    channels = tuple(_channel(layout.header[column]) for column in layout.signals)
    channels = _with_units(channels, data, options.unit, notes)
    kept = select_channels(channels, str(path), options.exclude_channels, options.modality)
    try:
        sfreq_hz = measured_sfreq(stamps_s)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
    gaps = find_gaps(stamps_s, sfreq_hz)
    if gaps:
        notes.append(f"{len(gaps)} gaps in the time stamps, {sum(gap.n_lost for gap in gaps)} samples lost.")
    if n_missing := int(np.count_nonzero(~np.isfinite(data[:, kept]))):
        notes.append(f"{n_missing} values are missing or not finite.")
    return ArrayRecording(
        data=np.ascontiguousarray(data[:, kept]),
        channels=tuple(channels[place] for place in kept),
        sfreq_hz=sfreq_hz,
        markers=tuple(markers),
        gaps=gaps,
        name=path.name,
        notes=tuple(notes),
    )


def _open_text(path: Path) -> IO[str]:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _delimiter(file: IO[str], path: Path) -> str:
    """Return what separates the columns, told from the first line; the file is rewound."""
    first = file.readline()
    file.seek(0)
    if not first.strip():
        raise RecordingError(f"{path} is empty. A recording has a row of column names and rows of numbers.")
    return max(",;\t", key=first.count)


def _layout(header: Sequence[str], path: Path, marker_column: str | None) -> _Layout:
    names = tuple(name.strip() for name in header)
    listed = f"Its columns are: {', '.join(names[:40])}."
    time = next((place for place, name in enumerate(names) if _TIME.fullmatch(name)), None)
    if time is None:
        raise RecordingError(
            f"{path} has no column of time stamps; one must be called 'timestamps'. {listed}"
        )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise RecordingError(f"{path} has more than one column {repeated[0]!r}. Rename one of them.")
    if marker_column is None:
        markers = tuple(place for place, name in enumerate(names) if _MARKERS.fullmatch(name))
    elif marker_column in names:
        markers = (names.index(marker_column),)
    else:
        raise RecordingError(
            f"{path} has no marker column {marker_column!r}.{did_you_mean(marker_column, names)} {listed}"
        )
    unnamed_index = {place for place, name in enumerate(names) if not name}
    signals = tuple(sorted(set(range(len(names))) - {time, *markers} - unnamed_index))
    if not signals:
        raise RecordingError(f"{path} has no column with a signal. {listed}")
    return _Layout(names, time, markers, signals)


def _whole_rows(
    rows: Iterator[list[str]], layout: _Layout, path: Path, notes: list[str]
) -> Iterator[list[str]]:
    """Yield the rows that have all columns; only the last row of the file may be short, and is dropped."""
    short: tuple[int, int] | None = None
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        if short is not None:
            raise RecordingError(
                f"{path}, row {short[0]} has {short[1]} of {len(layout.header)} columns. "
                "The file is damaged there; repair or remove the row."
            )
        if len(row) == len(layout.header):
            yield row
        elif len(row) > len(layout.header):
            raise RecordingError(
                f"{path}, row {number} has {len(row)} columns where the header names {len(layout.header)}. "
                "Repair or remove the row."
            )
        else:
            short = number, len(row)
    if short is not None:
        notes.append(
            f"The last row (row {short[0]}) was cut off after {short[1]} of {len(layout.header)} columns "
            "and is left out."
        )


def _values(
    rows: Iterator[list[str]], layout: _Layout, path: Path, notes: list[str]
) -> tuple[FloatArray, FloatArray, list[tuple[int, str]]]:
    """Return stamps (n,), signals (n, n_channels) and markers."""
    numbers = itemgetter(layout.time, *layout.signals)
    blocks: list[FloatArray] = []
    pending: list[Sequence[str]] = []
    markers: list[tuple[int, str]] = []
    before = [""] * len(layout.markers)
    n = 0
    for row in _whole_rows(rows, layout, path, notes):
        for which, column in enumerate(layout.markers):
            cell = row[column].strip()
            if cell != before[which]:
                before[which] = cell
                if label := _label(cell):
                    markers.append((n, label))
        pending.append(numbers(row))
        n += 1
        if len(pending) == _BLOCK_ROWS:
            blocks.append(_floats(pending, n - len(pending), layout, path))
            pending = []
            if n * (1 + len(layout.signals)) > _MOST_VALUES:
                raise RecordingError(
                    f"{path} holds more than {_MOST_VALUES} values, too many for a CSV file in memory. "
                    "Split it, or convert it to FIF."
                )
    if pending:
        blocks.append(_floats(pending, n - len(pending), layout, path))
    if n == 0:
        raise RecordingError(f"{path} holds column names but no samples.")
    table = np.concatenate(blocks)
    return table[:, 0].copy(), table[:, 1:], markers


def _label(cell: str) -> str:
    """Return the text of a marker: integers in decimal, empty where there is none."""
    if cell.lower() in ("", "0", "nan"):
        return ""
    try:
        return str(int(cell))
    except ValueError:
        pass
    try:
        value = float(cell)
    except ValueError:
        return cell
    if not value.is_integer():
        return cell
    return str(int(value)) if value else ""


def _floats(rows: list[Sequence[str]], first: int, layout: _Layout, path: Path) -> FloatArray:
    """Return the cells as numbers; a missing one is NaN, but never a time stamp."""
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        values = np.array(
            [
                [_number(cell, first + i, j, layout, path) for j, cell in enumerate(row)]
                for i, row in enumerate(rows)
            ]
        )
    if not np.isfinite(values[:, 0]).all():
        row = first + int(np.argmin(np.isfinite(values[:, 0]))) + 2
        raise RecordingError(
            f"{path}, row {row}, column {layout.header[layout.time]!r}: the time stamp is missing."
        )
    return values


def _number(cell: str, sample: int, place: int, layout: _Layout, path: Path) -> float:
    if not cell.strip():
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        column = layout.header[(layout.time, *layout.signals)[place]]
        raise RecordingError(
            f"{path}, row {sample + 2}, column {column!r}: {cell!r} is not a number. "
            "Repair the cell, or name the column as the marker column if it holds markers."
        ) from None


def _channel(column: str) -> Channel:
    """Return the channel that a column's name describes; ``TP9 [uV]`` carries its unit."""
    match = _UNIT.fullmatch(column)
    if match and (symbol := unit_symbol(match["unit"])):
        return Channel(match["name"], guess_type(match["name"]), symbol)
    return Channel(column, guess_type(column))


def _with_units(
    channels: tuple[Channel, ...], data: FloatArray, unit: str | None, notes: list[str]
) -> tuple[Channel, ...]:
    """Fill in units: the given one, else the header's, else what the size of the EEG says."""
    if unit is not None:
        symbol = unit_symbol(unit)
        if not symbol:
            raise RecordingError(f"Unit {unit!r} is not known. Give one of {', '.join(UNITS)}.")
        return tuple(replace(channel, unit=symbol) for channel in channels)
    eeg = [place for place, channel in enumerate(channels) if channel.type == "eeg" and not channel.unit]
    if not eeg:
        return channels
    signal = data[:, eeg]
    middle = np.nanmedian(signal, axis=0)
    spread = float(np.nanmedian(np.abs(signal - middle)))
    # EEG varies by some microvolts to some hundreds; between the two readings lie three decades.
    guess = "uV" if 0.5 <= spread <= 5000 else "V" if 5e-7 <= spread <= 5e-4 else ""
    notes.append(
        f"Unit taken as {guess} from the size of the EEG, which varies by about {spread:.3g}."
        if guess
        else f"The unit of the EEG is unknown: it varies by about {spread:.3g}. Give the unit if it matters."
    )
    # The auxiliary input goes through the same amplifier; other columns (counters, motion) are no voltages.
    return tuple(
        replace(channel, unit=guess)
        if not channel.unit and (channel.type != "misc" or "aux" in channel.name.lower())
        else channel
        for channel in channels
    )
