"""How each U-Net of diffusers is told of what is believed, and of nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .diffusers_pipelines import Networks
from .diffusers_recipes import FAMILIES

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["embeddings_told", "nothing_told", "unclip_level", "unet_arguments"]

#: Beyond this share an embedding says next to nothing, and would have to be stretched more than tenfold.
_MOST_OPEN = 0.99


def embeddings_told(
    networks: Networks, embeddings: npt.NDArray[np.float32], open_share: npt.NDArray[np.float32]
) -> "Tensor":
    """Return what the U-Net is told of beliefs, shape (n, numbers), on the CPU.

    An IP-Adapter and Kandinsky are told the mean of the belief. Stable unCLIP learnt from embeddings with noise of a
    known level, and to draw what they leave open; a belief is told as the noisy embedding that leaves as much open.
    Noise of variance s^2 on an embedding z of unit variance, ``y = sqrt(1 - s^2) z + s noise``, leaves the share s^2
    of the variance open and gives the mean ``sqrt(1 - s^2) y``. So the level is that of s^2 = the open share, and y is
    the mean of the belief over ``sqrt(1 - s^2)``: no noise is drawn, the belief has its own.

    Parameters
    ----------
    networks : Networks
    embeddings : array of shape (n, dimension), float32
        The means of beliefs.
    open_share : array of shape (n,), float32
        0 to 1.
    """
    import torch

    given = torch.from_numpy(embeddings)
    if networks.normalizer is None or networks.noising is None:
        return given
    from diffusers.models.embeddings import get_timestep_embedding

    mean, spread = (part.float().cpu() for part in networks.normalizer)
    levels = [unclip_level(networks, float(share)) for share in open_share]
    kept = torch.tensor([networks.noising.alpha(networks.noising.time(level)) for level in levels])
    noisy = (given - mean) / spread / kept[:, None] * spread + mean
    said = get_timestep_embedding(
        torch.tensor(levels), embeddings.shape[1], flip_sin_to_cos=True, downscale_freq_shift=0
    )
    return torch.cat([noisy, said], dim=1)


def unclip_level(networks: Networks, open_share: float) -> int:
    """Return the noise level of Stable unCLIP that leaves a share of the variance over embeddings open."""
    if networks.noising is None:
        raise ValueError(f"{networks.family} has no noise level.")
    noising = networks.noising
    level = round(noising.step(noising.time_of_noise(min(max(open_share, 0.0), _MOST_OPEN))))
    return min(max(level, 0), len(noising.betas) - 1)


def nothing_told(networks: Networks, neutral: npt.NDArray[np.float32] | None) -> "Tensor":
    """Return what the U-Net is told of no embedding, shape (1, numbers): zeros, of Kandinsky `neutral`."""
    import torch

    if FAMILIES[networks.family].conditioned == "image" and neutral is not None:
        return torch.from_numpy(neutral).reshape(1, -1)
    width = networks.takes * (2 if FAMILIES[networks.family].conditioned == "label" else 1)
    return torch.zeros(1, width)


def unet_arguments(networks: Networks, told: "Tensor", text: "Mapping[str, Tensor]") -> dict[str, Any]:
    """Return what a U-Net is called with beside latents and time.

    Parameters
    ----------
    networks : Networks
    told : Tensor of shape (n, numbers)
        From `embeddings_told` or `nothing_told`.
    text : mapping of str to Tensor
        One of `Networks.texts`, where `told` is.
    """
    # Not len(told): where a graph is traced that would be a number, and this stays open.
    n = told.shape[0]
    rows = {name: value.expand(n, *value.shape[1:]) for name, value in text.items()}
    arguments: dict[str, Any] = {"encoder_hidden_states": rows.get("states")}
    if networks.guidance is not None:
        arguments["timestep_cond"] = networks.guidance.expand(n, -1)
    conditioned = FAMILIES[networks.family].conditioned
    if conditioned == "label":
        return {**arguments, "class_labels": told}
    if conditioned == "image":
        return {**arguments, "added_cond_kwargs": {"image_embeds": told}}
    added: dict[str, Any] = {"image_embeds": [told[:, None]]}
    if "pooled" in rows:
        added |= {"text_embeds": rows["pooled"], "time_ids": rows["sizes"]}
    return {**arguments, "added_cond_kwargs": added}
