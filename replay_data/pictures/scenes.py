"""Pictures with names: two hundred objects, alone or in twos, at any place and size on any ground.

The objects are drawn ones (``pictures/NOTICE.md`` says whose); a scene says which stand where, so that both what is
shown and where can be decoded, and `compose` paints it at any resolution.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import ceil, cos, floor, pi, sin
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = [
    "N_CONCEPTS",
    "N_OBJECTS",
    "Background",
    "Picture",
    "Placed",
    "Scene",
    "compose",
    "concept_name",
    "concept_objects",
    "draw_scenes",
    "encode_png",
    "object_names",
]

Picture: TypeAlias = npt.NDArray[np.uint8]

#: How many objects there are.
N_OBJECTS = 200
#: How many concepts there are: every object, and every pair of two objects.
N_CONCEPTS = N_OBJECTS + N_OBJECTS * (N_OBJECTS - 1) // 2

# Pairs of neighbours come late: 67 has no divisor in common with 200, so its multiples visit every distance once, and
# objects that stand side by side in the table are of one kind.
_STRIDE = 67
_SINGLE_SIZES, _PAIR_SIZES = (0.45, 0.85), (0.35, 0.5)


@dataclass(frozen=True, slots=True)
class Placed:
    """An object in its place.

    Attributes
    ----------
    object : int
        Which one, as in `object_names`.
    x, y : float
        Its centre, as a share of the picture's side, from the left and from the top.
    size : float
        Its longest side, as a share of the picture's side.
    """

    object: int
    x: float
    y: float
    size: float

    def __post_init__(self) -> None:
        if not 0 <= self.object < N_OBJECTS or not 0.05 <= self.size <= 2:
            raise ValueError(f"An object has a number below {N_OBJECTS} and a size of 0.05 to 2; got {self}.")
        if not (abs(self.x) <= 3 and abs(self.y) <= 3):
            raise ValueError(f"An object stands in the picture or near it; got {self}.")


@dataclass(frozen=True, slots=True)
class Background:
    """A ground of two colours.

    Attributes
    ----------
    first, second : tuple of int
        RGB, 0 to 255.
    kind : {"gradient", "split"}
        Whether one runs into the other or they meet in an edge through the middle.
    angle : float
        Direction from the first to the second colour, radians; 0 points to the right, pi / 2 down.
    """

    first: tuple[int, int, int]
    second: tuple[int, int, int]
    kind: Literal["gradient", "split"] = "gradient"
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not all(len(colour) == 3 and 0 <= min(colour) <= max(colour) <= 255 for colour in self._colours):
            raise ValueError(f"A colour is three numbers of 0 to 255; got {self.first} and {self.second}.")

    @property
    def _colours(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class Scene:
    """One or two objects on a ground; the later one lies on top."""

    objects: tuple[Placed, ...]
    background: Background

    def __post_init__(self) -> None:
        if len(self.objects) not in (1, 2):
            raise ValueError(f"A scene has one object or two; got {len(self.objects)}.")


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    code: str


@dataclass(frozen=True, slots=True)
class _Table:
    """What ``objects.json`` holds: every object's name and source, and how the cells of the atlas lie."""

    cell_px: int
    margin_px: int
    columns: int
    objects: tuple[_Entry, ...]


@cache
def object_names() -> tuple[str, ...]:
    """Return the names of all objects, in their order."""
    return tuple(entry.name for entry in _table().objects)


def concept_objects(concept: int) -> tuple[int, ...]:
    """Return which objects a concept is made of: itself below 200, two beyond.

    Raises
    ------
    ValueError
        If there is no such concept.
    """
    if not 0 <= concept < N_CONCEPTS:
        raise ValueError(f"Concepts are numbered from 0 to {N_CONCEPTS - 1}; got {concept}.")
    if concept < N_OBJECTS:
        return (concept,)
    distance, first = divmod(concept - N_OBJECTS, N_OBJECTS)
    second = (first + (distance + 1) * _STRIDE) % N_OBJECTS
    return first, second


def concept_name(concept: int) -> str:
    """Return the name of a concept: ``apple``, or ``tiger and cactus``."""
    return " and ".join(object_names()[i] for i in concept_objects(concept))


def draw_scenes(n: int, seed: int, concepts: Sequence[int] | None = None) -> tuple[Scene, ...]:
    """Return scenes with everything but their concept at random: places, sizes, grounds.

    An object lies within the picture as a whole; two objects share it, one in each half.

    Parameters
    ----------
    n : int
        How many.
    seed : int
    concepts : sequence of int, optional
        What each shows, `n` of them; by default single objects, at random too.

    Returns
    -------
    tuple of Scene
        The same for the same arguments.

    Raises
    ------
    ValueError
        If the concepts are not `n`, or one is none.
    """
    rng = np.random.default_rng(seed)
    if concepts is None:
        concepts = rng.integers(N_OBJECTS, size=n).tolist()
    if len(concepts) != n:
        raise ValueError(f"{n} scenes need as many concepts; got {len(concepts)}.")
    return tuple(Scene(_place(concept_objects(c), rng), _draw_background(rng)) for c in concepts)


def _place(objects: tuple[int, ...], rng: np.random.Generator) -> tuple[Placed, ...]:
    if len(objects) == 1:
        size = rng.uniform(*_SINGLE_SIZES)
        x, y = rng.uniform(size / 2, 1 - size / 2, 2)
        return (Placed(objects[0], float(x), float(y), float(size)),)
    side_by_side, swapped = rng.random(2) < 0.5
    placed = []
    for half, item in enumerate(objects[::-1] if swapped else objects):
        size = rng.uniform(*_PAIR_SIZES)
        along = half / 2 + rng.uniform(size / 2, 1 / 2 - size / 2)
        across = rng.uniform(size / 2, 1 - size / 2)
        x, y = (along, across) if side_by_side else (across, along)
        placed.append(Placed(item, float(x), float(y), float(size)))
    return tuple(placed)


def _draw_background(rng: np.random.Generator) -> Background:
    first, second = rng.integers(256, size=(2, 3)).tolist()
    kind: Literal["gradient", "split"] = "gradient" if rng.random() < 0.5 else "split"
    return Background(tuple(first), tuple(second), kind, float(rng.uniform(0, 2 * pi)))


def compose(scene: Scene, side_px: int = 64) -> Picture:
    """Paint a scene.

    Parameters
    ----------
    side_px : int
        Side of the picture, 8 or more pixels.

    Returns
    -------
    array of shape (side_px, side_px, 3), uint8
        RGB, with smooth edges, and the same at every call.
    """
    if side_px < 8:
        raise ValueError(f"A picture has a side of 8 pixels or more; got {side_px}.")
    canvas = _paint(scene.background, side_px)
    for placed in scene.objects:
        _draw(canvas, placed)
    return np.rint(canvas).astype(np.uint8)


def _paint(background: Background, side_px: int) -> npt.NDArray[np.float64]:
    axis = (np.arange(side_px) + 0.5) / side_px - 0.5
    along = np.add.outer(sin(background.angle) * axis, cos(background.angle) * axis)
    if background.kind == "gradient":
        share = along / (abs(cos(background.angle)) + abs(sin(background.angle))) + 0.5
    else:
        share = along * side_px + 0.5  # a pixel that the edge crosses takes part of each
    first, second = (np.array(colour, dtype=np.float64) for colour in (background.first, background.second))
    return first + np.clip(share, 0, 1)[..., None] * (second - first)


def _draw(canvas: npt.NDArray[np.float64], placed: Placed) -> None:
    """Lay an object over the picture, to a fraction of a pixel."""
    side_px, cell_px = len(canvas), _table().cell_px
    # Of the whole cell; the object reaches up to its margins.
    length = placed.size * side_px * cell_px / (cell_px - 2 * _table().margin_px)
    left, top = placed.x * side_px - length / 2, placed.y * side_px - length / 2
    x0, x1 = (min(max(edge, 0), side_px) for edge in (floor(left), ceil(left + length)))
    y0, y1 = (min(max(edge, 0), side_px) for edge in (floor(top), ceil(top + length)))
    if x0 == x1 or y0 == y1:
        return
    scale = cell_px / length
    # The pixels at the rim reach beyond the object; a margin of nothing gives them something to look at.
    margin = ceil(scale) + 1
    row, column = divmod(placed.object, _table().columns)
    corners = (column * cell_px, row * cell_px, (column + 1) * cell_px, (row + 1) * cell_px)
    cell = _atlas().crop(corners).crop((-margin, -margin, cell_px + margin, cell_px + margin))
    box = (
        (x0 - left) * scale + margin,
        (y0 - top) * scale + margin,
        (x1 - left) * scale + margin,
        (y1 - top) * scale + margin,
    )
    part = np.asarray(cell.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC, box=box), dtype=np.float64)
    # The colours are multiplied by their alpha already, so no dark seam forms where they are interpolated.
    alpha = part[..., 3:] / 255
    region = canvas[y0:y1, x0:x1]
    region *= 1 - alpha
    region += part[..., :3]
    np.clip(region, 0, 255, out=region)


@cache
def _table() -> _Table:
    text = (files("decode_stream.replay_data") / "pictures" / "objects.json").read_bytes()
    return msgspec.json.decode(text, type=_Table)


@cache
def _atlas() -> Image.Image:
    data = (files("decode_stream.replay_data") / "pictures" / "objects.webp").read_bytes()
    with Image.open(io.BytesIO(data)) as file:
        return file.convert("RGBA").convert("RGBa")


def encode_png(picture: Picture) -> bytes:
    """Return a picture as a PNG file.

    Parameters
    ----------
    picture : array of shape (height, width, 3), uint8
        RGB.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()
