"""A bundle with another gallery: the decoder as it is, the candidates from a lab's own pictures."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from decode_stream.bundle_path import check_out
from decode_stream.config import GalleryConfig, NsdSplit
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.target import AnyTarget
from decode_stream.replay_data.pictures.image_files import thumbnail
from decode_stream.replay_data.pictures.image_folders import PictureFile, list_pictures
from decode_stream.stream.errors import BundleError, UsageError

from .nsd_gallery import nsd_test_pictures
from .picture_embeddings import embed_pictures
from .shown_pictures import ShownPicture, of_file
from .targets import open_target

__all__ = ["gallery_labels", "make_gallery", "with_gallery"]

_THUMBNAIL_PX = 96
_MOST_NAMED = 10


def make_gallery(images: Path, config: GalleryConfig) -> int:
    """Write a bundle whose gallery is a folder's pictures, and say what it holds; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If bundle, target and pictures do not go together, or a picture cannot be read.
    """
    console = Console(stderr=True)
    bundle = load_bundle(config.bundle, weights=True)
    out = config.out or _default_out(config.bundle, images)
    check_out(out, config.overwrite)
    pictures, labels, layout, notes = _candidates(images, config.nsd_split, bundle)
    if len(pictures) < 2:
        raise UsageError(f"{images} holds one picture; a gallery needs at least two to choose from.")
    target = open_target(config.target)
    _check_space(target, bundle)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("encoding", total=len(pictures))
        embeddings, _ = embed_pictures(
            pictures,
            target,
            captions=config.captions,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
        task = bar.add_task("thumbnails", total=len(pictures))
        thumbnails = dict[str, bytes]()
        for picture in pictures:
            if picture.item is not None:
                thumbnails[picture.name] = thumbnail(picture.item.decode(picture.item.read()), _THUMBNAIL_PX)
            bar.update(task, advance=1)
    names = tuple(picture.name for picture in pictures)
    saved = save_bundle(
        with_gallery(bundle, names, embeddings, labels, thumbnails, name=_plain_name(out)),
        out,
        overwrite=config.overwrite,
    )
    for note in (*notes, *_twins(names, embeddings)):
        console.print(note, highlight=False, soft_wrap=True)
    numbers = " and the numbers of the dataset" if labels else ""
    print(
        f"{out}: {len(names)} pictures ({layout}) by {target.name}; decoder, calibration and chain are those of "
        f"{bundle.manifest.name!r}. Markers are the names{numbers}, such as {names[0]!r}; --events names others.\n"
        f"sha256 {saved.sha256}"
    )
    return 0


def _candidates(
    images: Path, nsd_split: NsdSplit | None, bundle: Bundle
) -> tuple[Sequence[ShownPicture], dict[str, str], str, Sequence[str]]:
    """Return the pictures, their names by marker label, in words what they are, and what a reader should know."""
    if nsd_split is not None:
        shown = nsd_test_pictures(images, bundle.manifest.training.subjects, nsd_split)
        return shown, {str(p.id): p.name for p in shown}, f"NSD, tested on by {nsd_split}", ()
    folder = list_pictures(images)
    return (
        [of_file(picture) for picture in folder.pictures],
        gallery_labels(folder.pictures),
        folder.layout,
        folder.notes,
    )


def with_gallery(
    bundle: Bundle,
    names: Sequence[str],
    embeddings: npt.NDArray[np.float32],
    labels: dict[str, str],
    thumbnails: dict[str, bytes],
    *,
    name: str,
) -> Bundle:
    """Return a bundle with other candidates; encoder, chain and calibration stay.

    Parameters
    ----------
    embeddings : array of shape (n_pictures, dimension), float32
        In the bundle's space, in the order of the names; its projector, if it has one, is applied to them here.
    labels : dict of str to str
        Name by marker label, on top of the names themselves.
    thumbnails : dict of str to bytes
        PNG by name.
    name : str
        The new bundle's.
    """
    manifest = bundle.manifest
    before = f"the gallery of {len(manifest.gallery)} that it was trained with"
    protocol = f"{manifest.training.protocol}; scored on {before}, not on this one of {len(names)}"
    compared = embeddings if bundle.projector is None else bundle.projector.project(embeddings)
    changed = replace(
        manifest,
        name=name,
        gallery=tuple(names),
        labels=labels,
        training=replace(manifest.training, protocol=protocol.removeprefix("; "), knows_gallery=False),
        files={},
    )
    return replace(bundle, manifest=changed, gallery=compared, thumbnails=thumbnails, sha256="")


def gallery_labels(pictures: Sequence[PictureFile]) -> dict[str, str]:
    """Return the name by the dataset's number of each picture; nothing where a number is borne twice."""
    numbers = Counter(picture.id for picture in pictures)
    if len({picture.split for picture in pictures}) > 1:
        return {}  # each split counts from 1
    return {str(p.id): p.name for p in pictures if p.id is not None and numbers[p.id] == 1}


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".zip").removesuffix(".bundle")


def _default_out(bundle: Path, images: Path) -> Path:
    """Return a path beside the bundle, of its form, with the folder's name: ``eeg-zoo.bundle.zip``."""
    plain = _plain_name(bundle)
    return bundle.with_name(f"{plain}-{images.resolve().name}{bundle.name.removeprefix(plain)}")


def _check_space(target: AnyTarget, bundle: Bundle) -> None:
    here, there = target.space, bundle.manifest.space
    parts = (
        ("model", "model"),
        ("layer", "layer"),
        ("preparation", "preparation of pictures"),
        ("dimension", "dimension"),
        ("clamp", "clamp"),
        ("norm", "norm"),
    )
    differ = [
        f"{words} {getattr(there, part)!r}, not {getattr(here, part)!r}"
        for part, words in parts
        if getattr(here, part) != getattr(there, part)
    ]
    if differ:
        raise BundleError(
            f"The decoder of {bundle.manifest.name!r} gives embeddings of another space than {target.name!r}: it was "
            f"trained on {'; '.join(differ)}. {_advice(there)}"
        )


def _advice(space: EmbeddingSpace) -> str:
    family, _, rest = space.model.partition(" ")
    clamp = "" if space.clamp is None else f"clamp-{space.clamp:g}:"
    if family == "objects":
        return f"Give --target {clamp}objects, of the part and the version that the bundle was trained with."
    if family == "open_clip":
        text = "_text" if space.layer == "text embedding" else ""
        layer = "" if space.layer in ("image embedding", "text embedding") else ":LAYER"
        model = rest.partition(" ")[0]
        return f"Give --target {clamp}open_clip{text}:{model}:WEIGHTS{layer} with the same file of weights."
    return "Give the target that the bundle was trained on, or train a bundle on this one, with decode-stream train."


def _twins(names: Sequence[str], embeddings: npt.NDArray[np.float32]) -> list[str]:
    """Return a sentence where pictures have one embedding: no decoder can tell them apart."""
    _, first, which = np.unique(embeddings, axis=0, return_index=True, return_inverse=True)
    twins = [
        f"{names[i]} = {names[first[group]]}" for i, group in enumerate(which.ravel()) if first[group] != i
    ]
    if not twins:
        return []
    shown = ", ".join(twins[:_MOST_NAMED]) + (", ..." if len(twins) > _MOST_NAMED else "")
    return [f"{len(twins)} pictures are the same as another and cannot be told from it: {shown}"]
