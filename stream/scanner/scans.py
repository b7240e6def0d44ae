"""What a file of a scanner holds: whole volumes, or single slices of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Content", "Scan", "Series", "Slice", "Unfinished", "Unreadable", "as_scan"]

FloatArray = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: Patient coordinates of DICOM point to the left and to the back, nibabel's to the right and to the front.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Unfinished(Exception):
    """A file is not whole yet.

    Parameters
    ----------
    reason : str
    needed : int
        Bytes it must have before another reading is of use; 0 if that is not known.
    """

    def __init__(self, reason: str, needed: int = 0) -> None:
        super().__init__(reason)
        self.needed = needed


class Unreadable(Exception):
    """A file is no volume, or none that can be read; the message says why."""


@dataclass(frozen=True)
class Series:
    """What is measured in one go.

    Attributes
    ----------
    uid : str
        Series instance UID, or a NIfTI file's name without its number.
    number : str
        The scanner's number of it; empty for NIfTI.
    description : str
        The scanner's name of it; empty for NIfTI.
    """

    uid: str
    number: str = ""
    description: str = ""

    def __str__(self) -> str:
        return f"{self.number} ({self.description or self.uid})" if self.number else repr(self.uid)

    @property
    def rank(self) -> tuple[int, str]:
        """What puts series in order: their number, then their name."""
        return (int(self.number) if self.number.isdecimal() else 0, self.uid)

    def is_called(self, name: str) -> bool:
        """Return whether `name` is its UID, its number or its description."""
        return name in {self.uid, self.number, self.description} - {""}


@dataclass(frozen=True, eq=False)
class Scan:
    """A whole volume, as a file or a set of slices has it.

    Attributes
    ----------
    series : Series
    count : int
        The scanner's number of the volume, or the one in a NIfTI file's name.
    first : int or None
        Number of a run's first volume; None if it may be 0 or 1.
    data : array of shape (x, y, z), float32
    affine_mm : array of shape (4, 4), float64
    tr_s, echo_s : float or None
        Repetition time and echo time; None if the file does not say.
    acquired_s : float or None
        As of `Volume`.
    """

    series: Series
    count: int
    first: int | None
    data: Image
    affine_mm: FloatArray
    tr_s: float | None = None
    echo_s: float | None = None
    acquired_s: float | None = None


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of a volume.

    Attributes
    ----------
    series : Series
    count : int or None
        The scanner's number of its volume; None if only `instance` orders the slices.
    instance : int
        Number of the slice in the series, from 1 on, volume after volume.
    n_slices : int or None
        How many a volume has; None if the file does not say.
    pixels : array of shape (rows, columns), float32
    position_mm : array of shape (3,), float64
        Centre of the first pixel, in DICOM's patient coordinates.
    orientation : array of shape (2, 3), float64
        Unit vectors along a row and along a column.
    spacing_mm : tuple of float
        From row to row and from column to column.
    thickness_mm : float
        Distance to the next slice, for a volume of one slice.
    tr_s, echo_s, acquired_s : float or None
    kind : str
        What sets it apart from other slices at the same place and time: the type of image.
    """

    series: Series
    count: int | None
    instance: int
    n_slices: int | None
    pixels: Image
    position_mm: FloatArray
    orientation: FloatArray
    spacing_mm: tuple[float, float]
    thickness_mm: float
    tr_s: float | None
    echo_s: float | None
    acquired_s: float | None
    kind: str = ""

    @cached_property
    def height_mm(self) -> float:
        """Where it lies along the normal of the slices, to a hundredth of a millimetre."""
        return round(float(np.cross(*self.orientation) @ self.position_mm), 2)


@dataclass(frozen=True)
class Content:
    """What one file holds.

    Attributes
    ----------
    scans : tuple of Scan
        Whole volumes.
    slices : tuple of Slice
        Slices of a volume that lies in many files.
    ends_blank : bool
        Whether its last row of voxels is stored as nothing but zeros. A copy over a network may give a file its full
        length before its content, and then ends so.
    """

    scans: tuple[Scan, ...] = ()
    slices: tuple[Slice, ...] = ()
    ends_blank: bool = False

    @property
    def series(self) -> Series:
        """The series that all of it belongs to."""
        return (self.scans or self.slices)[0].series

    @property
    def tr_s(self) -> float | None:
        """Repetition time of the first of it."""
        return (self.scans or self.slices)[0].tr_s


def as_scan(voxels: npt.NDArray[np.generic], affine_lps: FloatArray) -> tuple[Image, FloatArray]:
    """Bring a stack of DICOM slices into the layout that `dcm2niix` writes.

    x runs from column to column of an image, y from its bottom row to its top row, z from slice to slice, so that a
    mask drawn on converted files fits the live volumes voxel by voxel.

    Parameters
    ----------
    voxels : array of shape (rows, columns, slices)
    affine_lps : array of shape (4, 4), float64
        From the indices of `voxels` to DICOM's patient coordinates, in millimetres.

    Returns
    -------
    data : array of shape (columns, rows, slices), float32
    affine_mm : array of shape (4, 4), float64
        To millimetres to the right, anterior and superior.
    """
    upward = np.eye(4)
    upward[0, 0], upward[0, 3] = -1.0, len(voxels) - 1
    affine = (_LPS_TO_RAS @ affine_lps @ upward)[:, [1, 0, 2, 3]]
    return np.ascontiguousarray(voxels[::-1].transpose(1, 0, 2), dtype=np.float32), affine
