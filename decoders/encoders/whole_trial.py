"""Encoders of whole trials where encoders of windows are asked for, and by the batch."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from decode_stream.stream.types import FloatArray

__all__ = ["KnowsPeople", "WholeTrial", "embed_whole"]


@runtime_checkable
class KnowsPeople(Protocol):
    """An encoder with a layer or a token of each person whose trials it learns from."""

    def for_new_people(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of a network of the same make, for other people, as this one may load them.

        Whoever is new begins at the mean of the people known: their layers differ, and the mean is as near to all of
        them as one can be. The papers train and test on the same people and say nothing of new ones. Layers of voxels,
        of which each person has others, have no mean, and begin at random (MindEye2).

        Parameters
        ----------
        weights : mapping of str to Tensor
            State of a network of the same names, of however many people.
        """
        ...


class WholeTrial(nn.Module):
    """A whole-trial encoder with the signature of a bundle's: a window and its latency in, an embedding out.

    The window is the trial from its onset on, zero from where it has not happened yet. Without an onset it is no trial,
    so a window of unknown latency has the embedding zero: no evidence.

    Parameters
    ----------
    encoder : Module
        Takes trials (n, n_channels, n_times) and their subjects (n,), int64 or None: here None, for a bundle is one
        person's.
    structure_dim : int
        So many of the encoder's last dimensions are its second head, returned apart.
    """

    def __init__(self, encoder: nn.Module, structure_dim: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.structure_dim = structure_dim

    def forward(self, window: Tensor, latency_s: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the embedding of each window.

        Parameters
        ----------
        window : Tensor of shape (n, n_channels, n_times), float32
        latency_s : Tensor of shape (n,), float32
            Start of each window after stimulus onset, seconds; negative where unknown.

        Returns
        -------
        Tensor of shape (n, embedding_dim), float32
            And that of the second head, where there is one.
        """
        embedding = self.encoder(window, None)
        embedding = torch.where((latency_s >= 0)[:, None], embedding, torch.zeros_like(embedding))
        if not self.structure_dim:
            return embedding
        dimension = embedding.shape[1] - self.structure_dim
        return embedding[:, :dimension], embedding[:, dimension:]


@torch.inference_mode()
def embed_whole(module: nn.Module, epochs: FloatArray, *, batch_size: int = 256) -> npt.NDArray[np.float32]:
    """Return the embeddings of whole trials, as outside training.

    Parameters
    ----------
    module : Module
        A whole-trial encoder, on the device where it is to run.
    epochs : array of shape (n, n_channels, n_times)
        May be mapped from a file; it is read batch by batch.
    batch_size : int
        Trials at a time.

    Returns
    -------
    array of shape (n, embedding_dim), float32
    """
    device = next(module.parameters()).device
    training = module.training
    module.eval()
    parts = []
    try:
        for start in range(0, max(len(epochs), 1), batch_size):
            some = slice(start, start + batch_size)
            epoch = torch.as_tensor(np.array(epochs[some], dtype=np.float32), device=device)
            parts.append(module(epoch, None).float().cpu().numpy())
    finally:
        module.train(training)
    return np.concatenate(parts)
