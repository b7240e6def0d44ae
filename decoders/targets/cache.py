"""Embeddings kept on disk, so that a picture is encoded once: by the target's identity and the picture's own bytes.

::

    FOLDER/IDENTITY/space.json          the space, for people
    FOLDER/IDENTITY/SHA256.safetensors  embeddings (n, dimension) float32; in its header the SHA-256 of each picture

A name or a date may lie about what a file holds; its hash does not. Every file of embeddings is named after its own
hash: one that was cut off or changed no longer answers to its name, is dropped, and its pictures are encoded anew.
Files are written whole and never changed, so several programs may share a folder, and a run that was ended goes on
where it stopped.
"""

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import numpy as np
from safetensors.numpy import load, save

from decode_stream.decoders.kept_files import cache_folder, write_whole
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import UsageError

from .target import Embeddings

__all__ = ["Item", "Progress", "cached", "default_cache"]

_SCHEMA = 1
_ENDING = ".safetensors"
_KEYS = "keys"
_MOST_HEADER_BYTES = 1 << 24
#: Items encoded and written together, and the bytes read for them, at most.
_BLOCK_ITEMS, _BLOCK_BYTES = 64, 256 << 20
_MOST_NAMED = 10
_ZEROS = bytes(1 << 20)

Content = TypeVar("Content")
#: Is told how many items are done, and of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Item(Generic[Content]):
    """A picture or a text, where it lies.

    Attributes
    ----------
    read : callable
        Returns the bytes that it is known by.
    decode : callable
        Takes those bytes and returns what the encoder takes; raises UsageError where that cannot be.
    """

    read: Callable[[], bytes]
    decode: Callable[[bytes], Content]


def default_cache() -> Path:
    """Return the folder for embeddings."""
    return cache_folder("embeddings")


def cached(
    folder: Path,
    space: EmbeddingSpace,
    items: Sequence[Item[Content]],
    encode: Callable[[Sequence[Content]], Embeddings],
    progress: Progress = lambda done, of: None,
) -> Embeddings:
    """Return the embeddings of items, from disk where they are there, else encoded and kept.

    Parameters
    ----------
    folder : Path
        Of all embeddings; made if it is not there.
    space : EmbeddingSpace
        What is encoded how; embeddings of other spaces are never mixed.
    items : sequence of Item
        The same one may come several times; it is encoded once.
    encode : callable
        Takes some items' contents and returns their embeddings (n, ``space.dimension``) float32.
    progress : callable, optional
        Is told how many of the items are done, and of how many.

    Returns
    -------
    array of shape (n_items, ``space.dimension``), float32
        Mapped from a temporary file that goes with the array: grids of tokens of a dataset do not fit into memory.

    Raises
    ------
    UsageError
        If the folder cannot be written, items cannot be decoded (all of them are tried, and the first named), or the
        encoder gives numbers that are not finite.
    """
    place = _place(folder, space)
    embeddings = _room(len(items), space.dimension)
    wanted: defaultdict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        wanted[hashlib.sha256(item.read()).hexdigest()].append(i)
    done = 0
    for keys, rows in _kept(place, space.dimension, wanted):
        for key, row in zip(keys, rows, strict=True):
            if (where := wanted.pop(key, None)) is not None:
                embeddings[where] = row
                done += len(where)
        progress(done, len(items))
    missing = {key: items[where[0]] for key, where in wanted.items()}
    for keys, rows in _encoded(place, space, missing, encode):
        for key, row in zip(keys, rows, strict=True):
            where = wanted.pop(key)
            embeddings[where] = row
            done += len(where)
        progress(done, len(items))
    return embeddings


def _place(folder: Path, space: EmbeddingSpace) -> Path:
    """Return the folder of a space, made if it is not there."""
    identity = msgspec.json.encode({"schema": _SCHEMA, "space": space})
    place = folder.expanduser() / hashlib.sha256(identity).hexdigest()[:32]
    if not (place / "space.json").is_file():
        _write(place, "space.json", identity)
    return place


def _room(n: int, dimension: int) -> Embeddings:
    """Return an array of zeros in a temporary file, which is filled first: a full disk shows here, not on use."""
    if not n:
        return np.empty((0, dimension), np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            for start in range(0, size := 4 * n * dimension, len(_ZEROS)):
                file.write(_ZEROS[: size - start])
            file.flush()
            return np.memmap(file, np.float32, "r+", shape=(n, dimension))
    except OSError as error:
        raise UsageError(
            f"{size / 1e9:.1f} GB of embeddings find no room in {tempfile.gettempdir()}: {error.strerror or error}. "
            "Make room, or name another folder by the environment variable TMPDIR."
        ) from error


def _kept(
    place: Path, dimension: int, wanted: Mapping[str, object]
) -> Iterator[tuple[list[str], Embeddings]]:
    """Yield keys and rows of every sound file that holds something wanted; drop those that are not sound."""
    for path in sorted(place.glob(f"*{_ENDING}")):
        if not wanted:
            return
        keys = _keys(path)
        if keys is not None and wanted.keys().isdisjoint(keys):
            continue
        try:
            content = path.read_bytes()
        except OSError:  # another program dropped it
            continue
        rows = None
        if keys is not None and hashlib.sha256(content).hexdigest() == path.name.removesuffix(_ENDING):
            rows = load(content).get("embeddings")
        if keys is None or rows is None or rows.shape != (len(keys), dimension) or rows.dtype != np.float32:
            with suppress(OSError):
                path.unlink()
            continue
        yield keys, rows


def _keys(path: Path) -> list[str] | None:
    """Return the keys in a file's header, unchecked, or None where it has none that can be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MOST_HEADER_BYTES)))
        keys = json.loads(header["__metadata__"][_KEYS])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return keys if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else None


def _encoded(
    place: Path,
    space: EmbeddingSpace,
    items: Mapping[str, Item[Content]],
    encode: Callable[[Sequence[Content]], Embeddings],
) -> Iterator[tuple[list[str], Embeddings]]:
    """Encode items a block at a time, and yield keys and rows of each block once it is on disk."""
    unread = list[str]()
    for block in _blocks(items, unread):
        if unread:  # what is left is only looked at, so that all that is wrong is told at once
            continue
        keys = [key for key, _ in block]
        rows = np.ascontiguousarray(encode([content for _, content in block]), dtype=np.float32)
        if rows.shape != (len(keys), space.dimension):
            raise ValueError(f"{len(keys)} items of {space} gave embeddings of shape {rows.shape}.")
        if not np.isfinite(rows).all():
            raise UsageError(
                f"{space.model} ({space.layer}) gives numbers that are not finite. Its weights are damaged or of too "
                "few bits; get them again as float32."
            )
        content = save({"embeddings": rows}, {_KEYS: json.dumps(keys)})
        _write(place, hashlib.sha256(content).hexdigest() + _ENDING, content)
        yield keys, rows
    if unread:
        more = f"\nand {len(unread) - _MOST_NAMED} more" if len(unread) > _MOST_NAMED else ""
        raise UsageError(f"{len(unread)} pictures cannot be used.\n" + "\n".join(unread[:_MOST_NAMED]) + more)


def _blocks(items: Mapping[str, Item[Content]], unread: list[str]) -> Iterator[list[tuple[str, Content]]]:
    """Yield keys and contents of some items at a time; add to `unread` what cannot be decoded."""
    block, n_bytes = list[tuple[str, Content]](), 0
    for key, item in items.items():
        held = item.read()
        if hashlib.sha256(held).hexdigest() != key:
            raise UsageError(
                "A picture was changed while it was being encoded. Start again; what is done is kept."
            )
        try:
            content = item.decode(held)
        except UsageError as error:
            unread.append(str(error))
            continue
        block.append((key, content))
        n_bytes += getattr(content, "nbytes", len(held))
        if len(block) == _BLOCK_ITEMS or n_bytes > _BLOCK_BYTES:
            yield block
            block, n_bytes = [], 0
    if block:
        yield block


def _write(place: Path, name: str, content: bytes) -> None:
    """Write a file that appears under its name only when it is whole."""
    try:
        write_whole(place / name, [content])
    except OSError as error:
        raise UsageError(
            f"Embeddings cannot be kept in {place}: {error.strerror or error}. Give another folder for them, or make "
            "room; what was kept before stays."
        ) from error
