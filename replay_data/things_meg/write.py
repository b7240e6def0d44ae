"""Write recordings in the layout of THINGS-MEG: CTF runs in BIDS folders, with the tables of the dataset."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.replay_data.formats.write_ctf import Vector, write_ctf
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.recording import Recording
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

from .run_channels import IMAGE_S, LEAD_S, RunAsPublished
from .tables import CATCH

__all__ = ["attribute_rows", "write_attributes", "write_runs"]

_KINDS = {"train": "exp", "test": "test", "catch": "catch"}
_FOLDERS = {"train": "images_meg", "test": "images_test_meg", "catch": "images_catch_meg"}
#: Columns of sample_attributes_P*.csv, in its order.
_COLUMNS = (
    *("trial_type", "image_nr", "category_nr", "exemplar_nr", "test_image_nr", "things_category_nr"),
    *("things_image_nr", "things_exemplar_nr", "image_path", "onset", "image_on", "image_off", "responded"),
    *("key_id", "key_time", "RT", "session_nr", "run_nr"),
)
#: Grade of compensation that the published runs declare.
_GRADE = 3
_Row = dict[str, Any]


def write_runs(
    root: Path,
    subject: int,
    runs: Iterable[Recording],
    *,
    orientations: Mapping[str, Vector] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a person's runs, their events, and the tables of the dataset.

    Where a run lacks the published trigger port, system clock and optical sensor, these are made: a code 64 10 ms
    before every picture and 32 at the end, and a sensor that is bright for the half second of a picture.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    subject : int
        1-based.
    runs : iterable of Recording
        One at a time, in order; each continuous, with `stimuli` that have id, split, session and run, and concept and
        image if they are to be named: training images in a folder of their concept, test images as ``concept_01.jpg``,
        from which readers tell the concept.
    orientations : mapping of str to (x, y, z), optional
        As in `write_ctf`.
    overwrite : bool
        Whether to replace runs that stand there.

    Returns
    -------
    list of Path
        The ``.ds`` folders.

    Raises
    ------
    ValueError
        If a recording's stimuli lack a column, or are of several runs.
    RecordingError
        If a file cannot be written.
    """
    tables: list[StimulusTable] = []
    written: list[Path] = []
    rate_hz = 0.0
    for run in runs:
        session, number = _place_of(run)
        folder = root / f"sub-BIGMEG{subject}" / f"ses-{session:02}" / "meg"
        stem = f"sub-BIGMEG{subject}_ses-{session:02}_task-main_run-{number:02}"
        whole = RunAsPublished(run)
        grade = _GRADE if any(channel.type == "ref_meg" for channel in run.channels) else 0
        path = folder / f"{stem}_meg.ds"
        write_ctf(
            whole,
            path,
            orientations=orientations,
            grade=grade,
            subject=f"BIGMEG{subject}",
            overwrite=overwrite,
        )
        rate_hz = run.sfreq_hz
        _write_table(
            folder / f"{stem}_events.tsv", _EVENT_COLUMNS, _event_rows(run.stimuli, rate_hz), "\t", "n/a"
        )
        _write_sidecars(folder, stem, whole)
        tables.append(run.stimuli)
        written.append(path)
    if not written:
        raise ValueError("There are no runs to write.")
    write_attributes(root, subject, tables, rate_hz)
    _write_dataset_files(root, subject)
    return written


def _place_of(run: Recording) -> tuple[int, int]:
    """Return session and run, the same for all rows."""
    table = run.stimuli
    if table.id is None or table.split is None or table.session is None or table.run is None:
        raise ValueError(f"{run.name} must tell id, split, session and run; it tells {table.columns}.")
    if run.epoch is not None or len(np.unique(table.session)) != 1 or len(np.unique(table.run)) != 1:
        raise ValueError(f"{run.name} must be one continuous run of one session.")
    return int(table.session[0]), int(table.run[0])


def write_attributes(root: Path, subject: int, tables: Sequence[StimulusTable], sfreq_hz: float) -> Path:
    """Write ``sourcedata/sample_attributes_P*.csv``: one row a trial of all runs, in order.

    Parameters
    ----------
    tables : sequence of StimulusTable
        One for each run, with onsets in samples of the run.
    sfreq_hz : float
        Rate that onsets are counted at.

    Raises
    ------
    RecordingError
        If it cannot be written.
    """
    path = root / "sourcedata" / f"sample_attributes_P{subject}.csv"
    _write_table(path, _COLUMNS, attribute_rows(tables, sfreq_hz), ",", "")
    return path


def attribute_rows(tables: Sequence[StimulusTable], sfreq_hz: float) -> list[_Row]:
    """Return the rows of ``sample_attributes_P*.csv`` for all trials of a person, None where there is no value.

    Parameters
    ----------
    tables : sequence of StimulusTable
        In order, each with id, split, session and run; onsets in samples of its recording.
    sfreq_hz : float
        Rate that onsets are counted at.
    """
    ids = np.concatenate([_ids(table) for table in tables])
    kinds = np.concatenate([_column(table.split, table) for table in tables])
    concepts = np.concatenate([_column(table.concept, table) for table in tables])
    images = np.concatenate([_column(table.image, table) for table in tables])
    onset_s = np.concatenate([table.onset for table in tables]) / sfreq_hz
    places = [(table.session[i], table.run[i]) for table in tables for i in range(len(table))]  # type: ignore[index]
    categories = {name: number for number, name in enumerate(sorted(set(concepts[ids >= 0]) - {""}), start=1)}
    tests = {number: place for place, number in enumerate(np.unique(ids[kinds == "test"]).tolist(), start=1)}
    exemplars = _exemplars(ids, concepts)
    rows = []
    for i, (number, kind) in enumerate(zip(ids.tolist(), kinds.tolist(), strict=True)):
        known = number if number >= 0 else None
        category = categories.get(concepts[i]) if known else None
        row = dict.fromkeys(_COLUMNS)
        row |= {
            "trial_type": _KINDS[kind],
            "image_nr": known,
            "category_nr": category,
            "exemplar_nr": exemplars.get(number),
            "test_image_nr": tests.get(number) if kind == "test" else None,
            "things_category_nr": category,
            "things_image_nr": known,
            "things_exemplar_nr": exemplars.get(number),
            "image_path": _image_path(kind, images[i], i),
            "onset": round(float(onset_s[i]), 4),
            "image_on": round(float(onset_s[i] - LEAD_S), 4),
            "image_off": round(float(onset_s[i] - LEAD_S + IMAGE_S), 4),
            "responded": 0,
            "session_nr": int(places[i][0]),
            "run_nr": int(places[i][1]),
        }
        rows.append(row)
    return rows


def _exemplars(ids: IntArray, concepts: Any) -> dict[int, int]:
    """Return the place of every picture among those of its concept, from 1."""
    by_concept: dict[str, set[int]] = {}
    for number, concept in zip(ids.tolist(), concepts.tolist(), strict=True):
        if number >= 0:
            by_concept.setdefault(concept, set()).add(number)
    return {n: place for of_one in by_concept.values() for place, n in enumerate(sorted(of_one), start=1)}


def _ids(table: StimulusTable) -> IntArray:
    """Return ids with -1 for catch pictures, which have no number."""
    assert table.id is not None
    return np.where((table.id == CATCH) | (table.id < 0), -1, table.id)


def _column(values: Any, table: StimulusTable) -> Any:
    return np.full(len(table), "") if values is None else values


def _image_path(kind: str, image: str, row: int) -> str:
    if kind == "train":
        return f"{_FOLDERS[kind]}/{image}"
    return f"{_FOLDERS[kind]}/{image.rpartition('/')[2] or f'{kind}{row + 1:03}.jpg'}"


_EVENT_COLUMNS = ("onset", "duration", "sample", "trial_type", "value", "image_on", "image_off")


def _event_rows(table: StimulusTable, sfreq_hz: float) -> list[_Row]:
    split = _column(table.split, table)
    rows = []
    for onset, number, kind in zip(table.onset.tolist(), _ids(table).tolist(), split.tolist(), strict=True):
        at_s = onset / sfreq_hz
        rows.append(
            {
                "onset": round(at_s, 6),
                "duration": IMAGE_S,
                "sample": onset,
                "trial_type": _KINDS[kind],
                "value": number if number >= 0 else None,
                "image_on": round(at_s - LEAD_S, 4),
                "image_off": round(at_s - LEAD_S + IMAGE_S, 4),
            }
        )
    return rows


def _write_table(
    path: Path, columns: Sequence[str], rows: Sequence[_Row], delimiter: str, nothing: str
) -> None:
    with written_whole(path, overwrite=True) as place, place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([nothing if row[name] is None else row[name] for name in columns] for row in rows)


def _write_text(path: Path, text: str) -> None:
    with written_whole(path, overwrite=True) as place:
        place.write_text(text, encoding="utf-8")


def _write_sidecars(folder: Path, stem: str, run: Recording) -> None:
    """Write what BIDS asks for beside a run."""
    about = {
        "TaskName": "main",
        "Manufacturer": "CTF",
        "PowerLineFrequency": 60,
        "SamplingFrequency": run.sfreq_hz,
        "SoftwareFilters": "n/a",
        "RecordingDuration": run.n_samples / run.sfreq_hz,
        "RecordingType": "continuous",
        "DewarPosition": "n/a",
        "DigitizedLandmarks": False,
        "DigitizedHeadPoints": False,
    }
    _write_text(folder / f"{stem}_meg.json", json.dumps(about, indent=4) + "\n")
    kinds = {"mag": "MEGGRADAXIAL", "ref_meg": "MEGREFMAG", "stim": "TRIG"}
    rows = [
        {
            "name": c.name,
            "type": kinds.get(c.type, "MISC"),
            "units": "T" if c.type in ("mag", "ref_meg") else "V",
        }
        for c in run.channels
    ]
    _write_table(folder / f"{stem}_channels.tsv", ("name", "type", "units"), rows, "\t", "n/a")
    frame = {
        "MEGCoordinateSystem": "CTF",
        "MEGCoordinateUnits": "cm",
        "HeadCoilCoordinateSystem": "CTF",
        "HeadCoilCoordinateUnits": "cm",
    }
    name = stem.split("_task-")[0]
    _write_text(folder / f"{name}_coordsystem.json", json.dumps(frame, indent=4) + "\n")


def _write_dataset_files(root: Path, subject: int) -> None:
    about = {"Name": "Simulated in the layout of THINGS-MEG", "BIDSVersion": "1.7.0", "DatasetType": "raw"}
    _write_text(root / "dataset_description.json", json.dumps(about, indent=4) + "\n")
    held = {path.name for path in root.glob("sub-BIGMEG*")} | {f"sub-BIGMEG{subject}"}
    rows: list[_Row] = [{"participant_id": name} for name in sorted(held)]
    _write_table(root / "participants.tsv", ("participant_id",), rows, "\t", "n/a")
