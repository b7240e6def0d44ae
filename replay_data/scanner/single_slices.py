"""GE and Philips classic: a file a slice."""

from typing import Any

import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from .series import Series, VolumeFile, add_pixels, add_plane, add_rescale, as_file, series_header

__all__ = ["add_real_world_value", "ge_files", "philips_files"]

#: GE counts the files of a scanner through all that it ever made; a series begins anywhere.
_GE_FIRST_FILE = 12345


def ge_files(series: Series, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
    """Return one volume as GE writes it, in files ``i12345.MRDCM.1`` and on; the last number is the instance's.

    Parameters
    ----------
    series : Series
    stored : array of shape (x, y, z)
        As the recording stores it.
    number : int
        Of the volume, from 1.
    """
    files = []
    n_slices = series.geometry.n_slices
    for place, pixels in enumerate(series.slices(stored)):
        header = _slice_header(series, number, place)
        header.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        header.Manufacturer, header.ManufacturerModelName = "GE MEDICAL SYSTEMS", "DISCOVERY MR750"
        header.SoftwareVersions = ["27", "LX", "MR Software release:DV26.0_R01_1725.a"]
        header.AcquisitionNumber = 1
        header.ImagesInAcquisition = n_slices * series.n_volumes
        header.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", n_slices)
        if not series.scale.plain:
            add_rescale(header, series.scale)
        add_pixels(header, pixels, series.scale)
        instance = int(header.InstanceNumber)
        file = _GE_FIRST_FILE + series.first_file + instance - 1
        files.append(VolumeFile(f"i{file}.MRDCM.{instance}", as_file(header)))
    return tuple(files)


def philips_files(series: Series, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
    """Return one volume as Philips writes it in classic images, in files ``IM_0001`` and on; see `ge_files`."""
    files = []
    geometry = series.geometry
    for place, pixels in enumerate(series.slices(stored)):
        header = _slice_header(series, number, place)
        header.ImageType = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
        header.Manufacturer, header.ManufacturerModelName = "Philips Medical Systems", "Achieva"
        header.SoftwareVersions = ["5.4.1", "5.4.1.1"]
        header.AcquisitionNumber = series.number
        imaging = header.private_block(0x2001, "Philips Imaging DD 001", create=True)
        imaging.add_new(0x0A, "IS", place + 1)
        imaging.add_new(0x18, "SL", geometry.n_slices)
        imaging.add_new(0x81, "IS", series.n_volumes)
        dynamics = header.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        dynamics.add_new(0xA0, "FL", (number - 1) * series.tr_s)
        add_real_world_value(header, series)
        add_rescale(header, series.scale)
        add_pixels(header, pixels, series.scale)
        files.append(VolumeFile(f"IM_{series.first_file + header.InstanceNumber:04d}", as_file(header)))
    return tuple(files)


def add_real_world_value(header: Dataset, series: Series) -> None:
    """Say the values once more, as those of the real world.

    Readers of Philips's images mistrust its Rescale Slope, which may be a matter of display, and follow this.
    """
    scale = series.scale
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "[arb'U]", "UCUM", "arbitrary unit"
    real = Dataset()
    real.RealWorldValueFirstValueMapped, real.RealWorldValueLastValueMapped = 0, 2**scale.bits - 1
    real.RealWorldValueIntercept, real.RealWorldValueSlope = scale.intercept, scale.slope
    real.LUTExplanation = real.LUTLabel = "Value"
    real.MeasurementUnitsCodeSequence = [unit]
    header.RealWorldValueMappingSequence = [real]


def _slice_header(series: Series, number: int, place: int) -> Dataset:
    """Return the attributes of slice `place` (from 0) of volume `number` (from 1) that both vendors write."""
    geometry = series.geometry
    header = series_header(series, MRImageStorage, number, place)
    header.InstanceNumber = (number - 1) * geometry.n_slices + place + 1
    header.TemporalPositionIdentifier = number
    header.NumberOfTemporalPositions = series.n_volumes
    header.TriggerTime = f"{1e3 * (number - 1) * series.tr_s:.3f}"
    header.StackID = "1"
    header.InStackPositionNumber = place + 1
    add_plane(header, series, geometry.position_mm(place))
    return header
