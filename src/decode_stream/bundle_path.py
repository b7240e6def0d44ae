"""Where a bundle is to be written: refused before the work what could not be saved after it."""

from pathlib import Path
from tempfile import TemporaryFile

from decode_stream.decoders.bundle_files import is_bundle
from decode_stream.stream.errors import UsageError

__all__ = ["check_out", "check_writable"]


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse a path at which a bundle could not be saved.

    Parameters
    ----------
    out : Path
        The bundle to be.
    overwrite : bool
        Whether a bundle that stands there may be replaced; anything else is never replaced.

    Raises
    ------
    UsageError
        If something stands there, or the folder cannot be written.
    """
    if out.exists():
        if not overwrite:
            raise UsageError(
                f"{out} exists already. Give another --out, or --overwrite to replace the bundle."
            )
        if not is_bundle(out):
            raise UsageError(
                f"{out} is not a bundle, and --overwrite replaces nothing else. Give another --out."
            )
    check_writable(out)


def check_writable(out: Path) -> None:
    """Refuse, before hours of work, a path that could not be written after them.

    Raises
    ------
    UsageError
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written: {error.strerror}. Give a path in a folder that can be written."
        ) from error
