"""A convolution over time, then one over all channels: what ATM and NICE read trials with."""

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ResidualProjection", "TemporalSpatialConvolution"]

_N_FILTERS = 40
_KERNEL, _POOL, _STRIDE = 25, 51, 5  # samples
_SHORTEST = _KERNEL + _POOL - 1


class TemporalSpatialConvolution(nn.Module):
    """Features of whole trials: 40 temporal filters, averaged in time, then 40 filters over all channels.

    The convolution of NICE (Song et al. 2024, ICLR, Table 1), after that of Schirrmeister et al. (2017): kernels of 25
    samples, means of 51 samples every 5.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a trial.
    dropout : float
        Dropout of the features while training.

    Attributes
    ----------
    n_features : int

    Raises
    ------
    ValueError
        If a trial has fewer than 75 samples.
    """

    def __init__(self, n_channels: int, n_times: int, dropout: float = 0.5) -> None:
        super().__init__()
        if n_times < _SHORTEST:
            raise ValueError(
                f"A trial needs {_SHORTEST} samples at least, for kernels of {_KERNEL} and means of {_POOL} samples; "
                f"got {n_times}. Take longer trials or a higher sampling rate."
            )
        self.n_features = _N_FILTERS * ((n_times - _SHORTEST) // _STRIDE + 1)
        self.temporal = nn.Conv2d(1, _N_FILTERS, (1, _KERNEL))
        self.temporal_norm = nn.BatchNorm2d(_N_FILTERS)
        self.spatial = nn.Conv2d(_N_FILTERS, _N_FILTERS, (n_channels, 1))
        self.spatial_norm = nn.BatchNorm2d(_N_FILTERS)
        self.mix = nn.Conv2d(_N_FILTERS, _N_FILTERS, (1, 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, epoch: Tensor) -> Tensor:
        """Return the features of trials (n, n_channels, n_times), shape (n, n_features): all filters, time by time."""
        waves = self.spatial(functional.elu(self.temporal_norm(self._means(epoch))))
        mixed = self.mix(self.dropout(functional.elu(self.spatial_norm(waves))))
        out: Tensor = mixed.squeeze(2).transpose(1, 2).flatten(1)
        return out

    def _means(self, epoch: Tensor) -> Tensor:
        """Return the means of the temporal filters' outputs, shape (n, n_filters, n_channels, n_means).

        The mean of a convolution is the convolution with the kernel's means: a fifth of the time, and of the memory. As
        these move on by whole strides, trials are folded into frames of one stride, each a channel of its samples:
        the same sums, whose gradient takes a third of the time.
        """
        padded = functional.pad(self.temporal.weight, (_POOL - 1, _POOL - 1))
        kernels = functional.avg_pool2d(padded, (1, _POOL), (1, 1)).reshape(_N_FILTERS, 1, -1, _STRIDE)
        n_trials, n_channels, n_times = epoch.shape
        n_frames = n_times // _STRIDE
        frames = epoch[..., : n_frames * _STRIDE].reshape(n_trials, n_channels, n_frames, _STRIDE)
        return functional.conv2d(frames.permute(0, 3, 1, 2), kernels.permute(0, 3, 1, 2), self.temporal.bias)

    def public_names(self, public: str, own: str) -> dict[str, str | None]:
        """Return own name by public name: of this part at `own`, of the public ``PatchEmbedding`` at `public`."""
        return {
            f"{public}.tsconv.0": f"{own}.temporal",
            f"{public}.tsconv.2": f"{own}.temporal_norm",
            f"{public}.tsconv.4": f"{own}.spatial",
            f"{public}.tsconv.5": f"{own}.spatial_norm",
            f"{public}.projection.0": f"{own}.mix",
        }


class ResidualProjection(nn.Module):
    """From features to the embedding: a linear map, a nonlinear step added to it, and a layer norm.

    Parameters
    ----------
    n_features, dimension : int
        Sizes of what comes in and out.
    dropout : float
        Dropout of the nonlinear step while training.
    """

    def __init__(self, n_features: int, dimension: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.map = nn.Linear(n_features, dimension)
        self.step = nn.Linear(dimension, dimension)
        self.norm = nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Return the embedding of features (n, n_features), shape (n, dimension), of no particular length."""
        mapped = self.map(features)
        out: Tensor = self.norm(mapped + self.dropout(self.step(functional.gelu(mapped))))
        return out

    def public_names(self, public: str, own: str) -> dict[str, str | None]:
        """Return own name by public name: of this part at `own`, of the public one at `public`."""
        return {f"{public}.0": f"{own}.map", f"{public}.1.fn.1": f"{own}.step", f"{public}.2": f"{own}.norm"}
