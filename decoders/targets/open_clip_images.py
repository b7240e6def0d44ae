"""Any image encoder of open_clip as a target: its embedding of a picture, its tokens, or one of its blocks."""

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import UsageError

from .open_clip_models import ClipModel, load_clip, split_name
from .target import Embeddings, Picture, Target

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["differentiable_layer", "image_target", "open_clip_target"]

_BATCH = 32
_LAYERS = {
    "pooled": "image embedding",
    "tokens": "tokens, projected",
    "tokens-by-class": "tokens, projected, over the length of the class token",
}


def open_clip_target(name: str) -> Target:
    """Return the image encoder of an open_clip model; nothing is normalised.

    Parameters
    ----------
    name : str
        ``open_clip:MODEL:WEIGHTS[:LAYER]`` with the path of a file of weights; see `load_clip`. Layers:

        - ``pooled``, the default: the image embedding, as ``encode_image`` gives it.
        - ``tokens``: all tokens, the class token first, after the last norm and the projection; 257 of 768 numbers for
          ViT-L-14.
        - ``tokens-by-class``: the same, each divided by the length of the picture's class token (Scotti et al.,
          MindEye, NeurIPS 2023).
        - ``block-K``: all tokens as they leave block K, counted from 1. Shallow blocks hold structure.
        - ``block-K-mean``: their mean over the picture's patches, without the class token.

    Raises
    ------
    UsageError
        If the library or the file is missing, the model is unknown or has no such layer, or the weights are not the
        model's.
    """
    model_name, weights, layer = split_name(name)
    return image_target(name, load_clip(model_name, weights), layer)


def image_target(name: str, clip: ClipModel, layer: str = "pooled") -> Target:
    """Return a layer of a model that is loaded as a target.

    Raises
    ------
    UsageError
        If the model has no such layer.
    """
    run, shape = _layer(clip, layer)
    words = _LAYERS.get(layer, layer.replace("-", " ").replace(" mean", ", mean of the patches"))
    space = EmbeddingSpace(
        clip.name,
        words,
        prod(shape),
        shape=shape if len(shape) > 1 else (),
        preparation=clip.preparation,
    )
    return Target(name, space, _encoder(clip, run, space.dimension))


def differentiable_layer(clip: ClipModel, layer: str) -> "Callable[[Tensor], Tensor]":
    """Return what makes a layer of square pictures by torch alone, so that it has a gradient.

    Returns
    -------
    callable
        Takes pictures (n, 3, side, side), sRGB 0 to 1 and a little beyond; gives embeddings (n, dimension). They are
        scaled by torch's filter instead of Pillow's, which differs by less than a grey level.

    Raises
    ------
    UsageError
        If the model has no such layer.
    """
    import torch

    run, shape = _layer(clip, layer)
    wanted = clip.model.visual.preprocess_cfg
    device = next(clip.model.parameters()).device
    mean, std = (torch.tensor(wanted[name], device=device)[:, None, None] for name in ("mean", "std"))
    clip.model.requires_grad_(False)

    def embed(pictures: "Tensor") -> "Tensor":
        size, mode = wanted["size"], wanted["interpolation"]
        scaled = torch.nn.functional.interpolate(pictures.to(device), size, mode=mode, antialias=True)
        embeddings: Tensor = run((scaled - mean) / std).reshape(len(pictures), prod(shape))
        return embeddings.to(pictures)

    return embed


def _layer(clip: ClipModel, layer: str) -> tuple[Callable[[Any], Any], tuple[int, ...]]:
    """Return what runs the network up to a layer, and the shape of what comes out for a picture."""
    if layer == "pooled":
        return clip.model.encode_image, (int(clip.config["embed_dim"]),)
    visual = clip.model.visual
    _check_tokens(clip, layer)
    n_tokens, width = visual.positional_embedding.shape
    if layer.startswith("tokens"):
        by_class = layer == "tokens-by-class"
        return lambda batch: _tokens(visual, batch, by_class), (n_tokens, visual.proj.shape[1])
    block = int(layer.split("-")[1])
    if not 1 <= block <= (n_blocks := len(visual.transformer.resblocks)):
        raise UsageError(f"{clip.name} has the blocks 1 to {n_blocks}, and not {block}.")
    if layer.endswith("-mean"):
        return lambda batch: _block(visual, batch, block)[:, 1:].mean(dim=1), (width,)
    return lambda batch: _block(visual, batch, block), (n_tokens, width)


def _check_tokens(clip: ClipModel, layer: str) -> None:
    from open_clip.transformer import VisionTransformer

    visual = clip.model.visual
    plain = isinstance(visual, VisionTransformer)
    if not plain or (layer.startswith("tokens") and (visual.attn_pool is not None or visual.proj is None)):
        raise UsageError(
            f"{clip.name} has no layer {layer!r}: its image encoder "
            f"{'pools its tokens by attention' if plain else 'is no plain vision transformer'}. Take the layer pooled, "
            "or a model such as ViT-B-32 or ViT-L-14."
        )


def _tokens(visual: Any, batch: Any, by_class: bool) -> Any:
    tokens = visual.ln_post(_block(visual, batch, len(visual.transformer.resblocks))) @ visual.proj
    return tokens / tokens[:, :1].norm(dim=-1, keepdim=True) if by_class else tokens


def _block(visual: Any, batch: Any, block: int) -> Any:
    import torch

    given = visual.forward_intermediates(
        batch,
        indices=[block - 1],
        stop_early=True,
        intermediates_only=True,
        output_fmt="NLC",
        output_extra_tokens=True,
    )
    (class_token,), (patches,) = given["image_intermediates_prefix"], given["image_intermediates"]
    return torch.cat([class_token, patches], dim=1)


def _encoder(
    clip: ClipModel, run: Callable[[Any], Any], dimension: int
) -> Callable[[Sequence[Picture]], Embeddings]:
    import torch
    from PIL import Image

    device = next(clip.model.parameters()).device

    def encode(pictures: Sequence[Picture]) -> Embeddings:
        embeddings = np.empty((len(pictures), dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(pictures), _BATCH):
                some = pictures[start : start + _BATCH]
                batch = torch.stack([clip.prepare(Image.fromarray(picture)) for picture in some])
                values = run(batch.to(device)).float().cpu().numpy()
                embeddings[start : start + _BATCH] = values.reshape(len(some), dimension)
        return embeddings

    return encode
