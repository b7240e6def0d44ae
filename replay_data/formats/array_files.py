"""Open files of arrays, large ones mapped: .npy of numbers or of a pickled dict, bare pickles, PyTorch's .pt."""

import zipfile
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from decode_stream.stream.errors import RecordingError

from .pickle_machine import Located, Maker, Named
from .pickles import ArrayFile, mapped_array, read_pickle

__all__ = ["open_arrays", "starts_as"]

_NPY, _ZIP, _PICKLE = b"\x93NUMPY", b"PK\x03\x04", b"\x80"
_LOCAL_HEADER_BYTES = 30
#: PyTorch's storages, and NumPy's names of what they hold.
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
#: The number that PyTorch's files began with before they were archives.
_OLD_TORCH = 0x1950A86A20F9469CFC6C
_BFLOAT16 = "BFloat16Storage"


def starts_as(path: Path) -> str:
    """Return ``npy``, ``zip`` or ``pickle`` by a file's first bytes, or an empty string."""
    with path.open("rb") as file:
        head = file.read(8)
    known = {"npy": _NPY, "zip": _ZIP, "pickle": _PICKLE}
    return next((name for name, magic in known.items() if head.startswith(magic)), "")


def open_arrays(path: Path) -> Any:
    """Return what a file of arrays holds: an array, or plain containers with arrays in them.

    Large arrays are mapped, read-only; opening takes memory for the rest only. A pickle is opened whatever the file's
    ending, since `np.load` takes one under an .npy name too.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    RecordingError
        If it is no such file, is damaged or cut off, or asks for anything but arrays and plain containers.
    """
    try:
        kind = starts_as(path)
        with path.open("rb") as opened:
            file = ArrayFile(mmap(opened.fileno(), 0, access=ACCESS_READ), str(path))
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # an empty file cannot be mapped
        raise RecordingError(f"{path} is empty. Copy it again.") from error
    if kind == "npy":
        return _open_npy(file)
    if kind == "zip":
        return _open_torch(file)
    if kind == "pickle":
        value = read_pickle(file)
        if isinstance(value, int) and value == _OLD_TORCH:
            raise RecordingError(
                f"{path} was saved in PyTorch's form before 1.6, which is not read. Load it with PyTorch and save it "
                "again."
            )
        return value
    raise RecordingError(
        f"{path} is no file of arrays: it begins neither as .npy, nor as a pickle, nor as PyTorch's .pt. It may be "
        "damaged; copy it again."
    )


def _open_npy(file: ArrayFile) -> Any:
    with Path(file.source).open("rb") as opened:
        try:
            version = np.lib.format.read_magic(opened)
            if version == (1, 0):
                shape, in_fortran_order, dtype = np.lib.format.read_array_header_1_0(opened)
            elif version == (2, 0):
                shape, in_fortran_order, dtype = np.lib.format.read_array_header_2_0(opened)
            else:
                raise ValueError(f"version {version} of the format is not known")
        except (ValueError, EOFError, SyntaxError, TokenError) as error:
            raise RecordingError(f"{file.source} has a damaged header: {error}. Copy it again.") from error
        offset = opened.tell()
    if dtype.hasobject:
        return read_pickle(file, offset)
    held = len(file.data) - offset
    due = dtype.itemsize * prod(shape)
    if due > held:
        raise RecordingError(
            f"{file.source} declares {dtype.name} of shape {shape}, {due} bytes, and holds {held} of them. It was cut "
            "off; copy it again."
        )
    try:
        return mapped_array(file, Located(offset, due), shape, dtype, "F" if in_fortran_order else "C")
    except ValueError as error:  # no values and an axis that no array can have
        raise RecordingError(f"{file.source} has a damaged header: {error}. Copy it again.") from error


def _open_torch(file: ArrayFile) -> Any:
    try:
        with zipfile.ZipFile(file.source) as archive:
            members = {member.filename: member for member in archive.infolist()}
            order = next((name for name in members if name.endswith("/byteorder")), None)
            if order is not None and archive.open(order).read(16) != b"little":
                raise RecordingError(
                    f"{file.source} was written on a machine of big-endian numbers, which is not read."
                )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise RecordingError(f"{file.source} is cut off or damaged: {error}. Copy it again.") from error
    pickled = next((name for name in members if name.endswith("data.pkl") and name.count("/") < 2), None)
    if pickled is None:
        raise RecordingError(f"{file.source} is a ZIP archive and holds nothing that PyTorch saved.")
    folder = pickled.removesuffix("data.pkl")

    def storage(key: Any) -> tuple[Located, np.dtype[Any]]:
        _, kind, name, _, n_values = key
        if not isinstance(kind, Named):
            raise ValueError("a storage of no type")
        if kind.name == _BFLOAT16:
            raise RecordingError(
                f"{file.source} holds bfloat16, which NumPy does not have. Save it again as float16 or float32."
            )
        dtype = np.dtype(_STORAGES[kind.name])
        place = _stored(file, members[f"{folder}data/{name}"])
        if not isinstance(n_values, int) or n_values * dtype.itemsize > place.length:
            raise ValueError(f"{n_values} values in a storage of {place.length} bytes")
        return Located(place.offset, n_values * dtype.itemsize), dtype

    def no_call(given: tuple[Any, ...]) -> Any:
        raise ValueError("a storage is not to be called")

    def tensor(given: tuple[Any, ...]) -> Any:
        return _tensor(file, *given[:4])

    admitted: dict[tuple[str, str], Maker] = {("torch", name): no_call for name in (*_STORAGES, _BFLOAT16)}
    admitted["torch._utils", "_rebuild_tensor_v2"] = tensor
    admitted["collections", "OrderedDict"] = _empty_dict
    place = _stored(file, members[pickled])
    return read_pickle(file, place.offset, place.offset + place.length, admitted, storage)


def _empty_dict(given: tuple[Any, ...]) -> dict[Any, Any]:
    if given:
        raise ValueError("an ordered dict of unknown contents")
    return {}


def _stored(file: ArrayFile, member: zipfile.ZipInfo) -> Located:
    """Return where a member of the archive lies."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise RecordingError(
            f"{file.source} holds {member.filename} compressed or encrypted, where PyTorch stores it as it is. Save "
            "it again."
        )
    header = file.data[member.header_offset : member.header_offset + _LOCAL_HEADER_BYTES]
    if not header.startswith(_ZIP) or len(header) < _LOCAL_HEADER_BYTES:
        raise RecordingError(f"{file.source} is damaged at {member.filename}. Copy it again.")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    offset = member.header_offset + _LOCAL_HEADER_BYTES + names
    if offset + member.file_size > len(file.data):
        raise RecordingError(f"{file.source} is cut off in {member.filename}. Copy it again.")
    return Located(offset, member.file_size)


def _tensor(file: ArrayFile, storage: Any, start: Any, shape: Any, strides: Any) -> Any:
    """Return the array of a tensor, which is a window on a storage."""
    place, dtype = storage
    numbers = (start, *shape, *strides)
    if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError("a tensor of unknown shape")
    if 0 in shape:
        return np.empty(shape, dtype)
    last = start + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if (last + 1) * dtype.itemsize > place.length:
        raise RecordingError(
            f"{file.source} declares a tensor of shape {tuple(shape)} in a storage of {place.length} bytes. It is "
            "damaged; copy it again."
        )
    bytes_apart = tuple(stride * dtype.itemsize for stride in strides)
    return np.ndarray(shape, dtype, file.data, place.offset + start * dtype.itemsize, bytes_apart)
