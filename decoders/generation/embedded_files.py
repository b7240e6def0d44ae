"""The files of an embedded generator: a folder, or one .zip of it.

::

    generator.sha256      SHA-256 of generator.json
    generator.json        what it is, what it draws, how it was made; SHA-256 of every other file
    network.onnx          x, t, r, semantic, layout, open_share -> clean; see `EmbeddedGenerator`
    pictures.safetensors  what pictures are before anything is decoded; see `pack_pictures`
    nearest.safetensors   pictures it learnt from, and
    nearest.webp          small copies of them, where they are kept
    network.safetensors   the network as it was trained, to refine pictures by its gradient; a session does not read it

Nothing in it is unpickled, and a file whose hash differs is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from decode_stream.decoders.bundle_files import check, member_reader, sha256, write_whole
from decode_stream.decoders.conversion import Conversion
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import BundleError

from .condition import PictureModel
from .picture_file import pack_pictures, unpack_pictures

__all__ = [
    "MANIFEST",
    "EmbeddedManifest",
    "EmbeddedParts",
    "GeneratorTraining",
    "is_generator",
    "load_generator_manifest",
    "load_parts",
    "save_parts",
]

#: Name of the file that says what a generator is.
MANIFEST = "generator.json"
_HASH = "generator.sha256"
_NETWORK, _PICTURES, _WEIGHTS = "network.onnx", "pictures.safetensors", "network.safetensors"
_SCHEMA = 1
_MAKE = "Make one with decode-stream train-generator"


@dataclass(frozen=True)
class GeneratorTraining:
    """Where a generator comes from.

    Attributes
    ----------
    pictures : str
        What it learnt from, in words.
    n_drawn : dict of str to int
        Pictures that were shown to it, by the part of its training: ``parts``, ``teacher``, ``pairs``, ``consistency``.
    seed : int
    guidance : float
        How far the student was led beyond the teacher's own prediction; 1 is not at all.
    channels : tuple of str
        Whose evidence its beliefs were drawn after, in words.
    device : str
        What it was trained on.
    versions : dict of str to str
    """

    pictures: str
    n_drawn: dict[str, int] = field(default_factory=dict)
    seed: int = 0
    guidance: float = 1.0
    channels: tuple[str, ...] = ()
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EmbeddedManifest:
    """What an embedded generator is.

    Attributes
    ----------
    name : str
        In a few words, for people.
    space : EmbeddingSpace
        Where the embeddings lie that it draws.
    side_px : int
    n_steps : tuple of int
        In how many steps it can draw, fewest first.
    training : GeneratorTraining
    back_end : {"embedded"}
    schema : int
    files : dict of str to str
        SHA-256 by name.
    conversion : Conversion or None
        How the network came to be in fewer bits; None where it is as it was trained.
    """

    name: str
    space: EmbeddingSpace
    side_px: int
    n_steps: tuple[int, ...]
    training: GeneratorTraining
    back_end: Literal["embedded"] = "embedded"
    schema: int = _SCHEMA
    files: dict[str, str] = field(default_factory=dict)
    conversion: Conversion | None = None

    def __post_init__(self) -> None:
        if self.side_px < 8:
            raise ValueError(f"A picture has 8 pixels a side or more; got {self.side_px}.")
        if not self.n_steps or list(self.n_steps) != sorted(set(self.n_steps)) or self.n_steps[0] < 1:
            raise ValueError(f"Steps are 1 or more, fewest first; got {self.n_steps}.")


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedParts:
    """All of an embedded generator.

    Attributes
    ----------
    manifest : EmbeddedManifest
    network : bytes
        The ONNX model.
    pictures : PictureModel
    nearest : dict of str to bytes
        Files of the pictures it learnt from, by name, see `decode_stream.decoders.generation.nearest`; may be empty.
    weights : bytes
        The network's state and sizes as safetensors; empty where it was not kept.
    """

    manifest: EmbeddedManifest
    network: bytes
    pictures: PictureModel
    nearest: Mapping[str, bytes] = field(default_factory=dict)
    weights: bytes = b""

    def __post_init__(self) -> None:
        there, wanted = self.pictures.dimension, self.manifest.space.dimension
        if there != wanted:
            raise ValueError(
                f"the pictures of {self.manifest.name!r} have embeddings of {there} numbers where its manifest says "
                f"{wanted}"
            )


def is_generator(path: Path) -> bool:
    """Return whether something that looks like a generator, of any back-end, stands at a path."""
    if path.is_dir():
        return (path / MANIFEST).is_file()
    return path.suffix == ".zip" and path.is_file()


def save_parts(parts: EmbeddedParts, path: Path, *, overwrite: bool = False) -> None:
    """Write a generator as a folder, or as one file where the path ends in ``.zip``.

    Raises
    ------
    BundleError
        If something stands at the path; with `overwrite`, if that is no generator.
    """
    if path.exists() and not (overwrite and is_generator(path)):
        raise BundleError(f"{path} exists already. Give another --out, or remove it first.")
    files = {_NETWORK: parts.network, _PICTURES: pack_pictures(parts.pictures), **parts.nearest}
    if parts.weights:
        files[_WEIGHTS] = parts.weights
    manifest = replace(parts.manifest, files={name: sha256(data) for name, data in files.items()})
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    write_whole(files | {MANIFEST: text, _HASH: sha256(text).encode()}, path)


def load_generator_manifest(path: Path) -> EmbeddedManifest:
    """Read only what a generator says of itself; its other files are not looked at.

    Raises
    ------
    BundleError
        If it is missing, its manifest is damaged, or it is of an unknown schema or another back-end.
    """
    if not is_generator(path):
        raise BundleError(f"There is no generator at {path}: no {MANIFEST} is there. {_MAKE} --out {path}")
    read = member_reader(path)
    text = read(MANIFEST)
    manifest = _manifest(text, path)
    check(MANIFEST, text, read(_HASH).decode(errors="replace"), path)
    return manifest


def load_parts(path: Path) -> EmbeddedParts:
    """Read a generator and check every byte of it against its hashes.

    Raises
    ------
    BundleError
        If it is missing, damaged, incomplete, of an unknown schema or another back-end, or holds impossible values.
    """
    manifest, read = load_generator_manifest(path), member_reader(path)
    files = {}
    for name, expected in manifest.files.items():
        files[name] = read(name)
        check(name, files[name], expected, path)
    missing = [name for name in (_NETWORK, _PICTURES) if name not in files]
    if missing:
        raise BundleError(f"{path} has no {missing[0]} in its list of files; it is no complete generator.")
    nearest = {name: data for name, data in files.items() if name.startswith("nearest.")}
    try:
        pictures = unpack_pictures(files[_PICTURES], path)
        return EmbeddedParts(manifest, files[_NETWORK], pictures, nearest, files.get(_WEIGHTS, b""))
    except ValueError as error:
        raise BundleError(f"{path} holds what does not fit: {error}. {_MAKE} anew.") from error


def _manifest(text: bytes, path: Path) -> EmbeddedManifest:
    try:
        raw = msgspec.json.decode(text)
        if isinstance(raw, dict) and raw.get("back_end") != "embedded":
            raise BundleError(f"The generator {path} is of the back-end {raw.get('back_end')!r}.")
        if isinstance(raw, dict) and raw.get("schema") != _SCHEMA:
            raise BundleError(
                f"The generator {path} has schema {raw.get('schema')} where {_SCHEMA} is read. Update decode-stream."
            )
        return msgspec.convert(raw, EmbeddedManifest)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise BundleError(f"{MANIFEST} of {path} is damaged or no generator's: {error}") from error
