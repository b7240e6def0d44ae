"""A generator for tests that needs no network: it draws the layout in large, and noise where the layout is open."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.generation.condition import Condition, LayoutMap, PictureModel
from decode_stream.decoders.generation.generator import Pictures
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.pictures.targets import objects_space
from decode_stream.replay_data.pictures.picture_space import EMBEDDING_SIZE, LAYOUT_SIZE, picture_space

#: Of the embedding's parts: the layout and the meaning are as long as each other on average.
_PART_VARIANCE = 0.5
_GRID = 8


@cache
def plain_picture_model() -> PictureModel:
    """Return what pictures of the demos' space are taken to be: of their size, with layouts that are coarse first."""
    space = picture_space()
    strength = 1 / np.arange(1, LAYOUT_SIZE + 1)
    variance = np.full(EMBEDDING_SIZE, _PART_VARIANCE / (EMBEDDING_SIZE - LAYOUT_SIZE))
    variance[:LAYOUT_SIZE] = _PART_VARIANCE * strength / strength.sum()
    weight = np.zeros((len(space.layout_mean), EMBEDDING_SIZE), np.float32)
    weight[:, :LAYOUT_SIZE] = space.layout_axes.T * space.layout_scale / np.sqrt(_PART_VARIANCE)
    return PictureModel(
        np.zeros(EMBEDDING_SIZE, np.float32),
        np.diag(variance).astype(np.float32),
        (LAYOUT_SIZE, EMBEDDING_SIZE),
        LayoutMap(weight, space.layout_mean, _GRID, _GRID),
    )


@dataclass(frozen=True)
class PlainGenerator:
    """Draws the layout in large; noise covers it as far as the layout is open, less with every step.

    Attributes
    ----------
    side_px : int
        A multiple of 8.
    before_draw : callable
        Called at the beginning of every drawing, with how many pictures are asked for: it may wait, or raise.
    """

    side_px: int = 32
    n_steps: tuple[int, ...] = (1, 2, 4)
    name: str = "plain"
    provider: str = "CPU"
    notes: tuple[str, ...] = ()
    lost: str = ""
    before_draw: Callable[[int], None] = lambda _: None
    space: EmbeddingSpace = objects_space()  # noqa: RUF009

    @property
    def pictures(self) -> PictureModel:
        """What it takes pictures to be."""
        return plain_picture_model()

    def noise(self, seed: int, n: int = 1) -> npt.NDArray[np.float32]:
        """Return noise, shape (n, side_px, side_px, 3)."""
        shape = (n, self.side_px, self.side_px, 3)
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)

    def draw(self, condition: Condition, noise: npt.NDArray[np.float32], n_steps: int) -> Pictures:
        """Return the pictures of a condition, shape (n, side_px, side_px, 3)."""
        if n_steps not in self.n_steps or len(noise) != len(condition):
            raise ValueError(f"{n_steps} steps and {len(noise)} noises for {len(condition)} pictures.")
        self.before_draw(len(condition))
        fold = self.side_px // _GRID
        large = condition.layout.repeat(fold, axis=1).repeat(fold, axis=2)
        grain = 0.2 / n_steps * condition.open_share[:, 1, None, None, None] * noise
        pictures: Pictures = (255 * np.clip(large + grain, 0, 1)).astype(np.uint8)
        return pictures
