"""Embeddings that were computed elsewhere, as a target: files of arrays with the names or numbers of the pictures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.target import Embeddings, StoredTarget
from decode_stream.replay_data.formats.array_files import open_arrays
from decode_stream.replay_data.things_eeg.images import N_IMAGES, N_WITHIN
from decode_stream.stream.errors import UsageError

__all__ = ["stored_target"]

_ENDINGS = (".safetensors", ".npy", ".pt")
#: Under which names public code keeps the features of pictures, and those of which sharpness.
_FEATURES, _SHARPNESS = "img_features", "medium"
_FORMS = (
    "Write .safetensors with 'embeddings' (n, ...) and 'ids' (n,), or the names as a JSON list in its metadata; or a "
    ".npy with a .txt (a name a line) or .json (a list) of the same name beside it."
)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What one file holds: rows, with names or numbers."""

    rows: npt.NDArray[Any]
    names: Sequence[str] = ()
    ids: Sequence[tuple[str | None, int]] = ()


def stored_target(name: str) -> StoredTarget:
    """Return embeddings that were computed elsewhere as a target.

    Parameters
    ----------
    name : str
        ``file:PATH``, with the path of

        - ``.safetensors``: ``embeddings`` (n, ...), and ``ids`` (n,) or ``names``, a JSON list in the metadata;
        - ``.npy`` with the names in a .txt, one a line, or a .json list of the same name beside it;
        - features as the public code of NICE, ATM and UBP keeps them (.npy, .pt), in the order of THINGS-EEG2's
          pictures or by their files; of UBP's several sharpnesses ``medium``, that of the test;
        - or a folder of such files, one for each part of a dataset.

    Raises
    ------
    UsageError
        If there is no such file, it holds no such array, or its rows bear no names or numbers.
    """
    path = Path(name.partition(":")[2]).expanduser()
    files = sorted(file for file in path.iterdir() if file.suffix in _ENDINGS) if path.is_dir() else [path]
    if path == Path() or not files or not all(file.is_file() for file in files):
        raise UsageError(
            f"--target is {name!r}, and there {'are no files of embeddings in' if path.is_dir() else 'is no file'} "
            f"{path}. {_FORMS}"
        )
    digest = hashlib.sha256()
    parts = list[_Part]()
    for file in files:
        parts.append(_read(file))
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    shapes = {part.rows.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise UsageError(
            f"The files in {path} hold embeddings of several shapes: {sorted(shapes)}. Keep those of one."
        )
    shape = shapes.pop()
    embeddings = _flat(path, parts)
    by_name, by_id = dict[str, int](), dict[tuple[str | None, int], int]()
    start = 0
    for part in parts:
        by_name |= {key: start + i for i, key in enumerate(part.names)}
        by_id |= {key: start + i for i, key in enumerate(part.ids)}
        start += len(part.rows)
    n_named = sum(len(part.names) for part in parts), sum(len(part.ids) for part in parts)
    if n_named != (len(by_name), len(by_id)):
        raise UsageError(f"{path} names pictures more than once. Keep one row for each.")
    space = EmbeddingSpace(
        f"file {digest.hexdigest()[:12]}",
        path.stem,
        embeddings.shape[1],
        shape=shape if len(shape) > 1 else (),
    )
    return StoredTarget(name, space, embeddings, by_name, by_id)


def _flat(path: Path, parts: Sequence[_Part]) -> Embeddings:
    rows = [np.asarray(part.rows, np.float32).reshape(len(part.rows), -1) for part in parts]
    embeddings = rows[0] if len(rows) == 1 else np.concatenate(rows)
    if not embeddings.size:
        raise UsageError(f"{path} holds an empty array.")
    if not np.isfinite(embeddings).all():
        raise UsageError(
            f"{path} holds numbers that are not finite. Compute those rows again, or leave them out."
        )
    return embeddings


def _read(path: Path) -> _Part:
    part = _read_safetensors(path) if path.suffix == ".safetensors" else _of_arrays(path, open_arrays(path))
    n = len(part.rows) if part.rows.ndim else 0
    if part.rows.ndim < 2 or part.rows.dtype.kind != "f":
        raise UsageError(
            f"{path} holds an array of {part.rows.dtype.name} of shape {part.rows.shape}, and embeddings are rows of "
            f"floating-point numbers. {_FORMS}"
        )
    for what, held in (("names", part.names), ("numbers", part.ids)):
        if len(held) not in (0, n):
            raise UsageError(f"{path} has {len(held)} {what} for {n} rows. Give one for each.")
    if not part.names and not part.ids:
        raise UsageError(f"{path} does not say which of its {n} rows is which picture. {_FORMS}")
    return part


def _read_safetensors(path: Path) -> _Part:
    try:
        with safe_open(path, "numpy") as file:
            said = (file.metadata() or {}).get("names")
            names = () if said is None else json.loads(said)
            held = set(file.keys())
            if "embeddings" not in held:
                raise UsageError(
                    f"{path} holds {', '.join(sorted(held)) or 'nothing'}, not 'embeddings'. {_FORMS}"
                )
            ids = file.get_tensor("ids").ravel().tolist() if "ids" in held else []
            part = _Part(file.get_tensor("embeddings"), _texts(path, names), [(None, int(i)) for i in ids])
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {error}. It may be cut off; copy it again.") from error
    return part if part.names or part.ids else _Part(part.rows, _beside(path))


def _beside(path: Path) -> Sequence[str]:
    """Return the names in the list beside a file, nothing where there is none."""
    lines, table = path.with_suffix(".txt"), path.with_suffix(".json")
    try:
        if lines.is_file():
            return lines.read_text(encoding="utf-8-sig").splitlines()
        if table.is_file():
            return _texts(table, json.loads(table.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        raise UsageError(f"The names beside {path} cannot be read: {error}.") from error
    return ()


def _texts(path: Path, names: object) -> Sequence[str]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"The names in {path} must be a JSON list of texts.")
    return names


def _of_arrays(path: Path, held: Any) -> _Part:
    """Return the rows of arrays as public code saves them."""
    if isinstance(held, dict):
        held = held.get(_FEATURES, held)
    if isinstance(held, dict):
        held = held.get(_SHARPNESS, held)
    if isinstance(held, dict):
        return _by_file(path, held)
    if not isinstance(held, np.ndarray):
        raise UsageError(f"{path} holds a {type(held).__name__}, not an array. {_FORMS}")
    if names := _beside(path):
        return _Part(held, names)
    if held.ndim > 2 and held.shape[1] in N_WITHIN.values():  # concepts, and the pictures of each
        held = held.reshape(-1, *held.shape[2:])
    # Rows in the dataset's own order are told by their number alone.
    split = next((split for split, n in N_IMAGES.items() if held.ndim and len(held) == n), None)
    return _Part(held, ids=[] if split is None else [(split, i) for i in range(1, len(held) + 1)])


def _by_file(path: Path, held: Mapping[Any, Any]) -> _Part:
    names, rows = list(held), list(held.values())
    shapes = {np.shape(row) for row in rows}
    if len(shapes) != 1 or not all(isinstance(row, np.ndarray) for row in rows):
        raise UsageError(
            f"{path} holds {', '.join(map(str, names[:5])) or 'nothing'}, not features by picture. {_FORMS}"
        )
    return _Part(np.stack(rows), _texts(path, names))
