"""Which pictures recordings showed, and where they lie: in a folder, in NSD's one file, or nowhere here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from decode_stream.decoders.targets.cache import Item
from decode_stream.decoders.targets.target import Picture
from decode_stream.replay_data.nsd.pictures import PICTURES, nsd_picture
from decode_stream.replay_data.pictures.image_files import decode_picture
from decode_stream.replay_data.pictures.image_folders import PictureFile, list_pictures
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

from .file_index import FileIndex, name_parts

__all__ = ["ShownPicture", "ShownPictures", "find_pictures", "of_file", "shown_pictures", "some_names"]

#: Folders that datasets keep their pictures in, and how many folders above a recording they may lie.
_NEAR = ("image_set", "Image_set", "Image_set_Resize", "images_set", "object_images", "stimuli")
_MOST_LEVELS = 7
#: Presentations of these belong to the task, not to the pictures.
_NO_PICTURE = frozenset({"target", "catch"})
_MOST_NAMED = 5
_SHAPE_BYTES = 12


@dataclass(frozen=True, slots=True, eq=False)
class ShownPicture:
    """A picture that was shown.

    Attributes
    ----------
    name : str
        What tells it from the others.
    image : str
        Its file as the recording has it, or in its folder; empty where neither says.
    concept : str
        What it shows; empty where nothing says so.
    split, id : str or None, int or None
        Its number in the recording's dataset, else in that of the folder, and what part of it counts so.
    item : Item or None
        Where it lies; None where no pictures are here.
    """

    name: str
    image: str = ""
    concept: str = ""
    split: str | None = None
    id: int | None = None
    item: Item[Picture] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ShownPictures:
    """The pictures of recordings, each once.

    Attributes
    ----------
    pictures : tuple of ShownPicture
        By folder and name, or by number.
    rows : tuple of array of shape (n_stimuli,), int64
        For each recording, the place among `pictures` of each row of its table of stimuli; -1 where no picture is
        told of: targets and catch trials, and rows without number and file.
    """

    pictures: tuple[ShownPicture, ...]
    rows: tuple[IntArray, ...]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a recording says of a picture."""

    image: str
    split: str | None
    id: int | None
    label: str

    def __str__(self) -> str:
        number = "" if self.id is None else f"{self.split or ''} picture {self.id}".strip()
        return self.image or number or repr(self.label)


def shown_pictures(
    recordings: Sequence[Recording], images: Path | None, near: Sequence[Path] = ()
) -> ShownPictures:
    """Return the pictures that recordings showed.

    Parameters
    ----------
    recordings : sequence of Recording
    images : Path or None
        The folder of the pictures, ``nsd_stimuli.hdf5``, or NSD's own folder; by default what `find_pictures` finds.
    near : sequence of Path
        The recordings' files.

    Raises
    ------
    UsageError
        If nothing tells which pictures were shown, or one is not there.
    """
    images = images or find_pictures(near)
    told = [_told(recording) for recording in recordings]
    distinct = list(dict.fromkeys(entry for entries in told for entry, _ in entries if entry is not None))
    if not distinct:
        raise UsageError(
            f"{', '.join(r.name for r in recordings)}: nothing tells which pictures were shown. Markers must be "
            "numbers or names of pictures, or a table of the dataset must name them; see decode-stream inspect."
        )
    concepts = {entry: concept for entries in told for entry, concept in entries if entry and concept}
    if images is None:
        held = _nowhere(distinct)
    elif (brick := _nsd_file(images)) is not None:
        held = _in_nsd(distinct, brick)
    else:
        held = _in_folder(distinct, images)
    pictures, place_of = _once(held, distinct)
    named = [
        replace(pictures[i], concept=pictures[i].concept or concept) if concept else pictures[i]
        for i, concept in enumerate(_first(concepts, distinct, place_of, len(pictures)))
    ]
    rows = [
        np.array([-1 if entry is None else place_of[entry] for entry, _ in entries], np.int64)
        for entries in told
    ]
    return ShownPictures(tuple(named), tuple(rows))


def find_pictures(near: Sequence[Path]) -> Path | None:
    """Return the folder of pictures that lies with recordings as their dataset has it, or None.

    Parameters
    ----------
    near : sequence of Path
        The recordings' files or folders.
    """
    for path in near:
        here = path.expanduser().resolve()
        for folder in [here, *here.parents][:_MOST_LEVELS]:
            if (folder / PICTURES).is_file():
                return folder
            for name in _NEAR:
                if (folder / name).is_dir():
                    return folder / name
    return None


def of_file(picture: PictureFile) -> ShownPicture:
    """Return a picture of a folder."""
    item = Item(lambda: _bytes_of(picture.path), lambda held: decode_picture(held, picture.path))
    return ShownPicture(picture.name, picture.image, picture.concept or "", picture.split, picture.id, item)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}. Copy it again.") from error


def _told(recording: Recording) -> list[tuple[_Told | None, str]]:
    """Return what each row of a recording's stimuli says of its picture, if it does, and of its concept."""
    table = recording.stimuli
    n = len(table)
    images = [""] * n if table.image is None else table.image.tolist()
    splits = [None] * n if table.split is None else table.split.tolist()
    ids = [None] * n if table.id is None else [i if i >= 0 else None for i in table.id.tolist()]
    concepts = [""] * n if table.concept is None else table.concept.tolist()
    # Where markers are all there is, they may be the pictures' names.
    bare = table.id is None and table.image is None and len(recording.markers) == n
    labels = [label for _, label in recording.markers] if bare else [""] * n
    told = list[tuple[_Told | None, str]]()
    for image, split, number, label, concept in zip(images, splits, ids, labels, concepts, strict=True):
        known = split not in _NO_PICTURE and (image or number is not None or label)
        told.append((_Told(image, split or None, number, label) if known else None, concept))
    return told


def _nsd_file(images: Path) -> Path | None:
    if images.suffix.lower() in (".hdf5", ".h5"):
        return images
    return images / PICTURES if (images / PICTURES).is_file() else None


# In the order of what was told: the picture, and its place among all there are.
_Held = list[tuple[int, ShownPicture]]


def _in_nsd(distinct: Sequence[_Told], path: Path) -> _Held:
    def item(number: int) -> Item[Picture]:
        def read() -> bytes:
            picture = nsd_picture(path, number)
            return np.array(picture.shape, np.int32).tobytes() + picture.tobytes()

        return Item(read, _of_bytes)

    if unknown := [entry for entry in distinct if entry.id is None]:
        raise _missing(unknown, distinct, path, "NSD's pictures go by number.")
    return [
        (entry.id, ShownPicture(f"nsd{entry.id:05}", entry.image, "", entry.split, entry.id, item(entry.id)))
        for entry in distinct
        if entry.id is not None
    ]


def _of_bytes(held: bytes) -> Picture:
    height, width, n_colours = np.frombuffer(held[:_SHAPE_BYTES], np.int32)
    return np.frombuffer(held[_SHAPE_BYTES:], np.uint8).reshape(height, width, n_colours)


def _in_folder(distinct: Sequence[_Told], folder: Path) -> _Held:
    files = list_pictures(folder).pictures
    index = FileIndex([file.image for file in files])
    by_number = {(file.split, file.id): i for i, file in enumerate(files) if file.id is not None}
    by_name = {file.name: i for i, file in enumerate(files)}
    # A name without its folder is enough only while it tells the pictures shown apart.
    names = Counter(name_parts(entry.image)[-1] for entry in distinct)
    held, missing = _Held(), list[_Told]()
    for entry in distinct:
        place = index.find(entry.image) if entry.image else None
        if place is not None and "/" not in files[place].image and names[name_parts(entry.image)[-1]] > 1:
            place = None
        if place is None and not entry.image and entry.id is not None:
            place = by_number.get((entry.split, entry.id))
        if place is None and entry.label:
            place = by_name.get(entry.label)
        if place is None:
            missing.append(entry)
        else:
            picture = of_file(files[place])
            if entry.id is not None:  # as the recording's dataset counts, not the folder's
                picture = replace(picture, split=entry.split, id=entry.id)
            held.append((place, picture))
    if missing:
        raise _missing(missing, distinct, folder, "Give the folder that holds all of them.")
    return held


def _nowhere(distinct: Sequence[_Told]) -> _Held:
    """Name pictures that are not here: their embeddings may be."""
    stems = Counter(name_parts(entry.image)[-1] for entry in distinct if entry.image)

    def name(entry: _Told) -> str:
        if entry.image:
            parts = name_parts(entry.image)
            return parts[-1] if stems[parts[-1]] == 1 else "/".join(parts)
        return entry.label if entry.id is None else "-".join(filter(None, [entry.split, str(entry.id)]))

    first = dict[str, int]()
    return [
        (
            first.setdefault(name(entry), place),
            ShownPicture(name(entry), entry.image, "", entry.split, entry.id),
        )
        for place, entry in enumerate(distinct)
    ]


def _missing(missing: Sequence[_Told], distinct: Sequence[_Told], where: Path, advice: str) -> UsageError:
    return UsageError(
        f"{len(missing)} of {len(distinct)} pictures that were shown are not in {where}, or cannot be told apart "
        f"there: {some_names(list(map(str, missing)))}. {advice}"
    )


def some_names(names: Sequence[str]) -> str:
    """Return the first of many names for a message: ``a, b and 12 more``."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _once(held: _Held, distinct: Sequence[_Told]) -> tuple[list[ShownPicture], dict[_Told, int]]:
    """Return each picture once, in the order of their places, and which of them each entry told of."""
    pictures = dict(sorted(held, key=lambda one: one[0]))
    place = {key: i for i, key in enumerate(pictures)}
    return list(pictures.values()), {
        entry: place[key] for entry, (key, _) in zip(distinct, held, strict=True)
    }


def _first(
    concepts: dict[_Told, str], distinct: Sequence[_Told], place_of: dict[_Told, int], n: int
) -> list[str]:
    found = [""] * n
    for entry in distinct:
        found[place_of[entry]] = found[place_of[entry]] or concepts.get(entry, "")
    return found
