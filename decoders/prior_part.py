"""The part of a bundle that draws embeddings as pictures have them. Needs no torch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["N_SAMPLES", "PriorPart"]

#: Samples of a trial that scores rest on.
N_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class PriorPart:
    """A distilled diffusion prior.

    Attributes
    ----------
    model : bytes
        ONNX: inputs ``embedding`` (n, dimension) and ``noise`` (n, n_steps, dimension), output ``image_embedding``
        (n, dimension), all float32.
    n_steps : int
        1 or 2.
    center : array of shape (dimension,), float32
        Mean of the pictures' embeddings in training, which all of them share and which says nothing of any.
    decoded_center : array of shape (dimension,), float32
        Mean of what was decoded of the trials of training; of mappers that give the difference from the mean, near 0.

    Raises
    ------
    ValueError
        If the numbers do not fit each other.
    """

    model: bytes
    n_steps: int
    center: npt.NDArray[np.float32]
    decoded_center: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.n_steps not in (1, 2):
            raise ValueError(f"A distilled prior takes 1 or 2 steps; got {self.n_steps}.")
        if self.center.ndim != 1 or self.decoded_center.shape != self.center.shape:
            raise ValueError(
                f"A prior has two means of one dimension; got {self.center.shape} and {self.decoded_center.shape}."
            )

    @property
    def dimension(self) -> int:
        """Numbers of an embedding."""
        return len(self.center)
