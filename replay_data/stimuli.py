"""Ten simple pictures for the demo, and an embedding space that their looks span."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["demo_pictures", "picture_embedding"]

_SIDE = 32
_BACKGROUND = (40, 42, 48)
_GRID = 4
_N_ORIENTATIONS = 8

Picture = npt.NDArray[np.uint8]
_Plane = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

# Each shape says which points of the square [-1, 1] x [-1, 1] it covers; y points down.
_SHAPES: dict[str, tuple[tuple[int, int, int], Callable[[_Plane, _Plane], _Mask]]] = {
    "red square": ((214, 48, 49), lambda x, y: np.maximum(abs(x + 0.2), abs(y + 0.1)) < 0.55),
    "green circle": ((46, 174, 96), lambda x, y: np.hypot(x - 0.15, y - 0.1) < 0.65),
    "blue triangle": ((52, 116, 219), lambda x, y: (y > 2 * abs(x) - 0.8) & (y < 0.7)),
    "yellow cross": ((241, 196, 15), lambda x, y: np.minimum(abs(x), abs(y)) < 0.18),
    "orange ring": ((230, 126, 34), lambda x, y: abs(np.hypot(x, y) - 0.65) < 0.2),
    "purple diamond": ((142, 68, 173), lambda x, y: abs(x) + abs(y + 0.25) < 0.6),
    "cyan bars": ((26, 188, 190), lambda x, y: np.sin(3 * np.pi * x) > 0.1),
    "white rows": ((236, 240, 241), lambda x, y: np.sin(3 * np.pi * y) > 0.3),
    "pink wedge": ((232, 121, 170), lambda x, y: x + y > 0.3),
    "brown chequers": ((150, 100, 60), lambda x, y: (x * y > 0) & (np.maximum(abs(x), abs(y)) < 0.85)),
}


def demo_pictures() -> dict[str, Picture]:
    """Return the demo's pictures by name.

    Returns
    -------
    dict of str to array of shape (32, 32, 3), uint8
        RGB pictures: a coloured shape on a dark ground.
    """
    # Four points to each side of a pixel give smooth edges.
    fine = 4 * _SIDE
    axis = (np.arange(fine) + 0.5) / fine * 2 - 1
    x, y = np.meshgrid(axis, axis)
    pictures = {}
    for name, (colour, covers) in _SHAPES.items():
        share = covers(x, y).reshape(_SIDE, 4, _SIDE, 4).mean(axis=(1, 3))[..., None]
        pictures[name] = np.rint(share * colour + (1 - share) * np.array(_BACKGROUND)).astype(np.uint8)
    return pictures


def picture_embedding(picture: Picture) -> npt.NDArray[np.float32]:
    """Return where a picture lies in a small space of layout, colour and form.

    The first 16 dimensions say where the picture is bright, on a grid of 4 by 4; the other 11 what it shows:
    three of colour (luminance, red against green, blue against yellow) and eight of contour orientation. Both
    parts have unit norm before they are joined, so neither rules the distances.

    Parameters
    ----------
    picture : array of shape (height, width, 3), uint8
        RGB; sides are multiples of 4.

    Returns
    -------
    array of shape (27,), float32
        Unit norm.

    Raises
    ------
    ValueError
        If the picture is not of this form.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.shape[0] % _GRID or picture.shape[1] % _GRID:
        raise ValueError(
            f"A picture is (height, width, 3) with sides in multiples of 4; got {picture.shape}."
        )
    rgb = picture.astype(np.float64) / 255
    light = rgb @ [0.299, 0.587, 0.114]
    height, width = light.shape
    grid = light.reshape(_GRID, height // _GRID, _GRID, width // _GRID).mean(axis=(1, 3))
    layout = (grid - grid.mean()).ravel()

    red, green, blue = rgb.mean(axis=(0, 1))
    colour = np.array([light.mean(), red - green, blue - (red + green) / 2])
    down, right = np.gradient(light)
    strength = np.hypot(down, right)
    # Opposite gradients are one orientation; the doubled angle wraps there.
    bins = np.floor(np.arctan2(down, right) % np.pi / np.pi * _N_ORIENTATIONS).astype(int) % _N_ORIENTATIONS
    contours = np.bincount(bins.ravel(), strength.ravel(), _N_ORIENTATIONS)
    form = np.concatenate([_unit(colour), _unit(contours - contours.mean())])
    return _unit(np.concatenate([_unit(layout), _unit(form)])).astype(np.float32)


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / max(length, 1e-12)
