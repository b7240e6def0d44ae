"""The table of scanners: how each writes a volume."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy.typing as npt

from decode_stream.replay_data.formats.nifti_volumes import NiftiImage, stored_volumes

from .geometry import slice_geometry
from .mosaic import SiemensFiles
from .multi_frame import PhilipsEnhancedFiles, SiemensXaFiles
from .nifti_volume import nifti_file
from .pixels import PixelScale, fit_scale, stored_range
from .series import Series, VolumeFile
from .single_slices import GeFiles, PhilipsFiles

__all__ = ["VENDORS", "Vendor", "VolumeWriter", "Writers", "open_writers"]

Vendor: TypeAlias = Literal["siemens", "siemens-xa", "ge", "philips", "philips-enhanced", "nifti"]
VENDORS: tuple[Vendor, ...] = get_args(Vendor)
#: A volume as stored, shape (x, y, z), and its number, from 1, to the files that the scanner writes of it.
VolumeWriter: TypeAlias = Callable[[npt.NDArray[Any], int], tuple[VolumeFile, ...]]

_DICOM: dict[str, Callable[[Series], VolumeWriter]] = {
    "siemens": SiemensFiles,
    "siemens-xa": SiemensXaFiles,
    "ge": GeFiles,
    "philips": PhilipsFiles,
    "philips-enhanced": PhilipsEnhancedFiles,
}
_NUMBER, _DESCRIPTION = 13, "func_task"


@dataclass(frozen=True, slots=True)
class Writers:
    """What writes the series of one run.

    Attributes
    ----------
    series : VolumeWriter
        The run itself.
    other : VolumeWriter
        A second series of the same volumes, as scanners write that correct motion themselves.
    scale : PixelScale or None
        How values become pixels; None where they are kept as they are stored.
    """

    series: VolumeWriter
    other: VolumeWriter
    scale: PixelScale | None


def open_writers(
    vendor: Vendor, image: NiftiImage, tr_s: float, first: int, began: datetime, seed: int
) -> Writers:
    """Return what writes a recording as a vendor does.

    For DICOM the recording is read through once, for the pixels' scale is one for the whole series.

    Parameters
    ----------
    vendor : Vendor
    image : NiftiImage
        The recording.
    tr_s : float
        Repetition time in seconds.
    first : int
        Volume of the recording that is the series' first, from 0.
    began : datetime
        When it begins, by the scanner's clock.
    seed : int
        With the recording's name and `began`, what the identifiers are made from.

    Raises
    ------
    RecordingError
        If DICOM cannot hold the recording: axes not at right angles, values that are no numbers.
    """
    if vendor == "nifti":
        run, other = (partial(nifti_file, image, tr_s, number) for number in (_NUMBER, _NUMBER + 1))
        return Writers(
            lambda stored, number: (run(stored, number),),
            lambda stored, number: (other(stored, number),),
            None,
        )
    geometry = slice_geometry(image.affine_mm, image.shape, image.path)
    span = stored_range(stored_volumes(image, first), image.path)
    scale = fit_scale(span, image.slope, image.inter, signed=vendor == "ge")
    key = f"{image.path.name} {vendor} {began.isoformat()} {seed}"
    n_volumes = (image.n_volumes or 1) - first
    files = _DICOM[vendor]
    run_series, other_series = (
        Series(geometry, scale, tr_s, n_volumes, began, number, description, key, first_file)
        for number, description, first_file in (
            (_NUMBER, _DESCRIPTION, 0),
            (_NUMBER + 1, "MoCoSeries", geometry.n_slices * n_volumes),
        )
    )
    return Writers(files(run_series), files(other_series), scale)
