"""Tells a lack of memory, or of room on a disk, in a sentence."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decode_stream.config import Model
from decode_stream.stream.errors import DecodeStreamError

__all__ = ["exhaustion_told"]


@contextmanager
def exhaustion_told(model: Model) -> Iterator[None]:
    """Turn a lack of memory or of disk space within the block into a message.

    Raises
    ------
    DecodeStreamError
        If there is not enough of either.
    """
    try:
        yield
    except MemoryError as error:
        raise DecodeStreamError(
            f"The memory of this machine is too small to train --model {model} on all of this. Name fewer channels "
            "with --channels, give fewer recordings, or take a machine with more."
        ) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DecodeStreamError(_no_room(error.filename)) from error


def _no_room(where: str | None) -> str:
    """Return what to do about a full disk; a file that was open already has no name in its error."""
    temporary = Path(tempfile.gettempdir())
    if where is not None and not Path(where).resolve().is_relative_to(temporary.resolve()):
        return f"There is no room left at {where}. Make room there."
    return (
        f"There is no room left at {where or f'{temporary} or at --out'}; the windows of all trials are kept in "
        f"{temporary} while training. Make room, or set TMPDIR to a folder with more."
    )
