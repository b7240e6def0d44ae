"""The network of the embedded generator: a U-Net that tells the clean picture from a noisy one and a condition.

J. Ho et al., Denoising diffusion probabilistic models, NeurIPS 2020 (the U-Net); T. Karras et al., arXiv 2206.00364
(the clean picture as output); H. Ye et al., IP-Adapter, arXiv 2308.06721 (an embedding as tokens that the picture
attends to). What is seen reaches the picture twice: it modulates every block, and it is laid out as tokens, so that
they are looked up where they are wanted. Under what it paints lie parts in their places, from a network of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from .parts import Parts, PartsConfig

__all__ = ["FlowUnet", "FlowUnetConfig", "flow_denoiser"]

_N_FREQUENCIES = 8
_GROUPS = 8
# Mean square of what the parts leave to be painted, of colours from -1 to 1.
_LEFT = 0.02
# By how much less or more they may leave at a place, as a logarithm.
_MOST_LOG = 6.0
_LEAST = 1e-6


@dataclass(frozen=True)
class FlowUnetConfig:
    """The size of a network.

    Attributes
    ----------
    semantic_dim : int
        Numbers of what is seen.
    side_px : int
        Of the pictures; a multiple of `patch` times two to the number of levels less one.
    patch : int
        Side of the squares of pixels that are the finest places inside the network.
    widths : tuple of int
        Channels of each level, finest first, each a multiple of 8 and of `heads`.
    n_tokens, token_dim : int
        What is seen, laid out.
    condition_dim : int
        Of what modulates the blocks.
    heads : int
        Of the attention to the tokens.
    grid : tuple of int
        Rows and columns of the layout.
    parts : PartsConfig
        What it paints over.

    Raises
    ------
    ValueError
        If sizes do not fit.
    """

    semantic_dim: int
    side_px: int = 64
    patch: int = 4
    widths: tuple[int, ...] = (72, 144)
    n_tokens: int = 16
    token_dim: int = 64
    condition_dim: int = 256
    heads: int = 4
    grid: tuple[int, int] = (8, 8)
    parts: PartsConfig = field(default_factory=PartsConfig)

    def __post_init__(self) -> None:
        if not self.widths or any(width % _GROUPS or width % self.heads for width in self.widths):
            raise ValueError(f"Widths are multiples of {_GROUPS} and of {self.heads}; got {self.widths}.")
        coarsest = self.patch * 2 ** (len(self.widths) - 1)
        if self.side_px % coarsest:
            raise ValueError(f"A side of {self.side_px} pixels is no multiple of {coarsest}.")
        if min(self.semantic_dim, self.patch, self.n_tokens, self.token_dim, self.condition_dim) < 1:
            raise ValueError(f"Sizes are 1 or more; got {self}.")


class _Block(nn.Module):
    """Two convolutions, the condition between them, around a straight way."""

    def __init__(self, n_in: int, n_out: int, condition_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(_GROUPS, n_in), nn.GroupNorm(_GROUPS, n_out)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.modulation = nn.Linear(condition_dim, 2 * n_out)
        self.straight = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        out: Tensor = self.straight(x) + self.conv2(functional.silu(h))
        return out


class _Lookup(nn.Module):
    """Every place of a picture attends to the tokens."""

    def __init__(self, width: int, token_dim: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.query, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.key, self.value = nn.Linear(token_dim, width), nn.Linear(token_dim, width)
        self.heads = heads
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        _, width, rows, columns = x.shape
        query = self.query(self.norm(x)).reshape(-1, self.heads, width // self.heads, rows * columns)
        key, value = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.key, self.value)
        )
        found = functional.scaled_dot_product_attention(query.transpose(2, 3), key, value)
        out: Tensor = x + self.out(found.transpose(2, 3).reshape(-1, width, rows, columns))
        return out


class FlowUnet(nn.Module):
    """Tells clean pictures from noisy ones.

    Parameters
    ----------
    config : FlowUnetConfig
    semantic_scale : float
        Root mean square of the numbers of what is seen, over pictures.
    """

    semantic_scale: Tensor
    places: Tensor

    def __init__(self, config: FlowUnetConfig, semantic_scale: float = 1.0) -> None:
        super().__init__()
        self.config = c = config
        self.register_buffer("semantic_scale", torch.tensor(float(semantic_scale)))
        side = c.side_px // c.patch
        edge = torch.linspace(-1, 1, side)
        places = torch.stack(torch.meshgrid(edge, edge, indexing="ij"))[None]
        self.register_buffer("places", places, persistent=False)
        told = c.semantic_dim + 2 + 4 * _N_FREQUENCIES
        self.modulate = nn.Sequential(
            nn.Linear(told, c.condition_dim),
            nn.SiLU(),
            nn.Linear(c.condition_dim, c.condition_dim),
            nn.SiLU(),
        )
        self.tokens = nn.Sequential(
            nn.Linear(c.semantic_dim + 2, c.condition_dim),
            nn.SiLU(),
            nn.Linear(c.condition_dim, c.n_tokens * c.token_dim),
        )
        self.token_places = nn.Parameter(0.5 * torch.randn(c.n_tokens, c.token_dim))
        self.parts = Parts(c.parts, c.semantic_dim + 2, c.side_px, c.grid)
        self.into = nn.Conv2d(3 * c.patch**2 + 5, c.widths[0], 3, padding=1)
        self.into_noisy = nn.Conv2d(3, c.widths[0], 3, padding=1)
        self.gate = nn.Linear(c.condition_dim, c.widths[0])
        width, down, up = c.widths[0], list[nn.Module](), list[nn.Module]()
        for level in c.widths:
            down.append(_Block(width, level, c.condition_dim))
            width = level
        self.middle = _Block(width, width, c.condition_dim)
        for level in reversed(c.widths):
            up.append(_Block(width + level, level, c.condition_dim))
            width = level
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.look_down = nn.ModuleList(_Lookup(level, c.token_dim, c.heads) for level in c.widths)
        self.look_up = nn.ModuleList(_Lookup(level, c.token_dim, c.heads) for level in reversed(c.widths))
        self.out_norm = nn.GroupNorm(_GROUPS, c.widths[0])
        self.out = nn.Conv2d(c.widths[0], 3 * c.patch**2, 3, padding=1)
        self.left = nn.Conv2d(c.widths[0], 1, 3, padding=1)
        # An untrained one leaves the parts as they lie.
        for values in (*self.out.parameters(), *self.left.parameters()):
            nn.init.zeros_(values)

    def forward(
        self, x: Tensor, t: Tensor, r: Tensor, semantic: Tensor, layout: Tensor, open_share: Tensor
    ) -> Tensor:
        """Return clean pictures.

        Parameters
        ----------
        x : Tensor of shape (n, 3, side_px, side_px), float32
            Noisy pictures at time t, of -1 to 1 without noise.
        t, r : Tensor of shape (n,), float32
            From when to when the clean picture is to lead; t again where it is that of the moment.
        semantic : Tensor of shape (n, semantic_dim), float32
        layout : Tensor of shape (n, rows, columns, 3), float32
        open_share : Tensor of shape (n, 2), float32
            See `decode_stream.decoders.generation.condition.Condition`.

        Returns
        -------
        Tensor of shape (n, 3, side_px, side_px), float32
        """
        seen, colours = self.told(semantic, layout, open_share)
        condition = self.modulate(torch.cat([seen, _waves(t), _waves(t - r)], dim=1))
        c = self.config
        tokens = self.tokens(seen).reshape(-1, c.n_tokens, c.token_dim) + self.token_places
        under = self.parts(seen, colours)
        noise = t[:, None, None, None]
        signal = 1 - noise
        # What is not expected, in means of a patch each: what is finer is painted, and no noise of single pixels is
        # ever taken for it. Its noise is so much weaker.
        rest = functional.avg_pool2d(x - signal * under, c.patch)
        weak = (noise / c.patch) ** 2
        whole = signal**2 * _LEFT + weak
        inside = functional.interpolate(colours, size=c.side_px // c.patch, mode="bilinear")
        places = self.places.expand(x.shape[0], -1, -1, -1)
        h = self.into(torch.cat([functional.pixel_unshuffle(under, c.patch), inside, places], dim=1))
        # Where there is nothing but noise, it is of no use to those who know what is seen.
        gate = self.gate(condition)[:, :, None, None]
        h = h + gate * self.into_noisy(rest / whole.sqrt())
        passed = []
        for level, (block, look) in enumerate(zip(self.down, self.look_down, strict=True)):
            if level:
                h = functional.avg_pool2d(h, 2)
            h = look(block(h, condition), tokens)
            passed.append(h)
        h = self.middle(h, condition)
        for level, (block, look) in enumerate(zip(self.up, self.look_up, strict=True)):
            if level:
                h = functional.interpolate(h, scale_factor=2.0, mode="nearest")
            h = look(block(torch.cat([h, passed.pop()], dim=1), condition), tokens)
        h = functional.silu(self.out_norm(h))
        painted = functional.pixel_shuffle(self.out(h), c.patch)
        # Of what is not expected, as much is kept as the parts leave at this place: where they leave nothing, all of
        # it is noise.
        left = _LEFT * self.left(h).clamp(-_MOST_LOG, _MOST_LOG).exp()
        kept = signal * left / (signal**2 * left + weak).clamp(min=_LEAST) * rest
        kept = functional.interpolate(kept, size=c.side_px, mode="bilinear")
        clean: Tensor = under + kept + sqrt(_LEFT) * painted
        return clean

    def told(self, semantic: Tensor, layout: Tensor, open_share: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `Parts` take of a condition: what is seen, (n, seen_dim), and colours, (n, 3, rows, columns)."""
        seen = torch.cat([semantic / self.semantic_scale, open_share], dim=1)
        return seen, 2 * layout.permute(0, 3, 1, 2) - 1


def flow_denoiser(
    network: FlowUnet, semantic: Tensor, layout: Tensor, open_share: Tensor
) -> Callable[[Tensor, float, float], Tensor]:
    """Return what tells clean pictures from noisy ones for samplers: a network with a condition bound in it."""

    def denoise(x: Tensor, t: float, r: float) -> Tensor:
        at, to = (torch.full((len(x),), float(time), device=x.device) for time in (t, r))
        clean: Tensor = network(x, at, to, semantic, layout, open_share)
        return clean

    return denoise


def _waves(t: Tensor) -> Tensor:
    """Return times (n,) as sines and cosines, (n, 2 * 8)."""
    phase = t[:, None] * pi * 2.0 ** torch.arange(_N_FREQUENCIES, device=t.device)
    return torch.cat([phase.sin(), phase.cos()], dim=1)
