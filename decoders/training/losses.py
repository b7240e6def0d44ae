"""Contrastive losses: they ask which entry of a gallery an embedding belongs to."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MAX_GALLERY", "TrialLoss", "gallery_loss", "pair_loss", "similarities"]

#: Galleries up to this size are contrasted as a whole, larger ones within the batch.
MAX_GALLERY = 256
# Inverse of the temperature 0.07 at which contrastive training with cosines usually begins.
_COSINE_SCALE = 14.3


def similarities(embeddings: Tensor, gallery: Tensor, norm: str) -> Tensor:
    """Return how well each embedding fits each entry of the gallery.

    Parameters
    ----------
    embeddings : Tensor of shape (..., dimension)
    gallery : Tensor of shape (n_entries, dimension)
    norm : {"unit", "none"}
        ``"unit"`` gives cosine similarity, ``"none"`` the plain inner product.

    Returns
    -------
    Tensor of shape (..., n_entries)
    """
    if norm == "unit":
        embeddings, gallery = functional.normalize(embeddings, dim=-1), functional.normalize(gallery, dim=-1)
    return embeddings @ gallery.T


def gallery_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the InfoNCE loss against a whole gallery (van den Oord et al. 2018, eq. 4).

    Parameters
    ----------
    logits : Tensor of shape (n, n_entries)
        Scaled similarities.
    labels : Tensor of shape (n,), int64
        Gallery entry of each row.

    Returns
    -------
    Tensor of shape ()
        Mean loss in nats.
    """
    return functional.cross_entropy(logits, labels)


def pair_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss over the pairs of a batch (Radford et al. 2021, fig. 3).

    Rows look for their column and columns for their row. Where a gallery entry occurs more than once in the
    batch, every one of its pairs is right, not only the own.

    Parameters
    ----------
    logits : Tensor of shape (n, n)
        Scaled similarity of row i's embedding to the gallery entry of row j.
    labels : Tensor of shape (n,), int64
        Gallery entry of each row.

    Returns
    -------
    Tensor of shape ()
        Mean loss in nats.
    """
    same = (labels[:, None] == labels[None]).to(logits.dtype)
    target = same / same.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


class TrialLoss(nn.Module):
    """Contrastive loss of whole trials and of their single windows; for cosines it learns both temperatures.

    Parameters
    ----------
    gallery : Tensor of shape (n_entries, dimension), float32
        Contrasted as a whole up to 256 entries; beyond that, the entries of the batch are.
    norm : {"unit", "none"}
        Rule of similarity.
    n_latencies : int
        Windows of a trial.
    """

    gallery: Tensor

    def __init__(self, gallery: Tensor, norm: str, n_latencies: int) -> None:
        super().__init__()
        self.norm, self.whole = norm, len(gallery) <= MAX_GALLERY
        self.register_buffer("gallery", gallery)
        cosine = norm == "unit"
        window_scale = _COSINE_SCALE if cosine else 1.0
        trial_scale = window_scale / math.sqrt(n_latencies) if cosine else 1.0
        scales = torch.tensor([trial_scale, window_scale])
        self.log_scales = nn.Parameter(scales.log(), requires_grad=cosine)

    def forward(self, embeddings: Tensor, labels: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the trials and that of the windows.

        Parameters
        ----------
        embeddings : Tensor of shape (n, n_latencies, dimension), float32
        labels : Tensor of shape (n,), int64
            Gallery entry of each trial.
        hidden : Tensor of shape (n, n_latencies), bool
            Whether a window was decoded without its latency; such windows are no evidence for their trial.
        """
        candidates = self.gallery if self.whole else self.gallery[labels]
        loss = gallery_loss if self.whole else pair_loss
        similarity = similarities(embeddings, candidates, self.norm)
        shown = (~hidden).to(similarity.dtype)
        trial_scale, window_scale = self.log_scales.exp()
        # As with dropout, hidden windows are made up for by the others.
        trial = similarity.mul(shown[..., None]).sum(1) / shown.mean()
        trial_loss = loss(trial_scale * trial, labels)
        if not self.whole:
            each = [loss(window_scale * one, labels) for one in similarity.unbind(1)]
            return trial_loss, torch.stack(each).mean()
        repeated = labels[:, None].expand_as(hidden)
        known, unknown = (
            loss(window_scale * similarity[kind], repeated[kind]) if kind.any() else trial_loss.new_zeros(())
            for kind in (~hidden, hidden)
        )
        return trial_loss, known + unknown

    def held_out(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of trials against the whole gallery, all latencies known.

        Parameters
        ----------
        embeddings : Tensor of shape (n, n_latencies, dimension), float32
        labels : Tensor of shape (n,), int64
        """
        similarity = similarities(embeddings, self.gallery, self.norm).sum(1)
        return gallery_loss(self.log_scales[0].exp() * similarity, labels)
