"""How the U-Net of each kind of pipeline is told of an embedding, and of nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor

from decode_stream.stream.errors import UsageError

from .students import GUIDANCE_DIM

__all__ = ["NEUTRAL_COLOUR", "Conditioning", "UnetArguments", "conditioning"]

UnetArguments: TypeAlias = Mapping[str, Any]

#: The mean colour of CLIP's preparation, which is zero to its encoders: by a picture of it Kandinsky says "nothing".
NEUTRAL_COLOUR = (123, 117, 104)


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """What a U-Net is called with beside latents and time.

    Attributes
    ----------
    shape : tuple of int
        Of an embedding; the first number is 0 where any count of tokens will do.
    given : callable
        Takes embeddings (n, dimension) and returns the U-Net's arguments in training. What it draws, as the noise on
        unCLIP's embeddings, comes from torch's own generator.
    certain : callable
        As `given`, with nothing drawn.
    nothing : callable or None
        Takes n and returns the arguments of the unconditional prediction; None where that is not known.
    guided : callable or None
        Takes guidance scales (n,) and returns what tells a student of them; None where pipelines of this kind do not.
    """

    shape: tuple[int, ...]
    given: Callable[[Tensor], UnetArguments]
    certain: Callable[[Tensor], UnetArguments]
    nothing: Callable[[int], UnetArguments] | None
    guided: Callable[[Tensor], UnetArguments] | None

    def check(self, dimension: int, what: str) -> None:
        """Refuse embeddings of another dimension.

        Raises
        ------
        UsageError
            If a row of embeddings is not of the pipeline's shape.
        """
        *tokens, width = self.shape
        if any(tokens) and dimension == prod(self.shape):
            return
        if tokens == [0] and dimension % width == 0:
            return
        if not tokens and dimension == width:
            return
        wanted = f"tokens of {width} numbers" if tokens else f"{width} numbers"
        raise UsageError(
            f"{what} has embeddings of {dimension} numbers, and this pipeline is conditioned on {wanted}: its image "
            "encoder, or that of its adapter, is another one. Give the --target, or the file of embeddings, of the "
            "encoder that it was trained with."
        )


@torch.no_grad()
def conditioning(
    pipeline: Any, device: torch.device, side_px: int, neutral: Tensor | None = None
) -> Conditioning:
    """Return how a pipeline's U-Net is conditioned.

    Parameters
    ----------
    pipeline : StableDiffusionPipeline, StableDiffusionXLPipeline, StableUnCLIPImg2ImgPipeline or KandinskyV22Pipeline
        The first two with an IP-Adapter of pooled embeddings loaded; the first also without, which is then told the
        tokens in the place of a text's, as Takagi and Nishimoto (CVPR 2023) do with what ridge regression decodes.
    device : torch.device
        Where the U-Net is.
    side_px : int
        Side of the pictures, which SDXL is told.
    neutral : Tensor of shape (dimension,), optional
        Kandinsky: the embedding of a picture in `NEUTRAL_COLOUR`.

    Raises
    ------
    UsageError
        If pipelines of this kind are not conditioned on embeddings, or the adapter takes grids of tokens.
    """
    kind = type(pipeline).__name__
    unet = pipeline.unet
    if kind == "KandinskyV22Pipeline":
        return _kandinsky(unet.config.encoder_hid_dim, device, neutral)
    if kind == "StableUnCLIPImg2ImgPipeline":
        return _unclip(pipeline, device)
    adapter = None if kind not in _TEXTS else _adapter_dim(unet)
    if kind == "StableDiffusionPipeline":
        text, _ = pipeline.encode_prompt("", "cpu", 1, True)[:2]
        if adapter is None:
            return _tokens(pipeline, text.to(device))
        return _adapted(pipeline, adapter, {"encoder_hidden_states": text.to(device)}, None)
    if kind == "StableDiffusionXLPipeline" and adapter is not None:
        return _adapted(pipeline, adapter, *_xl_texts(pipeline, device, side_px))
    needs = " without an IP-Adapter; give one with --ip-adapter" if kind in _TEXTS else ""
    raise UsageError(
        f"{kind} is not conditioned on embeddings{needs}. What can be distilled: Stable Diffusion 1.5 and 2.1, SDXL "
        "with --ip-adapter, Stable unCLIP (StableUnCLIPImg2ImgPipeline), and the decoder of Kandinsky 2.2."
    )


_TEXTS = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")


def _adapter_dim(unet: Any) -> int | None:
    """Return the numbers of an embedding that the loaded IP-Adapter takes, or None without one."""
    if unet.config.encoder_hid_dim_type != "ip_image_proj":
        return None
    layers = unet.encoder_hid_proj.image_projection_layers
    if len(layers) != 1 or type(layers[0]).__name__ != "ImageProjection":
        raise UsageError(
            f"The IP-Adapter takes {type(layers[0]).__name__.removesuffix('ImageProjection')} features, not one pooled "
            "embedding. Give the plain adapter, as ip-adapter_sd15.safetensors or ip-adapter_sdxl_vit-h.safetensors."
        )
    dimension: int = layers[0].image_embeds.in_features
    return dimension


def _adapted(
    pipeline: Any, dimension: int, text: UnetArguments, nothing: UnetArguments | None
) -> Conditioning:
    """Return the conditioning by an IP-Adapter beside an empty text; nothing is an embedding of zeros."""

    def arguments(embeddings: Tensor, beside: UnetArguments) -> UnetArguments:
        spread = _repeated(beside, len(embeddings))
        added = spread.get("added_cond_kwargs", {}) | {"image_embeds": [embeddings[:, None]]}
        return {**spread, "added_cond_kwargs": added}

    def unconditional(n: int) -> UnetArguments:
        states = text["encoder_hidden_states"]
        zeros = torch.zeros(n, dimension, device=states.device, dtype=states.dtype)
        return arguments(zeros, nothing or text)

    def given(embeddings: Tensor) -> UnetArguments:
        return arguments(embeddings, text)

    return Conditioning((dimension,), given, given, unconditional, _guided(pipeline))


def _xl_texts(pipeline: Any, device: torch.device, side_px: int) -> tuple[UnetArguments, UnetArguments]:
    """Return what SDXL is told of an empty text, and of none."""
    states, no_states, pooled, not_pooled = pipeline.encode_prompt("", device="cpu")
    side = (side_px, side_px)
    times = pipeline._get_add_time_ids(side, (0, 0), side, states.dtype, pooled.shape[-1]).to(device)
    texts = [
        {
            "encoder_hidden_states": states.to(device),
            "added_cond_kwargs": {"text_embeds": pooled.to(device), "time_ids": times},
        }
        for states, pooled in ((states, pooled), (no_states, not_pooled))
    ]
    return texts[0], texts[1]


def _tokens(pipeline: Any, text: Tensor) -> Conditioning:
    width = text.shape[-1]

    def given(embeddings: Tensor) -> UnetArguments:
        return {"encoder_hidden_states": embeddings.reshape(len(embeddings), -1, width)}

    return Conditioning(
        (0, width),
        given,
        given,
        lambda n: {"encoder_hidden_states": text.expand(n, -1, -1)},
        _guided(pipeline),
    )


def _unclip(pipeline: Any, device: torch.device) -> Conditioning:
    """Return the conditioning of Stable unCLIP: embeddings with noise, of every level alike.

    So the student draws from what is known for certain as well as from what is hardly known.
    """
    text = pipeline.encode_prompt("", "cpu", 1, True)[0].to(device)
    pipeline.image_normalizer.to(device)
    dimension = int(pipeline.image_normalizer.config.embedding_dim)
    n_levels = int(pipeline.image_noising_scheduler.config.num_train_timesteps)

    def arguments(embeddings: Tensor, levels: Sequence[int], noise: Tensor) -> UnetArguments:
        rows = zip(embeddings, levels, noise, strict=True)
        noisy = [
            pipeline.noise_image_embeddings(row[None], level, noise=drawn[None]) for row, level, drawn in rows
        ]
        states = text.expand(len(embeddings), -1, -1)
        return {"encoder_hidden_states": states, "class_labels": torch.cat(noisy)}

    def given(embeddings: Tensor) -> UnetArguments:
        levels = torch.randint(n_levels, (len(embeddings),)).tolist()
        return arguments(embeddings, levels, torch.randn(embeddings.shape).to(embeddings))

    def certain(embeddings: Tensor) -> UnetArguments:
        return arguments(embeddings, [0] * len(embeddings), torch.zeros_like(embeddings))

    def nothing(n: int) -> UnetArguments:
        zeros = torch.zeros(n, 2 * dimension, device=device, dtype=text.dtype)
        return {"encoder_hidden_states": text.expand(n, -1, -1), "class_labels": zeros}

    return Conditioning((dimension,), given, certain, nothing, None)


def _kandinsky(dimension: int, device: torch.device, neutral: Tensor | None) -> Conditioning:
    def given(embeddings: Tensor) -> UnetArguments:
        return {"encoder_hidden_states": None, "added_cond_kwargs": {"image_embeds": embeddings}}

    if neutral is None:
        return Conditioning((dimension,), given, given, None, None)
    row = neutral.to(device, torch.float32)
    return Conditioning((dimension,), given, given, lambda n: given(row.expand(n, -1)), None)


def _guided(pipeline: Any) -> Callable[[Tensor], UnetArguments]:
    def guided(scales: Tensor) -> UnetArguments:
        # As the pipelines count: no guidance is a scale of 1 and an embedding of 0.
        told = pipeline.get_guidance_scale_embedding(scales.cpu() - 1, embedding_dim=GUIDANCE_DIM)
        return {"timestep_cond": told.to(scales.device)}

    return guided


def _repeated(arguments: UnetArguments, n: int) -> dict[str, Any]:
    """Return arguments of one row as those of n rows."""
    return {
        name: _repeated(value, n) if isinstance(value, Mapping) else value.expand(n, *value.shape[1:])
        for name, value in arguments.items()
    }
