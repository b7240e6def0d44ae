"""Write compressed NIfTI files volume by volume."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["write_nifti"]

#: Volumes of noise hardly shrink further at higher levels, which take several times as long.
_COMPRESSION = 1


def write_nifti(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    affine_mm: FloatArray,
    tr_s: float,
    volumes: Iterator[npt.NDArray[Any]],
) -> None:
    """Write a ``.nii.gz`` file; one volume at a time is held.

    Parameters
    ----------
    path : Path
        Where to write.
    shape : tuple of int
        (x, y, z) or (x, y, z, time).
    dtype : numpy.dtype
        As which the values are stored.
    affine_mm : array of shape (4, 4)
        From voxel indices to millimetres.
    tr_s : float
        Repetition time in seconds.
    volumes : iterator of array of shape (x, y, z)
        As many as `shape` says.
    """
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm", "sec")
    header.set_sform(affine_mm, 1)
    header.set_qform(affine_mm, 1)
    if len(shape) == 4:
        header.set_zooms((*header.get_zooms()[:3], tr_s))
    header.set_slope_inter(1, 0)
    header["vox_offset"] = 352
    with gzip.open(path, "wb", compresslevel=_COMPRESSION) as file:
        file.write(header.binaryblock + bytes(4))
        for volume in volumes:
            file.write(np.asarray(volume, dtype).tobytes(order="F"))
