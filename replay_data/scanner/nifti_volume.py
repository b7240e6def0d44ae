"""Plain NIfTI: a file a volume, as a scanner's own export in real time writes it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.nifti_volumes import NiftiImage

from .series import VolumeFile

__all__ = ["nifti_file"]

#: Bytes of the header and of the word behind it that says that nothing is added.
_OFFSET = 352
#: Most that the axes of a volume may lean against each other for a rotation to tell them.
_MOST_SHEAR = 1e-4


def nifti_file(
    image: NiftiImage, tr_s: float, series: int, stored: npt.NDArray[Any], number: int
) -> VolumeFile:
    """Return one volume as a NIfTI file ``SERIES_volume_NUMBER.nii``, with the values as they are stored.

    Parameters
    ----------
    image : NiftiImage
        The recording.
    tr_s : float
        Repetition time in seconds, which the header holds although the file has no axis of time.
    series : int
        Series number.
    stored : array of shape (x, y, z)
    number : int
        Of the volume, from 1.
    """
    import nibabel

    kind = image.dtype.newbyteorder("<")
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_shape(image.shape)
    header.set_data_dtype(kind)
    header.set_sform(image.affine_mm, 1)
    units = image.affine_mm[:3, :3] / np.linalg.norm(image.affine_mm[:3, :3], axis=0)
    if np.abs(units.T @ units - np.eye(3)).max() <= _MOST_SHEAR:
        header.set_qform(image.affine_mm, 1)
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4] = tr_s
    header.set_slope_inter(image.slope, image.inter)
    header["vox_offset"] = _OFFSET
    content = header.binaryblock + bytes(4) + stored.astype(kind).tobytes(order="F")
    return VolumeFile(f"{series:03d}_volume_{number:05d}.nii", content)
