"""What is in pictures, by their names in a gallery: COCO's annotations, or a table."""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from decode_stream.replay_data.nsd.design import STIM_INFO, coco_files
from decode_stream.replay_data.nsd.facts import download, nsd_root
from decode_stream.replay_data.pictures.coco_tables import coco_categories, coco_number
from decode_stream.stream.errors import UsageError

__all__ = ["CategoriesOf", "open_categories"]

#: Takes a picture's name and returns what is in it; None where that is not known.
CategoriesOf: TypeAlias = Callable[[str], frozenset[str] | None]

#: As pictures of `nsd_stimuli.hdf5` are named.
_NSD_NAME = re.compile(r"nsd(\d{5})")
_HEADER = ("picture", "category")


def open_categories(source: Path, near: Sequence[Path]) -> CategoriesOf:
    """Return what tells the categories of a picture.

    Parameters
    ----------
    source : Path
        COCO's ``instances_*.json`` or a folder of them, or a CSV file with a row ``picture,category`` for each category
        of each picture, and one with an empty category for a picture in which there is none.
    near : sequence of Path
        Recordings: pictures of NSD go by its own numbers, and ``nsd_stim_info_merged.csv``, in NSD's folder or in that
        of the annotations, has those of COCO.

    Raises
    ------
    UsageError
        If it is missing, damaged, or something else.
    """
    if source.suffix.lower() == ".csv":
        return _of_table(source)
    files = sorted(source.glob("instances_*.json")) if source.is_dir() else [source]
    if not files:
        raise UsageError(
            f"{source} holds no instances_*.json of COCO. Give the folder of annotations_trainval2017.zip, unpacked, "
            "or a CSV file with the columns picture,category."
        )
    table = dict[int, tuple[str, ...]]()
    for file in files:
        table |= coco_categories(file)
    numbers = _nsd_numbers(source if source.is_dir() else source.parent, near)

    def of(name: str) -> frozenset[str] | None:
        number = coco_number(name)
        if number is None and (found := _NSD_NAME.fullmatch(name)):
            if not numbers:
                raise UsageError(
                    f"{name} goes by NSD's number, and {STIM_INFO.name}, which has COCO's, is neither with the "
                    f"recordings nor in the folder of --categories. It is downloaded from {download(None, STIM_INFO)}."
                )
            number = coco_number(numbers.get(int(found[1]), ""))
        kinds = None if number is None else table.get(number)
        return None if kinds is None else frozenset(kinds)

    return of


def _nsd_numbers(folder: Path, near: Sequence[Path]) -> dict[int, str]:
    """Return the COCO file of NSD's pictures, by their numbers; nothing where no table of them is here."""
    roots = dict.fromkeys(root for path in near if (root := nsd_root(path)) is not None)
    places = (folder / STIM_INFO.name, *(root / STIM_INFO for root in roots))
    found = next((path for path in places if path.is_file()), None)
    return {} if found is None else coco_files(found)


def _of_table(path: Path) -> CategoriesOf:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"--categories {path} cannot be read: {reason}.") from error
    if rows and tuple(cell.strip().lower() for cell in rows[0]) == _HEADER:
        rows = rows[1:]
    table = defaultdict[str, set[str]](set)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(_HEADER) or not row[0].strip():
            raise UsageError(
                f"--categories {path}: row {number} is {','.join(row)!r}; each row is a picture's name and a category, "
                "or nothing where there is none: picture,category."
            )
        table[row[0].strip()] |= {row[1].strip()} - {""}
    if not table:
        raise UsageError(f"--categories {path} holds no row; each is a picture's name and a category.")

    def of(name: str) -> frozenset[str] | None:
        found = table.get(name, table.get(name.rpartition("/")[2]))
        return None if found is None else frozenset(found)

    return of
