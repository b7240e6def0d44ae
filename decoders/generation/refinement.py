"""MindDiffuser's second stage in full: through every step of the sampler, to the start and the condition.

Y. Lu et al., MindDiffuser: controlled image reconstruction from human brain activity with semantic and structural
diffusion, ACM Multimedia 2023. `guidance` tells what it is led by, and what stands for it live.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import GeneratorError

from .guidance import Structure
from .samplers import sample
from .schedules import Schedule, noised

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RefineSettings", "Refined", "painter", "refine"]


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """How stage 2 goes; the defaults are the paper's.

    Attributes
    ----------
    iterations : int
        Of Adam. The published code takes 300, with `decay` 0.999.
    learning_rate : float
    decay : float
        The learning rate is multiplied by it after every iteration.
    semantic_weight : float
        Of 1 less the cosine of the condition with the decoded one, beside the structure's loss.
    """

    iterations: int = 60
    learning_rate: float = 0.01
    decay: float = 1.0
    semantic_weight: float = 0.1

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"There is at least one iteration; got {self}.")
        if not (self.learning_rate > 0 and 0 < self.decay <= 1 and self.semantic_weight >= 0):
            raise ValueError(
                f"A learning rate is above 0, a decay up to 1, a weight not below 0; got {self}."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Pictures before and after stage 2.

    Attributes
    ----------
    first, pictures : array of shape (n, height, width, 3), uint8
        Of stage 1, and after the last iteration.
    structure_loss : array of shape (iterations + 1, n), float64
        That of stage 1 first.
    cosine : array of shape (iterations + 1, n), float64
        Of the condition with the decoded one.
    """

    first: npt.NDArray[np.uint8]
    pictures: npt.NDArray[np.uint8]
    structure_loss: npt.NDArray[np.float64]
    cosine: npt.NDArray[np.float64]


def painter(
    denoiser_of: Callable[[Any], Callable[[Any, float, float], Any]],
    schedule: Schedule,
    step: Callable[[Any, Schedule, Any, float, float], Any],
    noise: "Tensor",
    decode: Callable[[Any], Any],
    times: Sequence[float],
) -> Callable[[Any, Any], Any]:
    """Return what draws pictures from a start and a condition, differentiable in both: stage 1.

    Parameters
    ----------
    denoiser_of : callable
        Takes the semantic part of the condition (n, semantic_dim) and gives a denoiser.
    schedule : Schedule
    step : callable
        Of `samplers`, one that adds no noise of its own.
    noise : Tensor of shape (n, channels, height, width)
    decode : callable
        From what is denoised to pictures (n, 3, height, width), 0 to 1: a variational autoencoder's decoder, or a shift
        and scale of pixels.
    times : sequence of float
        From the one that the start is noised to down to 0.
    """
    from torch.utils.checkpoint import checkpoint

    def paint(start: "Tensor", semantic: "Tensor") -> "Tensor":
        network = denoiser_of(semantic)

        def kept_small(x: "Tensor", t: float, r: float) -> "Tensor":
            # What a network holds for its gradient is made anew on the way back: 35 times it would fill any memory.
            clean: Tensor = checkpoint(network, x, t, r, use_reentrant=False)
            return clean

        begun = noised(schedule, start, noise, times[0])
        painted: Tensor = decode(sample(step, kept_small, schedule, times, begun))
        return painted

    return paint


def refine(
    paint: Callable[[Any, Any], Any],
    start: "Tensor",
    semantic: "Tensor",
    structure: Structure,
    settings: RefineSettings,
    report: Callable[[int, float], None] = lambda _iteration, _loss: None,
    *,
    unit: float = 1.0,
) -> Refined:
    """Adjust the start and the condition by Adam until the pictures have the decoded structure: stage 2.

    The pictures of a batch do not touch each other: each comes out as it would alone.

    Parameters
    ----------
    paint : callable
        From start and condition to pictures (n, 3, height, width), 0 to 1; as of `painter`.
    start : Tensor of shape (n, channels, height, width)
        The decoded latents or layout.
    semantic : Tensor of shape (n, semantic_dim)
        As decoded.
    structure : Structure
        Of the same pictures.
    settings : RefineSettings
    report : callable
        Is told the iterations done and the mean loss of the structure.
    unit : float
        Spread of the condition's numbers over pictures: its steps are in this unit, as Adam's are as long whatever it
        adjusts. The paper's have a spread of about 1.

    Raises
    ------
    ValueError
        If the numbers of pictures differ.
    GeneratorError
        If a picture, a loss or a gradient is not finite.
    """
    import torch

    if not len(start) == len(semantic) == len(structure.wanted):
        raise ValueError(
            f"{len(start)} starts, {len(semantic)} conditions and {len(structure.wanted)} structures."
        )
    decoded = semantic.detach().clone()
    moved = [part.detach().clone().requires_grad_() for part in (start, semantic / unit)]
    optimizer = torch.optim.Adam(moved, settings.learning_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, settings.decay)
    losses, cosines = list[npt.NDArray[np.float64]](), list[npt.NDArray[np.float64]]()
    pictures = list[npt.NDArray[np.uint8]]()
    for iteration in range(settings.iterations + 1):
        drawn = paint(moved[0], unit * moved[1])
        structural = structure.loss(drawn)
        cosine = torch.nn.functional.cosine_similarity(moved[1], decoded, dim=1)
        total = structural + settings.semantic_weight * (1 - cosine)
        _check_finite(total, iteration)
        losses.append(structural.detach().double().cpu().numpy())
        cosines.append(cosine.detach().double().cpu().numpy())
        if iteration in (0, settings.iterations):
            pictures.append(_as_pictures(drawn))
        report(iteration, float(losses[-1].mean()))
        if iteration < settings.iterations:
            optimizer.zero_grad()
            total.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return Refined(pictures[0], pictures[-1], np.stack(losses), np.stack(cosines))


def _check_finite(total: "Tensor", iteration: int) -> None:
    found = total.detach().double().cpu().numpy()
    if n_lost := np.count_nonzero(~np.isfinite(found)):
        raise GeneratorError(
            f"After {iteration} iterations the loss of {n_lost} of {len(found)} pictures is not a finite number. Take "
            "a smaller --learning-rate."
        )


def _as_pictures(drawn: "Tensor") -> npt.NDArray[np.uint8]:
    # Not clamped before: what lies beyond black and white must feel the gradient that leads it back.
    values = drawn.detach().clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
    pictures: npt.NDArray[np.uint8] = np.rint(255 * values).astype(np.uint8)
    return pictures
