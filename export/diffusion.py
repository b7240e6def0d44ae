"""Networks of diffusers from torch to ONNX, compared with torch before anyone sees them.

The U-Net is written for one step of its table of betas: the step is baked in, so that nothing of the embedding of times
is left to be computed in half precision, where it fails. What it is told of an embedding stays an input.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from decode_stream.decoders.generation.diffusers_conditions import unet_arguments
from decode_stream.decoders.generation.diffusers_pipelines import Networks
from decode_stream.decoders.onnx_model import OnnxModel

from .metadata import AUTOENCODER, UNET, NetworkKind
from .onnx import translated
from .onnx_file import serialised
from .parity import require_agreement

__all__ = ["export_autoencoder", "export_unet"]

_MOST_ROWS = 4096


class _Unet(nn.Module):
    """A U-Net of arrays: latents and what is told of embeddings in, what it predicts out."""

    def __init__(self, networks: Networks, step: int) -> None:
        super().__init__()
        self.unet = networks.unet
        self._networks, self._step = networks, step
        for name, value in networks.texts[0].items():
            self.register_buffer(name, value)

    def forward(self, latents: Tensor, image_embeds: Tensor) -> Tensor:
        text = {name: self.get_buffer(name) for name in self._networks.texts[0]}
        arguments = unet_arguments(self._networks, image_embeds, text)
        step = torch.full((latents.shape[0],), self._step, device=latents.device)
        predicted: Tensor = self.unet(latents, step, **arguments, return_dict=False)[0]
        return predicted[:, : latents.shape[1]]


class _Decoder(nn.Module):
    """An autoencoder from scaled latents to colours."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.autoencoder = networks.autoencoder
        self._how: Mapping[str, Any] = {}
        self._factor = float(getattr(networks.autoencoder.config, "scaling_factor", 1.0))
        if networks.family == "kandinsky":
            self._how, self._factor = {"force_not_quantize": True}, 1.0

    def forward(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self.autoencoder.decode(latents / self._factor, **self._how, return_dict=False)[0]
        return decoded


def export_unet(
    networks: Networks,
    step: int,
    latents: npt.NDArray[np.float32],
    image_embeds: npt.NDArray[np.float32],
) -> OnnxModel:
    """Write a U-Net, with its adapter and its empty text, as an ONNX model of one step.

    Parameters
    ----------
    networks : Networks
        On the CPU, in float32.
    step : int
        Of the table of betas.
    latents : array of shape (n, channels, height, width), float32
        Noisy ones of that step, at least two; the model takes this height and width.
    image_embeds : array of shape (n, numbers), float32
        What the U-Net is told of beliefs; see `embeddings_told`.

    Returns
    -------
    OnnxModel
        Inputs ``latents`` and ``image_embeds``, output ``predicted`` (n, channels, height, width), all float32; any n.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from torch's by more than 1e-4 of the largest value.
    """
    given = {"latents": latents, "image_embeds": image_embeds}
    return _exported(_Unet(networks, step), given, "predicted", UNET)


def export_autoencoder(networks: Networks, latents: npt.NDArray[np.float32]) -> OnnxModel:
    """Write the decoder of an autoencoder, tiny or not, as an ONNX model.

    Parameters
    ----------
    networks : Networks
        On the CPU, in float32.
    latents : array of shape (n, channels, height, width), float32
        Clean ones, at least two, scaled as the U-Net's are; the model takes this height and width.

    Returns
    -------
    OnnxModel
        Input ``latents``, output ``colours`` (n, 3, side, side), float32, -1 to 1 and a little beyond, of any n.

    Raises
    ------
    ExportError
        If ONNX Runtime's output differs from torch's by more than 1e-4 of the largest value.
    """
    return _exported(_Decoder(networks), {"latents": latents}, "colours", AUTOENCODER)


def _exported(
    module: nn.Module, given: Mapping[str, npt.NDArray[np.float32]], output: str, kind: NetworkKind
) -> OnnxModel:
    module.eval()
    rows = {name: torch.from_numpy(values) for name, values in given.items()}
    with torch.no_grad():
        model = serialised(translated(module, rows, [output], most_rows=_MOST_ROWS).model, kind)
        expected = module(*rows.values()).numpy()
    require_agreement(model.graph, given, expected, output, model.data)
    return model
