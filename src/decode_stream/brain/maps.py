"""Voxels in space: regions that are asked for, and maps on the recording's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.regions import Regions
from decode_stream.replay_data.formats.voxels import VoxelRecording, check_grid, is_a_path, read_mask
from decode_stream.replay_data.formats.write_nifti import write_nifti
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.fmri.beta_recording import BetaRecording
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.voxel_regions import recording_regions, voxel_indices

__all__ = ["Space", "check_nifti", "chosen_regions", "known_ncsnr", "space_of", "write_map"]

#: Which atlas is told of where none is asked for.
_USUAL = "streams"


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where voxels lie, and what is known of their regions.

    Attributes
    ----------
    source : Path
        The recording.
    voxels : array of shape (n_voxels, 3), int64
        Indices (x, y, z).
    grid : tuple of int or None
        Voxels along x, y and z; None where the recording does not keep it.
    affine_mm : array of shape (4, 4) or None
        From indices to millimetres.
    regions : Regions or None
    """

    source: Path
    voxels: IntArray
    grid: tuple[int, int, int] | None
    affine_mm: FloatArray | None
    regions: Regions | None


def space_of(
    path: Path, recording: Recording, names: Sequence[str] | None = None, regions: Regions | None = None
) -> Space:
    """Return where a recording's voxels lie.

    Parameters
    ----------
    names : sequence of str, optional
        Channels, where not all voxels are meant or in another order.
    regions : Regions, optional
        What is known of them before; by default what lies with the recording.

    Raises
    ------
    RecordingError
        If channels are no voxels by their names, or an atlas is of another grid.
    """
    if isinstance(recording, BetaRecording):
        recording = recording.volumes
    if names is None:
        names = [channel.name for channel in recording.channels if channel.type == "voxel"]
    voxels = voxel_indices(names)
    regions = recording_regions(path, recording, names) if regions is None else regions
    if isinstance(recording, VoxelRecording):
        return Space(path, voxels, recording.grid, recording.affine_mm, regions)
    if isinstance(recording, SimulatedVolumes):
        x, y, z = recording.subject.mask.shape
        return Space(path, voxels, (x, y, z), recording.subject.affine_mm, regions)
    return Space(path, voxels, None, None, regions)


def chosen_regions(asked: Sequence[str], space: Space) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the masks of the regions that are asked for, by what they are called.

    Parameters
    ----------
    asked : sequence of str
        ``ATLAS`` for each of its regions, ``ATLAS=A,B`` for some together, or the path of a mask. Nothing asks for
        those of `streams`, or of every atlas; where there is none, for all voxels.

    Raises
    ------
    UsageError
        If there is no such region, it holds none of the voxels, or a mask lies on another grid.
    """
    regions = space.regions
    if not asked:
        if regions is None:
            return {"all voxels": np.ones(len(space.voxels), dtype=np.bool_)}
        return regions.named(_USUAL if _USUAL in regions.atlases else None)
    chosen = dict[str, npt.NDArray[np.bool_]]()
    for one in asked:
        if is_a_path(one):
            chosen[Path(one).name] = _of_mask(Path(one).expanduser(), space)
        elif regions is None:
            raise UsageError(
                f"Nothing tells the regions of the voxels of {space.source}, so {one!r} cannot be found: neither it "
                "nor the bundle has an atlas. Regions lie with recordings in NSD's folders; or give the path of a mask."
            )
        elif "=" in one:
            chosen[one] = regions.mask(one)
        else:
            regions.mask(one)  # refuses an atlas that is not there, or holds none of the voxels
            chosen |= regions.named(one)
    return chosen


def _of_mask(path: Path, space: Space) -> npt.NDArray[np.bool_]:
    values, image = read_mask(path)
    if space.grid is not None:
        check_grid(image, space.grid, space.affine_mm, space.source)
    elif np.any(space.voxels.max(axis=0) >= image.shape):
        raise UsageError(
            f"The mask {path} has the grid {image.shape}, too small for the voxel "
            f"{tuple(space.voxels.max(axis=0).tolist())} of {space.source}. Give a mask of the same person and space."
        )
    inside = values[tuple(space.voxels.T)] > 0
    if not inside.any():
        raise UsageError(
            f"None of the {len(inside)} voxels of {space.source} lies in {path}. Give another region, or a larger "
            "--mask."
        )
    return np.asarray(inside)


def check_nifti(path: Path, space: Space | None = None) -> None:
    """Refuse a map that could not be written.

    Raises
    ------
    UsageError
        If its ending is another, its folder is not there, or nothing tells the grid of the voxels.
    """
    if not path.name.endswith(".nii.gz"):
        raise UsageError(f"--nifti {path} must end in .nii.gz.")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(
            f"--nifti {path} cannot be written: its folder must exist and it must not be one itself."
        )
    if space is not None and (space.grid is None or space.affine_mm is None):
        raise UsageError(
            f"{space.source} does not keep the grid of its voxels, so --nifti cannot be written. Give the recording "
            "that it was made from, with a mask that says where it lies."
        )


def write_map(path: Path, values: FloatArray, space: Space) -> None:
    """Write a map on the recording's grid, float32, NaN where there is no voxel.

    Parameters
    ----------
    values : array of shape (n_voxels,)

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    check_nifti(path, space)
    assert space.grid is not None
    assert space.affine_mm is not None
    volume = np.full(space.grid, np.nan, np.float32)
    volume[tuple(space.voxels.T)] = values
    try:
        with written_whole(path, overwrite=True) as part:
            write_nifti(part, space.grid, np.dtype("<f4"), space.affine_mm, 0.0, iter([volume]))
    except RecordingError as error:
        raise UsageError(f"The map was not written. {error}") from error


def known_ncsnr(path: Path, space: Space) -> npt.NDArray[np.float64]:
    """Return signal-to-noise ratios of the voxels from an image, such as NSD's ``ncsnr.nii.gz``, shape (n_voxels,).

    Raises
    ------
    DecodeStreamError
        If it is missing or damaged, or lies on another grid.
    """
    values, image = read_mask(path.expanduser())
    if space.grid is not None:
        check_grid(image, space.grid, space.affine_mm, space.source)
    found = np.asarray(values[tuple(space.voxels.T)], np.float64)
    if not (found > 0).any():
        raise UsageError(
            f"{path} is not above 0 in any of the {len(found)} voxels of {space.source}. Is it of another person?"
        )
    return np.where(found >= 0, found, np.nan)
