"""The flat projection network of UBP and NeuroBridge: a whole trial as one vector, through two layers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decode_stream.decoders.gallery_projector import GalleryProjector

from .temporal_spatial import ResidualProjection

__all__ = ["Projection", "ProjectionConfig"]


@dataclass(frozen=True)
class ProjectionConfig:
    """Size of a projection network; the defaults are those of UBP (Wu et al. 2025).

    Attributes
    ----------
    n_channels, n_times : int
        Shape of a trial; both papers take the 17 channels over parietal and occipital cortex, 250 samples.
    embedding_dim : int
        Dimension of the target's embeddings, and width of the network.
    shared_dim : int or None
        Dimension of the learned space in which NeuroBridge (Zhang et al. 2026) compares trials and pictures, 512
        there: a linear map leads into it from either side. None, as in UBP: the target's space itself.
    dropout : float
        Dropout behind the second layer while training.
    """

    n_channels: int
    n_times: int
    embedding_dim: int = 1024
    shared_dim: int | None = None
    dropout: float = 0.3

    def __post_init__(self) -> None:
        for name in ("n_channels", "n_times", "embedding_dim", "shared_dim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1; got {value}.")

    @property
    def output_dim(self) -> int:
        """Dimension of what the network returns."""
        return self.shared_dim or self.embedding_dim


class Projection(nn.Module):
    """A linear map of the whole trial, a nonlinear step added to it, and a layer norm.

    `EEGProjectLayer` of UBP and `EEGProject` of NeuroBridge. UBP saves the temperature of its loss with the weights,
    NeuroBridge leaves it at a constant; here it belongs to the loss.

    Parameters
    ----------
    config : ProjectionConfig
    seed : int
        Seed of the initial weights.

    Attributes
    ----------
    share_trials, share_pictures : Linear, only with a learned space
        The maps into it, of either side.
    """

    @property
    def public_code(self) -> str:
        """Where the public code is: UBP's, or NeuroBridge's."""
        ubp = self.config.shared_dim is None
        return (
            "github.com/HaitaoWuTJU/Uncertainty-aware-Blur-Prior"
            if ubp
            else "github.com/feroooooo/NeuroBridge"
        )

    def __init__(self, config: ProjectionConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        width = config.embedding_dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.project = ResidualProjection(config.n_channels * config.n_times, width, config.dropout)
            if config.shared_dim is not None:
                self.share_trials = nn.Linear(width, config.shared_dim)
                self.share_pictures = nn.Linear(width, config.shared_dim)

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return the embedding of each trial, in the space where it is compared.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
        subject : Tensor of shape (n,), int64, optional
            Not used: one network serves all.

        Returns
        -------
        Tensor of shape (n, output_dim), float32
        """
        out: Tensor = self.project(epoch.flatten(1))
        return out if self.config.shared_dim is None else self.share_trials(out)

    def project_targets(self, embeddings: Tensor) -> Tensor:
        """Return pictures' embeddings in the space where they are compared.

        Parameters
        ----------
        embeddings : Tensor of shape (n, embedding_dim), float32

        Returns
        -------
        Tensor of shape (n, output_dim), float32
        """
        return embeddings if self.config.shared_dim is None else self.share_pictures(embeddings)

    def gallery_projector(self) -> GalleryProjector | None:
        """Return the pictures' map into the learned space as plain arrays; None where there is no such space."""
        if self.config.shared_dim is None:
            return None
        sides = (self.share_pictures.weight, self.share_pictures.bias)
        weight, bias = (value.detach().cpu().numpy().copy() for value in sides)
        return GalleryProjector(weight, bias)

    def kept_as_published(self) -> tuple[str, ...]:
        """Return what is done as public code does it, see `decode_stream.decoders.encoders.public_weights`."""
        return ("a trial's embedding is not brought to unit length",)

    def public_names(self) -> dict[str, str | None]:
        """Return own names by those of public code, see `decode_stream.decoders.encoders.public_weights`.

        Known are a state dict of the network alone, UBP's checkpoint (all under ``brain``), and NeuroBridge's, which
        holds the network and the two maps as state dicts of their own.
        """
        names: dict[str, str | None] = {}
        for part in ("model", "brain.model", "model.model"):
            names |= {
                f"{part}.0": "project.map",
                f"{part}.1.f.1": "project.step",
                f"{part}.2": "project.norm",
            }
        names |= {"eeg_projector.linear": "share_trials", "img_projector.linear": "share_pictures"}
        return names | {"logit_scale": None, "brain.logit_scale": None}
