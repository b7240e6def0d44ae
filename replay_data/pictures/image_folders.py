"""Folders of pictures: any, and those of THINGS, THINGS-EEG2 and COCO by how their files are named.

Nothing is opened to make a list: a folder of a hundred thousand pictures is listed in seconds.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import basename, splitext

from decode_stream.replay_data.things_eeg.images import N_WITHIN, concept_name
from decode_stream.stream.errors import UsageError

from .coco_tables import coco_number
from .image_files import SUFFIXES

__all__ = ["PictureFile", "PictureFolder", "list_pictures"]

_THINGS_FILE = re.compile(r"(.+)_(\d+)[a-z]{1,2}")  # aardvark_01b, aircraft_carrier_06s
_EEG2_FOLDER = re.compile(r"(\d{5})_.+")  # 00001_aardvark
_EEG2_SPLITS = {"training_images": "train", "train_images": "train", "test_images": "test"}
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture in a folder.

    Attributes
    ----------
    path : Path
    image : str
        The file relative to the folder, with ``/`` between the parts.
    name : str
        What tells it from the others: its file's name, with its folders where that alone does not.
    concept : str or None
        What it shows, where the folder says so.
    split : str or None
        ``train`` or ``test``, where the folder says so.
    id : int or None
        Its number, where its dataset gives it one: THINGS-EEG2 counts from 1 in each split, COCO has numbers for names.
    """

    path: Path
    image: str
    name: str
    concept: str | None = None
    split: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """What a folder of pictures holds.

    Attributes
    ----------
    layout : str
        In words: ``THINGS-EEG2``, ``THINGS``, ``COCO`` or ``folder of pictures``.
    pictures : tuple of PictureFile
        By folder and name.
    notes : tuple of str
        What a reader should know: files left aside, names that had to be made longer.
    """

    root: Path
    layout: str
    pictures: tuple[PictureFile, ...]
    notes: tuple[str, ...] = ()


def list_pictures(root: Path) -> PictureFolder:
    """List the pictures in a folder and all folders below it; hidden ones are passed over.

    Raises
    ------
    UsageError
        If it is no folder, cannot be entered, or holds no picture.
    """
    if not root.is_dir():
        what = "is a file, not a folder of pictures" if root.exists() else "does not exist"
        raise UsageError(f"{root} {what}. Give the folder that holds the pictures.")
    images, others = _files(root)
    if not images:
        raise UsageError(
            f"{root} holds no pictures ({', '.join(sorted(SUFFIXES))}), and {sum(others.values())} other files. Give "
            "the folder that holds the pictures; a .zip must be unpacked first."
        )
    notes = []
    if others:
        kinds = ", ".join(f"{n} {suffix or 'without ending'}" for suffix, n in sorted(others.items()))
        notes.append(f"{sum(others.values())} files are no pictures and are left aside: {kinds}")
    bare = [PictureFile(root / image, image, image) for image in images]
    layout, known = next(
        (layout, known)
        for layout, recognise in _LAYOUTS.items()
        if (known := recognise(root.resolve(), bare))
    )
    named, longer = _named(known)
    if longer:
        shown = ", ".join(longer[:_MOST_NAMED]) + (", ..." if len(longer) > _MOST_NAMED else "")
        notes.append(f"{len(longer)} names are borne by several files and go with their folders: {shown}")
    return PictureFolder(root, layout, named, tuple(notes))


def _files(root: Path) -> tuple[list[str], Counter[str]]:
    """Return the pictures below a folder, relative to it and in order, and how many other files of which kind."""

    def refuse(error: OSError) -> None:
        raise UsageError(
            f"{error.filename} cannot be read: {error.strerror}. Check who may read it."
        ) from error

    images, others = list[str](), Counter[str]()
    for folder, below, files in os.walk(root, onerror=refuse):
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        inside = Path(folder).relative_to(root).as_posix()
        for name in sorted(files):
            suffix = splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if suffix in SUFFIXES:
                images.append(name if inside == "." else f"{inside}/{name}")
            else:
                others[suffix] += 1
    return images, others


def _folders(root: Path, picture: PictureFile) -> tuple[str, str]:
    """Return the names of the folder that a picture lies in and of the one above, be they above the root."""
    # Strings, not paths: this is asked of every picture there is.
    parts = picture.image.split("/")[-3:-1]
    whole = [root.parent.name, root.name, *parts]
    return whole[-1], whole[-2]


def _things_eeg2(root: Path, bare: Sequence[PictureFile]) -> list[PictureFile]:
    """Know ``training_images/00001_aardvark/aardvark_01b.jpg`` from the split, the concept or the whole set up."""
    known, numbers = [], list[int]()
    for picture in bare:
        folder, above = _folders(root, picture)
        found = _EEG2_FOLDER.fullmatch(folder)
        if found is None or above not in _EEG2_SPLITS:
            return []
        known.append(replace(picture, concept=concept_name(folder), split=_EEG2_SPLITS[above]))
        numbers.append(int(found[1]))
    return _numbered(known, numbers)


def _numbered(pictures: Sequence[PictureFile], concepts: Sequence[int]) -> list[PictureFile]:
    """Give the numbers that follow from those of the concepts, where a concept's pictures are complete."""
    groups = [(picture.split, concept) for picture, concept in zip(pictures, concepts, strict=True)]
    held, seen = Counter(groups), Counter[tuple[str | None, int]]()
    numbered = []
    for picture, group in zip(pictures, groups, strict=True):
        seen[group] += 1
        within = N_WITHIN[group[0] or "test"]
        number = within * (group[1] - 1) + seen[group]
        numbered.append(replace(picture, id=number if held[group] == within else None))
    return numbered


def _things(root: Path, bare: Sequence[PictureFile]) -> list[PictureFile]:
    """Know ``object_images/aardvark/aardvark_01b.jpg``."""
    known = []
    for picture in bare:
        folder, _ = _folders(root, picture)
        found = _THINGS_FILE.fullmatch(_stem(picture))
        if found is None or found[1] != folder:
            return []
        known.append(replace(picture, concept=folder))
    return known


def _coco(root: Path, bare: Sequence[PictureFile]) -> list[PictureFile]:
    """Know ``train2017/000000000009.jpg``, whose name is its number."""
    known = []
    for picture in bare:
        number = coco_number(picture.image)
        if number is None:
            return []
        known.append(replace(picture, id=number))
    return known


def _any(root: Path, bare: Sequence[PictureFile]) -> list[PictureFile]:
    """Take every picture, and for what it shows the name of its folder, where there are folders."""
    return [replace(p, concept=_folders(root, p)[0] if "/" in p.image else None) for p in bare]


def _stem(picture: PictureFile) -> str:
    return splitext(basename(picture.image))[0]


#: Particular before general.
_LAYOUTS: dict[str, Callable[[Path, Sequence[PictureFile]], list[PictureFile]]] = {
    "THINGS-EEG2": _things_eeg2,
    "THINGS": _things,
    "COCO": _coco,
    "folder of pictures": _any,
}


def _named(pictures: Sequence[PictureFile]) -> tuple[tuple[PictureFile, ...], list[str]]:
    """Name each picture as briefly as it differs, and say which brief names several files bear."""
    brief = [_stem(picture) for picture in pictures]
    longer = [splitext(picture.image)[0] for picture in pictures]
    stems, without_suffix = Counter(brief), Counter(longer)
    names = [
        picture.image if without_suffix[long] > 1 else long if stems[stem] > 1 else stem
        for picture, stem, long in zip(pictures, brief, longer, strict=True)
    ]
    if len(set(names)) < len(names):  # a.png.jpg beside a.png and a.jpg
        names = [picture.image for picture in pictures]
    named = tuple(replace(picture, name=name) for picture, name in zip(pictures, names, strict=True))
    return named, sorted(stem for stem, n in stems.items() if n > 1)
