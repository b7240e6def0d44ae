"""Simulated recordings as small files that generate their signal while they are read.

::

    NAME.simulation.json                what was shown when, length and seeds; names the two files below, beside it
    SUBJECT.forward.safetensors         the subject
    SUBJECT.pictures.safetensors        embeddings (n_pictures, n_dims)
"""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.channels import select_channels
from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable

from .forward import load_forward, save_forward
from .simulated import SimulatedRecording, Simulation

__all__ = ["inspect", "read", "recognise", "save_simulation"]

_SCHEMA = 1
_ENDING = ".simulation.json"
_WORDS = "simulated recording"


class _File(msgspec.Struct, frozen=True):
    """What the JSON file holds."""

    schema: int
    name: str
    forward: str
    pictures: str
    n_samples: int
    seed: int
    artefacts: bool
    shown: list[int]
    stimuli: dict[str, list[int | str]]


def save_simulation(recording: SimulatedRecording, path: Path, *, overwrite: bool = False) -> None:
    """Write a simulated recording so that `open_recording` opens it, with its subject and pictures beside it.

    Parameters
    ----------
    path : Path
        ``NAME.simulation.json``. Recordings of one subject in one folder share the subject and pictures: these are
        named after what is before the first ``_`` of NAME, and left as they are if they are there.

    Raises
    ------
    RecordingError
        If the name does not end so, another subject or other pictures lie there already, or nothing can be written.
    """
    if not path.name.endswith(_ENDING):
        raise RecordingError(f"{path.name} must end in {_ENDING}, or nobody would know what it is.")
    simulation = recording.simulation
    stem = path.name.removesuffix(_ENDING).partition("_")[0]
    forward, pictures = (path.with_name(f"{stem}.{part}.safetensors") for part in ("forward", "pictures"))
    if overwrite or not forward.exists():
        save_forward(simulation.forward, forward, overwrite=overwrite)
    elif not _same(load_forward(forward), simulation.forward):
        raise RecordingError(
            f"{forward} is another subject. Give another name before the first _, or --overwrite."
        )
    if overwrite or not pictures.exists():
        _save_pictures(simulation.embeddings, pictures, overwrite)
    elif not np.array_equal(_load_pictures(pictures), simulation.embeddings):
        raise RecordingError(
            f"{pictures} holds other pictures. Give another name before the first _, or --overwrite."
        )
    table = simulation.stimuli
    file = _File(
        _SCHEMA,
        simulation.name,
        forward.name,
        pictures.name,
        simulation.n_samples,
        simulation.seed,
        simulation.artefacts,
        simulation.shown.tolist(),
        {name: getattr(table, name).tolist() for name in table.columns},
    )
    with written_whole(path, overwrite=overwrite) as place:
        place.write_bytes(msgspec.json.encode(file))


def _same(one: Any, other: Any) -> bool:
    """Return whether two subjects, or parts of them, are one to the last number."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if is_dataclass(one) and type(one) is type(other):
        return all(_same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    return bool(one == other)


def recognise(path: Path) -> str:
    """Return ``simulated recording`` for ``NAME.simulation.json``, as `Layout.recognise` does."""
    return _WORDS if path.name.endswith(_ENDING) and path.is_file() else ""


def read(path: Path, options: ReadOptions) -> SimulatedRecording:
    """Open a simulated recording; its signal is generated when it is read.

    Raises
    ------
    RecordingError
        If a file is missing or damaged, or an option does not apply.
    """
    asked = {"marker column": options.marker_column, "unit": options.unit, "mask": options.mask}
    for what, value in asked.items():
        if value is not None:
            raise RecordingError(
                f"{path} is simulated, with a {what} of its own; {value!r} cannot be asked of it."
            )
    simulation = _load(path)
    kept = select_channels(simulation.forward.channels, str(path), options.exclude_channels, options.modality)
    every = len(kept) == len(simulation.forward.channels)
    return SimulatedRecording(simulation, None if every else np.array(kept))


def inspect(path: Path) -> Inspection:
    """Return what a simulated recording holds."""
    recording = read(path, ReadOptions())
    forward = recording.simulation.forward
    facts = (
        ("subject", f"{forward.modality}, seed {forward.seed}, {len(forward.component)} sources"),
        ("pictures", f"{len(recording.simulation.embeddings)} of {forward.n_dims} dimensions"),
        ("artefacts", "yes" if recording.simulation.artefacts else "none"),
        *describe(recording),
    )
    return Inspection(_WORDS, facts, tuple(Finding("note", note) for note in recording.notes))


def _load(path: Path) -> Simulation:
    try:
        text = path.read_bytes()
        if (schema := msgspec.json.decode(text)["schema"]) != _SCHEMA:
            raise RecordingError(
                f"{path} has schema {schema} and this program reads schema {_SCHEMA}. Install a newer "
                "decode-stream, or simulate again."
            )
        file = msgspec.json.decode(text, type=_File)
        for name in (file.forward, file.pictures):
            if Path(name).name != name:
                raise RecordingError(f"{path} names {name!r}; the files that belong to it lie beside it.")
        columns: dict[str, Any] = {
            name: np.array(values, np.str_ if name in ("concept", "image", "split") else np.int64)
            for name, values in file.stimuli.items()
        }
        return Simulation(
            load_forward(path.with_name(file.forward)),
            _load_pictures(path.with_name(file.pictures)),
            np.array(file.shown, np.int64),
            StimulusTable(**columns),
            file.n_samples,
            file.seed,
            file.name,
            file.artefacts,
        )
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{path} is damaged or no simulated recording: {error}. Simulate again."
        ) from error


def _save_pictures(embeddings: npt.NDArray[np.float32], path: Path, overwrite: bool) -> None:
    from safetensors.numpy import save

    with written_whole(path, overwrite=overwrite) as place:
        place.write_bytes(save({"embeddings": np.ascontiguousarray(embeddings, np.float32)}))


def _load_pictures(path: Path) -> npt.NDArray[np.float32]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            embeddings: npt.NDArray[np.float32] = file.get_tensor("embeddings")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise RecordingError(f"{path} is damaged or holds no embeddings: {error}. Simulate again.") from error
    return embeddings
