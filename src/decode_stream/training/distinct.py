"""Recordings told apart: none is given twice, and no two are called the same."""

from collections.abc import Sequence
from pathlib import Path

from decode_stream.stream.errors import UsageError

__all__ = ["check_different", "check_no_copies", "distinct_names"]


def check_different(paths: Sequence[Path]) -> None:
    """Refuse a run that would be held out and trained on at once.

    Raises
    ------
    UsageError
    """
    resolved = [path.resolve() for path in paths]
    for path in resolved:
        if resolved.count(path) > 1:
            raise UsageError(
                f"{path.name} is given {resolved.count(path)} times; every run is held out from the others once, so "
                "each can be given only once."
            )


def check_no_copies(paths: Sequence[Path], fingerprints: Sequence[str]) -> None:
    """Refuse a copy of a run under another name, as `check_different` does.

    Parameters
    ----------
    fingerprints : sequence of str
        What tells each recording from others by its content.

    Raises
    ------
    UsageError
    """
    first = dict[str, Path]()
    for path, print_ in zip(paths, fingerprints, strict=True):
        if print_ in first:
            raise UsageError(
                f"{path} is a copy of {first[print_]}; every run is held out from the others once, so each can be "
                "given only once."
            )
        first[print_] = path


def distinct_names(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return what to call recordings: by their names, and where some have the same one by as many folders as differ.

    Parameters
    ----------
    names : sequence of str
    paths : sequence of Path
        Where each lies; no two are the same.
    """
    folders = [path.resolve().parts[:-1] for path in paths]
    found = list(names)
    for depth in range(1, max(map(len, folders), default=0) + 1):
        alike = [found.count(name) > 1 for name in found]
        if not any(alike):
            break
        longer = ["/".join((*folder[-depth:], name)) for folder, name in zip(folders, names, strict=True)]
        found = [long if again else short for long, again, short in zip(longer, alike, found, strict=True)]
    return found
