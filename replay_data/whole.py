"""Files and folders that appear under their name only when they are whole."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decode_stream.stream.errors import RecordingError

__all__ = ["written_whole"]


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
        If something stands at `path`, or it cannot be written: no permission, a full disk.
    """
    try:
        if path.exists() and not overwrite:
            raise RecordingError(f"{path} exists already. Give another place, or remove it first.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=".part") as part:
            place = Path(part) / path.name
            yield place
            if path.exists():
                path.unlink() if path.is_file() else shutil.rmtree(path)
            place.rename(path)
    except OSError as error:
        raise RecordingError(
            f"{path} cannot be written: {error.strerror or error}. Nothing was left there; give a place with room "
            "that can be written to."
        ) from error
