"""Siemens XA and Philips enhanced: a volume is one file with a frame a slice (Enhanced MR Image Storage).

DICOM PS3.3, A.36 and C.7.6.16: what is the same for all frames stands in the shared functional groups, what differs in
a group of each frame.
"""

from datetime import timedelta
from typing import Any

import numpy.typing as npt
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from .series import ECHO_TIME_MS, Series, VolumeFile, add_pixels, add_timing, as_file, decimals, series_header
from .single_slices import add_real_world_value

__all__ = ["philips_enhanced_files", "siemens_xa_files"]


def siemens_xa_files(series: Series, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
    """Return one volume as Siemens XA writes it, in a file ``001_SERIES_NUMBER.dcm``.

    Parameters
    ----------
    series : Series
    stored : array of shape (x, y, z)
        As the recording stores it.
    number : int
        Of the volume, from 1.
    """
    header = _header(series, number)
    header.ImageType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
    header.Manufacturer, header.ManufacturerModelName = "Siemens Healthineers", "MAGNETOM Prisma"
    header.SoftwareVersions = "syngo MR XA30"
    header.AcquisitionNumber = header.InstanceNumber = number
    for frame in header.PerFrameFunctionalGroupsSequence:
        _add_time_after_start(frame, series, number)
    add_pixels(header, series.slices(stored), series.scale)
    return (VolumeFile(f"001_{series.number:06d}_{number:06d}.dcm", as_file(header)),)


def philips_enhanced_files(series: Series, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
    """Return one volume as Philips writes it in enhanced images, a dynamic a file ``IM_0001`` and on.

    A scan that has ended may be exported with all its dynamics in one file; while it runs, that file is not there.
    See `siemens_xa_files`.
    """
    header = _header(series, number)
    header.ImageType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
    header.Manufacturer, header.ManufacturerModelName = "Philips Medical Systems", "Ingenia"
    header.SoftwareVersions = ["5.6.1", "5.6.1.1"]
    header.AcquisitionNumber = series.number
    header.InstanceNumber = number
    imaging = header.private_block(0x2001, "Philips Imaging DD 001", create=True)
    imaging.add_new(0x18, "SL", series.geometry.n_slices)
    imaging.add_new(0x81, "IS", series.n_volumes)
    add_real_world_value(header.SharedFunctionalGroupsSequence[0], series)
    add_pixels(header, series.slices(stored), series.scale)
    return (VolumeFile(f"IM_{series.first_file + number:04d}", as_file(header)),)


def _header(series: Series, number: int) -> Dataset:
    header = series_header(series, EnhancedMRImageStorage, number)
    header.AcquisitionDateTime = f"{series.time_of(number):%Y%m%d%H%M%S.%f}"
    header.AcquisitionDuration = 1e3 * series.tr_s
    header.PixelPresentation, header.VolumetricProperties = "MONOCHROME", "VOLUME"
    header.VolumeBasedCalculationTechnique = "NONE"
    header.ComplexImageComponent, header.AcquisitionContrast = "MAGNITUDE", "FMRI"
    header.ContentQualification, header.BurnedInAnnotation = "RESEARCH", "NO"
    header.NumberOfFrames = series.geometry.n_slices
    header.EchoPlanarPulseSequence = "YES"
    _add_dimensions(header, series)
    header.SharedFunctionalGroupsSequence = [_shared(series)]
    header.PerFrameFunctionalGroupsSequence = [
        _frame(series, number, place) for place in range(series.geometry.n_slices)
    ]
    return header


def _add_dimensions(header: Dataset, series: Series) -> None:
    """Say what numbers the frames: stack, place in it, moment."""
    organization = Dataset()
    organization.DimensionOrganizationUID = series.uid("dimensions")
    header.DimensionOrganizationSequence = [organization]
    dimensions = []
    for keyword in ("StackID", "InStackPositionNumber", "TemporalPositionIndex"):
        dimension = Dataset()
        dimension.DimensionOrganizationUID = organization.DimensionOrganizationUID
        dimension.DimensionIndexPointer = tag_for_keyword(keyword)
        dimension.FunctionalGroupPointer = tag_for_keyword("FrameContentSequence")
        dimensions.append(dimension)
    header.DimensionIndexSequence = dimensions


def _shared(series: Series) -> Dataset:
    geometry = series.geometry
    shared = Dataset()
    timing = Dataset()
    add_timing(timing, series)
    shared.MRTimingAndRelatedParametersSequence = [timing]
    echo = Dataset()
    echo.EffectiveEchoTime = ECHO_TIME_MS
    shared.MREchoSequence = [echo]
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
    kind.PixelPresentation, kind.VolumetricProperties = "MONOCHROME", "VOLUME"
    kind.VolumeBasedCalculationTechnique = "NONE"
    kind.ComplexImageComponent, kind.AcquisitionContrast = "MAGNITUDE", "FMRI"
    shared.MRImageFrameTypeSequence = [kind]
    view = Dataset()
    view.InPlanePhaseEncodingDirection = "COLUMN"
    view.MRAcquisitionFrequencyEncodingSteps = geometry.n_columns
    view.MRAcquisitionPhaseEncodingStepsInPlane = geometry.n_rows
    view.PercentSampling = view.PercentPhaseFieldOfView = 100.0
    shared.MRFOVGeometrySequence = [view]
    measures = Dataset()
    measures.SliceThickness = measures.SpacingBetweenSlices = decimals(geometry.slice_mm)[0]
    measures.PixelSpacing = decimals(*geometry.spacing_mm)
    shared.PixelMeasuresSequence = [measures]
    orientation = Dataset()
    orientation.ImageOrientationPatient = decimals(*geometry.orientation)
    shared.PlaneOrientationSequence = [orientation]
    return shared


def _frame(series: Series, number: int, place: int) -> Dataset:
    """Return the functional groups of the frame of slice `place` (from 0) of volume `number` (from 1)."""
    began = series.time_of(number)
    content = Dataset()
    content.FrameAcquisitionNumber = number
    content.FrameAcquisitionDateTime = f"{began:%Y%m%d%H%M%S.%f}"
    content.FrameReferenceDateTime = f"{began + timedelta(seconds=series.tr_s / 2):%Y%m%d%H%M%S.%f}"
    content.FrameAcquisitionDuration = 1e3 * series.tr_s
    content.StackID, content.InStackPositionNumber = "1", place + 1
    content.TemporalPositionIndex = number
    content.DimensionIndexValues = [1, place + 1, number]
    position = Dataset()
    position.ImagePositionPatient = decimals(*series.geometry.position_mm(place))
    transformation = Dataset()
    transformation.RescaleIntercept, transformation.RescaleSlope = decimals(
        series.scale.intercept, series.scale.slope
    )
    transformation.RescaleType = "US"
    frame = Dataset()
    frame.FrameContentSequence = [content]
    frame.PlanePositionSequence = [position]
    frame.PixelValueTransformationSequence = [transformation]
    return frame


def _add_time_after_start(frame: Dataset, series: Series, number: int) -> None:
    """Say in Siemens's own group of a frame how long after the series' beginning it was taken."""
    own = Dataset()
    own.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(
        0x04, "DS", decimals((number - 1) * series.tr_s)[0]
    )
    frame.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(0xFE, "SQ", [own])
