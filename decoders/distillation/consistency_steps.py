"""What a consistency model of latents is made of: times, boundary scalings and the teacher's solver step.

S. Luo et al., Latent consistency models, 2023 (arXiv 2310.04378). The numbers are those of diffusers' ``LCMScheduler``
and ``DDIMScheduler``, for a time of its own in every row of a batch, which those do not take.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from decode_stream.stream.errors import UsageError

__all__ = ["ConsistencySchedule", "Prediction", "consistency_schedule", "pseudo_huber"]

#: What the teacher's network predicts.
Prediction: TypeAlias = Literal["epsilon", "v_prediction", "sample"]


@dataclass(frozen=True, slots=True, eq=False)
class ConsistencySchedule:
    """Signal and noise at every time, and the times that a student learns at.

    Attributes
    ----------
    signal, noise : Tensor of shape (n_times,), float32
        Square roots of the share of signal and of noise in a noisy latent: z_t = signal x_0 + noise e.
    prediction : Prediction
    times : Tensor of shape (n,), int64
        Times that a step of the solver begins at, in rising order.
    skip : int
        Times between the two ends of a step, k in the paper.
    time_scale : float
        Factor of a time in the boundary scalings, as in ``LCMScheduler``.
    """

    signal: Tensor
    noise: Tensor
    prediction: Prediction
    times: Tensor
    skip: int
    time_scale: float = 10.0

    def to(self, device: torch.device) -> "ConsistencySchedule":
        """Return it on a device."""
        parts = (self.signal.to(device), self.noise.to(device))
        return ConsistencySchedule(*parts, self.prediction, self.times.to(device), self.skip, self.time_scale)

    def noisy(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return clean latents (n, ...) with noise, as they are at times (n,)."""
        return _of(self.signal, time, clean) * clean + _of(self.noise, time, clean) * noise

    def clean(self, output: Tensor, latents: Tensor, time: Tensor) -> Tensor:
        """Return the clean latents that the output of a network says, at times (n,)."""
        signal, noise = _of(self.signal, time, latents), _of(self.noise, time, latents)
        if self.prediction == "epsilon":
            return (latents - noise * output) / signal
        return output if self.prediction == "sample" else signal * latents - noise * output

    def noise_in(self, output: Tensor, latents: Tensor, time: Tensor) -> Tensor:
        """Return the noise that the output of a network says is in latents, at times (n,)."""
        signal, noise = _of(self.signal, time, latents), _of(self.noise, time, latents)
        if self.prediction == "epsilon":
            return output
        if self.prediction == "sample":
            return (latents - signal * output) / noise
        return signal * output + noise * latents

    def before(self, time: Tensor) -> Tensor:
        """Return where a step of the solver from times (n,) ends; not below the first."""
        return (time - self.skip).clamp(min=0)

    def bounded(self, clean: Tensor, latents: Tensor, time: Tensor) -> Tensor:
        """Return c_skip z + c_out x_0, which is the latent itself at time 0 (Song et al. 2023; LCM equation 9)."""
        scaled = (time * self.time_scale).reshape(-1, *[1] * (latents.ndim - 1)).to(latents.dtype)
        variance = scaled**2 + _SIGMA_DATA**2
        return _SIGMA_DATA**2 / variance * latents + scaled / variance.sqrt() * clean


_SIGMA_DATA = 0.5


def consistency_schedule(scheduler: Any) -> ConsistencySchedule:
    """Return the times of a student: 50 of 1000, as in the paper, whose k is 20, so that other programs find them too.

    Parameters
    ----------
    scheduler : LCMScheduler
        Made from the configuration of the teacher's own scheduler.

    Raises
    ------
    UsageError
        If the teacher's network predicts something else than noise, velocity or the clean latent, or has fewer times.
    """
    prediction = scheduler.config.prediction_type
    if prediction not in get_args(Prediction):
        raise UsageError(
            f"The pipeline's scheduler says that its network predicts {prediction!r}; what can be distilled: "
            f"{', '.join(get_args(Prediction))}."
        )
    share = scheduler.alphas_cumprod.float()
    n_times = int(scheduler.config.original_inference_steps)
    if len(share) < n_times:
        raise UsageError(
            f"The pipeline's scheduler has {len(share)} times; a student is trained between {n_times} of them."
        )
    skip = len(share) // n_times
    return ConsistencySchedule(
        share.sqrt(),
        (1 - share).sqrt(),
        prediction,
        torch.arange(1, n_times + 1) * skip - 1,
        skip,
        float(scheduler.config.timestep_scaling),
    )


def pseudo_huber(given: Tensor, wanted: Tensor, width: float) -> Tensor:
    """Return the mean of sqrt(difference^2 + width^2) - width: above the width nearly the absolute error."""
    difference = given.float() - wanted.float()
    return ((difference**2 + width**2).sqrt() - width).mean()


def _of(values: Tensor, time: Tensor, like: Tensor) -> Tensor:
    """Return the value of each row's time, shaped to be multiplied with the rows."""
    return values[time].reshape(-1, *[1] * (like.ndim - 1)).to(like.dtype)
