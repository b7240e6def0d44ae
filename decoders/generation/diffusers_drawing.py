"""One picture by the networks of a pipeline: from noise and what is told, by a sampler, to colours."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import BundleError

from .denoisers import Prediction, denoiser
from .diffusers_conditions import nothing_told, unet_arguments
from .diffusers_files import PipelineFile
from .diffusers_pipelines import Networks
from .samplers import Step, ancestral, consistency, euler, sample
from .schedules import noised

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Drawing"]


class Drawing:
    """Networks on a device, with what they are told of the empty text and of nothing.

    Parameters
    ----------
    said : PipelineFile
        The recipe, and what it leaves open.
    networks : Networks
        They are moved to the device.
    neutral : array of shape (dimension,), float32, or None
        Kandinsky: what it is guided away from.
    device : str

    Attributes
    ----------
    noise_shape : tuple of int
        Of the noise of one picture: latents to begin with, and those that the sampler takes on the way.

    Raises
    ------
    BundleError
        If so many steps cannot be drawn.
    """

    def __init__(
        self, said: PipelineFile, networks: Networks, neutral: npt.NDArray[np.float32] | None, device: str
    ) -> None:
        import torch

        self._said, self._dtype = said, networks.unet.dtype
        guidance = None if networks.guidance is None else networks.guidance.to(device, self._dtype)
        self._networks = networks = replace(networks, guidance=guidance)
        self._unet, self._autoencoder = networks.unet.to(device), networks.autoencoder.to(device)
        self._scale = guidance_scale(said, networks)
        self._texts = [
            {name: value.to(device, self._dtype) for name, value in text.items()} for text in networks.texts
        ]
        self._nothing = nothing_told(networks, neutral).to(device, self._dtype)
        self._plans = {n_steps: self._plan(n_steps) for n_steps in said.n_steps}
        # Made beforehand: a graph cannot copy numbers to the device.
        self._counted = {
            step: torch.tensor([step], device=device) for plan in self._plans.values() for step in plan
        }
        self._channels = int(self._unet.config.in_channels)
        side = said.side_px // networks.latent_scale
        renewals = 0 if said.how.sampler == "euler" else max(said.n_steps) - 1
        self.noise_shape = (1 + renewals, self._channels, side, side)

    def paint(
        self, n_steps: int, noise: "Tensor", told: "Tensor", layout: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """Return pictures; nothing here waits for the device, so that a graph can be made of it.

        Parameters
        ----------
        n_steps : int
        noise : Tensor of shape (n, *noise_shape), float32
        told : Tensor of shape (n, numbers), float32
            From `embeddings_told`.
        layout : Tensor of shape (n, 3, rows, columns), float32
            sRGB, 0 to 1.

        Returns
        -------
        pictures : Tensor of shape (n, side_px, side_px, 3), uint8
        finite : Tensor of shape (), bool
            Whether all colours were numbers.
        """
        schedule = self._networks.schedule
        times = (*(schedule.time(step) for step in self._plans[n_steps]), 0.0)
        latents = noise[:, 0]
        if self._said.start < 1:
            latents = noised(schedule, self.latents(layout), latents, times[0])
        denoise = denoiser(self.predictor(told.to(self._dtype)), schedule, self._kind(n_steps))
        latents = sample(self._step(noise), denoise, schedule, times, latents)
        colours = self.colours(latents)
        return (colours.clamp(0, 1) * 255).round().byte(), colours.isfinite().all()

    def _plan(self, n_steps: int) -> tuple[int, ...]:
        """Return the steps of the table that are taken."""
        n_table = len(self._networks.schedule.betas)
        try:
            return self._said.how.table_steps(n_steps, n_table, self._said.start)
        except ValueError as error:
            raise BundleError(f"{self._said.name} cannot be drawn so: {error} Give fewer steps.") from error

    def _kind(self, n_steps: int) -> Prediction:
        of_one = self._said.how.one_step_predicts
        return of_one if n_steps == 1 and of_one is not None else self._networks.predicts

    def _step(self, noise: "Tensor") -> "Step[Tensor]":
        fresh = iter(noise[:, 1:].unbind(1))
        steps: Mapping[str, Step[Tensor]] = {
            "euler": euler,
            "ancestral": ancestral(fresh),
            "consistency": consistency(fresh),
        }
        return steps[self._said.how.sampler]

    def predictor(self, told: "Tensor") -> Any:
        """Return the network with the condition bound, guided where the recipe says so."""
        import torch

        given = unet_arguments(self._networks, told, self._texts[0])
        if self._scale > 1:
            nothing = unet_arguments(self._networks, self._nothing.expand_as(told), self._texts[1])
            given = _joined(nothing, given)

        def predict(latents: "Tensor", t: float, r: float) -> "Tensor":
            rows = latents.repeat(2, 1, 1, 1) if self._scale > 1 else latents
            number = round(self._networks.schedule.step(t))
            step = (
                self._counted[number] if number in self._counted else torch.tensor([number]).to(rows.device)
            )
            said = self._unet(rows.to(self._dtype), step.expand(len(rows)), **given, return_dict=False)[0]
            # Kandinsky's predicts variances behind the noise.
            said = said[:, : self._channels].float()
            if self._scale <= 1:
                return said  # type: ignore[no-any-return]
            without, guided = said.chunk(2)
            return without + self._scale * (guided - without)  # type: ignore[no-any-return]

        return predict

    def latents(self, layout: "Tensor") -> "Tensor":
        """Return the latents of a layout in large."""
        from torch.nn.functional import interpolate

        side = (self._said.side_px, self._said.side_px)
        large = 2 * interpolate(layout, side, mode="bilinear", align_corners=False) - 1
        encoded = self._autoencoder.encode(large.to(self._autoencoder.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return latents.float() * self._latent_factor  # type: ignore[no-any-return]

    def colours(self, latents: "Tensor") -> "Tensor":
        """Return pictures (n, side, side, 3), sRGB 0 to 1, not yet limited to it."""
        how = {"force_not_quantize": True} if self._networks.family == "kandinsky" else {}
        given = (latents / self._latent_factor).to(self._autoencoder.dtype)
        decoded = self._autoencoder.decode(given, **how, return_dict=False)[0]
        return decoded.float().movedim(1, -1) / 2 + 0.5  # type: ignore[no-any-return]

    @property
    def _latent_factor(self) -> float:
        # Kandinsky's latents are as its autoencoder gives them.
        return 1.0 if self._networks.family == "kandinsky" else self._autoencoder.config.scaling_factor


def guidance_scale(said: PipelineFile, networks: Networks) -> float:
    """Return the scale of guidance; 1 where the U-Net was taught to draw as if guided, or the recipe has none."""
    scale = said.how.guidance if said.guidance is None else said.guidance
    return scale if scale > 1 and networks.guidance is None else 1.0


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of two batches as those of one."""
    import torch

    joined: dict[str, Any] = {}
    for name, value in first.items():
        other = second[name]
        if isinstance(value, Mapping):
            joined[name] = _joined(value, other)
        elif isinstance(value, list):
            joined[name] = [torch.cat(pair) for pair in zip(value, other, strict=True)]
        else:
            joined[name] = None if value is None else torch.cat([value, other])
    return joined
