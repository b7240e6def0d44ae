"""EEGNet for whole trials: temporal filters, a spatial filter of each, and a separable convolution over time."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EegNet", "EegNetConfig"]

_POOLS = (4, 8)


@dataclass(frozen=True)
class EegNetConfig:
    """Size of an EEGNet; the defaults are those of Lawhern et al. (2018), for EEG at 128 Hz.

    Attributes
    ----------
    n_channels, n_times : int
        Shape of a trial.
    embedding_dim : int
        Dimension of the embedding.
    n_temporal : int
        Temporal filters (F1 in the paper).
    depth : int
        Spatial filters of each temporal one (D).
    n_pointwise : int
        Filters of the separable convolution (F2).
    kernel_length : int
        Length of the temporal filters, samples: half a second at 128 Hz.
    separable_length : int
        Length of the separable convolution, samples after the first pooling by 4: half a second at 128 Hz.
    dropout : float
        Dropout while training: 0.25 across subjects, 0.5 within a subject.
    spatial_max_norm, head_max_norm : float or None
        Largest Euclidean norm of a spatial filter, and of an output's weights; None for any.
    """

    n_channels: int
    n_times: int
    embedding_dim: int
    n_temporal: int = 8
    depth: int = 2
    n_pointwise: int = 16
    kernel_length: int = 64
    separable_length: int = 16
    dropout: float = 0.25
    spatial_max_norm: float | None = 1.0
    head_max_norm: float | None = 0.25

    def __post_init__(self) -> None:
        for name in ("n_channels", "n_times", "embedding_dim", "n_temporal", "depth", "n_pointwise"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1; got {getattr(self, name)}.")
        for name in ("kernel_length", "separable_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1 sample; got {getattr(self, name)}.")
        for name in ("spatial_max_norm", "head_max_norm"):
            largest = getattr(self, name)
            if largest is not None and not largest > 0:
                raise ValueError(f"{name} is above 0, or None for any norm; got {largest}.")
        if self.n_pooled < 1:
            least = _POOLS[0] * (_POOLS[1] - _grown(self.separable_length)) - _grown(self.kernel_length)
            raise ValueError(
                f"EEGNet averages over {_POOLS[0]} samples and then over {_POOLS[1]} of those: a trial needs at least "
                f"{least} samples; got {self.n_times}."
            )

    @property
    def n_pooled(self) -> int:
        """Number of points in time that are left for the head."""
        first = (self.n_times + _grown(self.kernel_length)) // _POOLS[0]
        return (first + _grown(self.separable_length)) // _POOLS[1]


def _grown(kernel_length: int) -> int:
    """Return how many samples a convolution adds that is padded by half its length on both sides."""
    return 1 - kernel_length % 2


class EegNet(nn.Module):
    """EEGNet of Lawhern et al. (2018, J. Neural Eng. 15:056013), with an embedding in the place of classes.

    Temporal convolution, batch norm; spatial convolution of each filter's map by itself, batch norm, ELU, mean over 4
    samples, dropout; separable convolution, batch norm, ELU, mean over 8, dropout; and a linear head.

    The paper's constraints on norms are part of the forward pass: weights that have grown too long are scaled down
    where they are used, so they hold whatever optimises or loads the weights, and go into an exported graph.

    Parameters
    ----------
    config : EegNetConfig
    seed : int
        Seed of the initial weights.
    """

    def __init__(self, config: EegNetConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        n_temporal, n_spatial = config.n_temporal, config.n_temporal * config.depth
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.temporal = nn.Conv2d(
                1, n_temporal, (1, config.kernel_length), padding=(0, config.kernel_length // 2), bias=False
            )
            self.spatial = nn.Conv2d(
                n_temporal, n_spatial, (config.n_channels, 1), groups=n_temporal, bias=False
            )
            self.depthwise = nn.Conv2d(
                n_spatial,
                n_spatial,
                (1, config.separable_length),
                padding=(0, config.separable_length // 2),
                groups=n_spatial,
                bias=False,
            )
            self.pointwise = nn.Conv2d(n_spatial, config.n_pointwise, 1, bias=False)
            self.head = nn.Linear(config.n_pointwise * config.n_pooled, config.embedding_dim)
            for layer in (self.temporal, self.spatial, self.depthwise, self.pointwise, self.head):
                nn.init.xavier_uniform_(layer.weight)
            assert self.head.bias is not None
            nn.init.zeros_(self.head.bias)
        # The momentum and the epsilon of the original, which is written in Keras.
        self.norm_temporal, self.norm_spatial, self.norm_separable = (
            nn.BatchNorm2d(n, momentum=0.01, eps=1e-3) for n in (n_temporal, n_spatial, config.n_pointwise)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return the embedding of each trial.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
        subject : Tensor of shape (n,), int64, optional
            Not used: one network serves all.

        Returns
        -------
        Tensor of shape (n, embedding_dim), float32
        """
        x = self.norm_temporal(self.temporal(epoch[:, None]))
        spatial = _bounded(self.spatial.weight, self.config.spatial_max_norm)
        x = self.norm_spatial(functional.conv2d(x, spatial, groups=self.config.n_temporal))
        x = self.dropout(functional.avg_pool2d(functional.elu(x), (1, _POOLS[0])))
        x = self.norm_separable(self.pointwise(self.depthwise(x)))
        x = self.dropout(functional.avg_pool2d(functional.elu(x), (1, _POOLS[1])))
        head = _bounded(self.head.weight, self.config.head_max_norm)
        return functional.linear(x.flatten(1), head, self.head.bias)


def _bounded(weight: Tensor, max_norm: float | None) -> Tensor:
    """Return weights whose norm, output by output, is at most `max_norm`."""
    if max_norm is None:
        return weight
    norm = weight.flatten(1).norm(dim=1).clamp(min=max_norm)
    shorter: Tensor = weight * (max_norm / norm).reshape(-1, *[1] * (weight.ndim - 1))
    return shorter
