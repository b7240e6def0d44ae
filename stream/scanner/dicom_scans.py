"""Read DICOM files of fMRI as Siemens, GE and Philips scanners export them.

Tried on real files: Siemens mosaics of software E11, whose voxels equal those of `dcm2niix` and whose affines differ
from its by its rounding. Tried on written files only: enhanced multi-frame files of Siemens XA and Philips, and the one
file a slice of GE, Philips and Siemens.

A mosaic is led through nibabel. All other images are frames with a position and an orientation each, in one file or in
many, and one stacking (`stacks.stacked`) serves them all.
"""

import io
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .scans import Content, FloatArray, Scan, Series, Slice, Unfinished, Unreadable, as_scan
from .stacks import stacked

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["is_dicom", "read_dicom"]

_MR = "1.2.840.10008.5.1.4.1.1.4"
_ENHANCED_MR = {"1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"}
#: Parts of an enhanced file's header that are there for each frame or for all of them together.
_GROUPS = (
    "FrameContentSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRImageFrameTypeSequence",
)
#: Slices a volume: of GE (locations in acquisition), of Philips (number of slices), and the standard's own.
_N_SLICES = ((0x0021, 0x104F), (0x2001, 0x1018), (0x0054, 0x0081))
#: Pause after each volume in seconds, which GE's repetition time leaves out.
_GE_GROUP_DELAY = (0x0043, 0x107C)
_UNDEFINED = 0xFFFFFFFF


def is_dicom(content: bytes) -> bool:
    """Return whether bytes begin as a DICOM file does."""
    return content[128:132] == b"DICM"


def read_dicom(content: bytes) -> Content:
    """Read the volumes, or the slice of one, in a DICOM file.

    Parameters
    ----------
    content : bytes
        All that is in the file now.

    Raises
    ------
    Unfinished
        If its pixel data are not there to the end.
    Unreadable
        If it holds no image of an MR scanner, or one whose place in the run or in the head it does not say.
    """
    with warnings.catch_warnings():
        # pydicom warns of values that the end of a file cuts off, and nibabel on import that its reader is for Siemens,
        # which is what it serves here. What a person should know of a file, the errors say.
        warnings.simplefilter("ignore", UserWarning)
        return _read(content)


def _read(content: bytes) -> Content:
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(content))
    _check_pixels(dataset, len(content))
    sop_class = dataset.get("SOPClassUID", "")
    if sop_class in _ENHANCED_MR:
        return _enhanced(dataset)
    if sop_class != _MR:
        raise Unreadable(
            f"it holds {getattr(sop_class, 'name', '') or 'an object of no class'}, not an MR image"
        )
    if "MOSAIC" in dataset.get("ImageType", ()):
        return _mosaic(dataset)
    return Content(slices=(_classic(dataset),), ends_blank=not dataset.pixel_array[-1].any())


def _check_pixels(dataset: "Dataset", size: int) -> None:
    """Raise unless the pixel data are there to their end; pydicom reads a truncated file without a word."""
    pixels: Any = dataset.get_item("PixelData")
    if pixels is None:
        raise Unfinished("its pixel data are not there")
    if pixels.length == _UNDEFINED:  # compressed, and read to the item that ends it
        return
    missing = pixels.length - len(pixels.value or b"")
    if missing > 0:
        raise Unfinished(
            f"it has {size:,} of the {size + missing:,} bytes that its header says", size + missing
        )
    n_pixels = dataset.Rows * dataset.Columns * int(dataset.get("NumberOfFrames") or 1)
    if pixels.length < n_pixels * dataset.BitsAllocated // 8:
        raise Unreadable(f"its pixel data have {pixels.length:,} bytes, too few for its matrix")


def _mosaic(dataset: "Dataset") -> Content:
    from nibabel.nicom import dicomwrappers

    wrapper = dicomwrappers.wrapper_from_data(dataset)
    if not isinstance(wrapper, dicomwrappers.MosaicWrapper):
        # Software XA has no CSA header, and gives its mosaics out as secondary captures.
        raise Unreadable(
            "it is a mosaic without a Siemens CSA header: let the scanner export the enhanced format"
        )
    data, affine_mm = as_scan(wrapper.get_data(), wrapper.affine)
    number, echo_s = _number(dataset, "AcquisitionNumber"), _seconds(dataset.get("EchoTime"))
    scan = Scan(_series(dataset), number, 1, data, affine_mm, _tr_s([dataset]), echo_s, _time_s([dataset]))
    return Content(scans=(scan,), ends_blank=not wrapper.get_unscaled_data()[-1, :, -1].any())


def _classic(dataset: "Dataset") -> Slice:
    siemens = str(dataset.get("Manufacturer") or "").upper().startswith("SIEMENS")
    count = None
    if dataset.get("TemporalPositionIdentifier") and int(dataset.get("NumberOfTemporalPositions") or 2) > 1:
        count = int(dataset.TemporalPositionIdentifier)
    elif siemens:
        count = _number(dataset, "AcquisitionNumber")
    n_slices = next((_integer(dataset[tag].value) for tag in _N_SLICES if tag in dataset), None)
    # GE and Philips write the time at which the run began into every slice of it.
    acquired_s = _time_s([dataset]) if siemens else None
    instance = _number(dataset, "InstanceNumber")
    return _slice([dataset], dataset.pixel_array, _series(dataset), count, instance, n_slices, acquired_s)


def _enhanced(dataset: "Dataset") -> Content:
    """Read a multi-frame file, of one volume or of many."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]
    pixels = np.atleast_3d(dataset.pixel_array) if len(frames) > 1 else dataset.pixel_array[None]
    if len(frames) != len(pixels):
        raise Unreadable(f"it has {len(pixels)} frames, and its header describes {len(frames)}")
    series = _series(dataset)
    volumes: dict[int, list[Slice]] = defaultdict(list)
    seen: Counter[float] = Counter()
    for instance, (frame, image) in enumerate(zip(frames, pixels, strict=True), 1):
        places = [group[name][0] for name in _GROUPS for group in (frame, shared) if group.get(name)]
        places.append(dataset)
        one = _slice(places, image, series, None, instance, None, _time_s(places[:-1]))
        seen[one.height_mm] += 1
        # Without a number of its volume, the n-th frame at a place belongs to the n-th volume.
        volumes[int(_first(places, "TemporalPositionIndex") or seen[one.height_mm])].append(one)
    if len({one.kind for slices in volumes.values() for one in slices}) > 1:
        raise Unreadable("it holds images of several types: let the scanner export magnitude images alone")
    if (
        len(volumes) == 1 and 1 in volumes
    ):  # one file a volume, and the number of the file is that of the volume
        volumes = {_number(dataset, "InstanceNumber"): volumes[1]}
    scans = tuple(stacked(slices, count) for count, slices in sorted(volumes.items()))
    return Content(scans=scans, ends_blank=not pixels[-1][-1].any())


def _slice(
    places: "Sequence[Dataset]",
    pixels: npt.NDArray[np.generic],
    series: Series,
    count: int | None,
    instance: int,
    n_slices: int | None,
    acquired_s: float | None,
) -> Slice:
    """Take what all kinds of files say of one image; `places` are the parts of the header, the nearest first."""
    slope = float(_first(places, "RescaleSlope") or 1.0)
    intercept = float(_first(places, "RescaleIntercept") or 0.0)
    spacing = _vector(places, "PixelSpacing", 2)
    between = _first(places, "SpacingBetweenSlices") or _first(places, "SliceThickness") or 1.0
    return Slice(
        series,
        count,
        instance,
        n_slices,
        pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept),
        _vector(places, "ImagePositionPatient", 3),
        _vector(places, "ImageOrientationPatient", 6).reshape(2, 3),
        (float(spacing[0]), float(spacing[1])),
        float(between),
        _tr_s(places),
        _seconds(_first(places, "EffectiveEchoTime") or _first(places, "EchoTime")),
        acquired_s,
        "/".join(map(str, _first(places, "FrameType") or _first(places, "ImageType") or ())),
    )


def _first(places: "Sequence[Dataset]", keyword: str) -> Any:
    return next((value for place in places if (value := place.get(keyword)) is not None), None)


def _vector(places: "Sequence[Dataset]", keyword: str, length: int) -> FloatArray:
    value = _first(places, keyword)
    if value is None or len(value) != length:
        raise Unreadable(f"it does not say its {keyword}, so its place in the head is unknown")
    return np.array([float(x) for x in value])


def _series(dataset: "Dataset") -> Series:
    uid, number = dataset.get("SeriesInstanceUID") or "", dataset.get("SeriesNumber")
    description = dataset.get("SeriesDescription") or dataset.get("ProtocolName") or ""
    return Series(str(uid), "" if number is None else str(number), str(description))


def _number(dataset: "Dataset", keyword: str) -> int:
    value = dataset.get(keyword)
    if value is None:
        raise Unreadable(f"it does not say its {keyword}, so its place in the run is unknown")
    return int(value)


def _integer(value: Any) -> int | None:
    """Return a private element's number, which reaches us as bytes if its type was lost on the way; None for 0."""
    return (int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)) or None


def _seconds(milliseconds: Any) -> float | None:
    return float(milliseconds) * 1e-3 if milliseconds and float(milliseconds) > 0 else None


def _tr_s(places: "Sequence[Dataset]") -> float | None:
    tr_s, delay = _seconds(_first(places, "RepetitionTime")), places[-1].get(_GE_GROUP_DELAY)
    if tr_s is not None and delay is not None and isinstance(delay.value, int | float):
        tr_s += float(delay.value)
    return tr_s


def _time_s(places: "Sequence[Dataset]") -> float | None:
    """Return when the acquisition began, in seconds since 1970 of the scanner's local time."""
    from pydicom.valuerep import DT

    text = _first(places, "FrameAcquisitionDateTime") or _first(places, "AcquisitionDateTime")
    if not text and (time := _first(places, "AcquisitionTime")):
        # Where the date was taken out, the times of a run still follow on each other.
        text = f"{_first(places, 'AcquisitionDate') or '19700101'}{time}"
    moment = DT(str(text)) if text else None
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()
