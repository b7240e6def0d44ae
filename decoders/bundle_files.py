"""The files of a bundle: written to a folder or one .zip, read from it, and compared with their hashes."""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from decode_stream.stream.errors import BundleError

from .manifest import MANIFEST_FILE, Manifest, parse_manifest

__all__ = [
    "MANIFEST_HASH_FILE",
    "check",
    "is_bundle",
    "load_manifest",
    "member_reader",
    "read_manifest",
    "reader",
    "sha256",
    "write_files",
    "write_whole",
]

#: Holds the hash of the manifest, which holds those of all other files.
MANIFEST_HASH_FILE = "bundle.sha256"
# A bundle is opened in memory; the largest encoders of the field, in float32, are below this.
_MAX_FILE_BYTES = 8 << 30


def sha256(data: bytes) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_bundle(path: Path) -> bool:
    """Return whether something that looks like a bundle, whole or damaged, stands at `path`."""
    return (path / MANIFEST_FILE).is_file() or (path.suffix == ".zip" and zipfile.is_zipfile(path))


def write_files(files: Mapping[str, bytes], path: Path, *, zipped: bool) -> None:
    """Write files by their names within the bundle, to a folder or into one .zip."""
    if zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                # A fixed date: the same bundle gives the same file.
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def write_whole(files: Mapping[str, bytes], path: Path) -> None:
    """Write files to a folder, or into one file where the path ends in ``.zip``; it is there as a whole or not at all.

    What stands at the path is replaced.

    Raises
    ------
    BundleError
        If it cannot be written, for want of room as a rule.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as part:
            whole = Path(part) / "whole"
            write_files(files, whole, zipped=path.suffix == ".zip")
            if path.exists():
                path.unlink() if path.is_file() else shutil.rmtree(path)
            whole.rename(path)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be written: {error.strerror or error}. Make room there, or give another --out."
        ) from error


def load_manifest(path: str | Path) -> Manifest:
    """Read only what a bundle says of itself; its other files are not looked at.

    Raises
    ------
    BundleError
        If it is missing, or its manifest is damaged, of an unknown schema, or holds impossible values.
    """
    path = Path(path)
    return read_manifest(reader(path), path)[1]


def read_manifest(read: Callable[[str], bytes], path: Path) -> tuple[bytes, Manifest]:
    """Return the manifest as it is written and as it is read, by what `reader` returns.

    Raises
    ------
    BundleError
        If it is damaged, of an unknown schema, or holds impossible values.
    """
    text = read(MANIFEST_FILE)
    check(MANIFEST_FILE, text, read(MANIFEST_HASH_FILE).decode(errors="replace"), path)
    return text, parse_manifest(text, path)


def check(name: str, data: bytes, expected: str, path: Path) -> None:
    """Refuse a file whose hash is another than that which was saved.

    Raises
    ------
    BundleError
    """
    if sha256(data) != expected:
        raise BundleError(
            f"{name} in {path} is not the file that was saved: its SHA-256 is {sha256(data)} instead of {expected}. "
            "Copy it again from where it was made."
        )


def reader(path: Path) -> Callable[[str], bytes]:
    """Return a function that reads one member of a folder or a zip file.

    Raises
    ------
    BundleError
        If there is no bundle at `path`; the function itself, if the member is missing or cannot be read.
    """
    if path.is_dir():
        if not (path / MANIFEST_FILE).is_file():
            raise BundleError(
                f"{path} is a folder without {MANIFEST_FILE}; it is not a bundle. Train one with decode-stream train."
            )
        return member_reader(path)
    if not path.exists():
        raise BundleError(
            f"There is no bundle at {path}. Train one with: decode-stream train RECORDING... --out {path}"
        )
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path} is neither a bundle's folder nor a .zip of one.")
    return member_reader(path)


def member_reader(path: Path) -> Callable[[str], bytes]:
    """Return a function that reads one file of a folder or a .zip, and raises BundleError where that cannot be."""
    if path.is_dir():
        return lambda name: _read_member(path, name, lambda: (path / name).read_bytes())

    def read(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > _MAX_FILE_BYTES:
                raise OSError(f"larger than {_MAX_FILE_BYTES >> 30} GiB")
            return archive.read(name)

    return lambda name: _read_member(path, name, lambda: read(name))


def _read_member(path: Path, name: str, read: Callable[[], bytes]) -> bytes:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name:
        raise BundleError(f"{path} lists the file {name!r}, which lies outside; it is refused.")
    try:
        return read()
    except (OSError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise BundleError(
            f"{name} in {path} is missing or cannot be read: {error}. Copy it again from where it was made."
        ) from error
