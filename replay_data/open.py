"""Open a recording: the reader is chosen by looking at the path."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording

__all__ = ["fingerprint", "open_recording"]

_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
#: Parts of recordings, and the ending of the file to name instead.
_PARTS = {".vmrk": ".vhdr", ".eeg": ".vhdr", ".fdt": ".set"}
#: Headers, and the ending of the file beside them that holds the samples.
_SAMPLES = {".vhdr": ".eeg", ".set": ".fdt"}
_END_BYTES = 1 << 20


def open_recording(
    path: str | Path,
    *,
    marker_column: str | None = None,
    exclude_channels: Sequence[str] = (),
    modality: str | None = None,
    unit: str | None = None,
) -> Recording:
    """Return a recording, ready to be read in blocks, whatever file or folder holds it.

    Parameters
    ----------
    path : str or Path
        A CSV file recorded from LSL (``.csv``, ``.csv.gz``), or anything MNE-Python reads: FIF, BrainVision,
        EDF, BDF, EEGLAB, CTF folders, KIT, ...
    marker_column : str or None
        CSV: the column that holds the markers. Other files: the stim channel, or None to take the annotations
        and, where there are none, the stim channel that mne would take.
    exclude_channels : sequence of str
        Names of channels to leave out.
    modality : str or None
        ``"eeg"`` or ``"meg"`` keeps only that modality's channels; None keeps all.
    unit : str or None
        Unit of a CSV's channels, against what its header or its values say.

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
    kind = _kind(path)
    if kind == "csv":
        from .csv_files import read_csv

        return read_csv(
            path,
            marker_column=marker_column,
            exclude_channels=exclude_channels,
            modality=modality,
            unit=unit,
        )
    if unit is not None:
        raise RecordingError(f"{path} says its units itself; a unit can be given for CSV files only.")
    from .mne_files import read_mne

    return read_mne(path, marker_channel=marker_column, exclude_channels=exclude_channels, modality=modality)


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


def _kind(path: Path) -> str:
    """Return ``"csv"`` or ``"mne"``, or say why it is neither."""
    if not path.exists():
        raise RecordingError(f"{path} does not exist.{_neighbours(path)}")
    if path.is_dir() and path.suffix.lower() not in (".ds", ".mff", ".mefd"):
        inside = sorted(entry.name for entry in path.iterdir() if _may_be_recording(entry))
        held = f"It holds {', '.join(inside[:5])}{', ...' if len(inside) > 5 else ''}: give one of them."
        raise RecordingError(
            f"{path} is a folder, not a recording. {held if inside else 'It holds no recording either.'}"
        )
    if path.is_file() and path.stat().st_size == 0:
        raise RecordingError(f"{path} is empty (0 bytes). Copy or record it again.")
    if path.parent.suffix.lower() in (".ds", ".mff"):
        raise RecordingError(f"{path} is a part of a recording. Give the folder {path.parent}.")
    header = path.with_suffix(_PARTS.get(path.suffix.lower(), path.suffix))
    if header != path and header.exists():
        raise RecordingError(f"{path} is a part of a recording. Give {header}.")
    if path.name.lower().endswith(_CSV):
        return "csv"
    if _may_be_recording(path):
        return "mne"
    raise RecordingError(
        f"{path} is of no kind known here ({path.suffix or 'no ending'}). Recordings are CSV recorded from "
        "LSL (.csv, .csv.gz) or files that MNE-Python reads: .fif, .vhdr, .edf, .bdf, .set, .ds, .sqd, ..."
    )


# What MNE-Python reads, told without importing it; ambiguous endings (.txt, .dat, .bin, ...) are left out.
_MNE = (
    *(
        ".fif",
        ".fif.gz",
        ".vhdr",
        ".ahdr",
        ".edf",
        ".bdf",
        ".gdf",
        ".set",
        ".cnt",
        ".mff",
        ".ds",
        ".sqd",
        ".con",
    ),
    *(".cdt", ".mefd", ".nxe", ".nedf", ".lay", ".eeg", ".data"),
)


def _may_be_recording(path: Path) -> bool:
    return path.name.lower().endswith(_CSV + _MNE)


def _neighbours(path: Path) -> str:
    """Say what could have been meant by a path that does not exist."""
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return f" Nor does its folder {path.parent}."
    names = [entry.name for entry in path.parent.iterdir() if _may_be_recording(entry)]
    close = get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""
