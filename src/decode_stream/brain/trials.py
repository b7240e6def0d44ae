"""Trials as what voxels answered: betas as they are, volumes through the chain of fMRI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.betas import decoded_recording, training_betas
from decode_stream.config import Reading, parse_events
from decode_stream.decoders.design import check_alike, design
from decode_stream.decoders.epochs import cut_trials
from decode_stream.decoders.manifest import EmbeddingSpace, Manifest
from decode_stream.decoders.recipe import Gallery
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray
from decode_stream.stream.window_chain import WindowSpec

from .memory import check_memory

__all__ = ["VoxelTrials", "open_recordings", "voxel_trials"]

#: Volumes are read as a chain gives them, without the bounds of a decoder.
_FREE = WindowSpec(clamp=None)


@dataclass(frozen=True, slots=True, eq=False)
class VoxelTrials:
    """What voxels answered to pictures.

    Attributes
    ----------
    voxels : array of shape (n_trials, n_voxels), float32
        Betas, or the mean of the volumes that answer.
    pictures : array of shape (n_trials,), int64
        Place of what each trial showed among `labels`.
    labels : tuple of str
        What the markers say, each once, or how ``--events`` names it.
    onsets : array of shape (n_trials,), int64
        Sample of the marker, in the recording's own samples.
    sessions : array of shape (n_trials,), int64
        Recording of each trial. It is standardised by itself: of betas it is a session, of volumes a run.
    runs : array of shape (n_trials,), int64
        Run within the recording where that is told, else the recording.
    notes : tuple of str
        What was left out.
    """

    voxels: npt.NDArray[np.float32]
    pictures: IntArray
    labels: tuple[str, ...]
    onsets: IntArray
    sessions: IntArray
    runs: IntArray
    notes: tuple[str, ...] = ()


def open_recordings(
    paths: Sequence[Path], config: Reading, manifest: Manifest | None = None
) -> list[Recording]:
    """Open recordings of voxels; of volumes the betas are made, where the flags or a bundle ask for these.

    Parameters
    ----------
    manifest : Manifest or None
        Of the bundle that decodes them.

    Raises
    ------
    DecodeStreamError
        If none is given, one is given twice or cannot be read, or is of no voxels, or betas cannot be made.
    """
    if not paths:
        raise UsageError(
            "Recordings are needed: decode-stream brain COMMAND RECORDING..., betas or volumes of fMRI."
        )
    resolved = [path.expanduser().resolve() for path in paths]
    if twice := [path.name for path in resolved if resolved.count(path) > 1]:
        raise UsageError(f"{twice[0]} is given twice; its trials would count as repeats of themselves.")
    recordings = [
        open_recording(path, marker_column=config.marker_column, mask=config.mask) for path in paths
    ]
    for recording in recordings:
        if not any(channel.type == "voxel" for channel in recording.channels):
            types = ", ".join(sorted({channel.type for channel in recording.channels}))
            raise RecordingError(f"{recording.name} has channels of type {types}, and no voxels. Give fMRI.")
        if not recording.markers:
            raise RecordingError(
                f"{recording.name} does not say what was shown. {' '.join(recording.notes)}".strip()
            )
    if manifest is not None:
        return [decoded_recording(recording, manifest, config)[0] for recording in recordings]
    return training_betas(recordings, config, lambda text: None)[0]


def voxel_trials(
    recordings: Sequence[Recording],
    config: Reading,
    *,
    lag_s: float | None = None,
    width_s: float | None = None,
    copies: float = 1.5,
    dimension: int = 0,
) -> VoxelTrials:
    """Return the answers of all voxels in every trial.

    Parameters
    ----------
    recordings : sequence of Recording
        Of the same voxels. Which of a person's sessions are there does not matter: repeats count by the picture.
    lag_s, width_s : float or None
        As in `volume_schedule`.
    copies, dimension
        Of `check_memory`: what is done with them.

    Raises
    ------
    DecodeStreamError
        If the recordings do not go together, hold no trial, or do not fit into memory.
    """
    first = recordings[0]
    channels = [channel for channel in first.channels if channel.type == "voxel"]
    check_alike(first, recordings[1:], channels, "fmri")
    check_memory(sum(len(r.markers) for r in recordings), len(channels), copies, dimension)
    places, labels = _places(recordings, config.events)
    if first.epoch is not None and first.epoch.n_times == 1 and lag_s is None and width_s is None:
        return _betas(recordings, places, labels)
    return _volumes(recordings, config, places, labels, lag_s, width_s)


def _places(recordings: Sequence[Recording], events: str | None) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return what each marker stands for, by its place, and what that is called.

    Raises
    ------
    RecordingError
        If ``--events`` names none of the markers.
    """
    found = dict.fromkeys(label for r in recordings for _, label in r.markers)
    names = parse_events(events) or {label: label for label in found}
    labels = tuple(dict.fromkeys(names[label] for label in found if label in names))
    if not labels:
        raise RecordingError(
            f"--events names {', '.join(names)}, and the markers say {', '.join(list(found)[:20])}. Name those."
        )
    return {label: labels.index(name) for label, name in names.items() if name in labels}, labels


def _betas(
    recordings: Sequence[Recording], places: Mapping[str, int], labels: tuple[str, ...]
) -> VoxelTrials:
    names = [channel.name for channel in recordings[0].channels if channel.type == "voxel"]
    markers = [[marker for marker in r.markers if marker[1] in places] for r in recordings]
    voxels = np.empty((sum(map(len, markers)), len(names)), np.float32)
    onsets, pictures, sessions, runs = (list[int]() for _ in range(4))
    for number, (recording, told) in enumerate(zip(recordings, markers, strict=True)):
        rows = [row for row, _ in told]
        there = {channel.name: i for i, channel in enumerate(recording.channels)}
        order = [there[name] for name in names]
        values = recording.read(0, recording.n_samples)[rows]
        voxels[len(onsets) : len(onsets) + len(rows)] = (
            values if order == list(range(len(order))) else values[:, order]
        )
        onsets += rows
        pictures += [places[label] for _, label in told]
        sessions += [number] * len(rows)
        runs += _runs(recording, rows, number)
    shown, at, session, run = (np.array(column, np.int64) for column in (pictures, onsets, sessions, runs))
    return VoxelTrials(voxels, shown, labels, at, session, run)


def _runs(recording: Recording, rows: Sequence[int], number: int) -> list[int]:
    """Return the run of each trial, told apart over recordings."""
    table = recording.stimuli
    if table.run is None:
        return [number] * len(rows)
    of_row = dict(zip(table.onset.tolist(), table.run.tolist(), strict=True))
    return [1000 * number + of_row.get(row, 0) for row in rows]


def _volumes(
    recordings: Sequence[Recording],
    config: Reading,
    places: Mapping[str, int],
    labels: tuple[str, ...],
    lag_s: float | None,
    width_s: float | None,
) -> VoxelTrials:
    nothing = Gallery((), np.empty((0, 1), np.float32), EmbeddingSpace("none", "none", 1), {}, {})
    recipe = design(recordings, "fmri", None, nothing, lag_s=lag_s, width_s=width_s)
    trials = cut_trials(
        recordings,
        recipe.chain,
        _FREE,
        recipe.schedule,
        recipe.n_latencies,
        places,
        marker_offset_s=config.marker_offset_ms / 1e3,
        onset_channel=config.onset_channel,
    )
    if not len(trials.labels):
        raise RecordingError(
            f"No trial of {', '.join(r.name for r in recordings)} is whole and sound: "
            f"{', '.join(f'{n} {why}' for why, n in trials.left_out.items())}."
        )
    assert trials.onsets is not None
    voxels = trials.windows[:, 0].mean(axis=2, dtype=np.float32)
    notes = tuple(f"{n} trials left out: {why}." for why, n in trials.left_out.items())
    return VoxelTrials(voxels, trials.labels, labels, trials.onsets, trials.runs, trials.runs, notes)
