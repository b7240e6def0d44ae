"""Which picture is which in THINGS-EEG2: the table ``image_metadata.npy`` of its image set.

Training and test pictures are counted apart, from 1: training image 10 * (c - 1) + k is the k-th picture of concept c,
test image n is the only one of its concept. Only `split` tells training image 7 from test image 7.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.array_files import open_arrays
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import TextArray
from decode_stream.stream.types import IntArray

__all__ = [
    "IMAGES_DOWNLOAD",
    "METADATA",
    "N_IMAGES",
    "N_WITHIN",
    "ImageTable",
    "concept_name",
    "find_image_table",
    "read_image_table",
]

METADATA = "image_metadata.npy"
IMAGES_DOWNLOAD = "OSF 3jk45, component Image set (https://osf.io/y63gw)"
#: How many images a concept has, by split.
N_WITHIN = {"train": 10, "test": 1}
#: How many images the whole dataset has, by split.
N_IMAGES = {"train": 16540, "test": 200}
_FOLDERS = {"train": "training_images", "test": "test_images"}
_NEAR = ("", "image_set", "Image_set", "images_set", "stimuli")
#: How many folders above a recording its dataset may begin.
_MOST_LEVELS = 7


@dataclass(frozen=True, slots=True, eq=False)
class ImageTable:
    """The pictures, by split.

    Attributes
    ----------
    path : Path
        The table's file.
    concepts : dict of str to array of shape (n_images,), str
        Folder of each picture: ``00001_aardvark``.
    files : dict of str to array of shape (n_images,), str
        File of each picture within its folder.
    """

    path: Path
    concepts: dict[str, TextArray]
    files: dict[str, TextArray]

    def columns(self, ids: IntArray, split: str) -> tuple[TextArray, TextArray]:
        """Return concept and image file of every id; empty where the id is below 1.

        Raises
        ------
        RecordingError
            If an id is beyond the table.
        """
        n = len(self.files[split])
        if len(ids) and (highest := int(ids.max())) > n:
            raise RecordingError(
                f"Image {highest} of the {split} split is beyond {self.path}, which lists {n}. The table and the "
                "recording belong to different sets; put the table of this one in its place."
            )
        places = np.maximum(ids, 1) - 1
        folders, files = self.concepts[split][places], self.files[split][places]
        names = np.array([concept_name(folder) for folder in self.concepts[split]], dtype=np.str_)[places]
        paths = np.char.add(np.char.add(f"{_FOLDERS[split]}/", folders), np.char.add("/", files))
        known = ids >= 1
        return np.where(known, names, ""), np.where(known, paths, "")

    def missing_images(self) -> dict[str, int]:
        """Return, by folder, how many of the pictures do not lie beside the table."""
        gone = {}
        for split, folder in _FOLDERS.items():
            pairs = zip(self.concepts[split], self.files[split], strict=True)
            gone[folder] = sum(
                not (self.path.parent / folder / concept / file).is_file() for concept, file in pairs
            )
        return {folder: n for folder, n in gone.items() if n}


def concept_name(folder: str) -> str:
    """Return ``aircraft_carrier`` for ``00010_aircraft_carrier``."""
    number, _, name = folder.partition("_")
    return name if number.isdecimal() and name else folder


def find_image_table(path: Path) -> ImageTable | None:
    """Return the table of the dataset that a file or folder belongs to, if it has one."""
    here = path.resolve()
    for folder in [here, *here.parents][:_MOST_LEVELS]:
        for near in _NEAR:
            if (table := folder / near / METADATA).is_file():
                return read_image_table(table)
    return None


def read_image_table(path: Path) -> ImageTable:
    """Read ``image_metadata.npy``.

    Raises
    ------
    RecordingError
        If it is damaged or is another table.
    """
    held = open_arrays(path)
    concepts, files = {}, {}
    for split in N_IMAGES:
        concepts[split] = _texts(path, held, f"{split}_img_concepts")
        files[split] = _texts(path, held, f"{split}_img_files")
        if len(concepts[split]) != len(files[split]):
            raise RecordingError(
                f"{path} lists {len(files[split])} files and {len(concepts[split])} concepts for the {split} split. "
                f"Get it again: {IMAGES_DOWNLOAD}."
            )
    return ImageTable(path, concepts, files)


def _texts(path: Path, held: Any, key: str) -> npt.NDArray[np.str_]:
    values = held.get(key) if isinstance(held, dict) else None
    texts: npt.NDArray[Any] = np.array(values if values is not None else [])
    if values is None or texts.ndim != 1 or (texts.size and texts.dtype.kind != "U"):
        raise RecordingError(
            f"{path} has no list of texts {key!r}, so it is not THINGS-EEG2's table of images."
        )
    return texts.astype(np.str_)
