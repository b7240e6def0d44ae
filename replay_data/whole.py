"""Files and folders that appear under their name only when they are whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decode_stream.stream.errors import RecordingError

__all__ = ["written_whole"]

_PART = ".part"


@contextmanager
def written_whole(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a place to write to, and move what was written to `path` once the block has ended well.

    Parameters
    ----------
    path : Path
        The file or folder to be; its parents are made.
    overwrite : bool
        Whether to replace what stands there.

    Yields
    ------
    Path
        Does not exist yet: write a file there, or make a folder. It lies beside `path` and is removed if anything
        fails.

    Raises
    ------
    RecordingError
        If something stands at `path`, or it cannot be written: no permission, a full disk. Or if what the block reads
        meanwhile cannot be read, which is told apart by where it lies.
    """
    try:
        if path.exists() and not overwrite:
            raise RecordingError(f"{path} exists already. Give another place, or remove it first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=_PART) as part:
            place = Path(part) / path.name
            try:
                yield place
            except OSError as error:
                if (read := _elsewhere(error)) is None:
                    raise
                raise RecordingError(
                    f"{read} cannot be read: {error.strerror or error}. Let it be read, or copy it again; {path} was "
                    "not written."
                ) from error
            if path.exists():
                path.unlink() if path.is_file() else shutil.rmtree(path)
            place.rename(path)
    except OSError as error:
        raise RecordingError(
            f"{path} cannot be written: {error.strerror or error}. Nothing was left there; give a place with room "
            "that can be written to."
        ) from error


def _elsewhere(error: OSError) -> Path | None:
    """Return the file that an error speaks of, if it is none of those being written.

    Files that could not be opened are named in the error; one that is open and finds its disk full is not.
    """
    if not isinstance(error.filename, str | os.PathLike):
        return None
    named = Path(error.filename)
    # Several files may be written at once, and an error in one comes through the blocks of the others.
    written = any(
        folder.name.startswith(".") and folder.suffix == _PART for folder in named.absolute().parents
    )
    return None if written else named
