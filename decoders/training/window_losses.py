"""The losses between embeddings where a trial is many windows: for an encoder of windows, instead of its own."""

import torch
from torch import Tensor

from .embedding_losses import Mixture
from .loss_spec import EmbeddingLoss, LossSpec

__all__ = ["PairedTrialLoss"]


class PairedTrialLoss(EmbeddingLoss):
    """A loss of whole trials and of their single windows; a trial's embedding is the mean of its windows'.

    Parameters
    ----------
    spec : LossSpec
    gallery : Tensor of shape (n_entries, dimension), float32
        A trial is compared with the entries of its batch.
    """

    gallery: Tensor

    def __init__(self, spec: LossSpec, gallery: Tensor) -> None:
        super().__init__(spec)
        self.register_buffer("gallery", gallery)

    def of_windows(
        self, embeddings: Tensor, labels: Tensor, hidden: Tensor, mixture: Mixture | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of the trials and that of the windows.

        Parameters
        ----------
        embeddings : Tensor of shape (n, n_latencies, dimension), float32
        labels : Tensor of shape (n,), int64
            Gallery entry of each trial.
        hidden : Tensor of shape (n, n_latencies), bool
            Whether a window was decoded without its latency; such windows are no part of their trial.
        mixture : Mixture or None
            How the trials were mixed.
        """
        target = self.gallery[labels]
        shown = (~hidden).to(embeddings.dtype)[..., None]
        trial = (embeddings * shown).sum(dim=1) / shown.sum(dim=1)
        windows = [self(one, target, mixture=mixture) for one in embeddings.unbind(1)]
        return self(trial, target, mixture=mixture), torch.stack(windows).mean()

    def held_out(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of trials among each other, all latencies known.

        Parameters
        ----------
        embeddings : Tensor of shape (n, n_latencies, dimension), float32
        labels : Tensor of shape (n,), int64
        """
        loss: Tensor = self(embeddings.mean(dim=1), self.gallery[labels])
        return loss
