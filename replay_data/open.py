"""Open a recording: the reader is chosen by looking at the path."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from decode_stream.replay_data.formats import csv_files, mne_files, nifti_files, xdf_files
from decode_stream.replay_data.nsd import layout as nsd
from decode_stream.replay_data.simulation import simulation_files, volume_simulation_files
from decode_stream.replay_data.things_eeg import layout as things_eeg
from decode_stream.replay_data.things_meg import layout as things_meg
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording

from . import stored
from .layout import Inspection, Layout, ReadOptions

__all__ = ["LAYOUTS", "fingerprint", "inspect", "open_recording"]

#: Headers, and the ending of the file beside them that holds the samples.
_SAMPLES = {".vhdr": ".eeg", ".set": ".fdt"}
_END_BYTES = 1 << 20

#: The layouts known, asked in this order: what is particular comes before what is general.
LAYOUTS: tuple[Layout, ...] = (
    stored,
    volume_simulation_files,
    simulation_files,
    things_meg,
    nsd,
    things_eeg,
    xdf_files,
    csv_files,
    nifti_files,
    mne_files,
)


def open_recording(
    path: str | Path,
    *,
    marker_column: str | None = None,
    exclude_channels: Sequence[str] = (),
    modality: str | None = None,
    unit: str | None = None,
    mask: str | None = None,
    stream: str | None = None,
) -> Recording:
    """Return a recording, ready to be read in blocks, whatever file or folder holds it.

    Parameters
    ----------
    path : str or Path
        A file or folder of one of the `LAYOUTS`.
    marker_column, exclude_channels, modality, unit, mask, stream
        As in `ReadOptions`.

    Returns
    -------
    Recording
        With `notes`, a tuple of sentences on how the file was read.

    Raises
    ------
    RecordingError
        If the recording does not exist, is empty, damaged, cut off or of an unknown kind, or lacks what was
        asked of it.
    """
    path = Path(path).expanduser()
    layout = _layout(path)
    if stream is not None and layout is not xdf_files:
        raise RecordingError(
            f"{path} is no XDF file: it holds one signal, and a stream cannot be chosen in it."
        )
    with _readable(path):
        return layout.read(
            path, ReadOptions(marker_column, tuple(exclude_channels), modality, unit, mask, stream)
        )


def inspect(path: str | Path) -> Inspection:
    """Return what a file or folder is, what it holds and what it lacks.

    Raises
    ------
    RecordingError
        If there is nothing, or nothing that is known here.
    """
    path = Path(path).expanduser()
    layout = _layout(path)
    with _readable(path):
        return layout.inspect(path)


def fingerprint(path: str | Path) -> str:
    """Return what tells a recording from others, whatever its name: the same for every copy of its samples.

    A SHA-256 of the size and of the first and the last MiB of the file that holds the samples: beside its header
    for BrainVision and EEGLAB, the largest in a folder. It is quick at any size and guards against mistakes; a
    change in the middle, or the same signal in another format, is not seen.

    Raises
    ------
    RecordingError
        If the file cannot be read.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            inside = [entry for entry in path.rglob("*") if entry.is_file()]
            path = max(inside, key=lambda entry: (entry.stat().st_size, entry.name), default=path)
        samples = path.with_suffix(_SAMPLES.get(path.suffix.lower(), path.suffix))
        with (samples if samples.exists() else path).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            digest = hashlib.sha256(f"{size}:".encode() + file.read(_END_BYTES))
            file.seek(max(0, size - _END_BYTES))
            digest.update(file.read(_END_BYTES))
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say which file or folder the system refused, at a path or beside it."""
    try:
        yield
    except OSError as error:
        raise RecordingError(
            f"{error.filename or path} cannot be read: {error.strerror or error}. Let it be read, or copy it again."
        ) from error


def _layout(path: Path) -> Layout:
    """Return the layout that knows a path, or say why none does."""
    with _readable(path):
        if not path.exists():
            raise RecordingError(f"{path} does not exist.{_neighbours(path)}")
        if path.is_file() and path.stat().st_size == 0:
            raise RecordingError(f"{path} is empty (0 bytes). Copy or record it again.")
        known = next((layout for layout in LAYOUTS if layout.recognise(path)), None)
        inside = sorted(path.iterdir()) if path.is_dir() else []
    if known is not None:
        return known
    if path.is_dir():
        held = [entry.name for entry in inside if _is_known(entry)]
        said = f"It holds {', '.join(held[:5])}{', ...' if len(held) > 5 else ''}: give one of them."
        raise RecordingError(
            f"{path} is a folder, not a recording. {said if held else 'It holds no recording either.'}"
        )
    if path.parent.suffix.lower() in (".ds", ".mff"):
        raise RecordingError(f"{path} is a part of a recording. Give the folder {path.parent}.")
    raise RecordingError(
        f"{path} is of no kind known here ({path.suffix or 'no ending'}). Recordings are the published files of "
        "THINGS-EEG2, THINGS-MEG and NSD, CSV recorded from LSL (.csv, .csv.gz), XDF (.xdf, .xdfz), NIfTI (.nii, "
        ".nii.gz) and files that MNE-Python reads: .fif, .vhdr, .edf, .bdf, .set, .ds, .sqd, ..."
    )


def _is_known(entry: Path) -> bool:
    """Return whether any layout knows a path; one that may not be looked at is taken for something else."""
    try:
        return any(layout.recognise(entry) for layout in LAYOUTS)
    except (OSError, RecordingError):
        return False


def _neighbours(path: Path) -> str:
    """Say what could have been meant by a path that does not exist."""
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return f" Nor does its folder {path.parent}."
    try:
        names = [entry.name for entry in path.parent.iterdir() if _is_known(entry)]
    except OSError:  # what may not be looked at cannot be proposed
        return ""
    close = get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""
