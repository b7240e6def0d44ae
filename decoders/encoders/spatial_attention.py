"""Meta's MEG decoder for whole trials: attention over sensor positions, subject layers, dilated convolutions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .sensor_plane import flatten_positions

__all__ = ["SpatialAttention", "SpatialAttentionConfig"]

_MARGIN = 0.2
#: Dilation begins anew after so many convolutions.
_DILATION_PERIOD = 5


@dataclass(frozen=True)
class SpatialAttentionConfig:
    """Size of the encoder; the defaults are those of Benchetrit et al. (2024) where they are published.

    Attributes
    ----------
    n_channels, n_times : int
        Shape of a trial.
    embedding_dim : int
        Dimension of the embedding that either head gives.
    positions_m : tuple of ((x, y, z) or None), or None
        Sensor positions in metres; channels whose position is None are left out.
    n_subjects : int
        Subjects with a layer of their own.
    n_virtual : int
        Virtual channels that the attention makes of the real ones.
    fourier_dim : int
        Size of a position's embedding: twice the square of the number of frequencies on either axis.
    dropout_radius : float
        While training, channels within this distance of a random place are left out; the sensors lie between 0 and 1.
    hidden_dim : int
        Channels of the convolutions.
    n_convolutions, kernel_length, dilation_growth : int
        Convolutions over time, their length, and the factor from one's dilation to the next's.
    gate_every : int
        A gated linear unit follows every so many convolutions; 0 for none.
    feature_dim : int
        Channels behind the convolutions, which are aggregated over time.
    aggregation : {"linear", "mean", "attention"}
        How time is summed up: by learned weights, by the mean, or by the attention of Bahdanau et al. (2015).
    head_dim : int
        Hidden width of the two heads.
    dropout : float
        Dropout behind every convolution while training.
    causal : bool
        Whether convolutions see only what came before, so that a growing trial's past stays as it was.
    """

    n_channels: int
    n_times: int
    embedding_dim: int
    positions_m: tuple[tuple[float, float, float] | None, ...] | None = None
    n_subjects: int = 1
    n_virtual: int = 270
    fourier_dim: int = 2048
    dropout_radius: float = 0.2
    hidden_dim: int = 320
    n_convolutions: int = 4
    kernel_length: int = 3
    dilation_growth: int = 2
    gate_every: int = 2
    feature_dim: int = 2048
    aggregation: Literal["linear", "mean", "attention"] = "linear"
    head_dim: int = 512
    dropout: float = 0.0
    causal: bool = False

    def __post_init__(self) -> None:
        sizes = ("n_channels", "n_times", "embedding_dim", "n_subjects", "n_virtual", "hidden_dim")
        for name in (*sizes, "n_convolutions", "dilation_growth", "feature_dim", "head_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1; got {getattr(self, name)}.")
        if self.kernel_length < 1 or self.kernel_length % 2 == 0:
            raise ValueError(
                f"kernel_length is odd, so that a trial keeps its length; got {self.kernel_length}."
            )
        if self.fourier_dim < 2 or 2 * self.n_frequencies**2 != self.fourier_dim:
            raise ValueError(
                f"fourier_dim is twice a square, such as 128, 512 or 2048; got {self.fourier_dim}."
            )
        if self.gate_every < 0:
            raise ValueError(f"gate_every is 0 for no gate, or more; got {self.gate_every}.")
        if self.aggregation not in ("linear", "mean", "attention"):
            raise ValueError(f"aggregation is 'linear', 'mean' or 'attention'; got {self.aggregation!r}.")
        if self.positions_m is not None and len(self.positions_m) != self.n_channels:
            raise ValueError(
                f"{self.n_channels} channels need as many positions; got {len(self.positions_m)}."
            )

    @property
    def n_frequencies(self) -> int:
        """Number of frequencies on either axis of the plane."""
        return math.isqrt(self.fourier_dim // 2)


class SpatialAttention(nn.Module):
    """The MEG module of Benchetrit et al. (2024, ICLR), after Défossez et al. (2023, Nat. Mach. Intell. 5:1097).

    Attention over the sensors' places in a plane, a 1x1 convolution, a linear layer of each subject, residual dilated
    convolutions with batch norm, GELU and gates, a 1x1 convolution, aggregation over time, and two heads.

    Parameters
    ----------
    config : SpatialAttentionConfig
    seed : int
        Seed of the initial weights.

    Raises
    ------
    ValueError
        If no sensor's position is known.
    """

    waves: Tensor
    plane: Tensor
    unplaced: Tensor

    def __init__(self, config: SpatialAttentionConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        plane = torch.tensor(flatten_positions(config.positions_m or ()), dtype=torch.float32)
        unplaced = plane.isnan().any(dim=1)
        # No weight depends on the channels, so weights go to another montage; its places stay its own.
        self.register_buffer("unplaced", unplaced, persistent=False)
        self.register_buffer("plane", plane.nan_to_num(0.0), persistent=False)
        self.register_buffer("waves", _fourier(self.plane, config.n_frequencies), persistent=False)
        n_virtual, hidden = config.n_virtual, config.hidden_dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.queries = nn.Parameter(torch.randn(n_virtual, config.fourier_dim) / config.fourier_dim**0.5)
            self.mix = nn.Conv1d(n_virtual, n_virtual, 1)
            self.subject_layers = nn.Parameter(
                torch.randn(config.n_subjects, n_virtual, n_virtual) / n_virtual**0.5
            )
            self.convolutions = nn.ModuleList(
                _Convolution(config, n_virtual if k == 0 else hidden, k) for k in range(config.n_convolutions)
            )
            self.features = nn.Conv1d(hidden, config.feature_dim, 1)
            self.aggregate = _aggregation(config)
            self.clip_head, self.mse_head = (_head(config) for _ in range(2))

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return the embedding of each trial, by the head that is trained to tell pictures apart.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
        subject : Tensor of shape (n,), int64, optional
            Whose layer to use; `n_subjects` stands for somebody unknown, as does None: the mean of all layers.

        Returns
        -------
        Tensor of shape (n, embedding_dim), float32
        """
        out: Tensor = self.clip_head(self._summary(epoch, subject))
        return out

    def heads(self, epoch: Tensor, subject: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the embeddings by both heads: the one to tell pictures apart, and the one to regress embeddings.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
        subject : Tensor of shape (n,), int64, optional

        Returns
        -------
        clip, mse : Tensor of shape (n, embedding_dim), float32
        """
        summary = self._summary(epoch, subject)
        return self.clip_head(summary), self.mse_head(summary)

    def for_new_people(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of other people as those of this network's, whose layers begin at the mean of theirs.

        See `decode_stream.decoders.encoders.whole_trial.KnowsPeople`.
        """
        mean = weights["subject_layers"].mean(dim=0, keepdim=True)
        return {**weights, "subject_layers": mean.repeat(self.config.n_subjects, 1, 1)}

    def _summary(self, epoch: Tensor, subject: Tensor | None) -> Tensor:
        """Return what a trial comes to before the heads, shape (n, feature_dim)."""
        x = self.mix(self._attention() @ epoch)
        layers = self._layers()
        layer = layers[-1:] if subject is None else layers[subject]
        x = layer.transpose(1, 2) @ x
        for convolution in self.convolutions:
            x = convolution(x)
        out: Tensor = self.aggregate(self.features(x))
        return out

    def _layers(self) -> Tensor:
        """Return the layers of all subjects and, last, their mean, (n_subjects + 1, n_virtual, n_virtual)."""
        return torch.cat([self.subject_layers, self.subject_layers.mean(dim=0, keepdim=True)])

    def _attention(self) -> Tensor:
        """Return how much each virtual channel takes of each channel, shape (n_virtual, n_channels)."""
        absent = self.unplaced
        if self.training and self.config.dropout_radius:
            place = torch.rand(2, device=self.plane.device)
            near = (self.plane - place).norm(dim=1) <= self.config.dropout_radius
            # Of a small montage all may be near: then nothing is left out.
            left_out = absent | near
            absent = torch.where(left_out.all(), absent, left_out)
        scores = (self.queries @ self.waves.T).masked_fill(absent, -math.inf)
        return scores.softmax(dim=1)


def _fourier(plane: Tensor, n_frequencies: int) -> Tensor:
    """Return cosines and sines of places in a plane, shape (n_channels, 2 * n_frequencies ** 2).

    Both axes are taken as periodic, with a margin around the unit square so that opposite edges differ.
    """
    steps = 2 * math.pi / (1 + 2 * _MARGIN) * torch.arange(n_frequencies)
    x, y = (plane + _MARGIN).unbind(dim=1)
    phase = (x[:, None, None] * steps[:, None] + y[:, None, None] * steps).flatten(1)
    return torch.cat([phase.cos(), phase.sin()], dim=1)


class _Convolution(nn.Module):
    """A dilated convolution with batch norm and GELU, added to its input where the sizes agree, and maybe a gate."""

    def __init__(self, config: SpatialAttentionConfig, n_in: int, k: int) -> None:
        super().__init__()
        n, length = config.hidden_dim, config.kernel_length
        dilation = config.dilation_growth ** (k % _DILATION_PERIOD)
        self.padding = _padding((length - 1) * dilation, config.causal)
        self.convolve = nn.Conv1d(n_in, n, length, dilation=dilation)
        self.norm, self.dropout = nn.BatchNorm1d(n), nn.Dropout(config.dropout)
        self.residual = n_in == n
        gated = config.gate_every > 0 and (k + 1) % config.gate_every == 0
        self.gate_padding = _padding(2, config.causal)
        self.gate = nn.Conv1d(n, 2 * n, 3) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, hidden_dim, n_times) of (n, n_in, n_times)."""
        y = functional.gelu(self.norm(self.convolve(functional.pad(x, self.padding))))
        y = self.dropout(y)
        if self.residual:
            y = x + y
        if self.gate is not None:
            y = functional.glu(self.gate(functional.pad(y, self.gate_padding)), dim=1)
        return y


def _padding(n_samples: int, causal: bool) -> tuple[int, int]:
    """Return how many zeros go before and behind a trial."""
    return (n_samples, 0) if causal else (n_samples // 2, n_samples // 2)


class _OverTime(nn.Module):
    """Weighs (n, feature_dim, n_times) by a learned vector over time, with one constant for all features."""

    def __init__(self, n_times: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(n_times, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.weigh(x)[..., 0]
        return out


class _Attention(nn.Module):
    """Weighs (n, feature_dim, n_times) by how much each moment says: additive attention without a query."""

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.keys, self.score = nn.Linear(n_features, hidden), nn.Linear(hidden, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        moments = x.transpose(1, 2)
        weights = self.score(torch.tanh(self.keys(moments))).softmax(dim=1)
        out: Tensor = (x @ weights)[..., 0]
        return out


def _aggregation(config: SpatialAttentionConfig) -> nn.Module:
    if config.aggregation == "linear":
        return _OverTime(config.n_times)
    if config.aggregation == "attention":
        return _Attention(config.feature_dim, config.hidden_dim)
    return nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten())


def _head(config: SpatialAttentionConfig) -> nn.Module:
    return nn.Sequential(
        nn.Linear(config.feature_dim, config.head_dim),
        nn.LayerNorm(config.head_dim),
        nn.GELU(),
        nn.Linear(config.head_dim, config.embedding_dim),
    )
