"""MindEye2's mapper: a linear layer of each person, and a network that all share (Scotti et al. 2024, ICML)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .mind_eye import MindEyeConfig, TokenHeads
from .volumes import mean_volume

__all__ = ["MindEye2", "MindEye2Config"]

#: What a person has of their own, by the names of the parameters.
_OWN = ("people", "people_bias")


@dataclass(frozen=True)
class MindEye2Config(MindEyeConfig):
    """Size of a MindEye2 mapper; 1024 units, as the authors take where one GPU is to do, for 256 tokens of bigG.

    Attributes
    ----------
    n_subjects : int
        People with a layer of their own.
    """

    embedding_dim: int = 256 * 1664
    n_tokens: int = 256
    width: int = 1024
    projector_width: int = 1664
    n_subjects: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_subjects < 1:
            raise ValueError(f"n_subjects is at least 1; got {self.n_subjects}.")


class MindEye2(nn.Module):
    """Voxels of each person through a linear layer of theirs into a space that all share, then residual layers.

    The published network also mixes over a sequence; of a sequence of one, as published, that adds the same number to
    all units of all trials, and is left out. Each person's layer is a ridge regression by weight decay.

    Parameters
    ----------
    config : MindEye2Config
        `n_channels` is the largest number of voxels of all people; whoever has fewer has zeros behind them.
    seed : int
        Seed of the initial weights.
    """

    def __init__(self, config: MindEye2Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        width = config.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.people = nn.Parameter(torch.empty(config.n_subjects, width, config.n_channels))
            self.people_bias = nn.Parameter(torch.empty(config.n_subjects, width))
            for layer in (self.people, self.people_bias):  # as a linear layer begins
                nn.init.uniform_(layer, -(config.n_channels**-0.5), config.n_channels**-0.5)
            self.blocks = nn.ModuleList(
                nn.Sequential(
                    nn.LayerNorm(width),
                    nn.Linear(width, width),
                    nn.GELU(),
                    nn.Dropout(0.15),
                    nn.Linear(width, width),
                )
                for _ in range(config.n_blocks)
            )
            self.leave = TokenHeads(config)

    def _shared(self, voxels: Tensor, subject: Tensor | None) -> Tensor:
        """Return trials in the space that all people share, shape (n, width)."""
        if subject is None:
            return functional.linear(voxels, self.people[0], self.people_bias[0])
        out = voxels.new_empty(len(voxels), self.config.width)
        for person, (weight, bias) in enumerate(zip(self.people.unbind(), self.people_bias, strict=True)):
            mine = torch.nonzero(subject == person)[:, 0]
            theirs = functional.linear(voxels[mine], weight, bias)
            out = out.to(theirs.dtype).index_copy(0, mine, theirs)
        return out

    def token_heads(self, epoch: Tensor, subject: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what is compared and what the paper's prior begins from, see `TokenHeads`; takes what forward does."""
        x = self._shared(mean_volume(epoch), subject)
        for block in self.blocks:
            x = x + block(x)
        both: tuple[Tensor, Tensor] = self.leave(x)
        return both

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return the embedding of each trial.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
            Standardised voxels.
        subject : Tensor of shape (n,), int64, optional
            Whose trial each is, from 0; the first person's without it.

        Returns
        -------
        Tensor of shape (n, embedding_dim + structure_dim), float32
            Of no particular length.
        """
        return self.token_heads(epoch, subject)[0]

    def for_new_people(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of other people's network as this one's, whose people keep the layers they began with.

        Voxels of two people have nothing to do with each other, so there is no mean of their layers to begin at. See
        `decode_stream.decoders.encoders.whole_trial.KnowsPeople`.
        """
        return {**weights, **{name: self.state_dict()[name] for name in _OWN}}
