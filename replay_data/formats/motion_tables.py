"""Estimates of head motion beside a recording of volumes: six numbers a volume, by fMRIPrep's names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import MOTION, Channel, FloatArray

from .bids import best_fitting, find_beside, read_table
from .voxels import VoxelSource

__all__ = ["MOTION_CHANNELS", "WithMotion", "find_motion", "read_motion"]

#: What motion estimates are as channels: translations in millimetres, rotations in radians.
MOTION_CHANNELS = tuple(Channel(name, "misc", "mm" if name.startswith("trans") else "rad") for name in MOTION)
#: As fMRIPrep writes it, now and before 2019.
_FMRIPREP = ("desc-confounds_timeseries.tsv", "desc-confounds_regressors.tsv")
#: As FSL's mcflirt writes it: three rotations, then three translations.
_MCFLIRT = (".par", "moest.txt")
_ROTATIONS_FIRST = [3, 4, 5, 0, 1, 2]


@dataclass(frozen=True, slots=True, eq=False)
class WithMotion:
    """Volumes of chosen voxels with the motion estimates of each behind them, as a `VoxelSource`.

    Attributes
    ----------
    voxels : VoxelSource
    motion : array of shape (n_volumes, 6), float32
    """

    voxels: VoxelSource
    motion: npt.NDArray[np.float32]

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""
        return self.voxels.n_volumes

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the volumes [start, stop), shape (stop - start, n_voxels + 6), float32."""
        volumes = self.voxels.read(start, stop)
        first = max(0, start)
        return np.hstack([volumes, self.motion[first : first + len(volumes)]])


def find_motion(path: Path) -> Path | None:
    """Return the motion estimates of an image file, or None.

    fMRIPrep's table is found as BIDS has it; for images of other names the best fitting in the same folder is taken:
    ``bold_moest.txt`` or ``bold.par`` for ``bold_1slice.nii.gz``.
    """
    for ending in _FMRIPREP:
        if found := find_beside(path, ending) or best_fitting(path.parent, path.name, ending):
            return found
    for ending in _MCFLIRT:
        if found := best_fitting(path.parent, path.name, ending):
            return found
    return None


def read_motion(table: Path, n_volumes: int) -> npt.NDArray[np.float32]:
    """Return motion estimates, shape (n_volumes, 6), float32: translations x, y, z in mm, rotations in rad.

    Raises
    ------
    RecordingError
        If the table is damaged, lacks a column or a number, or is of another number of volumes.
    """
    values = _of_fmriprep(table) if table.suffix == ".tsv" else _of_mcflirt(table)
    if len(values) != n_volumes:
        raise RecordingError(
            f"{table} tells the motion of {len(values)} volumes, and the images hold {n_volumes}. Give the table of "
            "this run, or remove it."
        )
    if not np.isfinite(values).all():
        volume = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise RecordingError(f"{table} holds no number for volume {volume}. Repair or remove it.")
    return values.astype(np.float32)


def _of_fmriprep(table: Path) -> FloatArray:
    rows = read_table(table)
    if lacking := [name for name in MOTION if rows and name not in rows[0]]:
        raise RecordingError(f"{table} lacks the columns {', '.join(lacking)}. Repair or remove it.")
    try:
        return np.array([[float(row[name] or "nan") for name in MOTION] for row in rows]).reshape(-1, 6)
    except ValueError as error:
        raise RecordingError(f"{table} holds something that is no number: {error}. Repair it.") from error


def _of_mcflirt(table: Path) -> FloatArray:
    try:
        values = np.array([[float(cell) for cell in line.split()] for line in table.read_text().splitlines()])
    except (OSError, ValueError) as error:
        raise RecordingError(
            f"{table} is not the table of six numbers a volume that mcflirt writes: {error}. Repair or remove it."
        ) from error
    if values.ndim != 2 or values.shape[1] != len(MOTION):
        raise RecordingError(
            f"{table} is not the table of six numbers a volume that mcflirt writes. Repair or remove it."
        )
    return values[:, _ROTATIONS_FIRST]
