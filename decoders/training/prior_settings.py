"""How a diffusion prior is trained, and what it is trained on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .schedules import Schedule

__all__ = ["Pairs", "PriorSettings"]


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """How a prior, or its student, is trained.

    Attributes
    ----------
    n_epochs : int
        At most.
    batch_size : int
    learning_rate, weight_decay : float
        Of AdamW; MindEye's.
    schedule : Schedule
        Of the learning rate.
    average : float
        How much of the moving average of the weights a step leaves (Ho et al. 2020, arXiv 2006.11239); less in the
        first steps, which it is to forget.
    patience : int
        Epochs without a lower validation loss after which the training stops.
    """

    n_epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    schedule: Schedule = "cosine"
    average: float = 0.995
    patience: int = 10

    def __post_init__(self) -> None:
        if self.n_epochs < 1 or self.batch_size < 1 or not 0 <= self.average < 1:
            raise ValueError(
                f"A prior is trained for epochs of batches, averaged by 0 to below 1; got {self}."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Decoded embeddings of trials with the embeddings of the pictures that were shown.

    Attributes
    ----------
    decoded : array of shape (n_trials, dimension), float32
        As of new trials: no mapper was fitted on what it decodes here.
    labels : array of shape (n_trials,), int64
        Row of `embeddings` of each trial.
    embeddings : array of shape (n_pictures, dimension), float32
        As the target gives them.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or a number is not finite.
    """

    decoded: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    embeddings: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        expected = (len(self.labels), self.embeddings.shape[1])
        if self.decoded.shape != expected or not len(self.labels):
            raise ValueError(f"Decoded embeddings have the shape {expected}; got {self.decoded.shape}.")
        if self.labels.min() < 0 or self.labels.max() >= len(self.embeddings):
            raise ValueError(f"Labels are rows of the embeddings, 0 to {len(self.embeddings) - 1}.")
        if not (np.isfinite(self.decoded).all() and np.isfinite(self.embeddings).all()):
            raise ValueError("Decoded embeddings and those of pictures must be finite.")

    def where(self, which: npt.NDArray[np.bool_]) -> "Pairs":
        """Return the pairs of some trials, chosen by a mask."""
        return Pairs(self.decoded[which], self.labels[which], self.embeddings)
