"""GE and Philips classic: a file a slice."""

from abc import ABC, abstractmethod
from typing import Any

import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from .encoding import as_file, encoded
from .series import (
    Series,
    VolumeFile,
    add_pixel_format,
    add_plane,
    add_position,
    add_rescale,
    image_part,
    pixel_data,
    series_header,
    volume_header,
)

__all__ = ["GeFiles", "PhilipsFiles", "add_real_world_value"]

#: GE counts the files of a scanner through all that it ever made; a series begins anywhere.
_GE_FIRST_FILE = 12345
_PHILIPS_IMAGING = "Philips Imaging DD 001"
_PHILIPS_MR = "Philips MR Imaging DD 001"


class _SliceFiles(ABC):
    """What both vendors share; see `GeFiles`."""

    def __init__(self, series: Series) -> None:
        self._series = series
        same = encoded(self._header())
        self._constant = [same | encoded(self._slice(place)) for place in range(series.geometry.n_slices)]

    def __call__(self, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
        """Return the files of one volume, slice by slice.

        Parameters
        ----------
        stored : array of shape (x, y, z)
            As the recording stores it.
        number : int
            Of the volume, from 1.
        """
        series = self._series
        moment = encoded(self._moment(number))
        first = (number - 1) * series.geometry.n_slices + 1
        files = []
        for instance, (pixels, constant) in enumerate(
            zip(series.slices(stored), self._constant, strict=True), start=first
        ):
            uid = series.image_uid(instance)
            content = as_file(
                MRImageStorage, uid, constant, moment, image_part(uid, instance), pixel_data(pixels)
            )
            files.append(VolumeFile(self._name(instance), content))
        return tuple(files)

    def _header(self) -> Dataset:
        """Return the attributes that are the same in all images."""
        series, geometry = self._series, self._series.geometry
        header = series_header(series, MRImageStorage)
        header.NumberOfTemporalPositions = series.n_volumes
        header.StackID = "1"
        add_plane(header, series)
        add_pixel_format(header, series.scale, geometry.n_rows, geometry.n_columns)
        return header

    def _slice(self, place: int) -> Dataset:
        """Return the attributes of slice `place`, from 0, that are the same in all volumes."""
        own = Dataset()
        own.InStackPositionNumber = place + 1
        add_position(own, self._series, self._series.geometry.position_mm(place))
        return own

    def _moment(self, number: int) -> Dataset:
        """Return the attributes of volume `number`, from 1, that are the same in all slices."""
        moment = volume_header(self._series, number)
        moment.TemporalPositionIdentifier = number
        moment.TriggerTime = f"{1e3 * (number - 1) * self._series.tr_s:.3f}"
        return moment

    @abstractmethod
    def _name(self, instance: int) -> str:
        """Return the name of the file of an image, counted from 1."""


class GeFiles(_SliceFiles):
    """Writes each slice in a file ``i12345.MRDCM.1`` and on; the last number is the instance's.

    Parameters
    ----------
    series : Series
    """

    def _header(self) -> Dataset:
        series = self._series
        header = super()._header()
        header.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        header.Manufacturer, header.ManufacturerModelName = "GE MEDICAL SYSTEMS", "DISCOVERY MR750"
        header.SoftwareVersions = ["27", "LX", "MR Software release:DV26.0_R01_1725.a"]
        header.AcquisitionNumber = 1
        header.ImagesInAcquisition = series.geometry.n_slices * series.n_volumes
        header.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(
            0x4F, "SS", series.geometry.n_slices
        )
        if not series.scale.plain:
            add_rescale(header, series.scale)
        return header

    def _name(self, instance: int) -> str:
        return f"i{_GE_FIRST_FILE + self._series.first_file + instance - 1}.MRDCM.{instance}"


class PhilipsFiles(_SliceFiles):
    """Writes each slice in a file ``IM_0001`` and on.

    Parameters
    ----------
    series : Series
    """

    def _header(self) -> Dataset:
        series = self._series
        header = super()._header()
        header.ImageType = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
        header.Manufacturer, header.ManufacturerModelName = "Philips Medical Systems", "Achieva"
        header.SoftwareVersions = ["5.4.1", "5.4.1.1"]
        header.AcquisitionNumber = series.number
        imaging = header.private_block(0x2001, _PHILIPS_IMAGING, create=True)
        imaging.add_new(0x18, "SL", series.geometry.n_slices)
        imaging.add_new(0x81, "IS", series.n_volumes)
        add_rescale(header, series.scale)
        add_real_world_value(header, series)
        return header

    def _slice(self, place: int) -> Dataset:
        own = super()._slice(place)
        own.private_block(0x2001, _PHILIPS_IMAGING, create=True).add_new(0x0A, "IS", place + 1)
        return own

    def _moment(self, number: int) -> Dataset:
        moment = super()._moment(number)
        # When the dynamic began, in seconds of the series.
        begun_s = (number - 1) * self._series.tr_s
        moment.private_block(0x2005, _PHILIPS_MR, create=True).add_new(0xA0, "FL", begun_s)
        return moment

    def _name(self, instance: int) -> str:
        return f"IM_{self._series.first_file + instance:04d}"


def add_real_world_value(header: Dataset, series: Series) -> None:
    """Say the values once more, as those of the real world.

    Readers of Philips's images mistrust its Rescale Slope, which may be a matter of display, and follow this.
    """
    scale = series.scale
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "[arb'U]", "UCUM", "arbitrary unit"
    real = Dataset()
    real.add_new("RealWorldValueFirstValueMapped", "US", 0)
    real.add_new("RealWorldValueLastValueMapped", "US", 2**scale.bits - 1)
    real.RealWorldValueIntercept, real.RealWorldValueSlope = scale.intercept, scale.slope
    real.LUTExplanation = real.LUTLabel = "Value"
    real.MeasurementUnitsCodeSequence = [unit]
    header.RealWorldValueMappingSequence = [real]
