"""What a bundle decodes of structure, and how the same is seen in a drawn picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoded import Decoded
from decode_stream.decoders.generation.condition import PictureModel
from decode_stream.decoders.generation.embedding_belief import EmbeddingPosterior
from decode_stream.decoders.generation.guidance import Structure
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.targets.selection import best_decoded
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import IntArray

from .config import RefineConfig

__all__ = ["DecodedStructure", "decoded_structure", "layout_structure", "structure_of"]

_COLOURS, _CLIP, _LATENTS = "colour layout", "open_clip ", "vae "


@dataclass(frozen=True, slots=True, eq=False)
class DecodedStructure:
    """What leads one picture, and where it starts.

    Attributes
    ----------
    structure : Structure
        Of one picture.
    latents : array of shape (1, channels, height, width), float32, or None
        Where the second head decodes those of an autoencoder.
    words : str
        What leads it.
    """

    structure: Structure
    latents: npt.NDArray[np.float32] | None
    words: str


def decoded_structure(decoded: Decoded, encoder: Encoder, trials: IntArray) -> npt.NDArray[np.float32]:
    """Return what the second head gives of whole trials, shape (n, structure_dim).

    Of the last window where they grow, else the mean over them, as its well decoded numbers were chosen.
    """
    manifest = decoded.bundle.manifest
    assert decoded.windows is not None
    latencies = np.array([manifest.schedule.latency_s(k) for k in range(manifest.n_latencies)], np.float32)
    which = slice(-1, None) if manifest.calibration.growing else slice(None)
    rows = []
    for trial in trials:
        windows = np.ascontiguousarray(decoded.windows[trial][which])
        rows.append(encoder.encode_both(windows, latencies[which])[1].mean(axis=0))
    return np.stack(rows)


def structure_of(
    bundle: Bundle,
    found: npt.NDArray[np.float32] | None,
    posterior: EmbeddingPosterior,
    pictures: PictureModel,
    config: RefineConfig,
) -> DecodedStructure:
    """Return what leads the picture of one trial.

    Parameters
    ----------
    found : array of shape (structure_dim,), float32, or None
        What the second head gave; None where there is none.
    posterior : EmbeddingPosterior
        Whose layout leads the picture where there is no second head, or one of latents.

    Raises
    ------
    UsageError
        If the second head decodes something else than the flags say, or that cannot be seen in a picture, or nothing
        tells of structure.
    """
    space = bundle.manifest.structure
    if config.shallow is not None and (space is None or not space.model.startswith(_CLIP)):
        raise UsageError(
            f"--shallow is for a bundle whose second head decodes a layer of CLIP; that of {bundle.manifest.name!r} "
            f"decodes {space.model if space else 'nothing'}. Leave it out."
        )
    if (space is None or space.model.startswith(_LATENTS)) and not pictures.layout.weight.any():
        raise UsageError(
            f"The embeddings of {bundle.manifest.name!r} do not tell where colours are, so that nothing would lead the "
            "pictures. Give a bundle with a second head: train --structure colour-layout, or a shallow layer."
        )
    if space is None or found is None:
        return DecodedStructure(
            layout_structure(posterior, pictures, config.share),
            None,
            f"the layout, {config.share:.0%} of its numbers",
        )
    if space.model.startswith(_LATENTS):
        latents = found.reshape(1, *space.shape)
        return DecodedStructure(
            layout_structure(posterior, pictures, config.share), latents, "latents, then the layout"
        )
    mask = np.ones(space.dimension, np.bool_) if bundle.features is None else bundle.features
    if space.model == _COLOURS:
        from decode_stream.decoders.targets.colour_layout import differentiable_layout

        features = differentiable_layout(space.shape[0])
    elif space.model.startswith(_CLIP):
        features = _shallow(bundle, config)
    else:
        raise UsageError(
            f"The second head of {bundle.manifest.name!r} decodes {space.model} {space.layer}, which is not seen in a "
            "picture by torch. Train with --structure colour-layout, open_clip:MODEL:WEIGHTS:block-K or vae:FOLDER."
        )
    words = f"{space.model} {space.layer}, {int(mask.sum())} of {len(mask)} numbers"
    return DecodedStructure(Structure(features, found[None], mask), None, words)


def layout_structure(posterior: EmbeddingPosterior, pictures: PictureModel, share: float) -> Structure:
    """Return the layout that an embedding is believed to hold, led by the numbers of it that are known best.

    Parameters
    ----------
    share : float
        Of the numbers, those of which the most variance over pictures is settled.
    """
    import torch

    layout = pictures.layout
    rows, columns = layout.rows, layout.columns
    settled = 1 - layout.variances(posterior.covariance(pictures)) / np.maximum(
        layout.variances(pictures.covariance), 1e-30
    )
    wanted = layout.layout(posterior.mean[None]).reshape(1, -1)

    def features(drawn: torch.Tensor) -> torch.Tensor:
        cells = torch.nn.functional.adaptive_avg_pool2d(drawn, (rows, columns))
        return cells.permute(0, 2, 3, 1).flatten(1)

    return Structure(features, wanted, best_decoded(settled, share))


def _shallow(bundle: Bundle, config: RefineConfig) -> Callable[[Any], Any]:
    from decode_stream.decoders.targets.open_clip_images import differentiable_layer, image_target
    from decode_stream.decoders.targets.open_clip_models import load_clip, split_name

    space = bundle.manifest.structure
    assert space is not None
    if config.shallow is None:
        raise UsageError(
            f"{bundle.manifest.name!r} decodes {space.model}, {space.layer}. Say where its weights lie: "
            "--shallow open_clip:MODEL:WEIGHTS:block-K"
        )
    model, weights, layer = split_name(config.shallow)
    clip = load_clip(model, weights)
    given = image_target(config.shallow, clip, layer).space
    if given != space:
        raise UsageError(
            f"--shallow gives {given.model}, {given.layer}, and {bundle.manifest.name!r} decodes {space.model}, "
            f"{space.layer}. Give the weights and the layer that it was trained with."
        )
    return differentiable_layer(clip, layer)
