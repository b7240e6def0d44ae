"""Write dicts of arrays as NumPy, pickle and PyTorch write them, the large arrays in blocks: memory stays bounded.

The pickles are put together from instructions that every reader of pickles knows, so that an array's values can be
written as they come. `numpy.core` is the name under which both NumPy 1 and 2 find what makes an array.
"""

import io
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.whole import written_whole

__all__ = ["Streamed", "Turned", "write_numpy_dict", "write_pickled_dict", "write_torch_dict"]

_MAKE = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"


@dataclass(frozen=True)
class Streamed:
    """An array that is written block by block.

    Attributes
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        What is stored.
    blocks : iterable of array
        Its values in C order: blocks along the first axis, or along any leading axes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterable[npt.NDArray[Any]]

    def write(self, file: IO[bytes]) -> None:
        """Write the values where the file stands."""
        n_written = 0
        for block in self.blocks:
            flat = np.ascontiguousarray(block, dtype=self.dtype).reshape(-1)
            n_written += len(flat)
            file.write(flat.view(np.uint8).data)
        if n_written != prod(self.shape):
            raise ValueError(f"{n_written} values were given for an array of shape {self.shape}.")


@dataclass(frozen=True)
class Turned:
    """An array of channels by samples, of which stretches of time are given: the file must be one that can seek.

    Attributes
    ----------
    blocks : iterable of array of shape (n_samples, n_channels)
        Stretch after stretch.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    blocks: Iterable[npt.NDArray[Any]]

    def write(self, file: IO[bytes]) -> None:
        """Write the values where the file stands, and leave it behind them."""
        base, (n_rows, n_samples), width = file.tell(), self.shape, self.dtype.itemsize
        start = 0
        for block in self.blocks:
            rows = np.ascontiguousarray(block.T, dtype=self.dtype)
            for at, row in enumerate(rows):
                file.seek(base + (at * n_samples + start) * width)
                file.write(row.data)
            start += rows.shape[1]
        if start != n_samples:
            raise ValueError(f"{start} samples were given for an array of shape {self.shape}.")
        file.seek(base + n_rows * n_samples * width)


def write_numpy_dict(path: Path, values: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Write what ``np.save(path, values)`` writes: a dict in an array of one object.

    Parameters
    ----------
    path : Path
        The file to be.
    values : mapping of str to anything plain, array, Streamed or Turned
        The dict.

    Raises
    ------
    RecordingError
        If the file exists already or cannot be written; nothing is left there then.
    """
    with written_whole(path, overwrite=overwrite) as place, place.open("wb") as file:
        header: Any = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"\x80\x04" + _MAKE + b")" + _small(np.dtype("O")) + b"\x89](")
        _write_dict(file, values)
        file.write(b"etb.")


def write_pickled_dict(path: Path, values: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Write what ``pickle.dump(values, file, protocol=4)`` writes; see `write_numpy_dict`."""
    with written_whole(path, overwrite=overwrite) as place, place.open("wb") as file:
        file.write(b"\x80\x04")
        _write_dict(file, values)
        file.write(b".")


def write_torch_dict(path: Path, values: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Write what ``torch.save(values, path)`` makes of NumPy arrays, its bytes unspelled; see `write_numpy_dict`."""
    with written_whole(path, overwrite=overwrite) as place:
        folder = path.name.removesuffix(path.suffix)
        with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
            with archive.open(f"{folder}/data.pkl", "w", force_zip64=True) as file:
                file.write(b"\x80\x04")
                _write_dict(file, values)
                file.write(b".")
            archive.writestr(f"{folder}/byteorder", "little")
            archive.writestr(f"{folder}/version", "3\n")


def _write_dict(file: IO[bytes], values: Mapping[str, Any]) -> None:
    file.write(b"}(")
    for key, value in values.items():
        file.write(_small(key))
        array = Streamed(value.shape, value.dtype, [value]) if isinstance(value, np.ndarray) else value
        if isinstance(array, Streamed | Turned):
            n_bytes = prod(array.shape) * array.dtype.itemsize
            file.write(_MAKE + _small(array.shape) + _small(array.dtype) + b"\x89")
            file.write(b"\x8e" + struct.pack("<Q", n_bytes))
            array.write(file)
            file.write(b"tb")
        else:
            file.write(_small(value))
    file.write(b"u")


def _small(value: Any) -> bytes:
    """Return the instructions that make a small value, without references to others."""
    held = io.BytesIO()
    pickler = pickle.Pickler(held, protocol=3)
    pickler.fast = True
    pickler.dump(value)
    return held.getvalue()[2:-1]
