"""What a pickle may hold here: NumPy arrays and plain containers, by name, and nothing else.

An array's values are mapped from the file, not loaded, wherever the file holds them as bytes: since protocol 3, which
is all that NumPy writes. Protocol 2, PyTorch's default, spells bytes as text; such arrays are read if they are small.
"""

import sys
from dataclasses import dataclass
from math import prod
from mmap import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError

from .pickle_machine import Admitted, Located, Maker, Named, Unbuilt, run_pickle

__all__ = ["ArrayFile", "mapped_array", "read_pickle"]

#: Bytes of an array that was spelled as text are decoded in memory up to this length.
_MOST_TEXT_BYTES = 64 << 20
_KINDS = "biufcSU"
_MOST_AXES = 32
_PLAIN = (str, int, float, type(None))

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """A file that is mapped, and its name for messages."""

    data: mmap
    source: str

    def array(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: Any = "C") -> Array:
        """Return an array that lies in the file; its extent must have been checked."""
        array: Array = np.ndarray(shape, dtype, buffer=self.data, offset=offset, order=order)
        return array


def read_pickle(
    file: ArrayFile,
    start: int = 0,
    stop: int | None = None,
    admitted: Admitted | None = None,
    persistent: Maker | None = None,
) -> Any:
    """Return what a pickle holds, its large arrays mapped.

    Parameters
    ----------
    file : ArrayFile
        The file.
    start, stop : int
        Where the pickle begins and where it ends at the latest; the whole file, if not given.
    admitted : mapping, optional
        What it may name beside NumPy's arrays; see `run_pickle`.
    persistent : callable, optional
        Resolves what is stored outside of the pickle.

    Raises
    ------
    RecordingError
        If it asks for anything that is not admitted, is damaged or cut off, or declares an array that cannot be.
    """
    stop = len(file.data) if stop is None else stop
    named = _numpy_names(file) | dict(admitted or {})
    return run_pickle(file.data, start, stop, file.source, named, persistent)


def mapped_array(file: ArrayFile, held: Located | bytes, shape: Any, dtype: Any, order: str = "C") -> Array:
    """Return an array whose values are a run of bytes of a file.

    Raises
    ------
    RecordingError
        If shape and type do not go with the run's length.
    """
    if not isinstance(dtype, np.dtype) or dtype.kind not in _KINDS:
        raise RecordingError(
            f"{file.source} holds an array of type {dtype}, which is not read. Save it as numbers or text."
        )
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES:
        raise ValueError(f"an array's shape cannot be {shape!r:.80}")
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"an array's shape cannot be {shape!r:.80}")
    if order not in ("C", "F"):
        raise ValueError(f"an array's order cannot be {order!r:.80}")
    length = held.length if isinstance(held, Located) else len(held)
    # Python's numbers do not overflow, whatever a file declares.
    if (due := prod(shape) * dtype.itemsize) != length:
        raise RecordingError(
            f"{file.source} declares {dtype.name} of shape {shape}, {due} bytes, and holds {length} of them. It is "
            "damaged or was cut off; copy it again."
        )
    if isinstance(held, Located):
        array = file.array(held.offset, shape, dtype, order)
    else:
        flat: Array = np.frombuffer(held, dtype) if length else np.empty(prod(shape), dtype)
        array = flat.reshape(shape, order="F" if order == "F" else "C")
    if dtype.kind == "U" and dtype.itemsize and array.size:
        _check_letters(file, array)
    return array


def _check_letters(file: ArrayFile, array: Array) -> None:
    """Refuse text of letters that there are none of: NumPy fails on them only when they are used."""
    codes = np.ravel(array, order="K").view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
    if int(codes.max()) > sys.maxunicode:
        raise RecordingError(f"{file.source} holds damaged text. Copy it again.")


def _numpy_names(file: ArrayFile) -> dict[tuple[str, str], Maker]:
    """Return what a pickle of arrays names, under NumPy 1 and 2 and Python 2 and 3."""

    def reconstruct(given: tuple[Any, ...]) -> Unbuilt:
        kind, *_ = given
        if not isinstance(kind, Named) or kind.name != "ndarray":
            raise ValueError("an array of unknown class")
        return Unbuilt(lambda state: _array_of_state(file, state))

    def from_buffer(given: tuple[Any, ...]) -> Array:
        held, dtype, shape, order, *axes = given
        if order == "K" and axes and isinstance(axes[0], tuple):
            return mapped_array(file, _bytes(held), shape, dtype).transpose(axes[0])
        return mapped_array(file, _bytes(held), shape, dtype, order)

    def scalar(given: tuple[Any, ...]) -> Any:
        dtype, held = given
        return mapped_array(file, _bytes(held), (), dtype)[()]

    names: dict[tuple[str, str], Maker] = {
        ("numpy", "ndarray"): _never_called,
        ("numpy", "dtype"): _dtype,
        ("_codecs", "encode"): lambda given: _encoded(file, given),
        ("__builtin__", "bytes"): _no_bytes,
        ("builtins", "bytes"): _no_bytes,
    }
    for core in ("numpy.core", "numpy._core"):
        names[core + ".multiarray", "_reconstruct"] = reconstruct
        names[core + ".multiarray", "scalar"] = scalar
        names[core + ".numeric", "_frombuffer"] = from_buffer
    return names


def _never_called(given: tuple[Any, ...]) -> Any:
    raise ValueError("an array without contents")


def _no_bytes(given: tuple[Any, ...]) -> bytes:
    if given:
        raise ValueError("bytes of unknown contents")
    return b""


def _bytes(held: Any) -> Located | bytes:
    if isinstance(held, bytes) or (isinstance(held, Located) and not held.is_text):
        return held
    raise ValueError(f"an array's values cannot be a {type(held).__name__}")


def _dtype(given: tuple[Any, ...]) -> Unbuilt:
    code, *_ = given
    if (
        not isinstance(code, str)
        or code[:1] not in (*_KINDS, "O")
        or not code[1:].isdecimal()
        or len(code) > 10
    ):
        raise ValueError(f"an array's type cannot be {code!r:.80}")
    dtype = np.dtype("O") if code[0] == "O" else np.dtype(code)

    def with_order(state: Any) -> np.dtype[Any]:
        _, byte_order, *fields = state
        if byte_order not in ("<", ">", "|", "=") or any(field is not None for field in fields[:3]):
            raise ValueError("an array of records")
        return dtype.newbyteorder(byte_order)

    return Unbuilt(with_order)


def _array_of_state(file: ArrayFile, state: Any) -> Any:
    """Return the array of (version, shape, dtype, is in Fortran order, values); what it holds, if it is one object."""
    _, shape, dtype, in_fortran_order, held = state
    if not isinstance(dtype, np.dtype) or dtype.kind != "O":
        return mapped_array(file, _bytes(held), shape, dtype, "F" if in_fortran_order else "C")
    if not isinstance(held, list) or not isinstance(shape, tuple) or len(held) != prod(shape):
        raise ValueError("an array of objects whose shape does not go with its contents")
    if shape == ():
        return held[0]
    if not all(isinstance(value, _PLAIN) for value in held):
        raise RecordingError(
            f"{file.source} holds an array of Python objects that are neither text nor numbers, which is not read."
        )
    kind: Any = np.str_ if all(isinstance(value, str) for value in held) else object
    return np.array(held, dtype=kind).reshape(shape)


def _encoded(file: ArrayFile, given: tuple[Any, ...]) -> bytes:
    """Return bytes that protocol 2 spells as text."""
    text, code = given
    if code != "latin1":
        raise ValueError(f"bytes in the code {code!r:.80}")
    if isinstance(text, Located):
        if text.length > _MOST_TEXT_BYTES:
            raise RecordingError(
                f"{file.source} spells an array of {text.length} bytes as text, as pickle protocol 2 does, so it can "
                "only be loaded as a whole. Save it again with pickle_protocol=5 (torch.save) or with np.save."
            )
        text = file.data[text.offset : text.offset + text.length].decode("utf-8", "surrogatepass")
    encoded: bytes = text.encode("latin1")
    return encoded
