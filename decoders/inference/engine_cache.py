"""Engines that were built once, on disk: by all that an engine depends on, and never used for anything else.

::

    FOLDER/NETWORK-KEY.engine   what was built of a network: for one version of one library, one GPU and driver, and up
                                to one batch size; NETWORK is of the network's SHA-256, KEY of that of all of these
    FOLDER/timing-KEY.cache     what the library measured of its kernels while it built, by version, GPU and driver

Each file tells in a header what it is for and the SHA-256 of what follows: one that was cut off, changed, or copied
from elsewhere is never given to a library, which would read it as it is.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from decode_stream.decoders.kept_files import cache_folder, write_whole
from decode_stream.stream.errors import UsageError

__all__ = ["EngineCache", "EngineKey", "Report"]

# The number goes up with every change of how engines are built, so that none of before is used.
_MAGIC = b"decode-stream kept 2\n"
_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 1 << 16
#: Engines are dropped beyond this many bytes, those that were not used for longest first.
_MOST_BYTES = 16 << 30

#: Is told, in a sentence, what is done and why.
Report = Callable[[str], None]


class EngineKey(msgspec.Struct, frozen=True):
    """All that an engine depends on; its precision is the network's.

    Attributes
    ----------
    network : str
        SHA-256 of the network's bytes, its numbers included.
    library, version : str
        What builds it, as a person reads it.
    gpu, compute_capability, driver : str
        See `GpuIdentity`.
    most_batch : int
        It takes batches of 1 to this many.
    """

    network: str
    library: str
    version: str
    gpu: str
    compute_capability: str
    driver: str
    most_batch: int


#: How a difference between two keys is told.
_TOLD = {
    "library": "by {}",
    "version": "by version {}",
    "gpu": "on {}",
    "compute_capability": "for compute capability {}",
    "driver": "under a driver of CUDA {}",
    "most_batch": "for batches of up to {}",
}


class _Header(msgspec.Struct, frozen=True):
    """What a kept file is for, and what follows."""

    key: EngineKey
    sha256: str
    n_bytes: int


class _DamagedError(Exception):
    """A kept file is not what was written."""


class EngineCache:
    """Engines and timings on disk; several programs may use one folder at once.

    Parameters
    ----------
    folder : Path, optional
        By default ``engines`` in the folder that ``DECODE_STREAM_CACHE`` names, else where the platform has such.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder("engines") if folder is None else folder

    def path(self, key: EngineKey) -> Path:
        """Return where an engine is, or would be."""
        return self.folder / f"{key.network[:16]}-{_digest(key)}.engine"

    def read(self, key: EngineKey, report: Report) -> bytes | None:
        """Return an engine that fits in all; None where it must be built, and `report` is told why."""
        path = self.path(key)
        if not path.exists():
            if (other := self._nearest(key)) is not None:
                report(f"An engine of this network was built {_differences(other, key)}: another is needed")
            return None
        try:
            found, content = _unsealed(path)
        except _DamagedError as error:
            report(f"The engine in {path} is damaged ({error}): it is built anew")
            return None
        if found != key:
            report(f"The engine in {path} was built {_differences(found, key)}: it is built anew")
            return None
        with suppress(OSError):  # of those not used for longest the time of use is not needed to the second
            os.utime(path)
        return content

    def write(self, key: EngineKey, engine: bytes) -> Path:
        """Keep an engine, and drop those not used for longest where there are too many.

        Raises
        ------
        UsageError
            If the folder cannot be written to.
        """
        path = self.path(key)
        self._write(path, key, engine)
        self._drop_oldest(path)
        return path

    def read_timings(self, key: EngineKey) -> bytes:
        """Return what was measured when other engines were built; empty where nothing that fits is there."""
        try:
            found, content = _unsealed(self._timings(key))
        except _DamagedError:  # they only save time: those of this build replace them
            return b""
        return content if found == _of_all_networks(key) else b""

    def write_timings(self, key: EngineKey, timings: bytes) -> None:
        """Keep what was measured.

        Raises
        ------
        UsageError
            If the folder cannot be written to.
        """
        self._write(self._timings(key), _of_all_networks(key), timings)

    def _timings(self, key: EngineKey) -> Path:
        return self.folder / f"timing-{_digest(_of_all_networks(key))}.cache"

    def _write(self, path: Path, key: EngineKey, content: bytes) -> None:
        header = msgspec.json.encode(_Header(key, hashlib.sha256(content).hexdigest(), len(content)))
        try:
            write_whole(path, [_MAGIC, len(header).to_bytes(_LENGTH_BYTES, "little"), header, content])
        except OSError as error:
            raise UsageError(
                f"Engines cannot be kept in {self.folder}: {error.strerror or error}. Make room, or name another "
                "folder by the environment variable DECODE_STREAM_CACHE."
            ) from error

    def _nearest(self, key: EngineKey) -> EngineKey | None:
        """Return for what else the network's engine that is most like the one asked for was built."""
        others = list[EngineKey]()
        for path in self.folder.glob(f"{key.network[:16]}-*.engine"):
            with suppress(OSError, _DamagedError), path.open("rb") as file:
                others.append(_header(file).key)
        fitting = [other for other in others if other.network == key.network]
        return min(fitting, key=lambda other: len(_differing(other, key)), default=None)

    def _drop_oldest(self, kept: Path) -> None:
        used = list[tuple[float, int, Path]]()
        for path in self.folder.glob("*.engine"):
            with suppress(OSError):
                state = path.stat()
                used.append((state.st_mtime, state.st_size, path))
        total = sum(size for _, size, _ in used)
        for _, size, path in sorted(used):
            if total <= _MOST_BYTES:
                return
            if path != kept:
                with suppress(OSError):  # another program reads it, where files in use cannot be dropped
                    path.unlink()
                total -= size


def _digest(key: EngineKey) -> str:
    return hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:16]


def _of_all_networks(key: EngineKey) -> EngineKey:
    return msgspec.structs.replace(key, network="", most_batch=0)


def _differing(found: EngineKey, wanted: EngineKey) -> list[str]:
    return [name for name in _TOLD if getattr(found, name) != getattr(wanted, name)]


def _differences(found: EngineKey, wanted: EngineKey) -> str:
    """Return what an engine was built for, as far as that is not what is wanted."""
    if found.network != wanted.network:
        return "of another network"
    names = _differing(found, wanted)
    return " and ".join(
        f"{_TOLD[name].format(getattr(found, name))}, not {getattr(wanted, name)}" for name in names
    )


def _unsealed(path: Path) -> tuple[EngineKey, bytes]:
    """Return what a kept file is for and what it holds.

    Raises
    ------
    _DamagedError
        If it is not there, or not as it was written.
    """
    try:
        with path.open("rb") as file:
            header = _header(file)
            content = file.read()
    except OSError as error:
        raise _DamagedError(error.strerror or str(error)) from error
    if len(content) != header.n_bytes:
        raise _DamagedError(f"{len(content)} bytes of {header.n_bytes}")
    if hashlib.sha256(content).hexdigest() != header.sha256:
        raise _DamagedError("its SHA-256 differs")
    return header.key, content


def _header(file: BinaryIO) -> _Header:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise _DamagedError("it does not begin as an engine does")
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    try:
        return msgspec.json.decode(file.read(min(length, _MOST_HEADER_BYTES)), type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _DamagedError("its header cannot be read") from error
