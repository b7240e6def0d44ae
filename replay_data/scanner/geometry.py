"""Where the slices of a volume lie in a patient, as DICOM says it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray

__all__ = ["SliceGeometry", "slice_geometry", "slices_of"]

#: NIfTI's axes point right, anterior and superior; DICOM's patient left, posterior and superior.
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
#: Largest cosine of the angle between two axes that are still at right angles.
_MOST_SHEAR = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class SliceGeometry:
    """Slices of one orientation at equal distances, in the patient's coordinates (left, posterior, superior).

    Attributes
    ----------
    n_columns, n_rows, n_slices : int
    along_row, along_column : array of shape (3,), float64
        Unit vectors: the way in which the index of the column rises along a row, and that of the row along a column.
    slice_step_mm : array of shape (3,), float64
        From a slice to the next.
    first_mm : array of shape (3,), float64
        Centre of the first voxel of the first slice.
    column_mm, row_mm : float
        Distance from a column to the next, and from a row to the next.
    """

    n_columns: int
    n_rows: int
    n_slices: int
    along_row: FloatArray
    along_column: FloatArray
    slice_step_mm: FloatArray
    first_mm: FloatArray
    column_mm: float
    row_mm: float

    @property
    def slice_mm(self) -> float:
        """Distance from a slice to the next."""
        return float(np.linalg.norm(self.slice_step_mm))

    @property
    def normal(self) -> FloatArray:
        """Unit vector from a slice to the next, shape (3,)."""
        return self.slice_step_mm / self.slice_mm

    @property
    def orientation(self) -> list[float]:
        """DICOM's Image Orientation (Patient)."""
        return [*self.along_row.tolist(), *self.along_column.tolist()]

    @property
    def spacing_mm(self) -> list[float]:
        """DICOM's Pixel Spacing: between rows, between columns."""
        return [self.row_mm, self.column_mm]

    def position_mm(self, which: int) -> list[float]:
        """Return DICOM's Image Position (Patient) of a slice, counted from 0."""
        return (self.first_mm + which * self.slice_step_mm).tolist()  # type: ignore[no-any-return]

    def mosaic_position_mm(self, n_tiles: int) -> list[float]:
        """Return the position that Siemens gives to a mosaic of `n_tiles` times `n_tiles` slices.

        It is where the first voxel would lie if the whole mosaic were one slice about the same centre.
        """
        beyond = (n_tiles - 1) / 2
        shift = (
            self.along_row * self.n_columns * self.column_mm + self.along_column * self.n_rows * self.row_mm
        )
        return (self.first_mm - beyond * shift).tolist()  # type: ignore[no-any-return]


def slice_geometry(affine_mm: FloatArray, shape: tuple[int, int, int], path: Path) -> SliceGeometry:
    """Return the geometry of the slices of a NIfTI volume.

    The first axis runs along the rows, the second up the columns (a NIfTI file begins at the bottom of the picture,
    DICOM at its top), the third from slice to slice. What reads DICOM as dcm2niix does gets the recording's own grid
    again where its axes are left-handed, as those of dcm2niix are. Of one with right-handed axes the slices come back
    in the opposite order, at the same places, except from mosaics, which say which way their slices go.

    Parameters
    ----------
    affine_mm : array of shape (4, 4)
        From voxel indices to millimetres (right, anterior, superior).
    shape : tuple of int
        Voxels along the three axes.
    path : Path
        The file, for messages.

    Raises
    ------
    RecordingError
        If the axes are not at right angles, or one has no length.
    """
    axes_mm = _RAS_TO_LPS @ affine_mm[:3, :3]
    lengths_mm = np.linalg.norm(axes_mm, axis=0)
    if not np.isfinite(affine_mm).all() or not lengths_mm.all():
        raise RecordingError(
            f"{path} does not say where its voxels lie: its affine is {affine_mm[:3].tolist()}. Repair the header, or "
            "play it with --as nifti."
        )
    units = axes_mm / lengths_mm
    cosine = float(np.abs(units.T @ units - np.eye(3)).max())
    if cosine > _MOST_SHEAR:
        angle = np.degrees(np.arccos(min(1.0, cosine)))
        raise RecordingError(
            f"The axes of {path} meet at {angle:.2f} degrees; DICOM knows only right angles. Resample it to a grid of "
            "right angles, or play it with --as nifti."
        )
    top = affine_mm @ [0.0, shape[1] - 1.0, 0.0, 1.0]
    return SliceGeometry(
        n_columns=shape[0],
        n_rows=shape[1],
        n_slices=shape[2],
        along_row=units[:, 0],
        along_column=-units[:, 1],
        slice_step_mm=axes_mm[:, 2],
        first_mm=_RAS_TO_LPS @ top[:3],
        column_mm=float(lengths_mm[0]),
        row_mm=float(lengths_mm[1]),
    )


def slices_of(volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the slices of a volume of shape (x, y, z) as `slice_geometry` lays them, shape (z, rows, columns)."""
    return volume.transpose(2, 1, 0)[:, ::-1, :]
