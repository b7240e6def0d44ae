"""What pictures are taken to be before anything is decoded, as one file beside a generator."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from decode_stream.stream.errors import BundleError

from .condition import LayoutMap, PictureModel

__all__ = ["MOST_NUMBERS", "pack_pictures", "unpack_pictures"]

#: Of an embedding whose covariance is kept: 64 MB in float32, and a session factorises such a matrix. Pooled embeddings
#: have a thousand or so.
MOST_NUMBERS = 4096
_KEY = "pictures"
_LAYOUT = ("layout.weight", "layout.bias")


def pack_pictures(pictures: PictureModel) -> bytes:
    """Return a safetensors file of a picture model: its arrays, and in the metadata what numbers mean what.

    Raises
    ------
    ValueError
        If its embeddings have more than `MOST_NUMBERS` numbers.
    """
    if pictures.dimension > MOST_NUMBERS:
        raise ValueError(
            f"A covariance of {pictures.dimension} numbers is too large; {MOST_NUMBERS} at most."
        )
    layout = pictures.layout
    meaning = {"semantic": list(pictures.semantic), "rows": layout.rows, "columns": layout.columns}
    tensors = {
        "mean": pictures.mean,
        "covariance": pictures.covariance,
        "layout.weight": layout.weight,
        "layout.bias": layout.bias,
    }
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    return save(arrays, {_KEY: json.dumps(meaning)})


def unpack_pictures(data: bytes, path: Path) -> PictureModel:
    """Return the picture model of a file.

    The layout may be left out, where embeddings do not tell it: it is grey then, of one place, and always open.
    What is semantic may be too: it is the whole embedding then.

    Parameters
    ----------
    data : bytes
    path : Path
        The file, for messages.

    Raises
    ------
    BundleError
        If it is damaged, or its arrays do not fit each other, or it is of more numbers than `MOST_NUMBERS`.
    """
    try:
        arrays = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        meaning = json.loads(header.get("__metadata__", {}).get(_KEY, "{}"))
        mean, covariance = arrays["mean"], arrays["covariance"]
        start, stop = meaning.get("semantic", (0, len(mean)))
        if all(name in arrays for name in _LAYOUT):
            weight, bias = (arrays[name] for name in _LAYOUT)
            rows, columns = int(meaning["rows"]), int(meaning["columns"])
        else:
            weight, bias = np.zeros((3, len(mean)), np.float32), np.full(3, 0.5, np.float32)
            rows = columns = 1
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path} is no file of pictures: {type(error).__name__}: {error}. It holds mean (dimension,) and "
            "covariance (dimension, dimension) of embeddings, as safetensors."
        ) from error
    n = len(mean)
    if n > MOST_NUMBERS:
        raise BundleError(
            f"{path} is of embeddings of {n} numbers; a belief of {MOST_NUMBERS} at most has a "
            "covariance. Train the decoder on the pooled embedding of the same encoder, and take a generator of that."
        )
    fits = (
        mean.shape == (n,)
        and covariance.shape == (n, n)
        and weight.shape == (rows * columns * 3, n)
        and bias.shape == (rows * columns * 3,)
        and 0 <= start < stop <= n
    )
    single = all(array.dtype == np.float32 for array in (mean, covariance, weight, bias))
    if not fits or not single or not all(np.isfinite(a).all() for a in (mean, covariance, weight, bias)):
        raise BundleError(
            f"{path} has a mean {mean.shape}, a covariance {covariance.shape}, a layout {weight.shape} of {rows} by "
            f"{columns} places and a semantic part {start} to {stop}, which do not go together, are no float32, or are "
            "not finite."
        )
    return PictureModel(mean, covariance, (int(start), int(stop)), LayoutMap(weight, bias, rows, columns))
