"""How a consistency student is trained, and on what."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from decode_stream.stream.types import FloatArray

__all__ = ["ConsistencySettings", "TrainingRows"]


@dataclass(frozen=True)
class ConsistencySettings:
    """How a student is trained.

    Attributes
    ----------
    n_steps : int
        Of the optimizer.
    batch_size, accumulate : int
        Latents at once, and how often before each step.
    learning_rate : float
        Of AdamW.
    guidance : tuple of float
        Lowest and highest guidance scale, drawn evenly between; 1 is none.
    average : float
        Share of the moving average that each step leaves.
    huber_width : float
        c of the pseudo-Huber loss.
    most_norm : float
        Longer gradients are cut to this norm.
    save_every : int
        Steps between two checkpoints.
    """

    n_steps: int = 2000
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-4
    guidance: tuple[float, float] = (3.0, 8.0)
    average: float = 0.95
    huber_width: float = 1e-3
    most_norm: float = 1.0
    save_every: int = 200


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """What a student learns from.

    Attributes
    ----------
    latents : array of shape (n, channels, height, width), float32
        Of pictures, as the U-Net has them. May be mapped from a file.
    embeddings : array of shape (n, dimension), float32
    """

    latents: FloatArray
    embeddings: FloatArray

    def drawn(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return n rows, drawn by torch's own generator."""
        rows = torch.randint(len(self.latents), (n,)).numpy()
        parts = (
            torch.from_numpy(np.asarray(part[rows], np.float32)) for part in (self.latents, self.embeddings)
        )
        latents, embeddings = (part.to(device) for part in parts)
        return latents, embeddings
