"""What all images of a series have in common, and the DICOM attributes that say it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from .geometry import SliceGeometry, slices_of
from .pixels import PixelScale

__all__ = [
    "ECHO_TIME_MS",
    "Series",
    "VolumeFile",
    "add_pixels",
    "add_plane",
    "add_rescale",
    "add_timing",
    "as_file",
    "decimals",
    "series_header",
]

#: A recording does not say these; they are what is common at 3 T.
ECHO_TIME_MS = 30.0
_FLIP_ANGLE_DEG = 70.0


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

    def time_of(self, number: int) -> datetime:
        """Return when volume `number` began, counted from 1."""
        return self.began + timedelta(seconds=(number - 1) * self.tr_s)

    def slices(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a volume as stored, of shape (x, y, z), as pixels of shape (slices, rows, columns)."""
        return self.scale.pixels(slices_of(stored))


def decimals(*values: float) -> list[str]:
    """Return numbers as DICOM's decimal strings, to the 16 characters that these may have."""
    return [format_number_as_ds(float(value)) for value in values]


def _time(moment: datetime) -> str:
    """Return the time of day as DICOM writes it."""
    return moment.strftime("%H%M%S.%f")


def series_header(series: Series, sop_class: str, number: int, part: int = 0) -> Dataset:
    """Return the attributes that every vendor writes, of one image of a volume.

    Parameters
    ----------
    series : Series
    sop_class : str
        What kind of image it is, as a unique identifier.
    number : int
        Of the volume, from 1.
    part : int
        Which of the volume's images it is.
    """
    began = series.time_of(number)
    # Images are told to be written when the volume is whole.
    written = began + timedelta(seconds=series.tr_s)
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.InstanceCreationDate, header.InstanceCreationTime = f"{written:%Y%m%d}", _time(written)
    header.SOPClassUID = sop_class
    header.SOPInstanceUID = series.uid("image", series.number, number, part)
    header.StudyDate = header.SeriesDate = f"{series.began:%Y%m%d}"
    header.StudyTime = header.SeriesTime = _time(series.began)
    header.AcquisitionDate, header.AcquisitionTime = f"{began:%Y%m%d}", _time(began)
    header.ContentDate, header.ContentTime = f"{written:%Y%m%d}", _time(written)
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


def add_plane(header: Dataset, series: Series, position_mm: list[float]) -> None:
    """Say at the top level of an image where its plane lies, and how it was timed."""
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
    header.ImagePositionPatient = decimals(*position_mm)
    header.ImageOrientationPatient = decimals(*geometry.orientation)
    header.PixelSpacing = decimals(*geometry.spacing_mm)
    header.SliceLocation = decimals(float(np.dot(position_mm, geometry.normal)))[0]


def add_timing(timing: Dataset, series: Series) -> None:
    """Say in the functional groups of a multi-frame image how it was timed."""
    timing.RepetitionTime = 1e3 * series.tr_s
    timing.FlipAngle = _FLIP_ANGLE_DEG
    timing.EchoTrainLength = timing.GradientEchoTrainLength = series.geometry.n_rows
    timing.RFEchoTrainLength = 0


def add_pixels(header: Dataset, pixels: npt.NDArray[Any], scale: PixelScale) -> None:
    """Put pixels into an image, shape (rows, columns) or (frames, rows, columns), int16 or uint16."""
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape[-2:]
    header.BitsAllocated = 16
    header.BitsStored, header.HighBit = scale.bits, scale.bits - 1
    header.PixelRepresentation = int(scale.signed)
    low, high = int(pixels.min()), int(pixels.max())
    header.SmallestImagePixelValue = low
    header.LargestImagePixelValue = high
    header.WindowCenter, header.WindowWidth = decimals((low + high) / 2, max(1, high - low))
    header.PixelData = np.ascontiguousarray(pixels).tobytes()
    header["PixelData"].VR = "OW"


def add_rescale(header: Dataset, scale: PixelScale) -> None:
    """Say how pixels become values."""
    header.RescaleIntercept, header.RescaleSlope = decimals(scale.intercept, scale.slope)


def as_file(header: Dataset) -> bytes:
    """Return an image as the bytes of a DICOM file."""
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    held = BytesIO()
    dcmwrite(held, header, enforce_file_format=True)
    return held.getvalue()
