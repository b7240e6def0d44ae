"""The ``events.tsv`` beside a recording of volumes: when it applies, and what it says was shown."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.stimuli import StimulusTable

__all__ = ["Events", "find_events", "read_events"]

#: Columns that say what was shown, the most telling first. NSD's raw data count pictures in ``73k_id`` from 1.
_LABELS = ("73k_id", "trial_type", "stim_file", "value")
_NOTHING = ("", "n/a", "nan")


@dataclass(frozen=True, slots=True)
class Events:
    """What an events table says, in volumes.

    Attributes
    ----------
    stimuli : StimulusTable
    markers : tuple of (int, str)
        The ids of `stimuli` where there are any, else the labels.
    """

    stimuli: StimulusTable
    markers: tuple[tuple[int, str], ...]


def find_events(path: Path) -> Path | None:
    """Return the events table of an image file, in the same folder.

    The table whose name has most parts in common, and none that the image's name lacks:
    ``sub-01_task-x_run-1_events.tsv`` for ``sub-01_task-x_run-1_desc-preproc_bold.nii.gz``, ``bold_events.tsv`` for
    ``bold_1slice.nii.gz``.
    """
    own = set(path.name.split(".")[0].split("_"))
    fitting: list[tuple[int, str]] = []
    for table in path.parent.glob("*events.tsv"):
        parts = set(table.name.removesuffix("events.tsv").strip("_").split("_")) - {""}
        if parts <= own:
            fitting.append((len(parts), table.name))
    return path.with_name(max(fitting)[1]) if fitting else None


def read_events(
    table: Path | None,
    images: Path,
    tr_s: float,
    n_volumes: int,
    label_column: str | None,
    notes: list[str],
) -> Events:
    """Return the stimuli of an events table, each on the volume whose beginning is nearest to its onset.

    Parameters
    ----------
    table : Path or None
        The table; without one nothing was shown that is known.
    images : Path
        The images, whose name may tell session and run.
    label_column : str or None
        Column with what was shown; the first of ``73k_id``, ``trial_type``, ``stim_file`` and ``value`` if not given.
    notes : list of str
        Is added to.

    Raises
    ------
    RecordingError
        If the table has no onsets, or a cell is no number.
    """
    if table is None:
        return Events(StimulusTable(), ())
    columns, rows = _read_rows(table)
    column = _label_column(columns, rows, label_column, table)
    onsets_s = np.array([_seconds(row, number, table) for number, row in enumerate(rows, start=2)])
    labels = [row.get(column, "").strip() if column else "" for row in rows]
    known = np.isfinite(onsets_s) & np.array(
        [label.lower() not in _NOTHING for label in labels], dtype=np.bool_
    )
    if n_unknown := int(np.count_nonzero(~known)):
        notes.append(
            f"{n_unknown} of {len(rows)} rows of {table.name} lack an onset or a label and are left out."
        )
    volumes = np.zeros(len(rows), dtype=np.int64)
    volumes[known] = np.floor(onsets_s[known] / tr_s + 0.5)
    inside = known & (volumes >= 0) & (volumes < n_volumes)
    if n_outside := int(np.count_nonzero(known & ~inside)):
        notes.append(
            f"{n_outside} events of {table.name} lie outside the {n_volumes} volumes and are left out."
        )
    kept = np.flatnonzero(inside)
    kept = kept[np.argsort(onsets_s[kept], kind="stable")]
    if len(kept):
        off_s = float(np.abs(onsets_s[kept] - volumes[kept] * tr_s).max())
        notes.append(
            f"Onsets are put on the volume that begins nearest, up to {off_s:.2g} s away (a volume lasts {tr_s:.4g} s)."
        )
    kept_labels = [labels[i] for i in kept]
    ids = _ids(kept_labels, column, notes)
    files = [rows[i].get("stim_file", "").strip() for i in kept]
    stimuli = StimulusTable(
        onset=volumes[kept],
        id=ids,
        image=np.array(["" if f.lower() in _NOTHING else f for f in files]) if any(files) else None,
        session=_numbered(r"ses-[^_\d]*(\d+)", images, len(kept)),
        run=_numbered(r"run-(\d+)", images, len(kept)),
    )
    if ids is not None:
        return Events(stimuli, stimuli.markers())
    return Events(stimuli, tuple(zip(volumes[kept].tolist(), kept_labels, strict=True)))


def _read_rows(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            header, *cells = [row for row in csv.reader(file, delimiter="\t") if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{table} is not a table of text: {error}. Repair or remove it.") from error
    except OSError as error:
        raise RecordingError(f"{table} cannot be read: {error.strerror}.") from error
    columns = [name.strip() for name in header]
    if "onset" not in columns:
        raise RecordingError(
            f"{table} has no column 'onset'. Its columns are: {', '.join(columns) or 'none'}. Columns are separated by "
            "tabs and named in the first row."
        )
    return columns, [dict(zip(columns, row, strict=False)) for row in cells]


def _label_column(columns: list[str], rows: list[dict[str, str]], asked: str | None, table: Path) -> str:
    if asked is not None:
        if asked not in columns:
            raise RecordingError(
                f"{table} has no column {asked!r}.{did_you_mean(asked, columns)} Its columns are: {', '.join(columns)}."
            )
        return asked
    for name in _LABELS:
        if any(row.get(name, "").strip().lower() not in _NOTHING for row in rows):
            return name
    if rows:
        raise RecordingError(
            f"{table} has none of the columns {', '.join(_LABELS)}; name the one that says what was shown as the "
            f"marker column. Its columns are: {', '.join(columns)}."
        )
    return ""


def _seconds(row: dict[str, str], number: int, table: Path) -> float:
    cell = row.get("onset", "").strip()
    if cell.lower() in _NOTHING:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        raise RecordingError(
            f"{table}, row {number}: the onset {cell!r} is not a number of seconds."
        ) from None


def _ids(
    labels: list[str], column: str, notes: list[str]
) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Return the stimuli's ids, where all labels are whole numbers."""
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return None
    if not numbers or any(not number.is_integer() for number in numbers):
        return None
    ids = np.array(numbers, dtype=np.int64)
    if column != "73k_id":
        return ids
    notes.append("Ids are NSD's, counted from 0: the column 73k_id less one.")
    return ids - 1


def _numbered(pattern: str, images: Path, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Return the number that a file's name gives, for every row."""
    match = re.search(rf"(?:^|_){pattern}(?:_|\.)", images.name)
    return np.full(n, int(match[1]), dtype=np.int64) if match else None
