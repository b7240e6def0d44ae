"""Whose a recording is, as far as its name and its folders say."""

import re
from os.path import normpath
from pathlib import Path

from decode_stream.stream.errors import RecordingError

from . import stored
from .layout import ReadOptions

__all__ = ["subject_of"]

#: How names of files begin in BIDS, in the sources of THINGS-EEG2 and in the raw data of THINGS-MEG and NSD.
_NAME = re.compile(r"(sub-[0-9A-Za-z]+)_.*")
#: Preprocessed trials of THINGS-MEG, whose people are sub-BIGMEG1 to 4 in its raw data.
_THINGS_MEG = re.compile(r"preprocessed_P(\d+)-epo(?:-\d+)?\.fif")
#: A folder of one person. Without a number it may be of anything.
_FOLDER = re.compile(r"(sub-|subj|sub)([A-Za-z]*\d[0-9A-Za-z]*)")


def subject_of(path: str | Path) -> str:
    """Return whose a recording is, one word for all recordings of one person, or an empty string if nothing says it.

    The name of the file counts first, then the nearest folder: ``sub-01`` in BIDS and THINGS-EEG2, ``sub-BIGMEG1`` in
    THINGS-MEG, in its preprocessed trials as well, ``subj01`` in NSD. Of a converted recording, what it was converted
    from counts last.

    Parameters
    ----------
    path : str or Path
        A file or folder that `open_recording` opens.

    Raises
    ------
    RecordingError
        If it is a converted recording that cannot be read.
    """
    # Links are not followed: what they are called counts.
    path = Path(normpath(Path(path).expanduser().absolute()))
    return _by_names(path) or _by_names(_source(path))


def _by_names(path: Path) -> str:
    """Return whose a recording is by the names in its path alone."""
    if found := _NAME.fullmatch(path.name):
        return found[1]
    if found := _THINGS_MEG.fullmatch(path.name):
        return f"sub-BIGMEG{int(found[1])}"
    for name in reversed(path.parts):
        if found := _FOLDER.fullmatch(name):
            return f"{'sub-' if found[1] == 'sub' else found[1]}{found[2]}"
    return ""


def _source(path: Path) -> Path:
    """Return what a converted recording was made from; of any other, a path without names."""
    try:
        if not stored.recognise(path):
            return Path()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}. Let it be read.") from error
    # Where that was when it was converted: it need not be there any more, nor be below the present folder.
    return Path(stored.read(path, ReadOptions()).source)
