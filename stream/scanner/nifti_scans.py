"""Read NIfTI files that an export is still writing into a folder.

No scanner's own export was at hand: tried on written files, among them a run of Haxby et al. (2001) played as one.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .scans import Content, FloatArray, Image, Scan, Series, Unfinished, Unreadable

__all__ = ["is_nifti", "read_nifti"]

_GZIP = b"\x1f\x8b"
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


def is_nifti(content: bytes) -> bool:
    """Return whether bytes begin as a NIfTI-1 or NIfTI-2 file does, or as a compressed file."""
    return content.startswith(_GZIP) or _header_length(content) > 0


def read_nifti(path: Path, content: bytes) -> Content:
    """Read the volumes of a NIfTI file.

    Parameters
    ----------
    path : Path
        Its name has the volume's number, the last run of digits. A file of many volumes needs none.
    content : bytes
        All that is in the file now.

    Raises
    ------
    Unfinished
        If it is shorter than its header or its compression says.
    Unreadable
        If it holds no volumes.
    """
    import nibabel

    packed = content.startswith(_GZIP)
    if packed:
        content = _unpacked(content)
    length = _header_length(content)
    if not length:
        raise Unreadable("it is compressed, but no NIfTI file")
    if len(content) < length:
        raise Unfinished("its header is not whole", length)
    kind = nibabel.Nifti1Image if length == 348 else nibabel.Nifti2Image
    try:
        header = kind.header_class(content[:length])
    except nibabel.spatialimages.HeaderDataError as error:
        raise Unreadable(f"its header is damaged: {error}") from None
    needed = _needed(header)
    if len(content) < needed:
        size = f"{len(content):,} of the {needed:,} bytes"
        raise Unfinished(f"it has {size} that its header says", 0 if packed else needed)
    image = kind.from_bytes(content)
    voxels = image.get_fdata(dtype=np.float32)
    voxels = voxels.reshape(*voxels.shape[:3], -1)
    row = len(voxels) * header.get_data_dtype().itemsize
    ends_blank = not packed and not any(content[needed - row : needed])
    return Content(scans=tuple(_scans(path, voxels, image.affine, _tr_s(header))), ends_blank=ends_blank)


def _header_length(content: bytes) -> int:
    """Return 348 or 540 of a NIfTI file of either byte order, and 0 of another file."""
    sizes = {int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")}
    return next((size for size in (348, 540) if size in sizes), 0)


def _unpacked(content: bytes) -> bytes:
    """Decompress a whole gzip file, whose own checksum and length tell that it is whole."""
    out = []
    while content:
        unzip = zlib.decompressobj(wbits=31)
        try:
            out.append(unzip.decompress(content))
        except zlib.error as error:
            raise Unreadable(f"its compression is damaged: {error}") from None
        if not unzip.eof:
            raise Unfinished("its compressed data end too early")
        content = unzip.unused_data
    return b"".join(out)


def _needed(header: Any) -> int:
    """Return how many bytes the file has when it is whole."""
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[4:]):
        raise Unreadable(f"its shape is {tuple(int(n) for n in shape)}, not that of a volume")
    if dtype.kind not in "iuf":
        raise Unreadable(f"its voxels are of type {dtype}, not numbers")
    return int(header.get_data_offset()) + int(np.prod(shape, dtype=object)) * int(dtype.itemsize)


def _tr_s(header: Any) -> float | None:
    """Return the time from one volume to the next, or None where it is only the value that writers leave there."""
    unit = header.get_xyzt_units()[1]
    if unit not in _SECONDS and len(header.get_data_shape()) < 4:
        return None
    tr_s = float(header["pixdim"][4]) * _SECONDS.get(unit, 1.0)
    return tr_s if tr_s > 0 else None


def _scans(path: Path, voxels: Image, affine_mm: FloatArray, tr_s: float | None) -> Iterator[Scan]:
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    if voxels.shape[3] > 1:
        for number in range(voxels.shape[3]):
            data = np.ascontiguousarray(voxels[..., number])
            yield Scan(Series(stem), number, 0, data, affine_mm, tr_s)
        return
    digits = list(re.finditer(r"\d+", stem))
    if not digits:
        raise Unreadable("its name has no number that says which volume of the run it is")
    start, stop = digits[-1].span()
    yield Scan(
        Series(stem[:start] + stem[stop:]), int(stem[start:stop]), None, voxels[..., 0], affine_mm, tr_s
    )
