"""Parts in their places: what is seen, painted once in its own frame and laid where the colours say that it is.

M. Jaderberg et al., Spatial transformer networks, NeurIPS 2015; S. Eslami et al., Attend, infer, repeat, NeurIPS 2016.
A convolutional network has to learn every object anew at every place and size; in its own frame an object is learnt
from every picture that shows it. Where pictures come with the places of their objects, these are learnt from too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Parts", "PartsConfig", "parts_loss"]

#: A part that nothing is known of covers half of the picture, and is mostly clear.
_LOG_SIZE, _CLEAR = -0.6, -1.0
_LOG_SIZES = (-3.0, 0.7)
_GROUND_PATCH = 4
#: How much a place that is off counts beside colours that are off.
_PLACES = 1.0


@dataclass(frozen=True)
class PartsConfig:
    """The size of the network.

    Attributes
    ----------
    n_parts : int
        At most so many objects are laid over the ground; later ones lie on top.
    part_px : int
        Side of an object in its own frame.
    width : int
        Of what is known of an object.
    place_width : int
        Channels of what finds the places.
    """

    n_parts: int = 2
    part_px: int = 40
    width: int = 320
    place_width: int = 64

    def __post_init__(self) -> None:
        if min(self.n_parts, self.part_px, self.width, self.place_width) < 1:
            raise ValueError(f"Sizes are 1 or more; got {self}.")


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
        self.known = nn.Sequential(
            nn.Linear(seen_dim, c.width), nn.SiLU(), nn.Linear(c.width, c.n_parts * c.width), nn.SiLU()
        )
        self.paint = nn.Linear(c.width, 4 * c.part_px**2)
        nn.init.normal_(self.paint.weight, std=0.01)
        self.find = nn.ModuleList(
            nn.Conv2d(5 if number == 0 else c.place_width, c.place_width, 3, padding=1) for number in range(4)
        )
        self.tell = nn.ModuleList(nn.Linear(c.n_parts * c.width, 2 * c.place_width) for _ in range(4))
        self.heat = nn.Conv2d(c.place_width, c.n_parts, 1)
        self.shift = nn.Conv2d(c.place_width, 3 * c.n_parts, 1)
        finest = nn.Conv2d(64, 3 * _GROUND_PATCH**2, 3, padding=1)
        nn.init.zeros_(finest.weight)
        self.ground = nn.Sequential(nn.Conv2d(c.place_width + 3, 64, 3, padding=1), nn.SiLU(), finest)

    def forward(self, seen: Tensor, colours: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return pictures of parts on their ground, and where these lie.

        Parameters
        ----------
        seen : Tensor of shape (n, seen_dim), float32
        colours : Tensor of shape (n, 3, rows, columns), float32
            The layout, -1 to 1.
        at : Tensor of shape (n, n_parts, 3), float32, optional
            Where parts are laid in the place of where they are found, but for those that are NaN: what is painted is
            learnt at once where it lies right.

        Returns
        -------
        pictures : Tensor of shape (n, 3, side_px, side_px), float32
        places : Tensor of shape (n, n_parts, 3), float32
            Where parts are found: x and y of the centre, -1 to 1 from left and top, and the logarithm of the side, 1
            being the picture's.
        """
        c = self.config
        known = self.known(seen)
        found, places = self._found(known, colours)
        painted = self.paint(known.unflatten(1, (c.n_parts, c.width))).unflatten(2, (4, c.part_px, c.part_px))
        under = functional.interpolate(colours, size=self.side_px, mode="bilinear")
        finer = self.ground(torch.cat([found, colours], dim=1))
        side = self.side_px // _GROUND_PATCH
        finer = functional.interpolate(finer, size=(side, side), mode="nearest")
        picture = under + functional.pixel_shuffle(finer, _GROUND_PATCH)
        laid_at = places if at is None else torch.where(at.isfinite(), at, places)
        for part in range(c.n_parts):
            laid = self._laid(painted[:, part], laid_at[:, part])
            picture = picture + laid[:, 3:] * (laid[:, :3] - picture)
        return picture, places

    def _found(self, known: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is known of each place of the layout, and the places of the parts."""
        c = self.config
        features = torch.cat([colours, self.centres.expand(colours.shape[0], -1, -1, -1)], dim=1)
        for number, (find, tell) in enumerate(zip(self.find, self.tell, strict=True)):
            scale, offset = tell(known)[:, :, None, None].chunk(2, dim=1)
            told = functional.silu(find(features) * (1 + scale) + offset)
            features = told if number == 0 else features + told
        weights = self.heat(features).flatten(2).softmax(dim=2)  # (n, n_parts, places)
        # Sums and no product of matrices, which a GPU would take in 16 bits: a place is told to parts of a pixel.
        centre = (weights[:, :, None] * self.centres.flatten(1)).sum(dim=3)
        shift = self.shift(features).flatten(2).unflatten(1, (c.n_parts, 3))
        shift = (weights[:, :, None] * shift).sum(dim=3)
        log_size = (shift[:, :, 2:] + _LOG_SIZE).clamp(*_LOG_SIZES)
        return features, torch.cat([centre + 0.3 * torch.tanh(shift[:, :, :2]), log_size], dim=2)

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


def parts_loss(given: Tensor, places: Tensor, pictures: Tensor, true_places: Tensor, sure: Tensor) -> Tensor:
    """Return how far pictures of parts are off: their colours, and their places where these are known.

    Parameters
    ----------
    given, places
        What `Parts` returns.
    pictures : Tensor of shape (n, 3, side_px, side_px), float32
    true_places : Tensor of shape (n, n_parts, 3), float32
        NaN where there is no part or nobody tells.
    sure : Tensor of shape (n,), float32
        How much of the picture is known, 0 to 1: nobody can tell a place of which nothing is known.
    """
    off = (given - pictures).abs().mean()
    told = true_places.isfinite()
    wrong = (sure[:, None, None] * torch.where(told, places - true_places.nan_to_num(), 0.0)).abs()
    wrong = wrong.sum() / told.sum().clamp(min=1)
    return off + _PLACES * wrong
