"""Where the voxels of a decoder lie: the grid of the volumes that it was trained on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["VolumeSpace"]


@dataclass(frozen=True)
class VolumeSpace:
    """The grid in which voxels have their indices.

    Attributes
    ----------
    grid : tuple of int
        Voxels along x, y and z.
    affine_mm : tuple of tuple of float, or None
        From voxel indices to millimetres to the right, anterior and superior, four rows of four; None where the
        recordings did not tell it.
    """

    grid: tuple[int, int, int]
    affine_mm: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if min(self.grid) < 1:
            raise ValueError(f"A grid has 1 voxel or more along every axis; got {self.grid}.")
        if self.affine_mm is not None and np.shape(self.affine_mm) != (4, 4):
            raise ValueError(f"An affine is of 4 rows of 4; got {self.affine_mm}.")

    @classmethod
    def of(cls, grid: tuple[int, int, int], affine_mm: FloatArray | None) -> "VolumeSpace":
        """Return the space of a grid with an affine of shape (4, 4)."""
        rows = None if affine_mm is None else tuple(tuple(float(v) for v in row) for row in affine_mm)
        return cls((int(grid[0]), int(grid[1]), int(grid[2])), rows)

    @property
    def affine(self) -> npt.NDArray[np.float64] | None:
        """The affine as an array of shape (4, 4)."""
        return None if self.affine_mm is None else np.array(self.affine_mm, np.float64)
