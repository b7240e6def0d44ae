"""Losses between predicted and target embeddings, as the published decoders use them.

Each takes `predicted` and `target` of shape (n, dimension) and returns the mean over the rows. Where a batch holds a
picture more than once, its rows have one target and so one logit: they share what is right whether a loss knows of them
or not, and no loss here asks which rows are of one picture.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from decode_stream.stream.types import IntArray

from .losses import pair_loss

__all__ = [
    "Mixture",
    "Sides",
    "bimixco",
    "clip_mse",
    "cosine_distance",
    "draw_mixture",
    "info_nce",
    "mse_cosine",
    "soft_clip",
]

Sides: TypeAlias = Literal["both", "target", "none"]


def _unit(embeddings: Tensor) -> Tensor:
    return functional.normalize(embeddings, dim=-1)


def info_nce(predicted: Tensor, target: Tensor, scale: Tensor | float, normalise: Sides = "both") -> Tensor:
    """Return the symmetric InfoNCE loss of a batch (Radford et al. 2021, fig. 3).

    Parameters
    ----------
    predicted, target : Tensor of shape (n, dimension)
    scale : Tensor of shape () or float
        Inverse of the temperature.
    normalise : {"both", "target", "none"}
        Which side is brought to unit length.

    Returns
    -------
    Tensor of shape ()
        In nats.
    """
    if normalise == "both":
        predicted = _unit(predicted)
    if normalise != "none":
        target = _unit(target)
    return pair_loss(scale * (predicted @ target.T), torch.arange(len(target), device=target.device))


def soft_clip(predicted: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return the SoftCLIP loss (MindEye: Scotti et al. 2023), with cosines.

    ``-sum_ij softmax_j(t_i.t_j / tau) log softmax_j(p_i.t_j / tau)``, and the same from targets to predictions; their
    mean.

    Parameters
    ----------
    predicted, target : Tensor of shape (n, dimension)
    temperature : float
        Of both softmaxes.
    """
    predicted, target = _unit(predicted), _unit(target)
    right = (target @ target.T / temperature).softmax(dim=1)
    logits = predicted @ target.T / temperature
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2


@dataclass(frozen=True, eq=False)
class Mixture:
    """How the rows of a batch are mixed: row i is ``share[i]`` of itself and the rest of row ``partner[i]``.

    Attributes
    ----------
    partner : Tensor of shape (n,), int64
    share : Tensor of shape (n,), float32
    """

    partner: Tensor
    share: Tensor

    def to(self, device: torch.device) -> "Mixture":
        """Return the same on another device."""
        return Mixture(self.partner.to(device), self.share.to(device))

    def of(self, inputs: Tensor) -> Tensor:
        """Return mixed inputs of the same shape, (n, ...)."""
        share = self.share.reshape(-1, *[1] * (inputs.ndim - 1))
        return share * inputs + (1 - share) * inputs[self.partner]


def draw_mixture(
    subjects: IntArray, generator: np.random.Generator, *, beta: float = 0.15, probability: float = 0.5
) -> Mixture:
    """Draw which rows of a batch are mixed with which, and how (MixCo: Kim et al. 2020; values of MindEye).

    Parameters
    ----------
    subjects : array of shape (n,), int64
        Whose trial each row is: only trials of one person are mixed.
    beta : float
        Both parameters of the Beta distribution of the share.
    probability : float
        With which a row is mixed at all.
    """
    n = len(subjects)
    order, shuffled = np.argsort(subjects, kind="stable"), generator.permutation(n)
    partner = np.empty(n, dtype=np.int64)
    # Both run through the people in the same order, so that each row gets one of its own person.
    partner[order] = shuffled[np.argsort(subjects[shuffled], kind="stable")]
    mixed = generator.random(n) < probability
    share = np.where(mixed, generator.beta(beta, beta, n), 1.0).astype(np.float32)
    return Mixture(torch.from_numpy(partner), torch.from_numpy(share))


def bimixco(predicted: Tensor, target: Tensor, mixture: Mixture, temperature: float) -> Tensor:
    """Return the bidirectional MixCo loss of mixed inputs (MindEye: Scotti et al. 2023), with cosines.

    ``-sum_i [s_i log q_(i,i) + (1 - s_i) log q_(i,k_i)]`` with the softmax q over targets, and the same with that over
    rows; their mean. A mixed row looks for the targets of both its parts, and a target for all rows that hold a part of
    it. A row that is its own partner counts once, where the published code leaves it its share alone.

    Parameters
    ----------
    predicted : Tensor of shape (n, dimension)
        Of the mixed inputs.
    target : Tensor of shape (n, dimension)
        Of the unmixed ones.
    """
    logits = _unit(predicted) @ _unit(target).T / temperature
    own = torch.eye(len(target), dtype=logits.dtype, device=logits.device)
    share = mixture.share.to(logits)[:, None]
    weights = share * own + (1 - share) * own[mixture.partner]
    rows = (logits.log_softmax(dim=1) * weights).sum(dim=1)
    columns = (logits.log_softmax(dim=0) * weights).sum(dim=0)
    return -(rows.mean() + columns.mean()) / 2


def cosine_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean of one minus the cosine of each pair."""
    return 1 - functional.cosine_similarity(predicted, target, dim=-1).mean()


def mse_cosine(predicted: Tensor, target: Tensor, cosine_weight: float = 0.6) -> Tensor:
    """Return ``(1 - w) MSE + w (1 - cosine)`` (Mind Reader: Lin et al. 2022)."""
    squared = functional.mse_loss(predicted, target)
    return (1 - cosine_weight) * squared + cosine_weight * cosine_distance(predicted, target)


def clip_mse(contrast: Tensor, regressed: Tensor, target: Tensor, clip_weight: float = 0.75) -> Tensor:
    """Return ``lambda CLIP + (1 - lambda) MSE`` (Benchetrit et al. 2024).

    Parameters
    ----------
    contrast : Tensor of shape ()
        The contrastive loss, of the head that is for it.
    regressed, target : Tensor of shape (n, dimension)
        What the other head gives, and should give.
    """
    return clip_weight * contrast + (1 - clip_weight) * functional.mse_loss(regressed, target)
