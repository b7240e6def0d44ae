"""Volumes of a NIfTI file: its header judged, and chosen voxels read volume by volume, never the whole file."""

import gzip
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["NiftiImage", "NiftiVoxels", "no_room", "open_nifti", "read_volume", "reading", "stored_volumes"]

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
#: Deflate cannot do better than 1032 to 1, so a header that declares more than this is not of its file.
_MOST_COMPRESSED = 1100
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, eq=False)
class NiftiImage:
    """What the header of a NIfTI file says, checked against the file's size.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Voxels along x, y and z.
    n_volumes : int or None
        Volumes; None for an image of one volume that has no axis of time.
    affine_mm : array of shape (4, 4), float64
        From voxel indices to millimetres.
    placed : bool
        Whether the header says where the voxels lie; else the affine is what readers take in its stead.
    tr_s : float
        Repetition time in seconds as the header gives it, 0 where it does not.
    dtype : numpy.dtype
        As stored.
    slope, inter : float
        A stored value v stands for v * slope + inter.
    offset : int
        Byte at which the values begin, in the uncompressed file.
    """

    path: Path
    shape: tuple[int, int, int]
    n_volumes: int | None
    affine_mm: FloatArray
    placed: bool
    tr_s: float
    dtype: np.dtype[Any]
    slope: float
    inter: float
    offset: int

    @property
    def volume_bytes(self) -> int:
        """Size of one volume in the uncompressed file."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """Size that the uncompressed file must have."""
        return self.offset + (self.n_volumes or 1) * self.volume_bytes


def open_nifti(path: Path) -> NiftiImage:
    """Return what a NIfTI file holds, having read its header only.

    Raises
    ------
    RecordingError
        If it is no NIfTI file, has no three or four axes, holds no plain numbers, or is cut off.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.imageglobals import LoggingOutputSuppressor
    from nibabel.spatialimages import HeaderDataError

    with reading(path), LoggingOutputSuppressor():
        try:
            image: Any = nibabel.load(path)
        except (ImageFileError, HeaderDataError) as error:
            raise RecordingError(
                f"{path} is no NIfTI file, or is damaged or cut off. Copy it again."
            ) from error
    if not isinstance(image, nibabel.Nifti1Image) or isinstance(image, nibabel.Cifti2Image):
        raise RecordingError(
            f"{path} is a {type(image).__name__}, not volumes on a grid. Give the NIfTI file of the volumes (.nii.gz)."
        )
    stored = image.dataobj
    shape = tuple(int(n) for n in stored.shape)
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise RecordingError(
            f"{path} has the shape {shape}; a recording has four axes (x, y, z, time) and a mask three."
        )
    if stored.dtype.kind not in "iuf":
        raise RecordingError(f"{path} holds {stored.dtype} values; volumes hold plain numbers.")
    space, time = image.header.get_xyzt_units()
    affine = np.diag([_MILLIMETRES.get(space, 1.0)] * 3 + [1.0]) @ image.affine
    found = NiftiImage(
        path,
        (shape[0], shape[1], shape[2]),
        shape[3] if len(shape) == 4 else None,
        affine,
        bool(image.header["qform_code"] > 0 or image.header["sform_code"] > 0),
        float(image.header.get_zooms()[3]) * _SECONDS.get(time, 1.0) if len(shape) == 4 else 0.0,
        stored.dtype,
        float(stored.slope),
        float(stored.inter),
        int(stored.offset),
    )
    _check_size(found)
    return found


def read_volume(image: NiftiImage, which: int = 0) -> FloatArray:
    """Return one volume, shape (x, y, z), float64, its scale applied.

    Raises
    ------
    RecordingError
        If the file cannot be read up to there.
    """
    with reading(image.path), _open(image.path) as file:
        _skip(file, image.offset + which * image.volume_bytes)
        values = np.frombuffer(_exactly(file, image.volume_bytes, image.path), image.dtype)
    scaled: FloatArray = values.astype(np.float64) * image.slope + image.inter
    return scaled.reshape(image.shape, order="F")


def stored_volumes(image: NiftiImage, first: int = 0) -> Iterator[npt.NDArray[Any]]:
    """Yield the volumes from `first` on as they are stored, shape (x, y, z), one held at a time.

    Raises
    ------
    RecordingError
        If the file is cut off there.
    """
    with reading(image.path), _open(image.path) as file:
        _skip(file, image.offset + first * image.volume_bytes)
        for _ in range(first, image.n_volumes or 1):
            values = np.frombuffer(_exactly(file, image.volume_bytes, image.path), image.dtype)
            yield values.reshape(image.shape, order="F")


class NiftiVoxels:
    """Chosen voxels of a NIfTI file, read in blocks of volumes.

    A plain file is memory-mapped. A compressed one can only be read from its beginning, so its chosen voxels go to a
    temporary file on the way, as far as they have been asked for, and are read from there afterwards.

    Parameters
    ----------
    image : NiftiImage
        With an axis of time.
    voxels : array of shape (n_voxels, 3), int64
        Indices (x, y, z) of the voxels, in the order in which they are read.
    """

    def __init__(self, image: NiftiImage, voxels: IntArray) -> None:
        self._image = image
        self.n_volumes = image.n_volumes or 1
        self._places = np.ravel_multi_index(tuple(voxels.T), image.shape, order="F")
        self._map: npt.NDArray[Any] | None = None
        self._n_gathered = 0
        if image.path.suffix == ".gz":
            self._packed = _open(image.path)
            self._gathered = tempfile.TemporaryFile(prefix="decode-stream-")  # noqa: SIM115
            for file in (self._packed, self._gathered):
                weakref.finalize(self, file.close)
        else:
            n_grid = int(np.prod(image.shape))
            with reading(image.path):
                self._map = np.memmap(image.path, image.dtype, "r", image.offset, (self.n_volumes, n_grid))

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the volumes [start, stop), shape (stop - start, n_voxels), float32, their scale applied.

        Raises
        ------
        RecordingError
            If the file is cut off there, or the temporary files have no room.
        """
        start, stop = max(0, start), min(stop, self.n_volumes)
        n = max(0, stop - start)
        if self._map is not None:
            raw = self._map[start : start + n][:, self._places]
        else:
            self._gather(stop)
            self._gathered.seek(start * len(self._places) * self._image.dtype.itemsize)
            values = self._gathered.read(n * len(self._places) * self._image.dtype.itemsize)
            raw = np.frombuffer(values, self._image.dtype).reshape(n, len(self._places))
        if (self._image.slope, self._image.inter) == (1.0, 0.0):
            return raw.astype(np.float32)
        return (raw * self._image.slope + self._image.inter).astype(np.float32)

    def _gather(self, stop: int) -> None:
        image = self._image
        with reading(image.path):
            if self._n_gathered == 0 < stop:
                _skip(self._packed, image.offset)
            while self._n_gathered < stop:
                volume = np.frombuffer(_exactly(self._packed, image.volume_bytes, image.path), image.dtype)
                self._gathered.seek(0, 2)
                try:
                    self._gathered.write(volume[self._places].tobytes())
                    self._gathered.flush()
                except OSError as error:
                    raise RecordingError(no_room(image.path, error)) from error
                self._n_gathered += 1


def no_room(path: Path, error: OSError) -> str:
    """Say that the temporary folder cannot hold the voxels of a file."""
    return (
        f"The voxels of {path} cannot be kept in {tempfile.gettempdir()}: {error.strerror}. Make room there, or name "
        "another folder in the environment variable TMPDIR."
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a message."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingError(f"{path} is damaged or cut off: {error}. Copy it again.") from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}.") from error


def _open(path: Path) -> Any:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _skip(file: Any, n_bytes: int) -> None:
    while n_bytes > 0 and (block := file.read(min(n_bytes, _BLOCK_BYTES))):
        n_bytes -= len(block)


def _exactly(file: Any, n_bytes: int, path: Path) -> bytes:
    values: bytes = file.read(n_bytes)
    if len(values) < n_bytes:
        raise RecordingError(f"{path} is cut off in the middle of a volume. Copy it again.")
    return values


def _check_size(image: NiftiImage) -> None:
    """Refuse a file that is shorter than its header says.

    The last four bytes of a gzip file are the size of what it holds, modulo 2^32; where they do not fit, the file is
    cut off or made of several parts, and only reading it through can tell.
    """
    size = image.path.stat().st_size
    whole = size
    if image.path.suffix == ".gz":
        if image.end > _MOST_COMPRESSED * size:
            raise RecordingError(
                f"{image.path} declares {image.end} bytes of volumes, which cannot be in a file of {size} bytes. "
                "It is damaged or cut off; copy it again."
            )
        with image.path.open("rb") as file:
            file.seek(-4, 2)
            told = int.from_bytes(file.read(4), "little")
        whole = image.end if told == image.end % 2**32 else _readable_bytes(image)
    if whole < image.end:
        held = max(0, whole - image.offset) // image.volume_bytes
        raise RecordingError(
            f"{image.path} is cut off: {held} of {image.n_volumes or 1} volumes are whole. Copy it again."
        )


def _readable_bytes(image: NiftiImage) -> int:
    n = 0
    try:
        with gzip.open(image.path) as file:
            while n < image.end and (block := file.read(_BLOCK_BYTES)):
                n += len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass
    return n
