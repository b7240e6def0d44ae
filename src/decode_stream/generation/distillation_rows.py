"""What a student learns from: pictures, or embeddings whose pictures its teacher draws; each is encoded once."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from decode_stream.decoders.distillation.conditioning import NEUTRAL_COLOUR
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.cache import Item, Progress, cached, default_cache
from decode_stream.decoders.targets.target import Embeddings, StoredTarget, Target, TextTarget
from decode_stream.decoders.targets.vae_latents import vae_target
from decode_stream.pictures.picture_embeddings import embed_pictures
from decode_stream.pictures.shown_pictures import ShownPicture, of_file
from decode_stream.pictures.stored_target import stored_target
from decode_stream.pictures.targets import open_target
from decode_stream.replay_data.pictures.image_folders import list_pictures
from decode_stream.stream.errors import UsageError

__all__ = ["Conditions", "Draw", "conditions", "drawn_latents", "picture_latents"]

#: Takes embeddings and noise and returns the latents that the teacher draws.
Draw = Callable[[Tensor, Tensor], Tensor]
_AT_ONCE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """The embeddings that a student is conditioned on in training.

    Attributes
    ----------
    embeddings : array of shape (n, ``space.dimension``), float32
    space : EmbeddingSpace
    neutral : array of shape (``space.dimension``,), float32, or None
        Embedding of a picture in one colour that says nothing, where pictures can be embedded.
    """

    embeddings: Embeddings
    space: EmbeddingSpace
    neutral: Embeddings | None


def conditions(source: Path, target_name: str | None, progress: Progress) -> Conditions:
    """Return the embeddings to train on.

    Parameters
    ----------
    source : Path
        A folder of pictures, or a file of embeddings as ``--target file:PATH`` takes it.
    target_name : str or None
        Pictures: what embeds them. A target that gives what a ridge regression or a prior decoded of each picture, as
        ``file:PATH``, trains the student on embeddings of that kind.

    Raises
    ------
    UsageError
        If there is no such folder or file, or the embeddings cannot be had.
    """
    if not source.exists():
        raise UsageError(f"There is no {source}. Give a folder of pictures, or a file of embeddings.")
    if source.is_file():
        if target_name is not None:
            raise UsageError(
                f"{source} holds embeddings; --target embeds pictures. Leave it out, or give a folder of pictures."
            )
        stored = stored_target(f"file:{source}")
        return Conditions(stored.embeddings, stored.space, None)
    if target_name is None:
        raise UsageError(
            "Pictures need --target, which says what embeds them: the encoder that the pipeline was trained with, such "
            "as open_clip:ViT-H-14:WEIGHTS, or file:PATH for embeddings computed elsewhere."
        )
    target = open_target(target_name)
    if isinstance(target, TextTarget):
        raise UsageError(
            "--target embeds captions, which folders of pictures do not have. Give an image encoder, or file:PATH with "
            "the captions' embeddings."
        )
    embeddings, _ = embed_pictures(_pictures(source), target, progress=progress)
    return Conditions(embeddings, target.space, _neutral(target))


def _neutral(target: Target | StoredTarget) -> Embeddings | None:
    if isinstance(target, StoredTarget):
        return None
    picture = np.full((64, 64, 3), NEUTRAL_COLOUR, np.uint8)
    embeddings: Embeddings = target.encode([picture])[0]
    return embeddings


def picture_latents(source: Path, autoencoder: Path, side_px: int, progress: Progress) -> Embeddings:
    """Return the latents of a folder's pictures, shape (n, channels, height, width), float32.

    Raises
    ------
    UsageError
        If a picture cannot be read, or the side does not suit the autoencoder.
    """
    target = vae_target(f"vae:{autoencoder}:{side_px}")
    latents, _ = embed_pictures(_pictures(source), target, progress=progress)
    return latents.reshape(-1, *target.space.shape)


def _pictures(source: Path) -> list[ShownPicture]:
    return [of_file(file) for file in list_pictures(source).pictures]


def drawn_latents(
    embeddings: Embeddings,
    shape: Sequence[int],
    draw: Draw,
    identity: str,
    device: torch.device,
    progress: Progress,
) -> Embeddings:
    """Return latents that the teacher draws of embeddings, shape (n, *shape), float32.

    What an embedding is drawn from is decided by its own numbers, so that it does not matter which others there are,
    and a run that was ended goes on where it stopped.

    Parameters
    ----------
    shape : sequence of int
        Channels, height and width of a latent.
    draw : callable
    identity : str
        What tells this teacher and way of drawing from others.
    """
    space = EmbeddingSpace(identity, "latents drawn", prod(shape), shape=tuple(shape))

    def encode(rows: Sequence[Embeddings]) -> Embeddings:
        parts = []
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            noise = torch.stack([_noise(row, shape) for row in some]).to(device)
            given = torch.from_numpy(np.stack(some)).to(device)
            parts.append(draw(given, noise).float().cpu().numpy().reshape(len(some), -1))
        return np.concatenate(parts)

    items = [_item(row) for row in embeddings]
    latents = cached(default_cache(), space, items, encode, progress)
    return latents.reshape(-1, *shape)


def _item(row: Embeddings) -> Item[Embeddings]:
    return Item(row.tobytes, lambda held: np.frombuffer(held, np.float32).copy())


def _noise(row: Embeddings, shape: Sequence[int]) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:7], "little")
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
