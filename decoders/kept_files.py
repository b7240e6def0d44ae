"""Files that are kept from one run to the next: where they lie, and how they are written."""

import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["cache_folder", "write_whole"]


def cache_folder(what: str) -> Path:
    """Return the folder of what is kept: in the one ``DECODE_STREAM_CACHE`` names, else where the platform has such.

    Parameters
    ----------
    what : str
        The folder's own name, such as ``embeddings``. It need not be there yet.
    """
    if given := os.environ.get("DECODE_STREAM_CACHE"):
        return Path(given) / what
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "decode-stream" / what


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file that appears under its name only when it is whole, in place of what stands there.

    Several programs may write the same one at once: each writes beside it, and the last to end stays.

    Parameters
    ----------
    path : Path
        Its folder is made if it is not there.
    parts : iterable of bytes
        What the file is to hold, one after the other.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left then.
    """
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
            part = Path(file.name)
            for content in parts:
                file.write(content)
        part.replace(path)
    except OSError:
        if part is not None:
            with suppress(OSError):
                part.unlink()
        raise
