"""A run of volumes as a stream: which voxels are its channels, and each volume as a row of them."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.betas import same_tr
from decode_stream.decoders.bundle import Bundle
from decode_stream.replay_data.formats.motion_tables import MOTION_CHANNELS
from decode_stream.replay_data.formats.nifti_volumes import open_nifti, read_volume
from decode_stream.replay_data.formats.voxels import voxel_channels
from decode_stream.stream.errors import RecordingError, StreamError, UsageError
from decode_stream.stream.fmri.motion import MotionCorrection
from decode_stream.stream.scanner.axes import Turn, turn_onto
from decode_stream.stream.scanner.volume import Volume
from decode_stream.stream.types import Channel, FloatArray, IntArray
from decode_stream.voxel_regions import voxel_indices

__all__ = ["VOLUME_NUMBER", "Reference", "WatchedRun", "open_run"]

#: Channel that carries each volume's place in the run, so that lost ones are counted exactly.
VOLUME_NUMBER = "volume"
#: Without a decoder, voxels brighter than this part of the brightest are looked at, and no more than so many.
_BRIGHT, _MOST_WATCHED = 0.2, 4096
#: Volumes that lie farther from those of the training by their headers are told of.
_APART_MM = 0.5


@dataclass(frozen=True, eq=False)
class Reference:
    """The volume that all others are brought to.

    Attributes
    ----------
    values : array of shape (x, y, z), float32
    affine_mm : array of shape (4, 4)
    sha256 : str
        Of its values; empty where it is the first of the run.
    words : str
        Where it comes from.
    """

    values: npt.NDArray[np.float32]
    affine_mm: FloatArray
    sha256: str
    words: str


@dataclass(frozen=True, eq=False)
class WatchedRun:
    """What is known of a run once its first volume is there.

    Attributes
    ----------
    voxels : array of shape (n_voxels, 3), int64
    channels : tuple of Channel
        Voxels, then the head's movement where it is estimated, then `VOLUME_NUMBER`.
    motion : MotionCorrection or None
        None where volumes are taken as they are.
    reference : Reference or None
        What `motion` brings volumes to.
    turn : Turn or None
        How volumes are laid along the axes of the training's; None where theirs run so.
    notes : tuple of str
    """

    voxels: IntArray
    channels: tuple[Channel, ...]
    motion: MotionCorrection | None
    reference: Reference | None
    turn: Turn | None
    notes: tuple[str, ...]

    def row(self, volume: Volume) -> npt.NDArray[np.float32]:
        """Return a volume as the values of the channels, shape (n_channels,), float32; the head is followed."""
        if self.turn is not None:
            volume = self.turn.of(volume)
        if self.motion is None:
            return np.append(volume.data[tuple(self.voxels.T)], volume.number).astype(np.float32)
        corrected = self.motion.correct(volume.data, volume.affine_mm)
        return np.concatenate([corrected.values, corrected.motion, [volume.number]]).astype(np.float32)


def open_run(
    first: Volume,
    bundle: Bundle | None,
    *,
    correct: bool,
    reference: Path | None,
    kept: npt.NDArray[np.float32] | None = None,
) -> WatchedRun:
    """Return how the volumes of a run become rows for a decoder.

    Parameters
    ----------
    first : Volume
        The first that has come.
    bundle : Bundle or None
        The decoder; without one some bright voxels are looked at.
    correct : bool
        Whether volumes are brought to a reference.
    reference : Path or None
        NIfTI file of it; by default the bundle's, else the first volume.
    kept : array of shape (x, y, z), optional
        The first volume as an earlier session of this run had it.

    Raises
    ------
    StreamError
        If the volumes are of another matrix or repetition time than the decoder's, or it is none of voxels.
    UsageError
        If the reference cannot be read or is of another matrix.
    """
    notes = list[str]()
    turn = None if bundle is None else _turn(bundle, first, notes)
    if turn is not None:
        first = turn.of(first)
    voxels = _bright(first.data) if bundle is None else _decoded(bundle, first, notes, correct=correct)
    channels = voxel_channels(voxels, first.affine_mm)
    motion, used = None, None
    if correct:
        wanted = _reference(first, bundle, reference, kept)
        try:
            motion, used = MotionCorrection(wanted.values, wanted.affine_mm, voxels), wanted
        except UsageError as error:
            notes.append(f"{error} The session goes on without motion correction.")
    if used is not None:
        channels = (*channels, *MOTION_CHANNELS)
        notes.append(f"Volumes are brought to {used.words}.")
    return WatchedRun(voxels, (*channels, Channel(VOLUME_NUMBER, "misc")), motion, used, turn, tuple(notes))


def _bright(volume: npt.NDArray[np.float32]) -> IntArray:
    """Return some voxels of the head, spread over it."""
    values = np.nan_to_num(volume)
    found = np.argwhere(values > _BRIGHT * np.percentile(values, 99)).astype(np.int64)
    if not len(found):
        raise StreamError("The first volume holds no signal. Look at what the scanner exports.")
    return found[:: -(-len(found) // _MOST_WATCHED)]


def _turn(bundle: Bundle, first: Volume, notes: list[str]) -> Turn | None:
    """Return how volumes are laid along the axes of the training's, by the headers of both."""
    space = bundle.manifest.volume
    if space is None or space.affine is None:
        return None
    turn = turn_onto(first.affine_mm, space.affine)
    if turn is not None:
        notes.append(
            f"By their headers the axes of the volumes run otherwise than those of the training; each volume is turned "
            f"from {turn.words}, the same values at the same places."
        )
    return turn


def _decoded(bundle: Bundle, first: Volume, notes: list[str], *, correct: bool) -> IntArray:
    """Return the voxels of a decoder, having compared its grid with the volumes'."""
    manifest = bundle.manifest
    try:
        voxels = voxel_indices(manifest.chain.channels)
    except RecordingError as error:
        raise StreamError(
            f"{manifest.name!r} decodes the channel {manifest.chain.channels[0]!r}, which is no voxel, so it has no "
            "use for --watch. Give a bundle that was trained on volumes."
        ) from error
    _check_grid(bundle, voxels, first)
    tr_s = 1 / manifest.chain.sfreq_hz
    if not manifest.of_betas and not same_tr(first.tr_s, tr_s):
        raise StreamError(
            f"The volumes of {first.path.parent} come every {first.tr_s:g} s, and {manifest.name!r} was trained on "
            f"volumes every {tr_s:g} s. Scan with that repetition time, or train a decoder on this one. If the files "
            f"say it wrongly: --tr-s {tr_s:g}"
        )
    if manifest.volume is None:
        notes.append(
            f"{manifest.name!r} does not say in which grid its voxels lie; they are taken by their indices."
        )
    elif (apart_mm := _apart_mm(manifest.volume.affine, first)) > _APART_MM:
        what_then = (
            "motion correction takes that up."
            if correct
            else "other places are decoded from. Leave out --no-motion-correction."
        )
        notes.append(
            f"By their headers the volumes lie up to {apart_mm:.1f} mm from those of the training; {what_then}"
        )
    return voxels


def _check_grid(bundle: Bundle, voxels: IntArray, first: Volume) -> None:
    manifest, grid = bundle.manifest, first.data.shape
    of_volumes = " x ".join(map(str, grid))
    if manifest.volume is not None and manifest.volume.grid != grid:
        own = " x ".join(map(str, manifest.volume.grid))
        raise StreamError(
            f"The volumes of {first.path.parent} have a matrix of {of_volumes}, and {manifest.name!r} was trained on "
            f"one of {own}: its voxels are other places there. Scan with that matrix, or give a --bundle of this "
            "person and sequence."
        )
    if (voxels.max(axis=0) >= grid).any():
        x, y, z = voxels[(voxels >= grid).any(axis=1)][0]
        raise StreamError(
            f"{manifest.name!r} decodes the voxel {x},{y},{z}, which the volumes of {first.path.parent} with their "
            f"matrix of {of_volumes} do not have. Give a --bundle of this person and sequence."
        )


def _apart_mm(affine_mm: npt.NDArray[np.float64] | None, first: Volume) -> float:
    """Return how far apart two affines put a corner of the grid at most; 0 where one is not known."""
    if affine_mm is None:
        return 0.0
    corners = np.array(np.meshgrid(*((0, n - 1) for n in first.data.shape))).reshape(3, -1)
    moved = (first.affine_mm - affine_mm) @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(moved[:3], axis=0).max())


def _reference(
    first: Volume, bundle: Bundle | None, path: Path | None, kept: npt.NDArray[np.float32] | None
) -> Reference:
    if path is not None:
        return _read_reference(path, first)
    if bundle is not None and bundle.reference is not None and bundle.manifest.volume is not None:
        affine_mm = bundle.manifest.volume.affine
        return Reference(
            bundle.reference,
            first.affine_mm if affine_mm is None else affine_mm,
            _sha256(bundle.reference),
            "the reference of the training",
        )
    return Reference(first.data if kept is None else kept, first.affine_mm, "", "the first volume of the run")


def _read_reference(path: Path, first: Volume) -> Reference:
    if not path.is_file():
        raise UsageError(f"There is no --reference {path}. Give a NIfTI file of one volume.")
    image = open_nifti(path)
    values, affine_mm = np.asarray(read_volume(image), np.float32), image.affine_mm.astype(np.float64)
    if image.placed and (turn := turn_onto(affine_mm, first.affine_mm)) is not None:
        laid = turn.of(replace(first, data=values, affine_mm=affine_mm))
        values, affine_mm = laid.data, laid.affine_mm
    if values.shape != first.data.shape:
        own, grid = (" x ".join(map(str, shape)) for shape in (values.shape, first.data.shape))
        raise UsageError(
            f"The reference {path} has a matrix of {own}, and the volumes of {first.path.parent} one of {grid}. Give a "
            "volume of the sequence that is scanned."
        )
    which = path.name if (image.n_volumes or 1) == 1 else f"the first volume of {path.name}"
    return Reference(values, affine_mm, _sha256(values), which)


def _sha256(values: npt.NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
