"""What people said of COCO's pictures, and the kinds of things in them, by the pictures' numbers.

T.-Y. Lin et al., Microsoft COCO: common objects in context, ECCV 2014; ``annotations_trainval2017.zip``.
"""

import re
from collections import defaultdict
from pathlib import Path
from posixpath import basename, splitext
from typing import TypeVar

import msgspec

from decode_stream.stream.errors import UsageError

__all__ = ["coco_captions", "coco_categories", "coco_number"]

_DOWNLOAD = "annotations_trainval2017.zip (https://cocodataset.org/#download)"

_FILE = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})")


# Only what is named here is kept of a file: the outlines of `instances_train2017.json` are skipped as they are read.
class _Caption(msgspec.Struct):
    image_id: int
    caption: str


class _Captions(msgspec.Struct):
    annotations: list[_Caption]


class _Image(msgspec.Struct):
    id: int


class _Instance(msgspec.Struct):
    image_id: int
    category_id: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Instance]
    categories: list[_Category]


def coco_captions(path: Path) -> dict[int, tuple[str, ...]]:
    """Return the captions of every picture by its number, in the order of ``captions_train2017.json``.

    Raises
    ------
    UsageError
        If the file is missing, damaged or another.
    """
    found = defaultdict[int, list[str]](list)
    for entry in _read(path, _Captions).annotations:
        found[entry.image_id].append(entry.caption.strip())
    return {image: tuple(captions) for image, captions in found.items()}


def coco_categories(path: Path) -> dict[int, tuple[str, ...]]:
    """Return what is in every picture by its number, each kind once, of ``instances_train2017.json``.

    Pictures in which nothing was marked are among them, with nothing.

    Raises
    ------
    UsageError
        If the file is missing, damaged or another.
    """
    table = _read(path, _Instances)
    names = {category.id: category.name for category in table.categories}
    found: dict[int, dict[str, None]] = {image.id: {} for image in table.images}
    for entry in table.annotations:
        if entry.category_id not in names or entry.image_id not in found:
            raise UsageError(
                f"{path} marks category {entry.category_id} in picture {entry.image_id}, and does not list both. Get "
                f"it again: {_DOWNLOAD}."
            )
        found[entry.image_id][names[entry.category_id]] = None
    return {image: tuple(kinds) for image, kinds in found.items()}


def coco_number(image: str) -> int | None:
    """Return the number of a picture by its file's name, ``train2017/000000000009.jpg``; None if it is no such name."""
    found = _FILE.fullmatch(splitext(basename(image))[0])
    return int(found[1]) if found else None


_Table = TypeVar("_Table", _Captions, _Instances)


def _read(path: Path, kind: type[_Table]) -> _Table:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. It is in {_DOWNLOAD}.") from error
    except msgspec.MsgspecError as error:
        what, such = (
            ("captions", "captions_train2017.json")
            if kind is _Captions
            else ("categories", "instances_train2017.json")
        )
        raise UsageError(
            f"{path} is not a file of COCO {what} such as {such}, or is cut off: {error}. It is in {_DOWNLOAD}."
        ) from error
