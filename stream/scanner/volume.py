"""A volume as it comes from the scanner, and volumes that did not come."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["LostVolumes", "Volume"]


@dataclass(frozen=True, eq=False)
class Volume:
    """One measurement of the whole grid.

    Attributes
    ----------
    number : int
        Place in the run; the first is 0. Places of lost volumes count.
    data : array of shape (x, y, z), float32
        Signal after the file's own scaling (slope and intercept).
    affine_mm : array of shape (4, 4), float64
        From voxel indices to millimetres to the right, anterior and superior, as nibabel has them.
    tr_s : float
        Time from one volume to the next.
    acquired_s : float or None
        When its acquisition began by the scanner's clock, in seconds since 1970 of the scanner's local time; None where
        the file does not say it for each volume.
    arrived_s : float
        When it was whole in the folder, by the clock of the one who reads.
    path : Path
        The file; of a volume in many files, the one that came last.
    series : str
        Series instance UID of DICOM; of NIfTI, the name without its number.
    """

    number: int
    data: npt.NDArray[np.float32]
    affine_mm: npt.NDArray[np.float64]
    tr_s: float
    acquired_s: float | None
    arrived_s: float
    path: Path
    series: str


@dataclass(frozen=True)
class LostVolumes:
    """Places in the run whose volumes did not come in time or were refused.

    Attributes
    ----------
    first : int
        Place of the first of them.
    n : int
        How many there are in a row.
    """

    first: int
    n: int
