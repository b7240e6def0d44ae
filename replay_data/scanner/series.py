"""What all images of a series have in common, and the DICOM attributes that say it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import format_number_as_ds

from .encoding import Encoded, encoded, long_element
from .geometry import SliceGeometry, slices_of
from .pixels import PixelScale

__all__ = [
    "ECHO_TIME_MS",
    "Series",
    "VolumeFile",
    "add_pixel_format",
    "add_plane",
    "add_position",
    "add_rescale",
    "add_timing",
    "decimals",
    "image_part",
    "pixel_data",
    "series_header",
    "volume_header",
]

#: A recording does not say these; they are what is common at 3 T.
ECHO_TIME_MS = 30.0
_FLIP_ANGLE_DEG = 70.0
#: Most characters of a unique identifier, less those of the image's number in it.
_UID_CHARACTERS = 64 - len(".1000000000")


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """One file as a scanner writes it.

    Attributes
    ----------
    name : str
    content : bytes
    """

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Series:
    """One series of volumes.

    Attributes
    ----------
    geometry : SliceGeometry
    scale : PixelScale
    tr_s : float
        Repetition time in seconds.
    n_volumes : int
        Volumes that are planned.
    began : datetime
        When the first volume began.
    number : int
        Series number.
    description : str
    key : str
        What the unique identifiers are made from: the same key gives the same ones.
    first_file : int
        Where the files' own numbers begin, for vendors whose names do not tell the series.
    """

    geometry: SliceGeometry
    scale: PixelScale
    tr_s: float
    n_volumes: int
    began: datetime
    number: int
    description: str
    key: str
    first_file: int = 0

    def uid(self, *parts: object) -> str:
        """Return the unique identifier of a part of the study, the same for the same parts.

        It is of a root that is free for all, not of the vendor's, so that no real image can have it.
        """
        return str(generate_uid(entropy_srcs=[self.key, *map(str, parts)]))

    def image_uid(self, instance: int) -> str:
        """Return the unique identifier of an image, counted from 1 within the series."""
        return f"{self.uid('images', self.number)[:_UID_CHARACTERS]}.1{instance:09d}"

    def time_of(self, number: int) -> datetime:
        """Return when volume `number` began, counted from 1."""
        return self.began + timedelta(seconds=(number - 1) * self.tr_s)

    def slices(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a volume as stored, of shape (x, y, z), as pixels of shape (slices, rows, columns)."""
        return self.scale.pixels(slices_of(stored))


def decimals(*values: float) -> list[str]:
    """Return numbers as DICOM's decimal strings, to the 16 characters that these may have."""
    return [format_number_as_ds(float(value)) for value in values]


def series_header(series: Series, sop_class: str) -> Dataset:
    """Return the attributes that every vendor writes and that are the same in all images of a series.

    Parameters
    ----------
    series : Series
    sop_class : str
        What kind of images they are, as a unique identifier.
    """
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.SOPClassUID = sop_class
    header.StudyDate = header.SeriesDate = f"{series.began:%Y%m%d}"
    header.StudyTime = header.SeriesTime = _time(series.began)
    header.Modality = "MR"
    header.StudyDescription = "decode-stream scan"
    header.SeriesDescription = header.ProtocolName = series.description
    header.PatientName, header.PatientID = "Simulated^Scan", "SIMULATED"
    header.PatientBirthDate = header.PatientSex = header.AccessionNumber = header.ReferringPhysicianName = ""
    header.BodyPartExamined = "BRAIN"
    header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "EP", "SK", "FS"
    header.MRAcquisitionType = "2D"
    header.PatientPosition = "HFS"
    header.MagneticFieldStrength = "3"
    header.StudyInstanceUID = series.uid("study")
    header.SeriesInstanceUID = series.uid("series", series.number)
    header.FrameOfReferenceUID = series.uid("frame of reference")
    header.PositionReferenceIndicator = ""
    header.StudyID = "1"
    header.SeriesNumber = series.number
    header.ImageComments = "Played from a recording by decode-stream scan; no scanner made it."
    return header


def volume_header(series: Series, number: int) -> Dataset:
    """Return the attributes that every vendor writes and that change with the volume, counted from 1: its times."""
    began = series.time_of(number)
    # Images are told to be written when the volume is whole.
    written = began + timedelta(seconds=series.tr_s)
    header = Dataset()
    header.InstanceCreationDate, header.InstanceCreationTime = f"{written:%Y%m%d}", _time(written)
    header.AcquisitionDate, header.AcquisitionTime = f"{began:%Y%m%d}", _time(began)
    header.ContentDate, header.ContentTime = f"{written:%Y%m%d}", _time(written)
    return header


def image_part(uid: str, instance: int) -> Encoded:
    """Return what every image has of its own: its identifier, and its number in the series."""
    header = Dataset()
    header.SOPInstanceUID, header.InstanceNumber = uid, instance
    return encoded(header)


def add_plane(header: Dataset, series: Series) -> None:
    """Say at the top level of an image how its plane lies, and how it was timed."""
    geometry = series.geometry
    thickness = decimals(geometry.slice_mm)[0]
    header.SliceThickness = header.SpacingBetweenSlices = thickness
    header.RepetitionTime = decimals(1e3 * series.tr_s)[0]
    header.EchoTime, header.FlipAngle = decimals(ECHO_TIME_MS, _FLIP_ANGLE_DEG)
    header.EchoNumbers = 1
    header.NumberOfAverages = "1"
    header.EchoTrainLength = geometry.n_rows
    header.InPlanePhaseEncodingDirection = "COL"
    header.AcquisitionMatrix = [geometry.n_columns, 0, 0, geometry.n_rows]
    header.ImageOrientationPatient = decimals(*geometry.orientation)
    header.PixelSpacing = decimals(*geometry.spacing_mm)


def add_position(header: Dataset, series: Series, position_mm: list[float]) -> None:
    """Say at the top level of an image where its first voxel lies."""
    header.ImagePositionPatient = decimals(*position_mm)
    header.SliceLocation = decimals(float(np.dot(position_mm, series.geometry.normal)))[0]


def add_timing(timing: Dataset, series: Series) -> None:
    """Say in the functional groups of a multi-frame image how it was timed."""
    timing.RepetitionTime = 1e3 * series.tr_s
    timing.FlipAngle = _FLIP_ANGLE_DEG
    timing.EchoTrainLength = timing.GradientEchoTrainLength = series.geometry.n_rows
    timing.RFEchoTrainLength = 0


def add_pixel_format(header: Dataset, scale: PixelScale, n_rows: int, n_columns: int) -> None:
    """Say of what form the pixels of an image are."""
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = n_rows, n_columns
    header.BitsAllocated = 16
    header.BitsStored, header.HighBit = scale.bits, scale.bits - 1
    header.PixelRepresentation = int(scale.signed)


def pixel_data(pixels: npt.NDArray[Any]) -> Encoded:
    """Return pixels of shape (rows, columns) or (frames, rows, columns), int16 or uint16, as an element."""
    return long_element("PixelData", b"OW", np.ascontiguousarray(pixels).tobytes())


def add_rescale(header: Dataset, scale: PixelScale) -> None:
    """Say how pixels become values."""
    header.RescaleIntercept, header.RescaleSlope = decimals(scale.intercept, scale.slope)


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S.%f")
