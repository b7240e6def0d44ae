"""Small pictures with their embeddings, and a network of few channels that learns from them in a moment."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from decode_stream.decoders.distillation.beliefs import BeliefDraws, plain_channels
from decode_stream.decoders.distillation.flow_training import Batches, Drawn
from decode_stream.decoders.distillation.flow_unet import FlowUnet, FlowUnetConfig
from decode_stream.decoders.distillation.parts import PartsConfig
from decode_stream.decoders.generation.condition import LayoutMap, PictureModel

SIDE_PX, N_LAYOUT, N_SEEN = 16, 5, 4
CONFIG = FlowUnetConfig(
    N_SEEN,
    SIDE_PX,
    widths=(8, 16),
    n_tokens=3,
    token_dim=8,
    condition_dim=16,
    grid=(2, 2),
    parts=PartsConfig(n_kinds=3, part_px=6, width=8, place_width=8),
)


def picture_model() -> PictureModel:
    """Return pictures whose layout and what is seen in them go together a little."""
    rng = np.random.default_rng(3)
    dimension = N_LAYOUT + N_SEEN
    mixed = np.eye(dimension) + 0.3 * rng.standard_normal((dimension, dimension))
    weight = np.zeros((12, dimension), np.float32)
    weight[:, :N_LAYOUT] = 0.05 * rng.standard_normal((12, N_LAYOUT))
    layout = LayoutMap(weight, np.full(12, 0.5, np.float32), 2, 2)
    mean = rng.standard_normal(dimension).astype(np.float32) * 0.2
    return PictureModel(mean, (mixed @ mixed.T).astype(np.float32), (N_LAYOUT, dimension), layout)


def embeddings(n: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return embeddings of the pictures' own distribution, shape (n, dimension)."""
    model = picture_model()
    drawn = rng.multivariate_normal(model.mean, model.covariance.astype(np.float64), n, method="cholesky")
    return drawn.astype(np.float32)


class Squares:
    """Grey pictures with a white square each, kind 0 beside none, whose place their embeddings do not tell."""

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Return n pictures."""
        pictures = np.full((n, SIDE_PX, SIDE_PX, 3), 90, np.uint8)
        places = np.full((n, 2, 3), np.nan, np.float32)
        for picture, place, left in zip(pictures, places, rng.integers(12, size=n), strict=True):
            picture[4:8, left : left + 4] = 255
            place[0] = (left + 2) / 8 - 1, 6 / 8 - 1, np.log(0.25)
        kinds = np.tile(np.array([0, 2]), (n, 1))
        return Drawn(pictures, embeddings(n, rng), kinds, places)


def batches(seed: int = 0) -> Batches:
    """Return batches of squares, told as decoders would."""
    model = picture_model()
    return Batches(Squares(), model, BeliefDraws(model, plain_channels(model)), seed)


def small_network(*, stirred: bool = True, widths: tuple[int, ...] = CONFIG.widths) -> FlowUnet:
    """Return a network; `stirred`, none of its weights is 0, as some are in the beginning."""
    torch.manual_seed(0)
    network = FlowUnet(replace(CONFIG, widths=widths), 0.5)
    if stirred:
        with torch.no_grad():
            for value in network.parameters():
                value.add_(0.05 * torch.randn_like(value))
    return network
