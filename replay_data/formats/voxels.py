"""Recordings whose channels are voxels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray, Gap, IntArray

from .channels import select_channels
from .nifti_volumes import NiftiImage, open_nifti, read_volume

__all__ = [
    "VoxelRecording",
    "VoxelSource",
    "check_grid",
    "is_a_path",
    "read_mask",
    "refuse_options",
    "select_voxels",
    "voxel_channels",
]

#: A tuple of channels of more voxels than these would itself be what fills the memory.
_MOST_VOXELS = 2**20


class VoxelSource(Protocol):
    """Volumes of chosen voxels, read in blocks."""

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""
        ...

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the volumes [start, stop), shape (stop - start, n_voxels), float32."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class VoxelRecording:
    """A recording of voxels, read in blocks; see `Recording` for the attributes that are not told here.

    Attributes
    ----------
    source : VoxelSource
        Where the volumes come from.
    voxels : array of shape (n_voxels, 3), int64
        Indices (x, y, z), from 0, of the channels that are voxels; others, such as motion estimates, come behind them.
    grid : tuple of int
        Voxels of the whole volume along x, y and z.
    affine_mm : array of shape (4, 4), float64, or None
        From voxel indices to millimetres.
    """

    source: VoxelSource
    name: str
    channels: tuple[Channel, ...]
    sfreq_hz: float
    voxels: IntArray
    grid: tuple[int, int, int]
    affine_mm: FloatArray | None
    stimuli: StimulusTable
    markers: tuple[tuple[int, str], ...]
    notes: tuple[str, ...] = ()
    epoch: Epoch | None = None
    gaps: tuple[Gap, ...] = ()

    @property
    def n_samples(self) -> int:
        """Length in volumes."""
        return self.source.n_volumes

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the volumes [start, stop), shape (stop - start, n_channels), float32."""
        return self.source.read(start, stop)


def voxel_channels(voxels: IntArray, affine_mm: FloatArray | None, unit: str = "") -> tuple[Channel, ...]:
    """Return one channel a voxel, named ``x,y,z`` by its indices, with its place in metres where that is known.

    Parameters
    ----------
    voxels : array of shape (n, 3), int64
        Indices from 0.
    affine_mm : array of shape (4, 4) or None
        From indices to millimetres.

    Raises
    ------
    RecordingError
        If there are none, or more than 2^20.
    """
    if not len(voxels):
        raise RecordingError("The mask holds no voxel. Give another one.")
    if len(voxels) > _MOST_VOXELS:
        raise RecordingError(
            f"{len(voxels)} voxels are more than the {_MOST_VOXELS} that are read as channels. Give a mask, or a "
            "smaller one."
        )
    names = [f"{x},{y},{z}" for x, y, z in voxels.tolist()]
    if affine_mm is None:
        return tuple(Channel(name, "voxel", unit) for name in names)
    places_m = (voxels @ affine_mm[:3, :3].T + affine_mm[:3, 3]) / 1e3
    return tuple(
        Channel(name, "voxel", unit, (x, y, z))
        for name, (x, y, z) in zip(names, places_m.tolist(), strict=True)
    )


def select_voxels(
    mask: npt.NDArray[np.bool_], affine_mm: FloatArray | None, unit: str, source: str, options: ReadOptions
) -> tuple[IntArray, tuple[Channel, ...]]:
    """Return the voxels of a mask that are wanted, (n, 3) int64 in C order over (x, y, z), and their channels.

    Raises
    ------
    RecordingError
        If none is left, or a channel to leave out is not there.
    """
    voxels: IntArray = np.argwhere(mask).astype(np.int64)
    channels = voxel_channels(voxels, affine_mm, unit)
    if not options.exclude_channels and options.modality in (None, "fmri"):
        return voxels, channels
    kept = select_channels(channels, source, options.exclude_channels, options.modality)
    return voxels[list(kept)], tuple(channels[place] for place in kept)


def refuse_options(source: str, **values: object) -> None:
    """Refuse options that a recording of voxels has no use for.

    Raises
    ------
    RecordingError
        If one of them is given.
    """
    for name, value in values.items():
        if value is not None:
            raise RecordingError(
                f"{source} has no use for the {name.replace('_', ' ')} {value!r}. Leave it out."
            )


def is_a_path(mask: str) -> bool:
    """Whether a mask is asked for by its path rather than by its name."""
    return mask.endswith((".nii", ".nii.gz")) or Path(mask).expanduser().is_file()


def read_mask(path: Path) -> tuple[FloatArray, NiftiImage]:
    """Return the values of an image of one volume, shape (x, y, z), and its header.

    Raises
    ------
    RecordingError
        If it is missing, damaged, or holds several volumes.
    """
    if not path.is_file():
        raise RecordingError(f"The mask {path} does not exist.")
    image = open_nifti(path)
    if (image.n_volumes or 1) != 1:
        raise RecordingError(f"{path} holds {image.n_volumes} volumes; a mask is a single one.")
    return read_volume(image), image


def check_grid(
    mask: NiftiImage, grid: tuple[int, int, int], affine_mm: FloatArray | None, source: Path, hint: str = ""
) -> None:
    """Refuse a mask that does not lie on the grid of the volumes.

    Raises
    ------
    RecordingError
        If the shapes differ, or the affines by more than a hundredth of a millimetre.
    """
    if mask.shape != grid:
        raise RecordingError(
            f"The mask {mask.path} has the grid {mask.shape} and {source} the grid {grid}. Give a mask of the same "
            f"person and space.{hint}"
        )
    if affine_mm is not None and not np.allclose(mask.affine_mm, affine_mm, atol=1e-2):
        apart_mm = float(np.abs(mask.affine_mm - affine_mm).max())
        raise RecordingError(
            f"The mask {mask.path} and {source} have the same shape but lie differently: their affines differ by up to "
            f"{apart_mm:.3g}. Resample the mask to the volumes first."
        )
