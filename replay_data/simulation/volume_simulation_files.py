"""Simulated runs of volumes as small files: the pictures and the seeds, from which the volumes are made when read."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from decode_stream.replay_data.formats.channels import select_channels
from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable, column_kind
from decode_stream.stream.types import FloatArray

from .simulate_fmri import SIGNAL_PCT, FmriSubject, fmri_subject
from .simulated_volumes import SimulatedVolumes

__all__ = ["inspect", "read", "recognise", "save_volumes"]

_ENDING = ".simulation.json"
_SCHEMA = 1
_FIRST = b'{"volumes_schema":'


class _File(msgspec.Struct, frozen=True):
    """What the file holds."""

    volumes_schema: int
    name: str
    pictures: list[list[float]]
    n_layout: int
    grid: tuple[int, int, int]
    n_voxels: int
    signal_pct: float
    subject_seed: int
    levels: int
    shown: list[int]
    stimuli: dict[str, list[int | float | str]]
    markers: list[tuple[int, str]]
    n_volumes: int
    tr_s: float
    seed: tuple[int, ...]
    artefacts: bool


def save_volumes(
    run: SimulatedVolumes,
    pictures: FloatArray,
    n_layout: int,
    signal_pct: float,
    subject_seed: int,
    path: Path,
    *,
    overwrite: bool = False,
) -> None:
    """Write a simulated run so that `open_recording` opens it.

    Parameters
    ----------
    run : SimulatedVolumes
        Of the subject that ``fmri_subject(pictures, n_layout, signal_pct=..., seed=...)`` makes.
    pictures : array of shape (n_pictures, n_dims)
        Embeddings, among them those of all pictures shown.
    path : Path
        ``NAME.simulation.json``.

    Raises
    ------
    RecordingError
        If the name does not end so, or the file is there already or cannot be written.
    ValueError
        If a picture shown is not among the pictures, or these and the seed make another subject.
    """
    if not path.name.endswith(_ENDING):
        raise RecordingError(f"{path.name} must end in {_ENDING}, or nobody would know what it is.")
    subject = run.subject
    same = (np.asarray(run.shown)[:, None] == np.asarray(pictures)[None]).all(axis=2)
    if not same.any(axis=1).all():
        raise ValueError("Every picture shown must be among the pictures.")
    grid = subject.mask.shape
    file = _File(
        volumes_schema=_SCHEMA,
        name=run.name,
        pictures=np.asarray(pictures, np.float64).tolist(),
        n_layout=n_layout,
        grid=(grid[0], grid[1], grid[2]),
        n_voxels=subject.n_voxels,
        signal_pct=signal_pct,
        subject_seed=subject_seed,
        levels=_levels(subject),
        shown=same.argmax(axis=1).tolist(),
        stimuli={name: getattr(run.stimuli, name).tolist() for name in run.stimuli.columns},
        markers=list(run.markers),
        n_volumes=run.n_samples,
        tr_s=run.tr_s,
        seed=run.seed,
        artefacts=run.artefacts,
    )
    if _levels(_subject(file)) != file.levels:
        raise ValueError("The pictures and the seed make another subject than the run's.")
    with written_whole(path, overwrite=overwrite) as place:
        place.write_bytes(msgspec.json.encode(file))


def recognise(path: Path) -> str:
    """Return ``simulated volumes`` for a file of this kind, as `Layout.recognise` does."""
    if not path.name.endswith(_ENDING) or not path.is_file():
        return ""
    with path.open("rb") as file:
        return "simulated volumes" if file.read(len(_FIRST)) == _FIRST else ""


def read(path: Path, options: ReadOptions) -> SimulatedVolumes:
    """Open a simulated run; its volumes are made when it is first read.

    Raises
    ------
    RecordingError
        If the file is damaged, an option does not apply, or this installation would make another subject.
    """
    asked = {"marker column": options.marker_column, "unit": options.unit, "mask": options.mask}
    for what, value in (asked | {"stream": options.stream}).items():
        if value is not None:
            raise RecordingError(
                f"{path} is simulated, with a {what} of its own; {value!r} cannot be asked of it."
            )
    file = _load(path)
    try:
        columns: dict[str, Any] = {
            name: np.array(values, column_kind(name)) for name, values in file.stimuli.items()
        }
        subject = _subject(file)
        run = SimulatedVolumes(
            subject=subject,
            shown=np.array(file.pictures)[file.shown],
            stimuli=StimulusTable(**columns),
            n_samples=file.n_volumes,
            tr_s=file.tr_s,
            seed=file.seed,
            name=file.name,
            artefacts=file.artefacts,
            labels=tuple(file.markers),
            notes=_notes(file),
        )
    except (ValueError, TypeError, IndexError) as error:
        raise RecordingError(f"{path} is damaged: {error}. Simulate again.") from error
    if _levels(subject) != file.levels:
        raise RecordingError(
            f"{path} was made by another version of NumPy, whose random numbers are not those of this one. Simulate "
            "again."
        )
    kept = select_channels(subject.channels, str(path), options.exclude_channels, options.modality)
    if len(kept) < subject.n_voxels:
        raise RecordingError(f"{path} is simulated with all its voxels; none can be left out.")
    return run


def inspect(path: Path) -> Inspection:
    """Return what a simulated run holds."""
    run = read(path, ReadOptions())
    facts = (
        ("voxels", f"{run.subject.n_voxels} of a grid of {run.subject.mask.shape}"),
        ("artefacts", "yes" if run.artefacts else "none"),
        *describe(run),
    )
    return Inspection("simulated volumes", facts, tuple(Finding("note", note) for note in run.notes))


def _load(path: Path) -> _File:
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.MsgspecError as error:
        raise RecordingError(f"{path} is damaged: {error}. Simulate again.") from error
    if file.volumes_schema != _SCHEMA:
        raise RecordingError(
            f"{path} has schema {file.volumes_schema} and this program reads schema {_SCHEMA}. Install a newer "
            "decode-stream, or simulate again."
        )
    return file


def _subject(file: _File) -> FmriSubject:
    return fmri_subject(
        np.array(file.pictures),
        file.n_layout,
        grid=file.grid,
        n_voxels=file.n_voxels,
        signal_pct=file.signal_pct,
        seed=file.subject_seed,
    )


def _notes(file: _File) -> tuple[str, ...]:
    times = file.signal_pct / SIGNAL_PCT
    if abs(times - 1) < 1e-6:
        return ("Simulated.",)
    return (
        "Simulated.",
        f"Responses are {times:g} times as large as those of people, for showing; no score of them speaks of people.",
    )


def _levels(subject: FmriSubject) -> int:
    """Return a number that tells subjects apart: all that is drawn at random for one goes before these levels."""
    return int(subject.level.astype(np.int64) @ np.arange(1, subject.n_voxels + 1))
