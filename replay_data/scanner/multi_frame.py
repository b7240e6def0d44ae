"""Siemens XA and Philips enhanced: a volume is one file with a frame a slice (Enhanced MR Image Storage).

DICOM PS3.3, A.36 and C.7.6.16: what is the same for all frames stands in the shared functional groups, what differs in
a group of each frame.
"""

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any

import numpy.typing as npt
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from .encoding import Encoded, as_file, encoded, sequence
from .series import (
    ECHO_TIME_MS,
    Series,
    VolumeFile,
    add_pixel_format,
    add_rescale,
    add_timing,
    decimals,
    image_part,
    pixel_data,
    series_header,
    volume_header,
)
from .single_slices import add_real_world_value

__all__ = ["PhilipsEnhancedFiles", "SiemensXaFiles"]


class _FrameFiles(ABC):
    """What both vendors share; see `SiemensXaFiles`."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._constant = encoded(self._header())
        self._frames = [encoded(self._frame(place)) for place in range(series.geometry.n_slices)]

    def __call__(self, stored: npt.NDArray[Any], number: int) -> tuple[VolumeFile, ...]:
        """Return the file of one volume.

        Parameters
        ----------
        stored : array of shape (x, y, z)
            As the recording stores it.
        number : int
            Of the volume, from 1.
        """
        series = self._series
        uid = series.image_uid(number)
        content = as_file(
            EnhancedMRImageStorage,
            uid,
            self._constant,
            encoded(self._moment(number)),
            sequence("PerFrameFunctionalGroupsSequence", self._groups(number)),
            image_part(uid, number),
            pixel_data(series.slices(stored)),
        )
        return (VolumeFile(self._name(number), content),)

    def _header(self) -> Dataset:
        """Return the attributes that are the same in all volumes."""
        series, geometry = self._series, self._series.geometry
        header = series_header(series, EnhancedMRImageStorage)
        header.ImageType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
        header.AcquisitionDuration = 1e3 * series.tr_s
        _add_description(header)
        header.ContentQualification, header.BurnedInAnnotation = "RESEARCH", "NO"
        header.NumberOfFrames = geometry.n_slices
        header.EchoPlanarPulseSequence = "YES"
        _add_dimensions(header, series)
        add_pixel_format(header, series.scale, geometry.n_rows, geometry.n_columns)
        header.SharedFunctionalGroupsSequence = [_shared(series)]
        return header

    def _frame(self, place: int) -> Dataset:
        """Return the functional groups of the frame of slice `place`, from 0, that are the same in all volumes."""
        position, values = Dataset(), Dataset()
        position.ImagePositionPatient = decimals(*self._series.geometry.position_mm(place))
        add_rescale(values, self._series.scale)
        values.RescaleType = "US"
        frame = Dataset()
        frame.PlanePositionSequence = [position]
        frame.PixelValueTransformationSequence = [values]
        return frame

    def _moment(self, number: int) -> Dataset:
        """Return the attributes that change with the volume, counted from 1."""
        moment = volume_header(self._series, number)
        moment.AcquisitionDateTime = f"{self._series.time_of(number):%Y%m%d%H%M%S.%f}"
        return moment

    def _frame_moment(self, number: int) -> Dataset:
        """Return the functional groups that change with the volume, and are the same in all its frames."""
        return Dataset()

    def _groups(self, number: int) -> list[Encoded]:
        """Return the functional groups of each frame of a volume."""
        began, tr_s = self._series.time_of(number), self._series.tr_s
        content = Dataset()
        content.FrameAcquisitionNumber = content.TemporalPositionIndex = number
        content.FrameAcquisitionDateTime = f"{began:%Y%m%d%H%M%S.%f}"
        content.FrameReferenceDateTime = f"{began + timedelta(seconds=tr_s / 2):%Y%m%d%H%M%S.%f}"
        content.FrameAcquisitionDuration = 1e3 * tr_s
        content.StackID = "1"
        same, moment = encoded(content), encoded(self._frame_moment(number))
        groups = []
        for place, frame in enumerate(self._frames, start=1):
            own = Dataset()
            own.InStackPositionNumber, own.DimensionIndexValues = place, [1, place, number]
            groups.append(frame | moment | sequence("FrameContentSequence", [same | encoded(own)]))
        return groups

    @abstractmethod
    def _name(self, number: int) -> str:
        """Return the name of the file of a volume, counted from 1."""


class SiemensXaFiles(_FrameFiles):
    """Writes each volume in a file ``001_SERIES_NUMBER.dcm``.

    Parameters
    ----------
    series : Series
    """

    def _header(self) -> Dataset:
        header = super()._header()
        header.Manufacturer, header.ManufacturerModelName = "Siemens Healthineers", "MAGNETOM Prisma"
        header.SoftwareVersions = "syngo MR XA30"
        return header

    def _moment(self, number: int) -> Dataset:
        moment = super()._moment(number)
        moment.AcquisitionNumber = number
        return moment

    def _frame_moment(self, number: int) -> Dataset:
        # Siemens's own group of a frame says how long after the series' beginning it was taken.
        own, moment = Dataset(), Dataset()
        after_s = decimals((number - 1) * self._series.tr_s)[0]
        own.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(0x04, "DS", after_s)
        moment.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(0xFE, "SQ", [own])
        return moment

    def _name(self, number: int) -> str:
        return f"001_{self._series.number:06d}_{number:06d}.dcm"


class PhilipsEnhancedFiles(_FrameFiles):
    """Writes each volume, a dynamic, in a file ``IM_0001`` and on.

    A scan that has ended may be exported with all its dynamics in one file; while it runs, that file is not there.

    Parameters
    ----------
    series : Series
    """

    def _header(self) -> Dataset:
        series = self._series
        header = super()._header()
        header.Manufacturer, header.ManufacturerModelName = "Philips Medical Systems", "Ingenia"
        header.SoftwareVersions = ["5.6.1", "5.6.1.1"]
        header.AcquisitionNumber = series.number
        imaging = header.private_block(0x2001, "Philips Imaging DD 001", create=True)
        imaging.add_new(0x18, "SL", series.geometry.n_slices)
        imaging.add_new(0x81, "IS", series.n_volumes)
        add_real_world_value(header.SharedFunctionalGroupsSequence[0], series)
        return header

    def _name(self, number: int) -> str:
        return f"IM_{self._series.first_file + number:04d}"


def _add_description(part: Dataset) -> None:
    """Say what an image or its frames show, in the words of the MR image description macro."""
    part.PixelPresentation, part.VolumetricProperties = "MONOCHROME", "VOLUME"
    part.VolumeBasedCalculationTechnique = "NONE"
    part.ComplexImageComponent, part.AcquisitionContrast = "MAGNITUDE", "FMRI"


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
    timing, echo, kind, view, measures, orientation = (Dataset() for _ in range(6))
    add_timing(timing, series)
    echo.EffectiveEchoTime = ECHO_TIME_MS
    kind.FrameType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
    _add_description(kind)
    view.InPlanePhaseEncodingDirection = "COLUMN"
    view.MRAcquisitionFrequencyEncodingSteps = geometry.n_columns
    view.MRAcquisitionPhaseEncodingStepsInPlane = geometry.n_rows
    view.PercentSampling = view.PercentPhaseFieldOfView = 100.0
    measures.SliceThickness = measures.SpacingBetweenSlices = decimals(geometry.slice_mm)[0]
    measures.PixelSpacing = decimals(*geometry.spacing_mm)
    orientation.ImageOrientationPatient = decimals(*geometry.orientation)
    shared = Dataset()
    shared.MRTimingAndRelatedParametersSequence = [timing]
    shared.MREchoSequence = [echo]
    shared.MRImageFrameTypeSequence = [kind]
    shared.MRFOVGeometrySequence = [view]
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    return shared
