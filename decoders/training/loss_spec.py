"""Losses by name, with their numbers, and those of the published decoders."""

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from .embedding_losses import Mixture, Sides, bimixco, clip_mse, info_nce, mse_cosine, soft_clip

__all__ = ["LOSSES", "PUBLISHED_LOSSES", "EmbeddingLoss", "LossName", "LossSpec", "make_loss"]

LossName: TypeAlias = Literal["info-nce", "bimixco", "mse-cosine", "clip-mse", "atm-reconstruction"]


@dataclass(frozen=True)
class LossSpec:
    """A loss by name, with its numbers.

    Attributes
    ----------
    name : str
        ``info-nce``; ``bimixco``, followed by SoftCLIP; ``mse-cosine``; ``clip-mse``; or ``atm-reconstruction``,
        ``10 (w MSE + (1 - w) InfoNCE)`` (Li et al. 2024).
    temperature : float
        Of the contrastive part; with a scale that is learnt, the one it begins at.
    scale : {"exp", "raw", "softplus"}
        What the logits are multiplied with: ``exp`` is 1 / temperature; ``raw`` and ``softplus`` take the logarithm of
        that as it is, or its softplus, as some published code does.
    learn_scale : bool
        Whether the logarithm of the scale is a parameter.
    normalise : {"both", "target", "none"}
        Which side of the contrastive part is brought to unit length.
    weight : float
        Share of one part in a mix: the cosine in ``mse-cosine``, the contrast in ``clip-mse``, the MSE in
        ``atm-reconstruction``.
    contrast_weight : float
        ``mse-cosine``: share of InfoNCE in its contrastive fine-tuning.
    contrast_from : float
        ``mse-cosine``: share of the epochs before the contrastive fine-tuning begins.
    text_weight : float
        Share of the same loss against the text targets.
    mix_share : float
        ``bimixco``: share of the epochs before it gives way to SoftCLIP.
    soft_temperatures : tuple of (float, float)
        ``bimixco``: temperature of SoftCLIP at its first and its last epoch, a half cosine between them.
    """

    name: LossName = "info-nce"
    temperature: float = 0.07
    scale: Literal["exp", "raw", "softplus"] = "exp"
    learn_scale: bool = False
    normalise: Sides = "both"
    weight: float = 0.5
    contrast_weight: float = 0.0
    contrast_from: float = 0.0
    text_weight: float = 0.0
    mix_share: float = 0.33
    soft_temperatures: tuple[float, float] = (0.004, 0.0075)

    def __post_init__(self) -> None:
        if self.name not in get_args(LossName):
            raise ValueError(f"There is no loss {self.name!r}; losses are {', '.join(get_args(LossName))}.")
        if self.scale not in ("exp", "raw", "softplus") or self.normalise not in get_args(Sides):
            raise ValueError(
                "A scale is exp, raw or softplus, and the sides to normalise are both, target or none; got "
                f"{self.scale!r} and {self.normalise!r}."
            )
        if min(self.temperature, *self.soft_temperatures) <= 0:
            raise ValueError("Temperatures are above 0.")
        shares = (self.weight, self.contrast_weight, self.contrast_from, self.text_weight, self.mix_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"Weights and shares lie between 0 and 1; got {shares}.")

    def n_mixed(self, n_epochs: int) -> int:
        """Return for how many epochs, the first of a training, the inputs are mixed."""
        return int(self.mix_share * n_epochs) if self.name == "bimixco" else 0

    def n_plain(self, n_epochs: int) -> int:
        """Return for how many epochs, the first of a training, a loss that comes to contrast does without."""
        return int(self.contrast_from * n_epochs) if self.name == "mse-cosine" and self.contrast_weight else 0


class EmbeddingLoss(nn.Module):
    """A loss with its scale, and with the epoch it is at where it changes with time.

    Parameters
    ----------
    spec : LossSpec

    Attributes
    ----------
    mixes : bool
        Whether the inputs are to be mixed in this epoch.
    contrasts : bool
        Whether ``mse-cosine`` has come to its contrastive fine-tuning in this epoch.
    begins : bool
        Whether another loss begins in this epoch, not to be compared with those before.
    soft_temperature : float
        Of SoftCLIP in this epoch.
    """

    def __init__(self, spec: LossSpec) -> None:
        super().__init__()
        self.spec = spec
        self.log_scale = nn.Parameter(
            torch.tensor(-math.log(spec.temperature)), requires_grad=spec.learn_scale
        )
        self.mixes, self.begins = spec.name == "bimixco", False
        self.contrasts = True
        self.soft_temperature = spec.temperature

    def begin_epoch(self, epoch: int, n_epochs: int) -> None:
        """Take the state of an epoch, from 1; only ``bimixco`` and ``mse-cosine`` change."""
        if self.spec.name == "mse-cosine":
            n_plain = self.spec.n_plain(n_epochs)
            self.contrasts, self.begins = epoch > n_plain, 0 < n_plain == epoch - 1
        if self.spec.name != "bimixco":
            return
        n_mixed = self.spec.n_mixed(n_epochs)
        self.mixes, self.begins = epoch <= n_mixed, epoch == n_mixed + 1
        first, last = self.spec.soft_temperatures
        done = (epoch - n_mixed - 1) / max(1, n_epochs - n_mixed - 1)
        self.soft_temperature = last + (first - last) * (1 + math.cos(math.pi * done)) / 2

    def logit_scale(self) -> Tensor:
        """Return what the logits are multiplied with, shape ()."""
        if self.spec.scale == "raw":
            return self.log_scale
        return self.log_scale.exp() if self.spec.scale == "exp" else functional.softplus(self.log_scale)

    def contrast(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Return the InfoNCE loss with this loss's scale and sides."""
        return info_nce(predicted, target, self.logit_scale(), self.spec.normalise)

    def forward(
        self,
        predicted: Tensor,
        target: Tensor,
        *,
        regressed: Tensor | None = None,
        mixture: Mixture | None = None,
    ) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        predicted, target : Tensor of shape (n, dimension), float32
        regressed : Tensor of shape (n, dimension), optional
            ``clip-mse``: what a head of its own gives for the MSE.
        mixture : Mixture, optional
            ``bimixco``: how the inputs of `predicted` were mixed. While the loss is in evaluation mode it is InfoNCE at
            the first temperature throughout, so that its epochs compare.

        Returns
        -------
        Tensor of shape ()
        """
        spec = self.spec
        regressed = predicted if regressed is None else regressed
        if spec.name == "mse-cosine":
            mixed = mse_cosine(predicted, target, spec.weight)
            # In evaluation mode both parts count throughout, so that its epochs compare.
            if not spec.contrast_weight or (self.training and not self.contrasts):
                return mixed
            contrast = self.contrast(predicted, target)
            return (1 - spec.contrast_weight) * mixed + spec.contrast_weight * contrast
        if spec.name == "clip-mse":
            return clip_mse(self.contrast(predicted, target), regressed, target, spec.weight)
        if spec.name == "atm-reconstruction":
            contrast = self.contrast(predicted, target)
            return 10 * clip_mse(contrast, regressed, target, 1 - spec.weight)
        if mixture is not None:
            return bimixco(predicted, target, mixture, spec.temperature)
        if spec.name == "bimixco" and self.training and not self.mixes:
            return soft_clip(predicted, target, self.soft_temperature)
        return self.contrast(predicted, target)


def make_loss(spec: LossSpec) -> EmbeddingLoss:
    """Return the loss of a specification; what it learns are its parameters."""
    return EmbeddingLoss(spec)


#: The losses of the published decoders: NICE (Song et al. 2024), ATM-S and its variant for reconstruction (Li et al.
#: 2024), UBP (Wu et al. 2025), NeuroBridge (Zhang et al. 2026), Meta's MEG decoder (Benchetrit et al. 2024), Mind
#: Reader and its contrastive fine-tuning (Lin et al. 2022), MindEye (Scotti et al. 2023). They are as the code has
#: them: ATM-S takes the logarithm of a scale for the scale, UBP and NeuroBridge the softplus of that logarithm.
PUBLISHED_LOSSES: dict[str, LossSpec] = {
    "nice": LossSpec(),
    "atm-s": LossSpec(scale="raw", learn_scale=True, normalise="target", text_weight=0.01),
    "atm-s-reconstruction": LossSpec(
        "atm-reconstruction",
        scale="raw",
        learn_scale=True,
        normalise="target",
        weight=0.9,
    ),
    "ubp": LossSpec(scale="softplus", learn_scale=True, normalise="target"),
    "neurobridge": LossSpec(scale="softplus", normalise="target"),
    "benchetrit": LossSpec("clip-mse", learn_scale=True, weight=0.75),
    "mind-reader": LossSpec("mse-cosine", weight=0.6),
    "mind-reader-contrastive": LossSpec("mse-cosine", 0.5, weight=0.6, contrast_weight=0.5),
    "mind-eye": LossSpec("bimixco", 0.006),
}

#: The losses that any network may be trained by, by the name that a user types. Mind Reader fine-tunes contrastively
#: what it has trained before; in one training, that is its second half.
LOSSES: dict[str, LossSpec] = {
    "info-nce": PUBLISHED_LOSSES["nice"],
    "soft-clip": LossSpec("bimixco", 0.006, mix_share=0.0),
    "bimixco": PUBLISHED_LOSSES["mind-eye"],
    "mse-cosine": PUBLISHED_LOSSES["mind-reader"],
    "mse-cosine-contrast": replace(PUBLISHED_LOSSES["mind-reader-contrastive"], contrast_from=0.5),
    "clip-mse": PUBLISHED_LOSSES["benchetrit"],
    "atm-reconstruction": PUBLISHED_LOSSES["atm-s-reconstruction"],
}
