"""NICE: convolutions over the time and the channels of a whole trial, with or without attention before."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .temporal_spatial import ResidualProjection, TemporalSpatialConvolution

__all__ = ["ATTENTIONS", "Nice", "NiceConfig"]

#: What may come before the convolutions.
ATTENTIONS = ("none", "self", "graph")

_INITIAL_STD = 0.02
_SLOPE = 0.2


@dataclass(frozen=True)
class NiceConfig:
    """Size of a NICE; the defaults are those published, for one second of THINGS-EEG2 at 250 Hz.

    Attributes
    ----------
    n_channels, n_times : int
        Shape of a trial, 75 samples at least.
    embedding_dim : int
        Dimension of the gallery's embeddings.
    attention : {"none", "self", "graph"}
        What is added to the trial before the convolutions: nothing, the self-attention of NICE-SA or the graph
        attention of NICE-GA.
    attend_in_every_trial : bool
        As published the graph links the channels of a batch's first trial alone, so what it gives depends on what else
        is in the batch. True links those of every trial.
    """

    n_channels: int = 63
    n_times: int = 250
    embedding_dim: int = 768
    attention: str = "none"
    attend_in_every_trial: bool = False

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ValueError(
                f"The attention of NICE is one of {', '.join(ATTENTIONS)}; got {self.attention!r}."
            )


class _SelfAttention(nn.Module):
    """The self-attention of NICE-SA, as published: a projection of all channels, at each sample.

    The scores of a channel are summed, not applied to the other channels, and a softmax sums to 1: whatever query and
    key say, the trial is multiplied by 1. So neither is here, and their gradient is missed by no one.
    """

    def __init__(self, config: NiceConfig) -> None:
        super().__init__()
        self.norm_times = nn.LayerNorm(config.n_times)
        self.project = nn.Linear(config.n_channels, config.n_channels)
        self.norm_channels = nn.LayerNorm(config.n_channels)
        self.dropout = nn.Dropout(0.3)

    def forward(self, epoch: Tensor) -> Tensor:
        """Return what is added to trials (n, n_channels, n_times), of their shape."""
        projected = self.norm_channels(self.project(self.norm_times(epoch).transpose(1, 2)))
        out: Tensor = self.dropout(projected).transpose(1, 2)
        return out


class _GraphAttention(nn.Module):
    """The graph attention of NICE-GA: that of Velickovic et al. (2018, ICLR), one head, every channel linked to all.

    As published the links are those of the first trial; the channels of all others see just themselves.
    """

    def __init__(self, config: NiceConfig) -> None:
        super().__init__()
        self.everywhere = config.attend_in_every_trial
        self.map = nn.Linear(config.n_times, config.n_times, bias=False)
        self.source, self.target = (nn.Parameter(torch.empty(1, 1, config.n_times)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(config.n_times))
        bound = math.sqrt(6 / (1 + config.n_times))
        for weights in (self.source, self.target):
            nn.init.uniform_(weights, -bound, bound)

    def forward(self, epoch: Tensor) -> Tensor:
        """Return what is added to trials (n, n_channels, n_times), of their shape."""
        nodes = self.map(epoch)
        from_each, to_each = (
            (nodes * self.source).sum(2)[:, None, :],
            (nodes * self.target).sum(2)[:, :, None],
        )
        linked = functional.leaky_relu(from_each + to_each, _SLOPE).softmax(dim=2) @ nodes
        if not self.everywhere:
            first = torch.arange(epoch.shape[0], device=epoch.device) == 0
            linked = torch.where(first[:, None, None], linked, nodes)
        out: Tensor = linked + self.bias
        return out


class Nice(nn.Module):
    """NICE of Song et al. (2024, ICLR): 40 temporal and 40 spatial filters, and a projection to the embedding.

    Embeddings have no particular length: they are compared by their direction. Loads what github.com/eeyhsong/NICE-EEG
    has saved (``nice_stand.py``, also with ``spatial_modules.py`` in it, ``nice_v0.413_sa.py``, ``nice_v0.430_ga.py``),
    the files of ``Enc_eeg`` and ``Proj_eeg``, and gives what it gives. That of ``Proj_img``, which public code saves
    and does not apply, may be among them.

    Parameters
    ----------
    config : NiceConfig
    seed : int
        Seed of the initial weights.

    Raises
    ------
    ValueError
        If a trial has fewer than 75 samples.
    """

    public_code = "github.com/eeyhsong/NICE-EEG"

    def __init__(self, config: NiceConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            kinds = {"none": None, "self": _SelfAttention, "graph": _GraphAttention}
            attention = kinds[config.attention]
            self.attention = None if attention is None else attention(config)
            self.attention_dropout = nn.Dropout(0.3)
            self.convolution = TemporalSpatialConvolution(config.n_channels, config.n_times)
            self.project = ResidualProjection(self.convolution.n_features, config.embedding_dim)
            for part in self.modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    nn.init.normal_(part.weight, std=_INITIAL_STD)
                elif isinstance(part, nn.BatchNorm2d):
                    nn.init.normal_(part.weight, mean=1.0, std=_INITIAL_STD)

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return the embedding of each trial.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
        subject : Tensor of shape (n,), int64, optional
            Not used: NICE is trained for one person.

        Returns
        -------
        Tensor of shape (n, embedding_dim), float32
        """
        if self.attention is not None:
            epoch = epoch + self.attention_dropout(self.attention(epoch))
        out: Tensor = self.project(self.convolution(epoch))
        return out

    def kept_as_published(self) -> tuple[str, ...]:
        """Return what is done as public code does it, see `decode_stream.decoders.encoders.public_weights`."""
        if self.config.attention == "self":
            return ("the attention multiplies every trial by 1",)
        if self.config.attention == "graph" and not self.config.attend_in_every_trial:
            return ("the graph links the channels of a batch's first trial alone",)
        return ()

    def public_names(self) -> dict[str, str | None]:
        """Return own names by those of public code, see `decode_stream.decoders.encoders.public_weights`."""
        names = self.project.public_names("Proj_eeg", "project") | {"Proj_img": None}
        if self.attention is None:
            return names | self.convolution.public_names("Enc_eeg.0", "convolution")
        # With attention, public code has the convolutions in one part or in two.
        names |= self.convolution.public_names("Enc_eeg.1", "convolution")
        names |= {
            "Enc_eeg.1.tempconv.0": "convolution.temporal",
            "Enc_eeg.1.tempconv.2": "convolution.temporal_norm",
            "Enc_eeg.2.spatconv.0": "convolution.spatial",
            "Enc_eeg.2.spatconv.1": "convolution.spatial_norm",
            "Enc_eeg.2.projection.0": "convolution.mix",
        }
        if self.config.attention == "self":
            return names | {
                "Enc_eeg.0.fn.0": "attention.norm_times",
                "Enc_eeg.0.fn.1.query": None,
                "Enc_eeg.0.fn.1.key": None,
                "Enc_eeg.0.fn.1.projection.0": "attention.project",
                "Enc_eeg.0.fn.1.projection.1": "attention.norm_channels",
            }
        # The graph library called the one map of all nodes `lin_src` and `lin_dst` at first, and now `lin`.
        return names | {
            "Enc_eeg.0.fn.0.conv1.lin": "attention.map",
            "Enc_eeg.0.fn.0.conv1.lin_src": "attention.map",
            "Enc_eeg.0.fn.0.conv1.lin_dst": None,
            "Enc_eeg.0.fn.0.conv1.att_src": "attention.source",
            "Enc_eeg.0.fn.0.conv1.att_dst": "attention.target",
            "Enc_eeg.0.fn.0.conv1.bias": "attention.bias",
        }
