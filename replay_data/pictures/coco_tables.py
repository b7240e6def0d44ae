"""What people said of COCO's pictures, by the pictures' numbers.

T.-Y. Lin et al., Microsoft COCO: common objects in context, ECCV 2014; ``annotations_trainval2017.zip``.
"""

import re
from collections import defaultdict
from pathlib import Path
from posixpath import basename, splitext

import msgspec

from decode_stream.stream.errors import UsageError

__all__ = ["coco_captions", "coco_number"]

_DOWNLOAD = "annotations_trainval2017.zip (https://cocodataset.org/#download)"


_FILE = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})")


# Only what is named here is kept of a file.
class _Caption(msgspec.Struct):
    image_id: int
    caption: str


class _Captions(msgspec.Struct):
    annotations: list[_Caption]


def coco_captions(path: Path) -> dict[int, tuple[str, ...]]:
    """Return the captions of every picture by its number, in the order of ``captions_train2017.json``.

    Raises
    ------
    UsageError
        If the file is missing, damaged or another.
    """
    try:
        table = msgspec.json.decode(path.read_bytes(), type=_Captions)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. It is in {_DOWNLOAD}.") from error
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{path} is not a file of COCO captions such as captions_train2017.json, or is cut off: {error}. It is in "
            f"{_DOWNLOAD}."
        ) from error
    found = defaultdict[int, list[str]](list)
    for entry in table.annotations:
        found[entry.image_id].append(entry.caption.strip())
    return {image: tuple(captions) for image, captions in found.items()}


def coco_number(image: str) -> int | None:
    """Return the number of a picture by its file's name, ``train2017/000000000009.jpg``; None if it is no such name."""
    found = _FILE.fullmatch(splitext(basename(image))[0])
    return int(found[1]) if found else None
