"""What COCO's annotation files say of its pictures: captions, and the kinds of things in them.

T.-Y. Lin et al., Microsoft COCO: common objects in context, ECCV 2014; ``annotations_trainval2017.zip``.
"""

from collections import defaultdict
from pathlib import Path
from typing import TypeVar

import msgspec

from decode_stream.stream.errors import UsageError

__all__ = ["coco_captions", "coco_categories"]

_DOWNLOAD = "annotations_trainval2017.zip (https://cocodataset.org/#download)"


# Only what is named here is kept of a file: the outlines of `instances_train2017.json` are skipped as they are read.
class _Caption(msgspec.Struct):
    image_id: int
    caption: str


class _Captions(msgspec.Struct):
    annotations: list[_Caption]


class _Instance(msgspec.Struct):
    image_id: int
    category_id: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Instances(msgspec.Struct):
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
    """Return what is in every picture by its number, each kind once: from ``instances_train2017.json``.

    Raises
    ------
    UsageError
        If the file is missing, damaged or another.
    """
    table = _read(path, _Instances)
    names = {category.id: category.name for category in table.categories}
    found = defaultdict[int, dict[str, None]](dict)
    for entry in table.annotations:
        if entry.category_id not in names:
            raise UsageError(
                f"{path} uses category {entry.category_id}, which it does not name. Get it again: {_DOWNLOAD}."
            )
        found[entry.image_id][names[entry.category_id]] = None
    return {image: tuple(kinds) for image, kinds in found.items()}


_Table = TypeVar("_Table", _Captions, _Instances)


def _read(path: Path, kind: type[_Table]) -> _Table:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. It is in {_DOWNLOAD}.") from error
    except msgspec.MsgspecError as error:
        wanted = "captions_train2017.json" if kind is _Captions else "instances_train2017.json"
        raise UsageError(
            f"{path} is not a file of COCO annotations such as {wanted}, or is cut off: {error}. It is in {_DOWNLOAD}."
        ) from error
