"""Latents drawn by a teacher in many steps and by its student in few, with diffusers' own schedulers."""

from typing import Any

import torch
from torch import Tensor

from .conditioning import Conditioning
from .latent_consistency import predicted

__all__ = ["student_latents", "teacher_latents"]


def student_latents(
    unet: Any,
    scheduler: Any,
    condition: Conditioning,
    embeddings: Tensor,
    noise: Tensor,
    n_steps: int,
    guidance: float | None = None,
) -> Tensor:
    """Return latents that a student draws.

    Parameters
    ----------
    unet : UNet2DConditionModel
    scheduler : LCMScheduler
    embeddings : Tensor of shape (n, dimension)
    noise : Tensor of shape (n, channels, height, width)
        What it begins with.
    n_steps : int
    guidance : float, optional
        What a student is told that takes guidance.
    """
    scheduler.set_timesteps(n_steps, device=noise.device)
    latents: Tensor = noise * scheduler.init_noise_sigma
    with torch.no_grad():
        arguments = condition.certain(embeddings)
        if guidance is not None and condition.guided is not None:
            arguments = {
                **arguments,
                **condition.guided(torch.full((len(noise),), guidance).to(noise.device)),
            }
        for time in scheduler.timesteps:
            output = predicted(unet, latents, time, arguments)
            latents = scheduler.step(output, time, latents, return_dict=False)[0]
    return latents


def teacher_latents(
    unet: Any,
    scheduler: Any,
    condition: Conditioning,
    embeddings: Tensor,
    noise: Tensor,
    n_steps: int,
    guidance: float,
) -> Tensor:
    """Return latents that a teacher draws with guidance.

    Parameters
    ----------
    scheduler : DDIMScheduler
    embeddings, noise, n_steps
        As of `student_latents`.
    guidance : float
        1 is none.
    """
    scheduler.set_timesteps(n_steps, device=noise.device)
    latents: Tensor = noise * scheduler.init_noise_sigma
    with torch.no_grad():
        arguments = condition.certain(embeddings)
        nothing = condition.nothing(len(noise)) if condition.nothing is not None and guidance > 1 else None
        for time in scheduler.timesteps:
            output = predicted(unet, latents, time, arguments)
            if nothing is not None:
                without = predicted(unet, latents, time, nothing)
                output = without + guidance * (output - without)
            latents = scheduler.step(output, time, latents, return_dict=False)[0]
    return latents
