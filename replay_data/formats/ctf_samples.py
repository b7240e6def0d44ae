"""Samples of a CTF recording straight from its files, so that a block costs what it holds.

MNE-Python reads a whole trial of all channels for any sample of it, and a run of THINGS-MEG is one trial of 518 MB.
The samples lie in ``NAME.meg4`` and, behind 2 GB, in ``NAME.1_meg4``, ...: 8 bytes, then trial after trial, in it
channel after channel, as big-endian int32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray

__all__ = ["HEADER", "MEG4_START", "CtfShape", "check_whole", "ctf_shape", "read_ctf_samples", "sample_files"]

#: The first bytes of a ``.meg4`` file.
MEG4_START = b"MEG41CP\0"

#: The part of a ``.res4`` header that lies at fixed places; what is not named here is left zero.
HEADER = np.dtype(
    {
        "names": [
            *("start", "time", "date", "n_times", "n_channels", "sfreq_hz", "length_s", "n_trials"),
            *("subject", "n_description"),
        ],
        "formats": ["S8", "S255", "S255", ">i4", ">i2", ">f8", ">f8", ">i2", "S32", ">i4"],
        "offsets": [0, 778, 1033, 1288, 1292, 1296, 1304, 1312, 1712, 1836],
        "itemsize": 1844,
    }
)


@dataclass(frozen=True, slots=True)
class CtfShape:
    """What the header of a CTF recording says of its size.

    Attributes
    ----------
    n_times : int
        Samples of a trial.
    n_channels, n_trials : int
    sfreq_hz : float
    """

    n_times: int
    n_channels: int
    n_trials: int
    sfreq_hz: float

    @property
    def trial_bytes(self) -> int:
        """Bytes of one trial."""
        return 4 * self.n_times * self.n_channels


def ctf_shape(path: Path) -> CtfShape:
    """Return the size that a ``.ds`` folder declares in its header.

    Raises
    ------
    RecordingError
        If the header is missing, cut off or of another kind.
    """
    header = path / f"{path.stem}.res4"
    try:
        with header.open("rb") as file:
            start = file.read(HEADER.itemsize)
    except OSError as error:
        raise RecordingError(
            f"{header} cannot be read: {error.strerror}. A CTF recording is a whole folder, named as the files in it; "
            f"download {path.name} again."
        ) from error
    if len(start) < HEADER.itemsize or not start.startswith(b"MEG"):
        raise RecordingError(
            f"{header} is no whole CTF header ({len(start)} bytes of {HEADER.itemsize}). Download it again."
        )
    said = np.frombuffer(start, HEADER)[0]
    shape = CtfShape(
        int(said["n_times"]), int(said["n_channels"]), int(said["n_trials"]), float(said["sfreq_hz"])
    )
    if min(shape.n_times, shape.n_channels) < 1 or not 0 < shape.sfreq_hz < 1e6:
        raise RecordingError(
            f"{header} declares {shape.n_trials} trials of {shape.n_times} samples of {shape.n_channels} channels at "
            f"{shape.sfreq_hz:g} Hz, which cannot be. Download it again."
        )
    return shape


def sample_files(path: Path) -> list[Path]:
    """Return the files of a ``.ds`` folder that hold samples, in order."""
    files = [path / f"{path.stem}.meg4"]
    while (following := path / f"{path.stem}.{len(files)}_meg4").exists():
        files.append(following)
    return files


def check_whole(path: Path) -> CtfShape:
    """Return the size of a ``.ds`` folder that holds all the samples its header declares.

    Raises
    ------
    RecordingError
        If samples are missing, or the header cannot be read.
    """
    shape = ctf_shape(path)
    files = sample_files(path)
    if not files[0].exists():
        raise RecordingError(
            f"{files[0]} is missing: the download of {path.name} is not complete (in a DataLad clone: datalad get "
            f"{path.name})."
        )
    try:
        # Opened, and not only asked for their sizes: what may not be read is not whole either.
        held = sum(_size(file) - len(MEG4_START) for file in files)
    except OSError as error:
        raise RecordingError(f"{error.filename} cannot be read: {error.strerror}.") from error
    declared = shape.n_trials * shape.trial_bytes
    if held < declared:
        raise RecordingError(
            f"{path} is cut off: its samples take {held / 1e6:.1f} MB, and its header declares {declared / 1e6:.1f} "
            f"MB ({shape.n_trials} x {shape.n_times} samples of {shape.n_channels} channels). Download it again."
        )
    return shape


def _size(file: Path) -> int:
    with file.open("rb") as samples:
        return samples.seek(0, 2)


def read_ctf_samples(raw: Any, picks: Sequence[int], start: int, stop: int) -> FloatArray:
    """Return samples [start, stop) of mne's ``RawCTF``, shape (stop - start, n_picks), float64, as mne scales them.

    Raises
    ------
    OSError, ValueError
        If the files cannot be read.
    RecordingError
        If the header cannot.
    """
    files = [Path(name) for name in raw.filenames]
    shape = ctf_shape(files[0].parent)
    scales = np.array([raw.info["chs"][place]["cal"] * raw.info["chs"][place]["range"] for place in picks])
    places = np.asarray(picks, dtype=np.intp)
    out = np.empty((stop - start, len(picks)))
    begin = 0
    for file in files:
        n_trials = (file.stat().st_size - len(MEG4_START)) // shape.trial_bytes
        size = (n_trials, shape.n_channels, shape.n_times)
        end = begin + n_trials * shape.n_times
        if begin < stop and start < end:
            stored = np.memmap(file, ">i4", "r", len(MEG4_START), size)
            at = max(start, begin)
            while at < min(stop, end):
                trial, first = divmod(at - begin, shape.n_times)
                n = min(shape.n_times - first, min(stop, end) - at)
                out[at - start : at - start + n] = stored[trial, :, first : first + n][places].T
                at += n
        begin = end
    if stop > begin:
        raise ValueError(f"it holds {begin} samples and was asked for {stop}")
    out *= scales
    return out
