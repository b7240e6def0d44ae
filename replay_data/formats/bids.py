"""What BIDS keeps beside a sampled recording, and what its events table says was shown.

The brain imaging data structure, https://bids-specification.readthedocs.io, names a recording by its entities:
``sub-01_task-x_run-1_eeg.vhdr``. A table beside it, or in a folder above, is the recording's if it has no entity that
the recording lacks.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import numpy as np

from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["BidsEvents", "best_fitting", "find_beside", "number_in", "read_events", "read_table"]

#: Column of NSD's raw data with the number of the picture, from 1.
_NSD_PICTURE = "73k_id"
#: Columns that say what was shown, unless they say the same in every row.
_LABELS = (_NSD_PICTURE, "trial_type", "value", "stim_file")
_NOTHING = ("", "n/a", "nan")
_FOLDERS_UP = 3


@dataclass(frozen=True, slots=True, eq=False)
class BidsEvents:
    """What an events table says.

    Attributes
    ----------
    stimuli : StimulusTable
        By onset, in samples from the recording's first; an onset may lie outside the recording.
    labels : tuple of str
        What each is called, one a row.
    """

    stimuli: StimulusTable
    labels: tuple[str, ...]

    @property
    def markers(self) -> tuple[tuple[int, str], ...]:
        """Sample and label of every stimulus; its id where the table gives ids."""
        if self.stimuli.id is None:
            return tuple(zip(self.stimuli.onset.tolist(), self.labels, strict=True))
        return self.stimuli.markers()


def find_beside(path: Path, ending: str) -> Path | None:
    """Return the table that belongs to a recording: the nearest, then the one with most entities in common.

    Parameters
    ----------
    path : Path
        A recording named as BIDS does; one of another name has no tables.
    ending : str
        ``events.tsv``, ``channels.tsv``, ``electrodes.tsv``, ``coordsystem.json``, ...
    """
    if not path.name.startswith("sub-"):
        return None
    folder = path.absolute().parent
    for _ in range(1 + _FOLDERS_UP):
        if found := best_fitting(folder, path.name, ending):
            return found
        if (folder / "dataset_description.json").exists():
            return None
        folder = folder.parent
    return None


def best_fitting(folder: Path, name: str, ending: str) -> Path | None:
    """Return the table in a folder whose name has most parts in common with a recording's, and none that it lacks."""
    own = set(name.split(".")[0].split("_"))
    fitting: list[tuple[int, str]] = []
    for table in folder.glob(f"*{ending}"):
        parts = set(table.name.removesuffix(ending).strip("_").split("_")) - {""}
        # Electrodes are given in a space that the recording's name does not tell.
        parts = {part for part in parts if not part.startswith("space-")}
        if parts <= own:
            fitting.append((len(parts), table.name))
    return folder / max(fitting)[1] if fitting else None


def read_table(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table of text, separated by tabs and named in the first row; what is unknown is empty.

    Raises
    ------
    RecordingError
        If it is no such table.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", restval="", restkey="", quoting=csv.QUOTE_NONE)
            columns, rows = reader.fieldnames, list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{table} is not a table of text: {error}. Repair or remove it.") from error
    except OSError as error:
        raise RecordingError(f"{table} cannot be read: {error.strerror}.") from error
    if columns is None:
        raise RecordingError(f"{table} is empty, without even the names of its columns. Copy it again.")
    return [
        {
            name.strip(): "" if cell.strip().lower() in _NOTHING else cell.strip()
            for name, cell in row.items()
            if name and isinstance(cell, str)
        }
        for row in rows
    ]


def read_events(
    table: Path,
    recording: Path,
    sfreq_hz: float,
    column: str | None,
    notes: list[str],
    *,
    timed: bool = False,
) -> BidsEvents:
    """Return what an events table says was shown.

    Onsets are the column ``sample`` where it has them, else the sample nearest to ``onset``. The label is the column
    asked for, else the first of ``73k_id``, ``trial_type``, ``value`` and ``stim_file`` that does not say the same in
    every row. Labels in whole numbers are the ids; ``trial_type`` is the concept where it varies and is no number;
    ``stim_file`` is the image. NSD's ``73k_id`` counts pictures from 1, and ids from 0.

    Parameters
    ----------
    table : Path
    recording : Path
        What the table belongs to; its name may tell session and run.
    sfreq_hz : float
        Sampling rate of the recording; volumes a second for images.
    column : str or None
        Column that holds the labels.
    notes : list of str
        Is added to.
    timed : bool
        Whether to tell as well where between samples onsets lie, and how long each stimulus lasts: of volumes, which
        come seconds apart.

    Raises
    ------
    RecordingError
        If it is no table, has no onsets or no labels, or a cell is not the number it should be.
    """
    rows = read_table(table)
    columns = list(rows[0]) if rows else []
    if rows and "onset" not in columns and "sample" not in columns:
        raise RecordingError(
            f"{table} has no column 'onset'. Its columns are: {', '.join(columns)}. Columns are separated by tabs and "
            "named in the first row."
        )
    if rows and column is not None and column not in columns:
        raise RecordingError(
            f"{table} has no column {column!r}.{did_you_mean(column, columns)} Its columns are: {', '.join(columns)}."
        )
    label = column or _label_column(table, rows)
    onsets = _onsets(table, rows, sfreq_hz, notes)
    known = np.array(
        [at is not None and bool(row.get(label)) for row, at in zip(rows, onsets, strict=True)], np.bool_
    )
    if n_unknown := int(np.count_nonzero(~known)):
        notes.append(
            f"{n_unknown} of {len(rows)} rows of {table.name} lack an onset or a {label} and are left out."
        )
    at, fraction = np.array([onset or (0, 0.0) for onset in onsets]).reshape(-1, 2).T
    at = at.astype(np.int64)
    order = np.flatnonzero(known)
    order = order[np.lexsort((fraction[order], at[order]) if timed else (at[order],))]
    shown = [rows[i] for i in order]
    labels = tuple(_whole(row[label]) for row in shown)
    stimuli = StimulusTable.of_markers(list(zip(at[order].tolist(), labels, strict=True)))
    if label == _NSD_PICTURE and stimuli.id is not None:
        notes.append(f"Ids are NSD's, counted from 0: the column {_NSD_PICTURE} less one.")
        ids = stimuli.id - 1
        stimuli, labels = replace(stimuli, id=ids), tuple(map(str, ids.tolist()))
    trial_types = [row.get("trial_type", "") for row in shown]
    told = len(set(trial_types) - {""}) > 1 and not all(
        re.fullmatch(r"-?\d+(\.0*)?", t) for t in trial_types if t
    )
    images = [row.get("stim_file", "").replace("\\", "/") for row in shown]
    stimuli = replace(
        stimuli,
        concept=np.array(trial_types) if told else None,
        image=np.array(images) if any(images) else None,
        session=_numbered(r"ses-[^_\d]*(\d+)", recording, len(shown)),
        run=_numbered(r"run-(\d+)", recording, len(shown)),
        fraction=fraction[order] if timed else None,
        duration_s=_durations_s(table, rows)[order] if timed and "duration" in columns else None,
    )
    return BidsEvents(stimuli, labels)


def _label_column(table: Path, rows: Sequence[Mapping[str, str]]) -> str:
    filled = {name: {row.get(name, "") for row in rows} - {""} for name in _LABELS}
    for at_least in (2, 1):
        for name, values in filled.items():
            if len(values) >= at_least:
                return name
    if rows:
        raise RecordingError(
            f"{table} says in none of the columns {', '.join(_LABELS)} what was shown. Name the column that does as "
            f"the marker column; there are: {', '.join(rows[0])}."
        )
    return _LABELS[0]


def _onsets(
    table: Path, rows: Sequence[Mapping[str, str]], sfreq_hz: float, notes: list[str]
) -> list[tuple[int, float] | None]:
    """Return the sample of every row's onset and how far behind it that lies, None where it has none."""
    onsets: list[tuple[int, float] | None] = []
    apart = 0
    for number, row in enumerate(rows, start=2):
        sample = number_in(table, number, row, "sample")
        onset_s = number_in(table, number, row, "onset")
        exact = None if onset_s is None else onset_s * sfreq_hz
        nearest = None if exact is None else int(np.floor(exact + 0.5))
        if sample is not None:
            onsets.append((round(sample), sample - round(sample)))
        else:
            onsets.append(None if exact is None or nearest is None else (nearest, exact - nearest))
        if sample is not None and nearest is not None:
            apart = max(apart, abs(round(sample) - nearest))
    if apart > 1:
        notes.append(
            f"Columns sample and onset of {table.name} differ by up to {apart} samples; sample is taken."
        )
    return onsets


def _durations_s(table: Path, rows: Sequence[Mapping[str, str]]) -> FloatArray:
    """Return how long each row lasts, NaN where it does not say; nothing lasts for less than no time."""
    told = [number_in(table, number, row, "duration") for number, row in enumerate(rows, start=2)]
    return np.array([np.nan if each is None or each < 0 else each for each in told], np.float64)


def number_in(table: Path, row_number: int, row: Mapping[str, str], column: str) -> float | None:
    """Return the number in a cell of `read_table`, None where it is empty or missing.

    Raises
    ------
    RecordingError
        If it is no number, with the row as the table counts: the first below the names is 2.
    """
    cell = row.get(column, "")
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise RecordingError(f"{table}, row {row_number}, column {column!r}: {cell!r} is not a number.")
    return value


def _whole(text: str) -> str:
    """Return a whole number in decimal, as 12 for 12.0, and any other text as it stands."""
    match = re.fullmatch(r"([-+]?\d+)\.0*", text)
    return str(int(match[1])) if match else text


def _numbered(pattern: str, recording: Path, n: int) -> IntArray | None:
    """Return the number that a recording's name gives, for every row."""
    match = re.search(rf"(?:^|_){pattern}(?:_|\.)", recording.name)
    return np.full(n, int(match[1]), dtype=np.int64) if match else None
