"""Read functional images in NIfTI files, with stimuli and motion estimates from the tables beside them."""

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray

from .events_tables import find_events, read_volume_events
from .motion_tables import MOTION_CHANNELS, WithMotion, find_motion, read_motion
from .nifti_volumes import NiftiImage, NiftiVoxels, open_nifti, read_volume
from .voxels import (
    VoxelRecording,
    VoxelSource,
    check_grid,
    is_a_path,
    read_mask,
    refuse_options,
    select_voxels,
)

__all__ = ["inspect", "read", "recognise", "repetition_time_s"]

_ENDINGS = (".nii", ".nii.gz")
#: No scanner takes a minute for a volume: what is longer was written in milliseconds.
_LONGEST_TR_S = 60.0


def recognise(path: Path) -> str:
    """Return ``NIfTI images`` for a NIfTI file, as `Layout.recognise` does."""
    return "NIfTI images" if path.is_file() and path.name.endswith(_ENDINGS) else ""


def read(path: Path, options: ReadOptions) -> VoxelRecording:
    """Open a NIfTI file of four axes as a recording of volumes.

    Its channels are the voxels of the mask, in C order over (x, y, z); without a mask, those that the first volume
    shows above zero, so that nothing is told by volumes that have not been recorded yet. Where motion estimates lie
    beside it (`find_motion`), six channels of them follow.

    Raises
    ------
    RecordingError
        If the file is damaged, cut off, of one volume or without a repetition time, the mask lies on another grid, or
        the tables beside it cannot be read.
    """
    refuse_options(str(path), unit=options.unit)
    image = open_nifti(path)
    if image.n_volumes is None:
        raise RecordingError(
            f"{path} holds one volume of shape {image.shape}, not a recording. If it is a mask, give it as that."
        )
    notes: list[str] = []
    tr_s = repetition_time_s(image, notes)
    first = read_volume(image)
    mask = _mask(image, first, options.mask, notes)
    voxels, channels = select_voxels(mask, image.affine_mm, "", str(path), options)
    if n_unknown := int(np.count_nonzero(~np.isfinite(first[tuple(voxels.T)]))):
        notes.append(
            f"{n_unknown} of the {len(voxels)} voxels are not finite in the first volume; a mask can leave them out."
        )
    table = find_events(path)
    if table is None:
        if options.marker_column is not None:
            raise RecordingError(
                f"{path} has no events.tsv beside it, so no column {options.marker_column!r} either."
            )
        notes.append("No events.tsv lies beside it, so nothing says what was shown.")
    events = read_volume_events(table, path, tr_s, image.n_volumes, options.marker_column, notes)
    source: VoxelSource = NiftiVoxels(image, voxels)
    if (motion := find_motion(path)) is not None:
        source = WithMotion(source, read_motion(motion, image.n_volumes))
        channels = (*channels, *MOTION_CHANNELS)
        notes.append(f"Motion estimates are those of {motion.name}: six channels after the voxels.")
    return VoxelRecording(
        source=source,
        name=path.name,
        channels=channels,
        sfreq_hz=1 / tr_s,
        voxels=voxels,
        grid=image.shape,
        affine_mm=image.affine_mm,
        stimuli=events.stimuli,
        markers=events.markers,
        notes=tuple(notes),
    )


def inspect(path: Path) -> Inspection:
    """Return what a NIfTI file holds."""
    image = open_nifti(path)
    facts = [
        ("shape", f"{(*image.shape, image.n_volumes) if image.n_volumes else image.shape}"),
        ("stored as", f"{image.dtype}, times {image.slope:g} plus {image.inter:g}"),
    ]
    if image.n_volumes is None:
        values = read_volume(image)
        labels = np.unique(values[np.isfinite(values)])
        facts.append(("values", f"{np.count_nonzero(values > 0)} of {values.size} voxels above zero"))
        if len(labels) <= 256 and not np.any(labels % 1):
            facts.append(("labels", ", ".join(f"{label:g}" for label in labels)))
        note = Finding("note", "It holds one volume: no recording, but it can be the mask of one.")
        return Inspection("NIfTI image of one volume", tuple(facts), (note,))
    recording = read(path, ReadOptions())
    facts.append(("repetition time", f"{1 / recording.sfreq_hz:.4g} s"))
    table = find_events(path)
    if table is not None:
        facts.append(("events", table.name))
    findings = tuple(Finding("note", note) for note in recording.notes)
    return Inspection(recognise(path), (*facts, *describe(recording)), findings)


def _mask(image: NiftiImage, first: FloatArray, asked: str | None, notes: list[str]) -> npt.NDArray[np.bool_]:
    """Return which voxels are read, shape (x, y, z)."""
    if asked is None:
        notes.append("Without a mask, the voxels are those that the first volume shows above zero.")
        found: npt.NDArray[np.bool_] = np.isfinite(first) & (first > 0)
        if not found.any():
            raise RecordingError(
                f"{image.path} has no voxel above zero in its first volume. Give a mask, or 'all' for every voxel."
            )
        return found
    if asked == "all":
        return np.ones(image.shape, dtype=np.bool_)
    if not is_a_path(asked):
        raise RecordingError(
            f"{image.path} knows no region {asked!r}; regions have names in NSD. Give the path of a mask (.nii.gz), "
            "or 'all'."
        )
    values, mask = read_mask(Path(asked).expanduser())
    check_grid(mask, image.shape, image.affine_mm, image.path)
    return values > 0


def repetition_time_s(image: NiftiImage, notes: list[str]) -> float:
    """Return the repetition time in seconds, from the BIDS text beside the images if there is one, else their header.

    Parameters
    ----------
    image : NiftiImage
        With an axis of time.
    notes : list of str
        Is added to.

    Raises
    ------
    RecordingError
        If neither tells it, or the text cannot be read.
    """
    header_s = image.tr_s
    if header_s > _LONGEST_TR_S:
        notes.append(f"The header's repetition time, {header_s:g} s, was taken as milliseconds.")
        header_s /= 1e3
    told = _sidecar_tr_s(image.path)
    if told is not None:
        tr_s, source = told
        if abs(tr_s - header_s) > 0.01 * tr_s:
            notes.append(
                f"The repetition time is {tr_s:g} s by {source.name}; the header says {header_s:g} s."
            )
        return tr_s
    if not np.isfinite(header_s) or header_s <= 0:
        raise RecordingError(
            f"{image.path} does not say its repetition time (the header has {header_s:g} s). Write it in seconds as "
            f'{{"RepetitionTime": 2.0}} to {_stem(image.path)}.json beside it.'
        )
    if header_s == 1.0:
        notes.append(
            "The header's repetition time is 1 s, which programs also write that do not know it. If that is wrong, "
            f'write {{"RepetitionTime": seconds}} to {_stem(image.path)}.json beside it.'
        )
    return header_s


def _sidecar_tr_s(path: Path) -> tuple[float, Path] | None:
    """Return BIDS's ``RepetitionTime``: of the file's own text, or inherited from the folders above."""
    stem = _stem(path)
    candidates = [path.with_name(f"{stem}.json")]
    if task := re.search(r"(?:^|_)(task-[^_]+)", stem):
        candidates += [folder / f"{task[1]}_bold.json" for folder in list(path.parents)[:4]]
    for text in candidates:
        if not text.is_file():
            continue
        try:
            tr_s = json.loads(text.read_bytes()).get("RepetitionTime")
            if tr_s is not None and float(tr_s) > 0:
                return float(tr_s), text
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise RecordingError(
                f"{text} is not the JSON text that BIDS has: {error}. Repair or remove it."
            ) from error
    return None


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
