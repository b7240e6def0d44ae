"""MindEye's mapper from voxels to the tokens of an image encoder (Scotti et al. 2023, NeurIPS)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .volumes import mean_volume

__all__ = ["MindEye", "MindEyeConfig", "TokenHeads", "TokenProjector"]


@dataclass(frozen=True)
class MindEyeConfig:
    """Size of a MindEye mapper; the defaults are the paper's for CLIP ViT-L/14.

    Attributes
    ----------
    n_channels, n_times : int
        Voxels, and volumes of a trial; volumes are averaged.
    embedding_dim : int
        Of all tokens together, laid out flat.
    n_tokens : int
        Of a pooled embedding there is 1.
    structure_dim : int
        Of a second embedding, behind the first; 0 for none.
    width, n_blocks : int
        Units of the residual layers, and their number.
    projector_width : int
        Hidden units of the projector.
    """

    n_channels: int
    n_times: int = 1
    embedding_dim: int = 257 * 768
    n_tokens: int = 257
    structure_dim: int = 0
    width: int = 4096
    n_blocks: int = 4
    projector_width: int = 2048

    def __post_init__(self) -> None:
        sizes = ("n_channels", "n_times", "embedding_dim", "n_tokens", "width", "projector_width")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1; got {getattr(self, name)}.")
        if min(self.structure_dim, self.n_blocks) < 0:
            raise ValueError(
                f"structure_dim and n_blocks are 0 or more; got {self.structure_dim} and {self.n_blocks}."
            )
        if self.embedding_dim % self.n_tokens:
            raise ValueError(
                f"Embeddings of {self.embedding_dim} numbers cannot be {self.n_tokens} tokens of one size."
            )

    @property
    def token_dim(self) -> int:
        """Dimension of a token."""
        return self.embedding_dim // self.n_tokens


class TokenProjector(nn.Module):
    """Every token by itself through three layers, into the space where it is compared.

    Parameters
    ----------
    n_tokens, token_dim, width : int
        Tokens of an embedding, their dimension, and hidden units.
    """

    def __init__(self, n_tokens: int, token_dim: int, width: int) -> None:
        super().__init__()
        self.shape = (n_tokens, token_dim)
        sizes = ((token_dim, width), (width, width), (width, token_dim))
        self.layers = nn.Sequential(
            *[nn.Sequential(nn.LayerNorm(here), nn.GELU(), nn.Linear(here, there)) for here, there in sizes]
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return projected tokens, (n, n_tokens * token_dim), of tokens laid out alike."""
        out: Tensor = self.layers(tokens.reshape(-1, *self.shape)).flatten(1)
        return out


class TokenHeads(nn.Module):
    """From what the residual layers give to all tokens by one linear map, and to the projected ones.

    Parameters
    ----------
    config : MindEyeConfig
    """

    def __init__(self, config: MindEyeConfig) -> None:
        super().__init__()
        self.tokens = nn.Linear(config.width, config.embedding_dim)
        self.projector = TokenProjector(config.n_tokens, config.token_dim, config.projector_width)
        self.structure = nn.Linear(config.width, config.structure_dim) if config.structure_dim else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return projected tokens with the second embedding behind them, and the tokens before the projector.

        Parameters
        ----------
        x : Tensor of shape (n, width), float32

        Returns
        -------
        Two Tensors of shape (n, embedding_dim + structure_dim) and (n, embedding_dim), float32
        """
        tokens = self.tokens(x)
        projected = self.projector(tokens)
        if self.structure is not None:
            projected = torch.cat([projected, self.structure(x)], dim=1)
        return projected, tokens


class MindEye(nn.Module):
    """Residual layers over all voxels, a linear map to all tokens, and a projector of each token.

    What is compared comes out of the projector; what the linear map gives is what the paper's prior begins from.

    Parameters
    ----------
    config : MindEyeConfig
    seed : int
        Seed of the initial weights.
    """

    def __init__(self, config: MindEyeConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        width = config.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enter = nn.Sequential(
                nn.Linear(config.n_channels, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(0.5)
            )
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(0.15))
                for _ in range(config.n_blocks)
            )
            self.leave = TokenHeads(config)

    def token_heads(self, epoch: Tensor, subject: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what is compared and what the paper's prior begins from, see `TokenHeads`; takes what forward does."""
        x = self.enter(mean_volume(epoch))
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
            Not used: one network serves one person.

        Returns
        -------
        Tensor of shape (n, embedding_dim + structure_dim), float32
            Of no particular length.
        """
        return self.token_heads(epoch, subject)[0]
