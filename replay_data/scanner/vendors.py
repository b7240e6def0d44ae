"""The table of scanners: how each writes a volume."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy.typing as npt

from decode_stream.replay_data.formats.nifti_volumes import NiftiImage, stored_volumes

from .geometry import SliceGeometry, slice_geometry
from .mosaic import SiemensFiles
from .multi_frame import PhilipsEnhancedFiles, SiemensXaFiles
from .nifti_volume import nifti_file
from .pixels import PixelScale, fit_scale, stored_range
from .series import Series, VolumeFile
from .single_slices import GeFiles, PhilipsFiles

__all__ = ["VENDORS", "SeriesPlan", "Vendor", "VolumeWriter", "plan_series"]

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
#: Number of the series; a second one has the next.
_NUMBER = 13


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """What is known of a run's series before it begins; see `plan_series`.

    Attributes
    ----------
    vendor : Vendor
    image : NiftiImage
        The recording.
    tr_s : float
        Repetition time in seconds.
    first : int
        Volume of the recording that is the series' first, from 0.
    seed : int
        With the recording's name and the time when it begins, what the identifiers are made from.
    geometry : SliceGeometry or None
        Where the slices lie; None for NIfTI, which says it by the recording's own affine.
    scale : PixelScale or None
        How values become pixels; None for NIfTI, which keeps them as they are stored.
    """

    vendor: Vendor
    image: NiftiImage
    tr_s: float
    first: int
    seed: int
    geometry: SliceGeometry | None
    scale: PixelScale | None

    def writer(self, began: datetime, *, second: bool = False) -> VolumeWriter:
        """Return what writes the series, or a second one of the same volumes, as of what corrects motion.

        Parameters
        ----------
        began : datetime
            When the first volume begins, by the scanner's own clock.
        second : bool
        """
        number, description = (_NUMBER + 1, "MoCoSeries") if second else (_NUMBER, "func_task")
        if self.geometry is None or self.scale is None:
            write = partial(nifti_file, self.image, self.tr_s, number)
            return lambda stored, volume: (write(stored, volume),)
        n_volumes = (self.image.n_volumes or 1) - self.first
        series = Series(
            self.geometry,
            self.scale,
            self.tr_s,
            n_volumes,
            began,
            number,
            description,
            f"{self.image.path.name} {self.vendor} {began.isoformat()} {self.seed}",
            first_file=self.geometry.n_slices * n_volumes if second else 0,
        )
        return _DICOM[self.vendor](series)


def plan_series(vendor: Vendor, image: NiftiImage, tr_s: float, first: int, seed: int) -> SeriesPlan:
    """Return how a recording is written as a vendor does.

    For DICOM the recording is read through once, for the pixels' scale is one for the whole series.

    Raises
    ------
    RecordingError
        If DICOM cannot hold the recording: axes not at right angles, values that are no numbers.
    """
    if vendor == "nifti":
        return SeriesPlan(vendor, image, tr_s, first, seed, None, None)
    geometry = slice_geometry(image.affine_mm, image.shape, image.path)
    span = stored_range(stored_volumes(image, first), image.path)
    scale = fit_scale(span, image.slope, image.inter, signed=vendor == "ge")
    return SeriesPlan(vendor, image, tr_s, first, seed, geometry, scale)
