"""What a picture is drawn from: an embedding, where which colours are, and how much of either is open.

A belief is a Gaussian over the embeddings of pictures. A generator gets its mean, nearer to that of all pictures
the less is known, and the share of the variance over pictures that is open: 0 is a known picture, 1 says nothing.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["Condition", "EmbeddingBelief", "LayoutMap", "PictureModel"]

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What n pictures are drawn from.

    Attributes
    ----------
    semantic : array of shape (n, semantic_dim), float32
        What is seen: the mean of the belief, in the numbers of the embedding that the generator takes for it.
    layout : array of shape (n, rows, columns, 3), float32
        Which colours are expected where: sRGB, 0 to 1.
    open_share : array of shape (n, 2), float32
        Which share of the variance over pictures is open, of the semantic part and of the layout; 0 to 1.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or a number is not finite.
    """

    semantic: Array
    layout: Array
    open_share: Array

    def __post_init__(self) -> None:
        n = len(self.semantic)
        if (
            self.semantic.ndim != 2
            or self.layout.ndim != 4
            or self.layout.shape[3] != 3
            or self.open_share.shape != (n, 2)
            or len(self.layout) != n
        ):
            raise ValueError(
                "A condition has a semantic part (n, dimension), a layout (n, rows, columns, 3) and open shares (n, 2);"
                f" got {self.semantic.shape}, {self.layout.shape} and {self.open_share.shape}."
            )
        if not all(np.isfinite(part).all() for part in (self.semantic, self.layout, self.open_share)):
            raise ValueError("A condition has numbers that are not finite.")

    def __len__(self) -> int:
        return len(self.semantic)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingBelief:
    """What is known of the embeddings of n pictures: Gaussian.

    Attributes
    ----------
    mean : array of shape (n, dimension), float32
    open_share : array of shape (n, 2), float32
        Of the variance over pictures: of the numbers that say what is seen, and of those that say where.
    """

    mean: Array
    open_share: Array


@dataclass(frozen=True, slots=True, eq=False)
class LayoutMap:
    """Gives the layout back from an embedding that holds it.

    Attributes
    ----------
    weight : array of shape (rows * columns * 3, dimension), float32
    bias : array of shape (rows * columns * 3,), float32
        The mean layout. Colours are sRGB, 0 to 1, row by row, the three colours of a place together.
    rows, columns : int
    """

    weight: Array
    bias: Array
    rows: int
    columns: int

    def layout(self, embeddings: FloatArray) -> Array:
        """Return the layouts of embeddings (n, dimension), shape (n, rows, columns, 3), float32, 0 to 1."""
        flat = embeddings.astype(np.float32) @ self.weight.T + self.bias
        layouts: Array = np.clip(flat, 0, 1).reshape(-1, self.rows, self.columns, 3)
        return layouts

    def variances(self, covariance: FloatArray) -> npt.NDArray[np.float64]:
        """Return the variance of each number of a layout, shape (rows * columns * 3,), under that of embeddings."""
        weight = self.weight.astype(np.float64)
        # Two products: one einsum of three operands takes n_numbers * dimension^2 steps of a loop.
        variances: npt.NDArray[np.float64] = ((weight @ covariance) * weight).sum(axis=1)
        return variances


@dataclass(frozen=True, slots=True, eq=False)
class PictureModel:
    """Which embeddings pictures have before anything is decoded: a Gaussian, and what each number stands for.

    Attributes
    ----------
    mean : array of shape (dimension,), float32
    covariance : array of shape (dimension, dimension), float32
        Over the pictures that the generator learnt from; positive definite.
    semantic : tuple of int
        First number of the semantic part and the one behind its last.
    layout : LayoutMap
    """

    mean: Array
    covariance: Array
    semantic: tuple[int, int]
    layout: LayoutMap

    @property
    def dimension(self) -> int:
        """Numbers of an embedding."""
        return len(self.mean)

    def part_variances(self, covariance: FloatArray) -> npt.NDArray[np.float64]:
        """Return the variance of what is seen and that of the layout, shape (2,), each summed over its numbers."""
        start, stop = self.semantic
        # What the layout map reads is the layout, wherever it lies.
        return np.array(
            [np.trace(covariance[start:stop, start:stop]), self.layout.variances(covariance).sum()]
        )

    def open_shares(self, covariance: FloatArray) -> Array:
        """Return which share of the variance a belief of this covariance leaves open, shape (2,), float32."""
        before, after = self.part_variances(self.covariance), self.part_variances(covariance)
        shares = np.where(before > 0, after / np.where(before > 0, before, 1), 1)
        return np.clip(shares, 0, 1).astype(np.float32)

    def condition(self, belief: EmbeddingBelief) -> Condition:
        """Return what the pictures of a belief are drawn from."""
        start, stop = self.semantic
        semantic = np.ascontiguousarray(belief.mean[:, start:stop] - self.mean[start:stop], np.float32)
        return Condition(semantic, self.layout.layout(belief.mean), belief.open_share)

    def known(self, embeddings: FloatArray) -> EmbeddingBelief:
        """Return the belief of someone who knows the embeddings, shape (n, dimension)."""
        return EmbeddingBelief(
            np.ascontiguousarray(embeddings, np.float32), np.zeros((len(embeddings), 2), np.float32)
        )

    def nothing(self, n: int = 1) -> EmbeddingBelief:
        """Return the belief of someone who knows nothing yet."""
        return EmbeddingBelief(np.repeat(self.mean[None], n, axis=0), np.ones((n, 2), np.float32))
