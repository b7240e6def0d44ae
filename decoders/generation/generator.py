"""A generator: a condition and noise in, pictures out, whichever back-end draws them."""

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.manifest import EmbeddingSpace

from .condition import Condition, PictureModel

__all__ = ["Generator", "Pictures"]

Pictures: TypeAlias = npt.NDArray[np.uint8]


class Generator(Protocol):
    """Draws pictures. It is called from one thread at a time.

    Attributes
    ----------
    name : str
        What it is, in a few words, for people.
    space : EmbeddingSpace
        Where the embeddings lie that it draws; a belief of another space is refused before a session starts.
    pictures : PictureModel
        What it takes pictures to be before anything is decoded, and what makes conditions of beliefs.
    side_px : int
        Pictures are square.
    n_steps : tuple of int
        In how many steps it can draw, fewest first.
    provider : str
        What runs it: ``"CPU"``, ``"CUDA"``.
    notes : tuple of str
        Why it does not run on anything better, where the best was asked for, and the like.
    lost : str
        What happened where its provider was lost and another went on; else empty.
    """

    @property
    def name(self) -> str:
        """What it is, in a few words, for people."""
        ...

    @property
    def space(self) -> EmbeddingSpace:
        """Where its embeddings lie."""
        ...

    @property
    def pictures(self) -> PictureModel:
        """What it takes pictures to be before anything is decoded."""
        ...

    @property
    def side_px(self) -> int:
        """Side of its pictures."""
        ...

    @property
    def n_steps(self) -> tuple[int, ...]:
        """In how many steps it can draw, fewest first."""
        ...

    @property
    def provider(self) -> str:
        """What runs it."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Why it does not run on anything better, where the best was asked for, and the like."""
        ...

    @property
    def lost(self) -> str:
        """What happened where its provider was lost and another went on; else empty."""
        ...

    def noise(self, seed: int, n: int = 1) -> npt.NDArray[np.float32]:
        """Return noise to draw n pictures from, float32; the same for the same seed, and of more the first are."""
        ...

    def draw(self, condition: Condition, noise: npt.NDArray[np.float32], n_steps: int) -> Pictures:
        """Return the pictures of a condition.

        Parameters
        ----------
        condition : Condition
            Of n pictures.
        noise : array of shape (n, ...), float32
            From `noise`. The same condition and noise give the same picture.
        n_steps : int
            One of those it can.

        Returns
        -------
        array of shape (n, side_px, side_px, 3), uint8
            RGB.

        Raises
        ------
        ValueError
            If the condition does not fit the generator.
        GeneratorError
            If what it drew is no picture (numbers that are not finite), or the device failed.
        """
        ...
