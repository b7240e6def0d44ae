"""Parts in their places: what is seen, painted once in its own frame and laid where the colours say that it is.

M. Jaderberg et al., Spatial transformer networks, NeurIPS 2015; S. Eslami et al., Attend, infer, repeat, NeurIPS 2016.
A convolutional network has to learn every object anew at every place and size; in its own frame an object is learnt
from every picture that shows it. Where pictures come with the kinds and places of their objects, both are learnt by
cross-entropy, so that of what decoders believe, too, each is told as often as it is true.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FoundParts", "Parts", "PartsConfig", "TrueParts", "parts_loss"]

#: A part that nothing is known of covers half of the picture, and is mostly clear.
_LOG_SIZE, _CLEAR = -0.6, -1.0
_LOG_SIZES = (-3.0, 0.7)
_GROUND_PATCH = 4
_N_BLOCKS, _N_CONVOLUTIONS, _TOLD = 2, 4, 128
# What is kept of a look is so much smaller than it: an optimizer whose steps are all of one size moves it faster.
_LOOK = 10.0
#: How much a kind that is not expected counts, and a place that is off, beside colours that are off.
_KINDS, _PLACES = 0.1, 0.2


@dataclass(frozen=True)
class PartsConfig:
    """The size of the network.

    Attributes
    ----------
    n_parts : int
        At most so many objects are laid over the ground; later ones lie on top.
    n_kinds : int
        Kinds of objects that it can paint, "none" among them.
    part_px : int
        Side of an object in its own frame.
    width : int
        Of what is known of the objects.
    place_width : int
        Channels of what finds the places.
    """

    n_parts: int = 2
    n_kinds: int = 256
    part_px: int = 40
    width: int = 320
    place_width: int = 64

    def __post_init__(self) -> None:
        if min(self.n_parts, self.n_kinds, self.part_px, self.width, self.place_width) < 1:
            raise ValueError(f"Sizes are 1 or more; got {self}.")


class TrueParts(NamedTuple):
    """Which parts pictures have.

    Attributes
    ----------
    kinds : Tensor of shape (n, n_parts), int64
        -1 where nobody tells.
    places : Tensor of shape (n, n_parts, 3), float32
        x and y of the centre, -1 to 1 from left and top, and the logarithm of the side, 1 being the picture's. NaN
        where there is no part or nobody tells.
    """

    kinds: Tensor
    places: Tensor


class FoundParts(NamedTuple):
    """Which parts pictures are believed to have.

    Attributes
    ----------
    kinds : Tensor of shape (n, n_parts, n_kinds), float32
        Logarithms of probabilities, less a constant.
    cells : Tensor of shape (n, n_parts, rows * columns), float32
        The same of the layout's cells, for the centre.
    places : Tensor of shape (n, n_parts, 3), float32
        As in `TrueParts`: what is expected.
    features : Tensor of shape (n, place_width, rows, columns), float32
        What is known of each cell.
    """

    kinds: Tensor
    cells: Tensor
    places: Tensor
    features: Tensor


class Parts(nn.Module):
    """Paints parts and lays them over a ground.

    Parameters
    ----------
    config : PartsConfig
    seen_dim : int
        Numbers of what is seen, open shares among them.
    side_px : int
        Of the pictures.
    grid : tuple of int
        Rows and columns of the layout.
    """

    centres: Tensor

    def __init__(self, config: PartsConfig, seen_dim: int, side_px: int, grid: tuple[int, int]) -> None:
        super().__init__()
        c = self.config = config
        self.side_px = side_px
        rows, columns = ((torch.arange(n) + 0.5) / n * 2 - 1 for n in grid)
        centres = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).flip(0)  # x, y
        self.register_buffer("centres", centres, persistent=False)
        self.known = nn.Linear(seen_dim, c.width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(c.width), nn.Linear(c.width, c.width), nn.SiLU(), nn.Linear(c.width, c.width)
            )
            for _ in range(_N_BLOCKS)
        )
        self.kind = nn.Linear(c.width, c.n_parts * c.n_kinds)
        self.looks = nn.Parameter(0.001 * torch.randn(c.n_kinds, 4 * c.part_px**2))
        self.told_kinds = nn.Linear(c.n_parts * c.n_kinds, _TOLD)
        self.told_seen = nn.Linear(seen_dim, _TOLD)
        widths = (5, *(c.place_width for _ in range(_N_CONVOLUTIONS)))
        self.look = nn.ModuleList(nn.Conv2d(n_in, n_out, 3, padding=1) for n_in, n_out in pairwise(widths))
        self.tell = nn.ModuleList(nn.Linear(2 * _TOLD, 2 * c.place_width) for _ in self.look)
        self.cell = nn.Conv2d(c.place_width, c.n_parts, 1)
        self.size = nn.Conv2d(c.place_width, c.n_parts, 1)
        finest = nn.Conv2d(64, 3 * _GROUND_PATCH**2, 3, padding=1)
        nn.init.zeros_(finest.weight)
        self.ground = nn.Sequential(nn.Conv2d(c.place_width + 3, 64, 3, padding=1), nn.SiLU(), finest)

    def forward(self, seen: Tensor, colours: Tensor) -> Tensor:
        """Return pictures of parts on their ground, shape (n, 3, side_px, side_px).

        Parameters
        ----------
        seen : Tensor of shape (n, seen_dim), float32
        colours : Tensor of shape (n, 3, rows, columns), float32
            The layout, -1 to 1.
        """
        return self.paint(self.find(seen, colours), colours)

    def find(self, seen: Tensor, colours: Tensor) -> FoundParts:
        """Return what there is, and where; takes what `forward` takes."""
        c = self.config
        known = self.known(seen)
        for block in self.blocks:
            known = known + block(known)
        kinds = self.kind(known).unflatten(1, (c.n_parts, c.n_kinds))
        of_kinds = self.told_kinds(kinds.softmax(dim=2).flatten(1))
        told = functional.silu(torch.cat([of_kinds, self.told_seen(seen)], dim=1))
        features = torch.cat([colours, self.centres.expand(colours.shape[0], -1, -1, -1)], dim=1)
        for number, (look, tell) in enumerate(zip(self.look, self.tell, strict=True)):
            scale, offset = tell(told)[:, :, None, None].chunk(2, dim=1)
            further = functional.silu(look(features) * (1 + scale) + offset)
            features = further if number == 0 else features + further
        cells = self.cell(features).flatten(2)  # (n, n_parts, rows * columns)
        likely = cells.softmax(dim=2)
        # Sums and no product of matrices, which a GPU would take in 16 bits: a place is told to parts of a pixel.
        centre = (likely[:, :, None] * self.centres.flatten(1)).sum(dim=3)
        log_size = (likely * self.size(features).flatten(2)).sum(dim=2, keepdim=True) + _LOG_SIZE
        places = torch.cat([centre, log_size.clamp(*_LOG_SIZES)], dim=2)
        return FoundParts(kinds, cells, places, features)

    def paint(self, found: FoundParts, colours: Tensor, true: TrueParts | None = None) -> Tensor:
        """Return pictures of parts that were found, shape (n, 3, side_px, side_px).

        Parameters
        ----------
        found : FoundParts
        colours : Tensor of shape (n, 3, rows, columns), float32
            The layout, -1 to 1.
        true : TrueParts, optional
            What is painted in the place of what was found, but for what nobody tells: looks are learnt at once where
            they lie right.
        """
        c = self.config
        weights, places = found.kinds.softmax(dim=2), found.places
        if true is not None:
            sure = functional.one_hot(true.kinds.clamp(min=0), c.n_kinds).to(weights.dtype)
            weights = torch.where((true.kinds >= 0)[:, :, None], sure, weights)
            places = torch.where(true.places.isfinite(), true.places, places)
        painted: Tensor = _LOOK * weights @ self.looks
        painted = painted.reshape(-1, c.n_parts, 4, c.part_px, c.part_px)
        under = functional.interpolate(colours, size=self.side_px, mode="bilinear")
        finer = self.ground(torch.cat([found.features, colours], dim=1))
        side = self.side_px // _GROUND_PATCH
        finer = functional.interpolate(finer, size=(side, side), mode="nearest")
        picture = under + functional.pixel_shuffle(finer, _GROUND_PATCH)
        for part in range(c.n_parts):
            laid = self._laid(painted[:, part], places[:, part])
            picture = picture + laid[:, 3:] * (laid[:, :3] - picture)
        return picture

    def _laid(self, painted: Tensor, place: Tensor) -> Tensor:
        """Return a part where it lies, shape (n, 4, side_px, side_px): colours, and how much they cover."""
        edge = (torch.arange(self.side_px, device=place.device) + 0.5) / self.side_px * 2 - 1
        x, y = ((edge[None] - place[:, at, None]) / place[:, 2:].exp() for at in (0, 1))
        n = place.shape[0]
        frame = torch.stack(
            [x[:, None].expand(n, self.side_px, -1), y[:, :, None].expand(n, -1, self.side_px)], dim=3
        )
        part = torch.cat([torch.tanh(painted[:, :3]), torch.sigmoid(painted[:, 3:] + _CLEAR)], dim=1)
        return functional.grid_sample(part, frame, align_corners=False, padding_mode="zeros")


def parts_loss(parts: Parts, found: FoundParts, true: TrueParts) -> Tensor:
    """Return how far parts are from the true ones, in kind and place: 0 where nobody tells.

    A centre between cells is one of each of the four around it, as often as it is near: what is expected of them is
    the centre itself.
    """
    kinds = functional.cross_entropy(
        found.kinds.flatten(0, 1), true.kinds.flatten(), ignore_index=-1, reduction="sum"
    )
    told = true.places.isfinite().all(dim=2)
    places = true.places.nan_to_num()
    n_rows, n_columns = parts.centres.shape[1:]
    across, down = (
        (
            1
            - (
                ((place + 1) / 2 * n - 0.5).clamp(0, n - 1)[:, :, None]
                - torch.arange(n, device=places.device)
            ).abs()
        )
        for place, n in ((places[:, :, 0], n_columns), (places[:, :, 1], n_rows))
    )
    near = (down.clamp(min=0)[:, :, :, None] * across.clamp(min=0)[:, :, None]).flatten(2)
    cells = -(near * found.cells.log_softmax(dim=2)).sum(dim=2)
    off = (found.places - places).abs().mean(dim=2)
    wrong = torch.where(told, cells + off, 0.0).sum() / told.sum().clamp(min=1)
    return _KINDS * kinds / (true.kinds >= 0).sum().clamp(min=1) + _PLACES * wrong
