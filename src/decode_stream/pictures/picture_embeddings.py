"""From recordings to what their decoder is to give: an embedding of every picture that was shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.cache import Item, Progress, cached, default_cache
from decode_stream.decoders.targets.captions import CaptionEmbeddings, concept_sentences, vet
from decode_stream.decoders.targets.target import (
    AnyTarget,
    Embeddings,
    Picture,
    StoredTarget,
    Target,
    TextTarget,
)
from decode_stream.replay_data.pictures.coco_tables import coco_captions, coco_number
from decode_stream.replay_data.pictures.image_files import thumbnail
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

from .file_index import FileIndex
from .shown_pictures import ShownPicture, shown_pictures, some_names

__all__ = ["PictureEmbeddings", "captions_of", "embed_pictures", "look_for_pictures", "picture_embeddings"]


def _quiet(done: int, of: int) -> None:
    """Tell nobody how many are done."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureEmbeddings:
    """The pictures that recordings showed, each once, with their embeddings.

    Attributes
    ----------
    names : tuple of str
        What tells the pictures apart.
    embeddings : array of shape (n_pictures, dimension), float32
        Mapped from a temporary file where they were not stored ones. Of texts, the mean of a picture's captions.
    space : EmbeddingSpace
    rows_by_recording : tuple of array of shape (n_stimuli,), int64
        For each recording, the picture of each row of its table of stimuli; -1 where no picture is told of: targets,
        catch trials, rows without number and file.
    pictures : tuple of ShownPicture
        In the order of the names: files, concepts, numbers.
    captions : CaptionEmbeddings or None
        Of a target of texts, all captions that were kept, to draw one at every step.
    """

    names: tuple[str, ...]
    embeddings: Embeddings
    space: EmbeddingSpace
    rows_by_recording: tuple[IntArray, ...]
    pictures: tuple[ShownPicture, ...]
    captions: CaptionEmbeddings | None = None

    def thumbnail(self, row: int, side_px: int) -> bytes | None:
        """Return a picture as a small PNG; None where the picture itself is not here.

        Raises
        ------
        UsageError
            If it cannot be read.
        """
        item = self.pictures[row].item
        return None if item is None else thumbnail(item.decode(item.read()), side_px)


def picture_embeddings(
    recordings: Sequence[Recording],
    target: AnyTarget,
    images: Path | None,
    *,
    near: Sequence[Path] = (),
    captions: Path | None = None,
    cache: Path | None = None,
    progress: Progress = _quiet,
) -> PictureEmbeddings:
    """Return the embeddings of the pictures that recordings showed.

    Parameters
    ----------
    recordings : sequence of Recording
    target : Target, TextTarget or StoredTarget
        See `decode_stream.pictures.targets.open_target`.
    images : Path or None
        The folder of the pictures, or NSD's file of them; by default what lies with the recordings.
    near : sequence of Path
        The recordings' files, where pictures are looked for.
    captions : Path or None
        For a target of texts; see `captions_of`.
    cache : Path or None
        Where embeddings are kept, by default `default_cache`.
    progress : callable
        Is told how many pictures are done, and of how many.

    Raises
    ------
    UsageError
        If nothing tells which pictures were shown, or a picture, its stored embedding or its caption is missing; the
        first of them are named.
    """
    shown = shown_pictures(recordings, images, near)
    embeddings, kept = embed_pictures(
        shown.pictures, target, captions=captions, cache=cache, progress=progress
    )
    names = tuple(picture.name for picture in shown.pictures)
    return PictureEmbeddings(names, embeddings, target.space, shown.rows, shown.pictures, kept)


def look_for_pictures(
    recordings: Sequence[Recording],
    target: AnyTarget,
    images: Path | None,
    *,
    near: Sequence[Path] = (),
    captions: Path | None = None,
) -> None:
    """Refuse what `picture_embeddings` would refuse, without embedding anything.

    Raises
    ------
    UsageError
        As `picture_embeddings`.
    """
    pictures = shown_pictures(recordings, images, near).pictures
    if isinstance(target, StoredTarget):
        _stored_rows(pictures, target)
    elif isinstance(target, Target):
        _items(pictures)
    else:
        captions_of(pictures, captions)


def embed_pictures(
    pictures: Sequence[ShownPicture],
    target: AnyTarget,
    *,
    captions: Path | None = None,
    cache: Path | None = None,
    progress: Progress = _quiet,
) -> tuple[Embeddings, CaptionEmbeddings | None]:
    """Return the embeddings of pictures, and of a target of texts all captions that were kept.

    Parameters
    ----------
    captions, cache, progress
        See `picture_embeddings`.

    Returns
    -------
    array of shape (n_pictures, dimension), float32
    CaptionEmbeddings or None

    Raises
    ------
    UsageError
        If a picture, its stored embedding or its caption is missing.
    """
    folder = default_cache() if cache is None else cache
    if isinstance(target, StoredTarget):
        return target.embeddings[_stored_rows(pictures, target)], None
    if isinstance(target, Target):
        return cached(folder, target.space, _items(pictures), target.encode, progress), None
    kept = _caption_embeddings(pictures, target, captions_of(pictures, captions), folder, progress)
    return kept.mean(), kept


def _items(pictures: Sequence[ShownPicture]) -> list[Item[Picture]]:
    items = [picture.item for picture in pictures if picture.item is not None]
    if len(items) < len(pictures):
        raise UsageError(
            f"The {len(pictures)} pictures that were shown are not with the recordings. Give their folder with "
            "--images."
        )
    return items


def _stored_rows(pictures: Sequence[ShownPicture], target: StoredTarget) -> IntArray:
    """Return the row of each picture, by its file, its name or its number."""
    stored = list(target.by_name)
    index = FileIndex(stored)
    rows, missing = list[int](), list[str]()
    for picture in pictures:
        row = target.by_name.get(picture.name)
        for image in filter(None, (picture.image, picture.name)):
            if row is None and (place := index.find(image)) is not None:
                row = target.by_name[stored[place]]
        if row is None and picture.id is not None:
            row = target.by_id.get((picture.split, picture.id), target.by_id.get((None, picture.id)))
        if row is None:
            missing.append(picture.image or picture.name)
        else:
            rows.append(row)
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(pictures)} pictures have no row in {target.name.removeprefix('file:')}: "
            f"{some_names(missing)}. Add them there; rows go by the picture's file name or its number in the dataset."
        )
    return np.array(rows, np.int64)


def captions_of(pictures: Sequence[ShownPicture], captions: Path | None) -> list[tuple[str, ...]]:
    """Return the texts of each picture.

    Parameters
    ----------
    captions : Path or None
        COCO's ``captions_*.json``, or a folder of them: pictures are found there by the number in their file's name.
        Without it the text is a sentence of the picture's concept.

    Raises
    ------
    UsageError
        If a picture has neither.
    """
    if captions is None:
        if missing := [picture.name for picture in pictures if not picture.concept]:
            raise UsageError(
                f"Nothing is said about {len(missing)} of {len(pictures)} pictures: {some_names(missing)}. Give COCO's "
                "captions with --captions, or recordings that name what their pictures show."
            )
        return [(sentence,) for sentence in concept_sentences([picture.concept for picture in pictures])]
    files = sorted(captions.glob("captions_*.json")) if captions.is_dir() else [captions]
    table = dict[int, tuple[str, ...]]()
    for file in files:
        table |= coco_captions(file)
    found = [table.get(_number(picture), ()) for picture in pictures]
    if missing := [p.image or p.name for p, texts in zip(pictures, found, strict=True) if not any(texts)]:
        raise UsageError(
            f"{captions} has no caption for {len(missing)} of {len(pictures)} pictures: {some_names(missing)}. "
            "Pictures of NSD come from train2017 and from val2017: give the folder of captions_*.json of both."
        )
    return [tuple(filter(None, texts)) for texts in found]


def _number(picture: ShownPicture) -> int:
    """Return COCO's number of a picture, -1 where its file does not say it."""
    number = coco_number(picture.image)
    return -1 if number is None else number


def _caption_embeddings(
    pictures: Sequence[ShownPicture],
    target: TextTarget,
    texts: Sequence[tuple[str, ...]],
    cache: Path,
    progress: Progress,
) -> CaptionEmbeddings:
    items = [Item(text.encode, bytes.decode) for some in texts for text in some]
    # What the two encoders are compared by is never clamped; the captions that are kept are, then.
    raw = cached(cache, replace(target.space, clamp=None), items, target.raw, progress)
    counts = [len(some) for some in texts]
    if max(counts, default=1) > 1:
        seen = cached(cache, target.pictures.space, _items(pictures), target.pictures.encode, progress)
    else:  # a single caption is the best one
        seen = np.zeros((len(pictures), target.space.dimension), np.float32)
    return vet(seen, raw, counts, target.logit_scale, target.space.clamp)
