"""Which way the axes of a grid run, and volumes laid along those of another grid, without reading between voxels."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .scans import FloatArray
from .volume import Volume

__all__ = ["Turn", "turn_onto"]


@dataclass(frozen=True)
class Turn:
    """A change of the order and the direction of a grid's axes.

    Attributes
    ----------
    axes : tuple of int
        Which axis of the new grid each axis becomes.
    reversed_axes : tuple of bool
        Which of them run the other way there.
    words : str
        Where the axes led before and where they lead now, such as ``RAS`` (right, anterior, superior).
    """

    axes: tuple[int, int, int]
    reversed_axes: tuple[bool, bool, bool]
    words: str

    def of(self, volume: Volume) -> Volume:
        """Return a volume along the new axes: the same values at the same places."""
        import nibabel

        orientation = np.column_stack([self.axes, np.where(self.reversed_axes, -1, 1)])
        data = nibabel.orientations.apply_orientation(volume.data, orientation)
        affine_mm = volume.affine_mm @ nibabel.orientations.inv_ornt_aff(orientation, volume.data.shape)
        return replace(volume, data=np.ascontiguousarray(data), affine_mm=affine_mm)


def turn_onto(affine_mm: FloatArray, onto_mm: npt.NDArray[np.float64]) -> Turn | None:
    """Return how the axes of a grid are turned so that they run as those of another do, as nearly as they can.

    Scanners and converters lay the same volume in different ways: DICOM slice by slice along the normal, and so with
    left-handed axes once the rows go up, as of `dcm2niix`; tools of analysis often to the right, to the front and up.

    Parameters
    ----------
    affine_mm, onto_mm : array of shape (4, 4)
        From voxel indices to millimetres, of the grid and of the other.

    Returns
    -------
    Turn or None
        None where they run alike.
    """
    import nibabel

    orientation = nibabel.orientations.io_orientation(np.linalg.solve(onto_mm, affine_mm))
    if np.isnan(orientation).any() or np.array_equal(orientation, [[0, 1], [1, 1], [2, 1]]):
        return None
    x, y, z = orientation[:, 0].astype(int).tolist()
    before, after = ("".join(nibabel.aff2axcodes(affine)) for affine in (affine_mm, onto_mm))
    return Turn((x, y, z), tuple((orientation[:, 1] < 0).tolist()), f"{before} to {after}")
