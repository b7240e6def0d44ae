"""Stage 1 of MindDiffuser by a pipeline of diffusers, differentiable: what stage 2 leads its gradient back through.

Y. Lu et al., ACM Multimedia 2023: latents are noised to 37 of 50 steps of DDIM and drawn from there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError

from .condition import Condition
from .denoisers import denoiser
from .diffusers_conditions import embeddings_told
from .diffusers_generator import DiffusersGenerator
from .refinement import painter
from .samplers import euler

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["diffusers_stage", "usual_steps"]

#: Of the paper, from where it starts.
_STEPS = 35


def usual_steps(generator: DiffusersGenerator) -> int:
    """Return in how many steps stage 1 is drawn where nobody says: the paper's 35, or the most of a student."""
    can = generator.said.how.can
    return _STEPS if _STEPS in can else max(can)


def diffusers_stage(
    generator: DiffusersGenerator,
    condition: Condition,
    noise: npt.NDArray[np.float32],
    *,
    strength: float,
    n_steps: int,
    latents: npt.NDArray[np.float32] | None = None,
) -> "tuple[Tensor, Tensor, Callable[[Any, Any], Any]]":
    """Return the start, the condition and what draws pictures from both.

    Parameters
    ----------
    generator : DiffusersGenerator
    condition : Condition
        Of n pictures.
    noise : array of shape (n, 1 + renewals, channels, height, width), float32
        From the generator; what a sampler would renew is left aside, as DDIM renews none.
    strength : float
        Which share of the table of noise is put on the start.
    n_steps : int
    latents : array of shape (n, channels, height, width), float32, or None
        Decoded; without them those of the layout in large.

    Returns
    -------
    start : Tensor of shape (n, channels, height, width)
    told : Tensor of shape (n, numbers)
    paint : callable

    Raises
    ------
    UsageError
        If so many steps cannot be drawn from there, or latents are of another shape.
    """
    import torch

    networks, said, drawing = generator.networks, generator.said, generator.drawing
    for network in (networks.unet, networks.autoencoder):
        network.requires_grad_(False)
    schedule = networks.schedule
    try:
        table = said.how.table_steps(n_steps, len(schedule.betas), strength)
    except ValueError as error:
        raise UsageError(f"{n_steps} steps from --strength {strength:g} cannot be drawn: {error}") from error
    times = (*(schedule.time(step) for step in table), 0.0)
    device = networks.unet.device
    begin = torch.from_numpy(noise[:, 0]).to(device)
    start, stop = generator.pictures.semantic
    means = condition.semantic + generator.pictures.mean[start:stop]
    told = embeddings_told(networks, means * np.float32(said.embedding_scale), condition.open_share[:, 0])
    if latents is None:
        with torch.no_grad():
            first = drawing.latents(torch.from_numpy(condition.layout).movedim(-1, 1).to(device))
    else:
        first = torch.from_numpy(latents).to(device)
    if first.shape != begin.shape:
        raise UsageError(
            f"The decoded latents have the shape {tuple(first.shape[1:])}, and {generator.name} draws from "
            f"{tuple(begin.shape[1:])}. Give a bundle whose --structure is vae of this pipeline and side."
        )

    def denoiser_of(told: "Tensor") -> Callable[[Any, float, float], Any]:
        return denoiser(drawing.predictor(told.to(networks.unet.dtype)), schedule, networks.predicts)

    def decode(clean: "Tensor") -> "Tensor":
        pictures: Tensor = drawing.colours(clean).movedim(-1, 1)
        return pictures

    return first, told.to(device), painter(denoiser_of, schedule, euler, begin, decode, times)
