"""Where which colours are: a target of structure that needs no weights.

A coarse grid of the mean colours of a picture in CIELAB, where equal distances look equally large (CIE 15:2004; sRGB
by IEC 61966-2-1, white D65). Colours are mixed as light mixes, so a cell is what it looks like from afar.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray

from .target import Embeddings, Picture, Target

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["cielab", "colour_layout_target", "differentiable_layout"]

_SIZES = range(2, 65)
# Columns are red, green and blue; rows X, Y and Z over those of the white.
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])
_CODES = np.arange(256) / 255
#: Light by 8-bit sRGB.
_LIGHT = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def colour_layout_target(name: str) -> Target:
    """Return the colour layout as a target.

    Parameters
    ----------
    name : str
        ``colour-layout``, or ``colour-layout:NxN`` with 2 to 64 cells a side, 8 by default. An embedding holds
        (L* - 50, a*, b*) / 100 of each cell, row by row: mid-grey is nothing, and distances are those of CIELAB.

    Raises
    ------
    UsageError
        If the size is none.
    """
    _, given, size = name.partition(":")
    rows, _, columns = size.partition("x") if given else ("8", "", "8")
    if rows != columns or not rows.isdecimal() or int(rows) not in _SIZES:
        raise UsageError(
            f"--target is {name!r}; write colour-layout:NxN with {_SIZES[0]} to {_SIZES[-1]} cells a side, as in "
            "colour-layout:8x8."
        )
    n = int(rows)

    def encode(pictures: Sequence[Picture]) -> Embeddings:
        grids = [cielab(_mean_light(picture, n)) for picture in pictures]
        values = (np.array(grids).reshape(-1, n, n, 3) - [50, 0, 0]) / 100
        return values.reshape(len(pictures), 3 * n * n).astype(np.float32)

    space = EmbeddingSpace("colour layout", f"CIELAB, {n} x {n}", 3 * n * n, shape=(n, n, 3))
    return Target(name, space, encode)


def cielab(light: FloatArray) -> npt.NDArray[np.float64]:
    """Return L*, a* and b*.

    Parameters
    ----------
    light : array of shape (..., 3)
        Linear red, green and blue of sRGB, 0 to 1.
    """
    relative = np.asarray(light, np.float64) @ _XYZ.T
    edge = 6 / 29
    bent = np.where(relative > edge**3, np.cbrt(relative), relative / (3 * edge**2) + 4 / 29)
    x, y, z = np.moveaxis(bent, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def differentiable_layout(n: int) -> "Callable[[Tensor], Tensor]":
    """Return what makes the colour layout of pictures by torch, so that it has a gradient.

    Parameters
    ----------
    n : int
        Cells a side.

    Returns
    -------
    callable
        Takes pictures (n_pictures, 3, height, width), sRGB 0 to 1 and a little beyond, whose sides are multiples of n;
        gives embeddings (n_pictures, 3 * n * n) as `colour_layout_target` has them.
    """
    import torch

    matrix = torch.from_numpy(_XYZ.astype(np.float32))
    edge = 6 / 29

    def layout(pictures: "Tensor") -> "Tensor":
        bright = ((pictures.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
        light = torch.where(pictures <= 0.04045, pictures / 12.92, bright)
        cells = torch.nn.functional.adaptive_avg_pool2d(light, n).permute(0, 2, 3, 1)
        relative = cells @ matrix.T.to(cells)
        bent = torch.where(
            relative > edge**3,
            relative.clamp(min=edge**3) ** (1 / 3),
            relative / (3 * edge**2) + 4 / 29,
        )
        x, y, z = bent.unbind(-1)
        values = torch.stack([116 * y - 66, 500 * (x - y), 200 * (y - z)], dim=-1) / 100
        return values.flatten(1)

    return layout


def _mean_light(picture: Picture, n: int) -> npt.NDArray[np.float32]:
    """Return the mean light of each cell, shape (n, n, 3)."""
    planes = [Image.fromarray(_LIGHT[picture[..., k]]) for k in range(3)]
    cells = [np.asarray(plane.resize((n, n), Image.Resampling.BOX), np.float32) for plane in planes]
    return np.stack(cells, axis=-1)
