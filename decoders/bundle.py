"""The bundle: what travels from training to the lab.

A folder, or one ``.zip`` of it::

    bundle.sha256         SHA-256 of bundle.json
    bundle.json           the manifest: everything but the numbers of the network, and a SHA-256 of every other file
    encoder.onnx          window and latency in, embedding out
    gallery.safetensors   `embeddings`, float32 (n_entries, dimension)
    gallery/000.png ...   thumbnails, where there are pictures

Nothing in it is unpickled, and a file whose hash differs is refused. Hashes guard against damage, not forgery.
"""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from decode_stream.stream.errors import BundleError

from .manifest import MANIFEST_FILE, Manifest, parse_manifest

__all__ = ["Bundle", "is_bundle", "load_bundle", "load_manifest", "save_bundle"]

_MANIFEST_HASH = "bundle.sha256"
_ENCODER = "encoder.onnx"
_GALLERY = "gallery.safetensors"
# A bundle is opened in memory; the largest encoders of the field, in float32, are below this.
_MAX_FILE_BYTES = 8 << 30


@dataclass(frozen=True, eq=False)
class Bundle:
    """A decoder with all it needs.

    Attributes
    ----------
    manifest : Manifest
    encoder : bytes
        The ONNX model.
    gallery : array of shape (n_entries, dimension), float32
        Embeddings of the candidates, in the order of ``manifest.gallery``.
    thumbnails : dict of str to bytes
        PNG file of a candidate by its name.
    sha256 : str
        Hash of the manifest, and so of everything; empty before it is saved.
    """

    manifest: Manifest
    encoder: bytes
    gallery: npt.NDArray[np.float32]
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.manifest.gallery), self.manifest.space.dimension)
        if self.gallery.shape != expected or not np.isfinite(self.gallery).all():
            raise BundleError(
                f"The gallery of {self.manifest.name!r} has embeddings of shape {self.gallery.shape} where names and "
                f"embedding space ask for finite ones of shape {expected}."
            )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def save_bundle(bundle: Bundle, path: str | Path, *, overwrite: bool = False) -> Bundle:
    """Write a bundle as a folder, or as one file where the path ends in ``.zip``.

    The bundle appears under its name only when it is whole.

    Parameters
    ----------
    overwrite : bool
        Replace a bundle that stands there; anything else is never replaced.

    Returns
    -------
    Bundle
        The same with its hashes.

    Raises
    ------
    BundleError
        If something stands at `path`.
    """
    path = Path(path)
    if path.exists() and not (overwrite and is_bundle(path)):
        raise BundleError(f"{path} exists already. Give another --out, or remove it first.")
    files = {_ENCODER: bundle.encoder, _GALLERY: save_tensors({"embeddings": bundle.gallery})}
    for name, png in bundle.thumbnails.items():
        files[f"gallery/{bundle.manifest.gallery.index(name):05d}.png"] = png
    manifest = replace(bundle.manifest, files={name: _sha256(data) for name, data in files.items()})
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as part:
        whole = Path(part) / "whole"
        files |= {MANIFEST_FILE: text, _MANIFEST_HASH: _sha256(text).encode()}
        _write_files(files, whole, zipped=path.suffix == ".zip")
        if path.exists():
            path.unlink() if path.is_file() else shutil.rmtree(path)
        whole.rename(path)
    return replace(bundle, manifest=manifest, sha256=_sha256(text))


def is_bundle(path: Path) -> bool:
    """Return whether something that looks like a bundle, whole or damaged, stands at `path`."""
    return (path / MANIFEST_FILE).is_file() or (path.suffix == ".zip" and zipfile.is_zipfile(path))


def _write_files(files: Mapping[str, bytes], path: Path, *, zipped: bool) -> None:
    if zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                # A fixed date: the same bundle gives the same file.
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check every byte of it against its hashes.

    Raises
    ------
    BundleError
        If it is missing, damaged, incomplete, of an unknown schema, or holds impossible values.
    """
    path = Path(path)
    read = _reader(path)
    text, manifest = _read_manifest(read, path)
    files = {}
    for name, expected in manifest.files.items():
        data = read(name)
        _check(name, data, expected, path)
        files[name] = data
    for name in (_ENCODER, _GALLERY):
        if name not in files:
            raise BundleError(f"{path} has no {name} in its list of files; it is not a complete bundle.")
    try:
        gallery = load_tensors(files[_GALLERY])["embeddings"].astype(np.float32)
    except Exception as error:
        raise BundleError(f"{_GALLERY} in {path} cannot be read: {error}") from error
    thumbnails = {
        manifest.gallery[int(PurePosixPath(name).stem)]: data
        for name, data in files.items()
        if name.startswith("gallery/")
        and PurePosixPath(name).stem.isdecimal()
        and int(PurePosixPath(name).stem) < len(manifest.gallery)
    }
    return Bundle(manifest, files[_ENCODER], gallery, thumbnails, _sha256(text))


def load_manifest(path: str | Path) -> Manifest:
    """Read only what a bundle says of itself; its other files are not looked at.

    Raises
    ------
    BundleError
        If it is missing, or its manifest is damaged, of an unknown schema, or holds impossible values.
    """
    path = Path(path)
    return _read_manifest(_reader(path), path)[1]


def _read_manifest(read: Callable[[str], bytes], path: Path) -> tuple[bytes, Manifest]:
    text = read(MANIFEST_FILE)
    _check(MANIFEST_FILE, text, read(_MANIFEST_HASH).decode(errors="replace"), path)
    return text, parse_manifest(text, path)


def _check(name: str, data: bytes, expected: str, path: Path) -> None:
    if _sha256(data) != expected:
        raise BundleError(
            f"{name} in {path} is not the file that was saved: its SHA-256 is {_sha256(data)} instead of {expected}. "
            "Copy the bundle again from where it was trained."
        )


def _reader(path: Path) -> Callable[[str], bytes]:
    """Return a function that reads one member of a folder or a zip file."""
    if path.is_dir():
        if not (path / MANIFEST_FILE).is_file():
            raise BundleError(
                f"{path} is a folder without {MANIFEST_FILE}; it is not a bundle. Train one with decode-stream train."
            )
        return lambda name: _read_member(path, name, lambda: (path / name).read_bytes())
    if not path.exists():
        raise BundleError(
            f"There is no bundle at {path}. Train one with: decode-stream train RECORDING... --out {path}"
        )
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path} is neither a bundle's folder nor a .zip of one.")

    def read(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > _MAX_FILE_BYTES:
                raise OSError(f"larger than {_MAX_FILE_BYTES >> 30} GiB")
            return archive.read(name)

    return lambda name: _read_member(path, name, lambda: read(name))


def _read_member(path: Path, name: str, read: Callable[[], bytes]) -> bytes:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name:
        raise BundleError(f"{path} lists the file {name!r}, which lies outside the bundle; it is refused.")
    try:
        return read()
    except (OSError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise BundleError(
            f"{name} in {path} is missing or cannot be read: {error}. Copy the bundle again."
        ) from error
