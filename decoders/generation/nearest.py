"""Which picture that a generator learnt from is nearest to a reconstruction: their embeddings, and small copies."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from decode_stream.stream.errors import BundleError
from decode_stream.stream.types import FloatArray

from .generator import Pictures

__all__ = ["INDEX_FILE", "SHEET_FILE", "Nearest", "NearestPictures", "nearest_files", "read_nearest"]

#: Names of the files within a generator's folder.
INDEX_FILE, SHEET_FILE = "nearest.safetensors", "nearest.webp"
#: A sheet this large is unpacked in a second, and a side is far below the longest of a WebP, 16383.
_MOST_PIXELS, _MOST_PX = 64_000_000, 16383
_QUALITY = 80
#: Type and number of dimensions of the arrays of an index.
_INDEX = {
    "center": ("float32", 1),
    "directions": ("float16", 2),
    "sheet_sha256": ("uint8", 1),
    "side_px": ("int32", 1),
}


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest training picture.

    Attributes
    ----------
    number : int
        Which one.
    distance : float
        1 less the cosine of its embedding with the one asked for, each from the mean of pictures: 0 is the same
        direction, 1 is unrelated. NaN if the one asked for is the mean itself, to which all are as near.
    """

    number: int
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class NearestPictures:
    """The pictures that a generator learnt from, or some of them.

    Attributes
    ----------
    center : array of shape (dimension,), float32
        Mean of pictures, from which directions are told.
    directions : array of shape (n, dimension), float32
        Unit vectors from it.
    sheet : array of shape (rows * side_px, columns * side_px, 3), uint8
        Small copies, row by row.
    side_px : int
        Side of a copy.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    center: npt.NDArray[np.float32]
    directions: npt.NDArray[np.float32]
    sheet: Pictures
    side_px: int

    def __post_init__(self) -> None:
        n = len(self.directions)
        fits = self.center.ndim == 1 and self.directions.shape[1:] == self.center.shape and n > 0
        if not fits or self.sheet.shape != _sheet_shape(n, self.side_px):
            raise ValueError(
                f"{n} directions {self.directions.shape} from a mean {self.center.shape} do not fit each other, or a "
                f"sheet {self.sheet.shape} of copies of {self.side_px} px."
            )

    def __len__(self) -> int:
        return len(self.directions)

    def nearest(self, embedding: FloatArray) -> Nearest:
        """Return the picture whose embedding is nearest.

        Parameters
        ----------
        embedding : array of shape (dimension,)
            In the generator's space: what was drawn.
        """
        away = embedding.astype(np.float64) - self.center
        length = float(np.linalg.norm(away))
        if not length > 0:
            return Nearest(0, float("nan"))
        cosines = self.directions @ (away / length).astype(np.float32)
        number = int(cosines.argmax())
        return Nearest(number, max(0.0, 1 - float(cosines[number])))

    def copy(self, number: int) -> Pictures:
        """Return the small copy of a picture, shape (side_px, side_px, 3), uint8."""
        if not 0 <= number < len(self):
            raise ValueError(f"There is no picture {number} among {len(self)}.")
        side = self.side_px
        row, column = divmod(number, self.sheet.shape[1] // side)
        return self.sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]

    def png(self, number: int) -> bytes:
        """Return the small copy of a picture as a PNG file."""
        file = io.BytesIO()
        Image.fromarray(self.copy(number)).save(file, "PNG")
        return file.getvalue()


def nearest_files(center: FloatArray, embeddings: FloatArray, copies: Pictures) -> dict[str, bytes]:
    """Return the files to be put into a generator's folder, by their names.

    Parameters
    ----------
    center : array of shape (dimension,)
        Mean of pictures, as in `PictureModel`.
    embeddings : array of shape (n, dimension)
        Of the pictures that the generator learnt from; kept as float16.
    copies : array of shape (n, side_px, side_px, 3), uint8
        Small copies of them; kept as a lossy WebP, 64 million pixels at most.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, a number is not finite, a picture has the embedding of their mean, or the
        copies are too many for one sheet.
    """
    away = embeddings.astype(np.float64) - center
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    if not (np.isfinite(away).all() and (lengths > 0).all()):
        raise ValueError("A training picture's embedding is finite, and is not the mean of all.")
    n, side = len(embeddings), copies.shape[1]
    rows, columns = _grid(n)
    if copies.shape != (n, side, side, 3) or rows * columns * side**2 > _MOST_PIXELS:
        raise ValueError(
            f"{n} pictures have copies of shape ({n}, side, side, 3), {_MOST_PIXELS} pixels in all; got {copies.shape}."
        )
    filled = np.zeros((rows * columns, side, side, 3), np.uint8)
    filled[:n] = copies
    sheet = (
        filled.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    )
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "WEBP", quality=_QUALITY)
    packed = file.getvalue()
    tensors = {
        "center": np.asarray(center, np.float32),
        "directions": (away / lengths).astype(np.float16),
        "side_px": np.array([side], np.int32),
        "sheet_sha256": np.frombuffer(hashlib.sha256(packed).digest(), np.uint8),
    }
    return {INDEX_FILE: save(tensors), SHEET_FILE: packed}


def read_nearest(read: Callable[[str], bytes], dimension: int, path: Path) -> NearestPictures:
    """Return the training pictures of a generator.

    Parameters
    ----------
    read : callable
        Gives a file of the generator's folder by its name.
    dimension : int
        Of the generator's space.
    path : Path
        The generator's, for messages.

    Raises
    ------
    BundleError
        If a file is damaged, or they do not belong together.
    """
    index, packed = _index(read(INDEX_FILE), path), read(SHEET_FILE)
    directions, side = index["directions"].astype(np.float32), int(index["side_px"][0])
    if directions.shape[1] != dimension or not np.isfinite(directions).all():
        raise _damaged(
            INDEX_FILE, path, f"directions {directions.shape} where embeddings have {dimension} numbers"
        )
    if hashlib.sha256(packed).digest() != index["sheet_sha256"].tobytes():
        raise _damaged(SHEET_FILE, path, f"not the sheet that {INDEX_FILE} was made with")
    try:
        with Image.open(io.BytesIO(packed), formats=["WEBP"]) as image:
            # The size is told before anything is unpacked.
            if image.size[::-1] != _sheet_shape(len(directions), side)[:2]:
                raise _damaged(
                    SHEET_FILE, path, f"{image.size} pixels, {len(directions)} copies of {side} px"
                )
            sheet = np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise _damaged(SHEET_FILE, path, str(error)) from error
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    return NearestPictures(index["center"], directions / np.maximum(lengths, 1e-9), sheet, side)


def _index(data: bytes, path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the index, their types and shapes checked."""
    try:
        index = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(INDEX_FILE, path, str(error)) from error
    found = {name: (array.dtype.name, array.ndim) for name, array in index.items()}
    if found != _INDEX or len(index["side_px"]) != 1 or not len(index["directions"]):
        raise _damaged(INDEX_FILE, path, f"it holds {found} instead of {_INDEX}")
    if index["center"].shape != index["directions"].shape[1:] or not np.isfinite(index["center"]).all():
        raise _damaged(INDEX_FILE, path, f"a mean {index['center'].shape} of {index['directions'].shape}")
    if not 0 < index["side_px"][0] <= _MOST_PX:
        raise _damaged(INDEX_FILE, path, f"copies of {index['side_px'][0]} px")
    return index


def _damaged(name: str, path: Path, what: str) -> BundleError:
    return BundleError(
        f"{name} in {path} is damaged: {what}. Copy the generator again from where it was made."
    )


def _grid(n: int) -> tuple[int, int]:
    """Return rows and columns of a sheet of n copies, nearly square."""
    columns = max(1, ceil(sqrt(n)))
    return -(-n // columns), columns


def _sheet_shape(n: int, side_px: int) -> tuple[int, int, int]:
    rows, columns = _grid(n)
    return rows * side_px, columns * side_px, 3
