"""Mind Reader's convolutional mapper from voxels to an embedding (Lin et al. 2022, NeurIPS)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .volumes import mean_volume

__all__ = ["MindReader", "MindReaderConfig"]

#: Zeros at either end of the row of voxels.
_PADDING = 10


@dataclass(frozen=True)
class MindReaderConfig:
    """Size of a Mind Reader mapper; the defaults are the paper's.

    Attributes
    ----------
    n_channels, n_times : int
        Voxels, and volumes of a trial; volumes are averaged.
    embedding_dim : int
        Dimension of the target's embeddings; the pooled ones of CLIP ViT-B/32 have 512.
    width, n_blocks, hidden : int
        Filters of the residual blocks, their number, and units between the row of voxels and the embedding.
    """

    n_channels: int
    n_times: int = 1
    embedding_dim: int = 512
    width: int = 64
    n_blocks: int = 4
    hidden: int = 128

    def __post_init__(self) -> None:
        for name in ("n_channels", "n_times", "embedding_dim", "width", "n_blocks", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1; got {getattr(self, name)}.")


class _Block(nn.Module):
    """Three convolutions, and what came in added to what goes out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.last = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        added = self.last(functional.relu(self.second(functional.relu(self.first(x)))))
        return functional.relu(x + added)


class MindReader(nn.Module):
    """A row of voxels through one-dimensional residual convolutions, then all places weighed within each dimension.

    Voxels stand in the order of the mask, so neighbours in the row are mostly neighbours in the brain.

    Parameters
    ----------
    config : MindReaderConfig
    seed : int
        Seed of the initial weights.
    """

    def __init__(self, config: MindReaderConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        # Padded, and halved by the stride of the first convolution.
        n_places = (config.n_channels + 2 * _PADDING) // 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enter = nn.Conv1d(1, config.width, 4, stride=2, padding=1)
            self.blocks = nn.Sequential(*[_Block(config.width) for _ in range(config.n_blocks)])
            self.widen = nn.Conv1d(config.width, config.embedding_dim, 1)
            self.gather = nn.Linear(n_places, config.hidden)
            self.leave = nn.Linear(config.hidden, 1)

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
        Tensor of shape (n, embedding_dim), float32
            Of no particular length.
        """
        row = functional.pad(mean_volume(epoch)[:, None], (_PADDING, _PADDING))
        places = self.widen(self.blocks(functional.relu(self.enter(row))))
        out: Tensor = self.leave(functional.relu(self.gather(functional.relu(places))))
        return out[:, :, 0]
