"""The channel-attention encoder: one network for the 100 ms windows of every latency."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ChannelAttention", "ChannelAttentionConfig"]


@dataclass(frozen=True)
class ChannelAttentionConfig:
    """Size of a channel-attention encoder.

    Attributes
    ----------
    n_channels, n_times : int
        Shape of a window.
    embedding_dim : int
        Dimension of the gallery's embeddings.
    n_latencies : int
        Windows of a trial; latencies are 0, `step_s`, ..., (`n_latencies` - 1) * `step_s`.
    step_s : float
        Time from one window to the next, seconds.
    n_components : int
        Cosine components kept of each channel's window, at most `n_times`. Component p oscillates at p / 2
        cycles a window, so 4 components of 100 ms reach 15 Hz.
    d_model, n_heads, n_layers : int
        Width of a channel's token, attention heads (a divisor of the width), attention layers (0 leaves the
        linear path alone).
    dropout : float
        Dropout of the attention path while training.
    positions_m : tuple of ((x, y, z) or None), or None
        Sensor positions in metres, None where unknown.
    n_subjects : int
        Subjects with a token of their own; 0 for no subject token.
    linear_rank : int or None
        Rank of the linear path, for high-dimensional embeddings; None for full rank.
    """

    n_channels: int
    n_times: int
    embedding_dim: int
    n_latencies: int = 21
    step_s: float = 0.025
    n_components: int = 4
    d_model: int = 8
    n_heads: int = 2
    n_layers: int = 1
    dropout: float = 0.5
    positions_m: tuple[tuple[float, float, float] | None, ...] | None = None
    n_subjects: int = 0
    linear_rank: int | None = None

    def __post_init__(self) -> None:
        if self.n_components > self.n_times:
            raise ValueError(
                f"A window of {self.n_times} samples has at most as many components; got {self.n_components}."
            )
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"A token's width is a multiple of twice the heads; got {self.d_model} and {self.n_heads}."
            )
        if self.positions_m is not None and len(self.positions_m) != self.n_channels:
            raise ValueError(
                f"{self.n_channels} channels need as many positions; got {len(self.positions_m)}."
            )


def _cosine_basis(n_components: int, n_times: int) -> Tensor:
    """Return the first rows of the orthonormal DCT-II, shape (n_components, n_times)."""
    p, t = torch.arange(n_components)[:, None], torch.arange(n_times)[None] + 0.5
    basis = torch.cos(math.pi * p * t / n_times) * math.sqrt(2 / n_times)
    basis[0] /= math.sqrt(2)
    return basis


def _position_features(config: ChannelAttentionConfig, n_octaves: int = 4) -> Tensor:
    """Return sines and cosines of sensor positions, (n_channels, 6 * n_octaves); zeros where unknown."""
    features = torch.zeros(config.n_channels, 6 * n_octaves)
    given = [i for i, xyz in enumerate(config.positions_m or ()) if xyz is not None]
    if given:
        xyz = torch.tensor([config.positions_m[i] for i in given if config.positions_m])
        xyz = xyz - xyz.mean(dim=0)
        xyz = xyz / xyz.norm(dim=1).max().clamp(min=1e-9)
        phase = (xyz[:, :, None] * math.pi / 2 * 2.0 ** torch.arange(n_octaves)).flatten(1)
        features[given] = torch.cat([phase.sin(), phase.cos()], dim=1)
    return features


class _AttentionLayer(nn.Module):
    """Self-attention across tokens and a feed-forward step, each added to its normalised input's residual."""

    def __init__(self, d_model: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention, self.norm_forward = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.query_key_value, self.merge = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.widen, self.narrow = nn.Linear(d_model, 2 * d_model), nn.Linear(2 * d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape, (n, n_tokens, d_model)."""
        heads = self.query_key_value(self.norm_attention(tokens)).unflatten(2, (3, self.n_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.dropout(self.merge(mixed))
        hidden = self.dropout(functional.gelu(self.widen(self.norm_forward(tokens))))
        out: Tensor = tokens + self.dropout(self.narrow(hidden))
        return out


class ChannelAttention(nn.Module):
    """A latency-conditioned linear readout with attention across channels on top.

    Each channel's window is reduced to its lowest cosine components. The linear path reads them with one
    matrix per latency, interpolated between the latencies of the grid, and one more for windows of unknown
    latency. The attention path makes one token a channel of them (components + sensor position + latency),
    lets the tokens attend to each other and adds what their mean says. Both paths start near zero, so
    training begins with a regularised linear decoder.

    Parameters
    ----------
    config : ChannelAttentionConfig
    seed : int
        Seed of the initial weights.

    Attributes
    ----------
    subject : int
        Subject whose token `forward` uses where none is passed; `n_subjects` stands for an unknown subject.
    """

    cosines: Tensor
    grid: Tensor
    harmonics: Tensor
    position_features: Tensor

    def __init__(self, config: ChannelAttentionConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.subject = config.n_subjects
        d_model = config.d_model
        n_linear = (config.n_latencies + 1) * config.n_channels * config.n_components
        self.register_buffer("cosines", _cosine_basis(config.n_components, config.n_times))
        self.register_buffer("grid", torch.arange(config.n_latencies, dtype=torch.float32))
        self.register_buffer("harmonics", math.pi / 2 * torch.arange(1.0, d_model // 2 + 1))
        self.register_buffer("position_features", _position_features(config))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.linear = nn.Linear(n_linear, config.linear_rank or config.embedding_dim)
            self.expand = (
                nn.Linear(config.linear_rank, config.embedding_dim, bias=False)
                if config.linear_rank
                else nn.Identity()
            )
            self.embed_window = nn.Linear(config.n_components, d_model)
            self.embed_position = nn.Linear(self.position_features.shape[1], d_model, bias=False)
            self.embed_latency = nn.Linear(d_model, d_model, bias=False)
            self.channel = nn.Parameter(0.5 * torch.randn(config.n_channels, d_model))
            self.unknown_latency = nn.Parameter(0.2 * torch.randn(d_model))
            # Without subjects there is no token, and nothing to learn.
            n_tokens = config.n_subjects + 1 if config.n_subjects else 0
            self.subjects = nn.Parameter(0.5 * torch.randn(n_tokens, d_model))
            self.layers = nn.ModuleList(
                _AttentionLayer(d_model, config.n_heads, config.dropout) for _ in range(config.n_layers)
            )
            self.norm, self.dropout = nn.LayerNorm(d_model), nn.Dropout(config.dropout)
            self.read_out = nn.Linear(d_model, config.embedding_dim, bias=False)
            # Not exactly zero: a cosine similarity has no gradient at the origin.
            nn.init.normal_(self.linear.weight, std=1e-3)
            nn.init.zeros_(self.linear.bias)
            nn.init.zeros_(self.read_out.weight)

    def forward(self, window: Tensor, latency_s: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return the embedding of each window.

        Parameters
        ----------
        window : Tensor of shape (n, n_channels, n_times), float32
            Scaled windows.
        latency_s : Tensor of shape (n,), float32
            Start of each window after stimulus onset, seconds; negative where unknown.
        subject : Tensor of shape (n,), int64, optional
            Whose token to use, where the encoder has subject tokens.

        Returns
        -------
        Tensor of shape (n, embedding_dim), float32
        """
        components = window @ self.cosines.T
        known = (latency_s >= 0)[:, None]
        embedding = self._read_linearly(components, latency_s, known)
        return embedding + self._attend(components, latency_s, subject) if self.layers else embedding

    def of_trials(
        self,
        windows: Tensor,
        hidden: Tensor,
        subject: Tensor | None = None,
        attended: Tensor | None = None,
    ) -> Tensor:
        """Return the embedding of every window of whole trials: what `forward` gives, in a fraction of its time.

        The linear path is one product a latency here, with the matrix of that latency alone.

        Parameters
        ----------
        windows : Tensor of shape (n, n_latencies, n_channels, n_times), float32
            A window for every latency of the grid.
        hidden : Tensor of shape (n, n_latencies), bool
            Whether a window is decoded without its latency.
        subject : Tensor of shape (n,), int64, optional
        attended : Tensor of shape (n, n_latencies), bool, optional
            Windows that take the attention path, for training; each of them counts for those that do not, so that what
            the path adds to a trial is the same in the mean. All by default.

        Returns
        -------
        Tensor of shape (n, n_latencies, embedding_dim), float32
        """
        components = windows @ self.cosines.T
        flat = components.flatten(2)
        weights = self.linear.weight.reshape(self.linear.out_features, -1, flat.shape[2]).transpose(0, 1)
        placed = torch.bmm(flat.transpose(0, 1), weights[:-1].transpose(1, 2)).transpose(0, 1)
        free = flat @ weights[-1].T
        embedding: Tensor = self.expand(torch.where(hidden[..., None], free, placed) + self.linear.bias)
        if not self.layers:
            return embedding
        latency_s = torch.where(hidden, -1.0, self.grid * self.config.step_s)
        of_window = None if subject is None else subject[:, None].expand_as(hidden)
        chosen = torch.ones_like(hidden) if attended is None else attended
        added = torch.zeros_like(embedding)
        added[chosen] = self._attend(
            components[chosen], latency_s[chosen], None if of_window is None else of_window[chosen]
        )
        return embedding + added * (chosen.numel() / chosen.sum())

    def for_new_people(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of other people as those of this network's, whose tokens begin at the mean of theirs.

        See `decode_stream.decoders.encoders.whole_trial.KnowsPeople`.
        """
        if not self.config.n_subjects:
            return dict(weights)
        known, unknown = weights["subjects"][:-1], weights["subjects"][-1:]
        mean = known.mean(dim=0, keepdim=True)
        return {**weights, "subjects": torch.cat([mean.repeat(self.config.n_subjects, 1), unknown])}

    def _attend(self, components: Tensor, latency_s: Tensor, subject: Tensor | None) -> Tensor:
        """Return the attention path's embedding of (n, n_channels, n_components), shape (n, embedding_dim)."""
        time = latency_s[:, None] / (self.config.n_latencies * self.config.step_s)
        phase = time * self.harmonics
        waves = torch.cat([phase.sin(), phase.cos()], dim=1)
        known = (latency_s >= 0)[:, None]
        latency = torch.where(known, self.embed_latency(waves), self.unknown_latency)
        where = self.channel + self.embed_position(self.position_features)
        tokens = self.embed_window(components) + where + latency[:, None]
        if self.config.n_subjects:
            if subject is None:
                subject = torch.full_like(latency_s, self.subject, dtype=torch.int64)
            tokens = torch.cat([tokens, self.subjects[subject][:, None]], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        pooled = self.norm(tokens).mean(dim=1)
        out: Tensor = self.read_out(self.dropout(pooled))
        return out

    def _read_linearly(self, components: Tensor, latency_s: Tensor, known: Tensor) -> Tensor:
        """Return the linear path's embedding of (n, n_channels, n_components), shape (n, embedding_dim)."""
        step = (latency_s / self.config.step_s).clamp(0, self.config.n_latencies - 1)[:, None]
        near = (1 - (step - self.grid).abs()).clamp(min=0) * known
        which = torch.cat([near, (~known).to(near.dtype)], dim=1)
        placed = which[:, :, None] * components.flatten(1)[:, None]
        out: Tensor = self.expand(self.linear(placed.flatten(1)))
        return out
