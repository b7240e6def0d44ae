"""Read one file of a scanner, whatever its name is: what it is, it says itself."""

import math
from pathlib import Path

from decode_stream.stream.errors import RecordingError

from .scans import Content, Unfinished, Unreadable
from .volume import Volume

__all__ = ["read_content", "read_volumes"]


def read_content(path: Path, content: bytes) -> Content:
    """Read what one file holds.

    Parameters
    ----------
    path : Path
    content : bytes
        All that is in the file now.

    Raises
    ------
    Unfinished
        If the file is not whole.
    Unreadable
        If it holds no volume.
    """
    from .dicom_scans import is_dicom, read_dicom
    from .nifti_scans import is_nifti, read_nifti

    if not content:
        raise Unfinished("it is empty")
    try:
        if is_dicom(content):
            return read_dicom(content)
        if is_nifti(content):
            return read_nifti(path, content)
    except (Unfinished, Unreadable):
        raise
    except Exception as error:
        # What a damaged header makes the libraries raise is not theirs to promise, and one file must not end a run.
        raise Unreadable(f"it is damaged ({type(error).__name__}: {error})") from error
    raise Unreadable("it is neither DICOM nor NIfTI")


def read_volumes(path: Path) -> list[Volume]:
    """Read the volumes of one whole file.

    Parameters
    ----------
    path : Path
        NIfTI, or DICOM that holds whole volumes: a Siemens mosaic or an enhanced multi-frame file.

    Returns
    -------
    list of Volume
        Numbered as the scanner has them, from 0 on; `arrived_s` is nan, and so is `tr_s` if the file does not say it.

    Raises
    ------
    RecordingError
        If it is missing, not whole, or holds no whole volume.
    """
    try:
        content = read_content(path, path.read_bytes())
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from None
    except (Unfinished, Unreadable) as error:
        raise RecordingError(f"{path} cannot be read as a volume: {error}.") from None
    if content.slices:
        raise RecordingError(
            f"{path} is one slice of a volume. Name a NIfTI file, a Siemens mosaic or an enhanced DICOM file."
        )
    return [
        Volume(
            scan.count - (scan.first or 0),
            scan.data,
            scan.affine_mm,
            math.nan if scan.tr_s is None else scan.tr_s,
            scan.acquired_s,
            math.nan,
            path,
            scan.series.uid,
        )
        for scan in content.scans
    ]
