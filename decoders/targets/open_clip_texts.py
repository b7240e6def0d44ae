"""The text encoders of open_clip as targets: what is said about a picture."""

from collections.abc import Callable, Sequence

import numpy as np

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import UsageError

from .open_clip_images import image_target
from .open_clip_models import ClipModel, load_clip, split_name
from .target import Embeddings, TextTarget

__all__ = ["open_clip_text_target"]

_BATCH = 64


def open_clip_text_target(name: str) -> TextTarget:
    """Return the text encoder of an open_clip model: its text embedding, not normalised.

    Parameters
    ----------
    name : str
        ``open_clip_text:MODEL:WEIGHTS`` with the path of a file of weights; see `load_clip`.

    Raises
    ------
    UsageError
        If the library or the file is missing, the model is unknown or splits words by a table that would have to be
        downloaded, or the weights are not the model's.
    """
    model_name, weights, layer = split_name(name)
    if layer != "pooled":
        raise UsageError(f"--target is {name!r}; texts have the layer pooled alone.")
    clip = load_clip(model_name, weights)
    if "hf_tokenizer_name" in clip.config["text_cfg"]:
        raise UsageError(
            f"{model_name} splits texts into words by a table on the Hugging Face hub, and nothing is downloaded here. "
            "Choose a model without, such as ViT-B-32 or ViT-L-14."
        )
    space = EmbeddingSpace(clip.name, "text embedding", int(clip.config["embed_dim"]))
    scale = float(clip.model.logit_scale.detach().exp().cpu())
    return TextTarget(
        name, space, _encoder(clip, model_name, space.dimension), image_target(name, clip), scale
    )


def _encoder(clip: ClipModel, model_name: str, dimension: int) -> Callable[[Sequence[str]], Embeddings]:
    import open_clip
    import torch

    split = open_clip.get_tokenizer(model_name)
    device = next(clip.model.parameters()).device

    def encode(texts: Sequence[str]) -> Embeddings:
        embeddings = np.empty((len(texts), dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                some = list(texts[start : start + _BATCH])
                values = clip.model.encode_text(split(some).to(device))
                embeddings[start : start + _BATCH] = values.float().cpu().numpy()
        return embeddings

    return encode
