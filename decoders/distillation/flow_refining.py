"""Stage 1 of MindDiffuser by an embedded generator, differentiable: what stage 2 leads its gradient back through."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from decode_stream.decoders.generation.condition import Condition
from decode_stream.decoders.generation.embedded_files import load_parts
from decode_stream.decoders.generation.guidance import LayoutLift
from decode_stream.decoders.generation.refinement import painter
from decode_stream.decoders.generation.samplers import flow_map, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule

from .flow_unet import flow_denoiser
from .flow_weights import load_flow_network

__all__ = ["flow_stage"]


def flow_stage(
    path: Path,
    condition: Condition,
    noise: npt.NDArray[np.float32],
    *,
    strength: float,
    n_steps: int,
) -> tuple[Tensor, Tensor, Callable[[Any, Any], Any]]:
    """Return the start, the condition and what draws pictures from both.

    Parameters
    ----------
    path : Path
        Of the generator.
    condition : Condition
        Of n pictures; the start is its layout, raised to a smooth picture.
    noise : array of shape (n, 3, side, side), float32
        From the generator.
    strength : float
        The time that the start is noised to.
    n_steps : int

    Returns
    -------
    start : Tensor of shape (n, 3, side, side)
    semantic : Tensor of shape (n, semantic_dim)
    paint : callable

    Raises
    ------
    BundleError
        If the generator does not hold its network's weights.
    """
    network = load_flow_network(load_parts(path).weights, path)
    layout = 2 * condition.layout.transpose(0, 3, 1, 2) - 1
    lift = LayoutLift.of(network.config.side_px, layout.shape[2])
    start = torch.from_numpy(np.clip(lift.raised @ layout @ lift.raised.T, -1, 1).astype(np.float32))

    told, open_share = torch.from_numpy(condition.layout), torch.from_numpy(condition.open_share)

    def denoiser_of(semantic: Tensor) -> Callable[[Any, float, float], Any]:
        return flow_denoiser(network, semantic, told, open_share)

    paint = painter(
        denoiser_of,
        FlowSchedule(),
        flow_map,
        torch.from_numpy(noise),
        lambda clean: (clean + 1) / 2,
        uniform_times(n_steps, strength),
    )
    return start, torch.from_numpy(condition.semantic), paint
