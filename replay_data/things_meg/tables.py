"""What was shown in THINGS-MEG: the tables beside the recordings, and THINGS' own list of pictures.

Ids are THINGS' image numbers: 1-based rows of ``image_paths.csv``. Catch pictures, made for the task, have none: in
events they are 999999 or empty, here -1.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.bids import read_table
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

__all__ = [
    "CATCH",
    "N_TRIALS",
    "EventRows",
    "agreed",
    "find_near",
    "named_by_paths",
    "read_attributes",
    "read_events",
    "read_metadata",
    "told_by_counts",
]

#: Event id of catch trials.
CATCH = 999999
#: Trials of a person: 1854 concepts x 12 pictures, 200 test pictures x 12 sessions, 2400 catch trials.
N_TRIALS = 27048
_N_REPEATS = 12

_SPLITS = {"exp": "train", "test": "test", "catch": "catch"}
_PATHS = (
    *("image_paths.csv", "Metadata/Image-specific/image_paths.csv", "Variables/image_paths.csv"),
    *("THINGS/Metadata/Image-specific/image_paths.csv", "things/Metadata/Image-specific/image_paths.csv"),
)
_NEEDED = ("trial_type", "things_image_nr", "image_path", "session_nr", "run_nr")
_MAX_LEVELS = 6
#: Above this share of rows that differ, two tables are of different people or runs.
_MOST_DIFFERING = 0.5


class _Trial(msgspec.Struct):
    """What is used of a row; an empty cell of the table is null in metadata."""

    trial_type: str | None = None
    things_image_nr: float | None = None
    image_path: str | None = None
    session_nr: float | None = None
    run_nr: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EventRows:
    """A run's ``events.tsv``.

    Attributes
    ----------
    sample : array of shape (n,), int64
        Onset in the recording's samples, corrected by the optical sensor.
    id : array of shape (n,), int64, or None
        THINGS' image number, -1 for catch trials.
    note : str
        What was assumed, or empty.
    """

    sample: IntArray
    id: IntArray | None
    note: str


def find_near(path: Path, names: Iterable[str]) -> Path | None:
    """Return the first of some files in the folders above a path, the nearest folder first."""
    names = tuple(names)
    folders = list(path.absolute().parents)[:_MAX_LEVELS]
    return next((place for above in folders for name in names if (place := above / name).is_file()), None)


def read_attributes(path: Path) -> StimulusTable:
    """Return all trials of a person from ``sample_attributes_P*.csv``; `onset` holds the row's number.

    Raises
    ------
    RecordingError
        If it cannot be read or lacks a column.
    """
    rows = _attribute_rows(path)
    try:
        trials = [
            _Trial(
                row["trial_type"].strip(),
                _number(row["things_image_nr"]),
                row["image_path"].strip(),
                _number(row["session_nr"]),
                _number(row["run_nr"]),
            )
            for row in rows
        ]
    except ValueError as error:
        raise RecordingError(f"{path} holds {error}, where a number should be. Download it again.") from error
    return _table(trials, str(path))


def read_metadata(records: Sequence[bytes], source: str) -> StimulusTable:
    """Return the trials from the tables kept in the parts of a file of trials, as `read_attributes` does.

    Raises
    ------
    RecordingError
        If they are no such tables.
    """
    try:
        trials = [trial for part in records for trial in msgspec.json.decode(part, type=list[_Trial])]
    except msgspec.MsgspecError as error:
        raise RecordingError(
            f"{source} holds a table of trials that cannot be read: {error}. Download it again."
        ) from error
    return _table(trials, source)


def _table(trials: Sequence[_Trial], source: str) -> StimulusTable:
    kinds = {trial.trial_type for trial in trials} - set(_SPLITS)
    if kinds or not trials:
        held = ", ".join(sorted(map(str, kinds))) or "no rows"
        raise RecordingError(f"{source} holds trials of type {held}; THINGS-MEG has exp, test and catch.")
    pictures = [_picture(trial.image_path or "") for trial in trials]
    ids = np.array([_id(trial.things_image_nr) for trial in trials], np.int64)
    return StimulusTable(
        onset=np.arange(len(trials)),
        id=ids,
        concept=np.array([concept for concept, _ in pictures]),
        image=np.array([image for _, image in pictures]),
        split=np.array([_SPLITS[str(trial.trial_type)] for trial in trials]),
        session=np.array([_id(trial.session_nr) for trial in trials]),
        run=np.array([_id(trial.run_nr) for trial in trials]),
        repeat=_repeats(ids),
    )


def _picture(path: str) -> tuple[str, str]:
    """Return a picture's concept and its place in THINGS: ``notebook`` and ``notebook/notebook_03s.jpg``."""
    folder, _, name = path.rpartition("/")
    if not name or folder.startswith("images_catch"):
        return "", path
    own = folder.rpartition("/")[2]
    concept = name.rpartition(".")[0].rpartition("_")[0] if own.startswith("images_test") else own
    return concept, f"{concept}/{name}"


def _repeats(ids: IntArray) -> IntArray:
    """Return how often each stimulus had been shown by then, itself counted; -1 where it is not known."""
    order = np.argsort(ids, kind="stable")
    begins = np.flatnonzero(np.diff(ids[order], prepend=ids[order][:1] - 1))
    lengths = np.diff(np.append(begins, len(ids)))
    repeats = np.empty(len(ids), np.int64)
    repeats[order] = np.arange(len(ids)) - np.repeat(begins, lengths) + 1
    return np.where(ids < 0, -1, repeats)


def _number(cell: str) -> float | None:
    cell = cell.strip()
    return None if cell.lower() in ("", "nan", "n/a") else float(cell)


def _id(number: float | None) -> int:
    return -1 if number is None or number == CATCH or number != number else int(number)


def read_events(path: Path, sfreq_hz: float, n_samples: int) -> EventRows:
    """Return the rows of a run's ``events.tsv``.

    Raises
    ------
    RecordingError
        If it cannot be read, tells no onsets, or one lies outside the recording.
    """
    rows = read_table(path)
    if not rows:
        raise RecordingError(f"{path} holds no rows. Download it again.")
    columns = rows[0].keys()
    if "sample" not in columns and "onset" not in columns:
        raise RecordingError(f"{path} has neither a column 'sample' nor 'onset'. Download it again.")
    onset = "sample" if "sample" in columns else "onset"
    label = next((name for name in ("value", "things_image_nr") if name in columns), None)
    try:
        at = np.array([float(row[onset]) for row in rows])
        ids = None if label is None else np.array([_id(_number(row[label])) for row in rows], np.int64)
    except ValueError as error:
        raise RecordingError(f"{path} holds {error}, where a number should be. Download it again.") from error
    note = ""
    if onset == "onset":
        at = at * sfreq_hz
        note = f"{path.name} has no column 'sample': onsets are its seconds, to the nearest sample."
    samples = np.rint(at).astype(np.int64)
    if len(outside := samples[(samples < 0) | (samples >= n_samples)]):
        raise RecordingError(
            f"{path} has an onset at sample {outside[0]}, and the recording has {n_samples}. One of them belongs to "
            "another run, or is cut off."
        )
    return EventRows(samples, ids, note)


def agreed(
    table: StimulusTable, ids: IntArray, ids_from: str, table_from: str
) -> tuple[StimulusTable, list[str]]:
    """Return a table's rows with the ids of another source, and without a picture where the two differ.

    Parameters
    ----------
    table : StimulusTable
        With all columns.
    ids : array of shape (n,), int64
        Row by row.
    ids_from, table_from : str
        Where they come from, for messages.

    Returns
    -------
    StimulusTable
    list of str
        What to tell, empty where they agree.

    Raises
    ------
    RecordingError
        If most rows differ.
    """
    assert table.id is not None
    differ = np.flatnonzero(table.id != ids)
    if len(differ) == 0:
        return table, []
    shown = ", ".join(f"row {row + 1}: {ids[row]} and {table.id[row]}" for row in differ[:3])
    more = ", ..." if len(differ) > 3 else ""
    said = f"{len(differ)} of {len(ids)} rows name different pictures in {ids_from} and {table_from} ({shown}{more})"
    if len(differ) > _MOST_DIFFERING * len(ids):
        raise RecordingError(f"{said}. They are of different subjects or runs; download both again.")
    open_: dict[str, Any] = {}
    for name, nothing in (("image", ""), ("concept", ""), ("repeat", -1)):
        values = getattr(table, name)
        if values is not None:
            values = values.copy()
            values[differ] = nothing
            open_[name] = values
    return replace(table, id=ids, **open_), [
        f"{said}. The id is that of {ids_from}; picture and concept are left open there."
    ]


def named_by_paths(table: StimulusTable, path: Path) -> tuple[StimulusTable, str]:
    """Return a table of ids with concepts and pictures by THINGS' ``image_paths.csv``, and which file told so.

    Parameters
    ----------
    path : Path
        The recording; the list is looked for in the folders above it.
    """
    found = find_near(path, _PATHS)
    if found is None or table.id is None:
        return table, ""
    lines = [line.strip().strip('"') for line in _text(found).splitlines()]
    pictures = [_picture(line) for line in lines if line]
    if len(table) and table.id.max() > len(pictures):
        raise RecordingError(
            f"{found} lists {len(pictures)} pictures, and one of number {table.id.max()} was shown. Download the list "
            "again: THINGS, OSF jum2f."
        )
    blank = ("", "")
    named = [pictures[number - 1] if number > 0 else blank for number in table.id]
    concepts, images = np.array(named).reshape(-1, 2).T
    return replace(table, concept=concepts, image=images), str(found)


def told_by_counts(ids: IntArray) -> npt.NDArray[np.str_] | None:
    """Return train and test as a person's whole ids tell them: test pictures were shown 12 times, others once."""
    values, places, counts = np.unique(ids, return_inverse=True, return_counts=True)
    is_test = (counts == _N_REPEATS) & (values >= 0)
    if not is_test.any():
        return None
    kinds = np.where(values < 0, "catch", np.where(is_test, "test", "train"))
    return np.asarray(kinds[places], dtype=np.str_)


def _attribute_rows(path: Path) -> list[Mapping[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows: list[Mapping[str, str]] = list(reader)
            columns = reader.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path} is not a table of text: {error}. Download it again.") from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    if missing := [name for name in _NEEDED if name not in columns]:
        raise RecordingError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(columns) or 'none'}. Download it again."
        )
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} cannot be read: {error}.") from error
