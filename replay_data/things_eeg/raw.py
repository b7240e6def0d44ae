"""Read THINGS-EEG2's raw files: ``raw_eeg_training.npy`` and ``raw_eeg_test.npy``, a session each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.array_files import open_arrays
from decode_stream.replay_data.formats.channels import select_channels
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray, Gap, IntArray

from .images import N_IMAGES, find_image_table
from .names import DOWNLOADS, Place

__all__ = ["TARGET", "RawArrayRecording", "read_raw", "table_of_ids", "texts_of"]

#: What the stim row holds where the person was to respond.
TARGET = 99999
_KEYS = ("raw_eeg_data", "ch_names", "ch_types", "sfreq")
_BLOCK_SAMPLES = 1 << 18


@dataclass(frozen=True, eq=False)
class RawArrayRecording:
    """Channels by samples in a mapped array, as a `Recording`.

    Attributes
    ----------
    array : array of shape (n_rows, n_samples), floating
        The signal in volts and the stim row.
    kept : tuple of int
        Rows of the wanted channels.
    """

    name: str
    array: npt.NDArray[Any]
    kept: tuple[int, ...]
    channels: tuple[Channel, ...]
    sfreq_hz: float
    stimuli: StimulusTable
    notes: tuple[str, ...]
    gaps: tuple[Gap, ...] = ()
    epoch: Epoch | None = None

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return int(self.array.shape[1])

    @property
    def markers(self) -> tuple[tuple[int, str], ...]:
        """Onset and id of every picture; targets have none."""
        return self.stimuli.markers()

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), volts."""
        block = self.array[:, max(0, start) : max(0, stop)]
        kind = np.result_type(block.dtype.newbyteorder("="), np.float32)
        samples: FloatArray = np.ascontiguousarray(block[list(self.kept)].T, dtype=kind)
        return samples


def read_raw(path: Path, place: Place, options: ReadOptions) -> RawArrayRecording:
    """Open a raw file.

    Raises
    ------
    RecordingError
        If it is not what was published, is cut off, counts images that do not exist, or an option does not apply.
    """
    held = open_arrays(path)
    if not isinstance(held, dict) or any(key not in held for key in _KEYS):
        raise RecordingError(
            f"{path} holds no {', '.join(_KEYS)}, as THINGS-EEG2's raw files do. Get it again: {DOWNLOADS['raw']}."
        )
    array, sfreq_hz = held["raw_eeg_data"], held["sfreq"]
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        raise RecordingError(
            f"{path} holds no array of channels by samples. It is damaged; get it again: {DOWNLOADS['raw']}."
        )
    if isinstance(sfreq_hz, bool) or not isinstance(sfreq_hz, int | float | np.number) or not sfreq_hz > 0:
        raise RecordingError(
            f"{path} has a rate of {sfreq_hz!r:.40}. It is damaged; get it again: {DOWNLOADS['raw']}."
        )
    names, types = texts_of(path, held, "ch_names"), texts_of(path, held, "ch_types")
    if not len(names) == len(types) == len(array):
        raise RecordingError(
            f"{path} names {len(names)} channels for an array of shape {array.shape}. It is damaged; get it again: "
            f"{DOWNLOADS['raw']}."
        )
    stims = [row for row, type_ in enumerate(types) if type_ == "stim"]
    wanted = options.marker_column
    if wanted is not None and wanted not in [names[row] for row in stims]:
        raise RecordingError(
            f"{path} has no stim row {wanted!r}; its markers are in {names[stims[0]] if stims else 'none'}."
        )
    if not stims or not array.shape[1]:
        raise RecordingError(f"{path} has no stim row or no samples. Get it again: {DOWNLOADS['raw']}.")
    onsets, codes = _events(array[stims[-1]])
    if len(codes) and int(codes.min()) < 0:
        raise RecordingError(
            f"{path} has {int(codes.min())} in its stim row, which counts images. It is damaged."
        )
    ids = np.where(codes == TARGET, -1, codes)
    rows = [row for row in range(len(names)) if row not in stims]
    channels = [Channel(str(names[row]), str(types[row]), "V") for row in rows]
    picked = select_channels(channels, str(path), options.exclude_channels, options.modality)
    notes = []
    if place.split == "train":
        notes.append("The parts of the session stand end to end, and the file does not say where they meet.")
    return RawArrayRecording(
        name=path.name,
        array=array,
        kept=tuple(rows[at] for at in picked),
        channels=tuple(channels[at] for at in picked),
        sfreq_hz=float(sfreq_hz),
        stimuli=table_of_ids(path, place, onsets, ids),
        notes=tuple(notes),
    )


def texts_of(path: Path, held: dict[Any, Any], key: str) -> list[str]:
    """Return a list of texts of a file's dict.

    Raises
    ------
    RecordingError
        If it is none.
    """
    texts = held[key].tolist() if isinstance(held[key], np.ndarray) else held[key]
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise RecordingError(f"{path} has no list of texts as its {key!r}. It is damaged; get it again.")
    return [str(text) for text in texts]


def _events(stim: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return sample and code of every event of a stim row, read in blocks."""
    onsets, codes, before = [], [], 0.0
    for start in range(0, len(stim), _BLOCK_SAMPLES):
        # What is not a number counts as -1, which no image has.
        block = np.nan_to_num(stim[start : start + _BLOCK_SAMPLES], nan=-1, posinf=-1, neginf=-1)
        changed = np.flatnonzero(np.diff(block, prepend=before) * (block != 0))
        onsets.append(start + changed)
        codes.append(np.rint(np.clip(block[changed], -1, 2**53)))
        before = float(block[-1])
    return np.concatenate(onsets).astype(np.int64), np.concatenate(codes).astype(np.int64)


def table_of_ids(path: Path, place: Place, onsets: IntArray, ids: IntArray) -> StimulusTable:
    """Return what was shown, with the names of the pictures where the dataset's table is near.

    Parameters
    ----------
    ids : array of shape (n,), int64
        1-based image of the split; -1 for targets.

    Raises
    ------
    RecordingError
        If an id is beyond the images of the split.
    """
    table = find_image_table(path)
    if table is None and len(ids) and int(ids.max()) > (most := N_IMAGES[place.split]):
        raise RecordingError(
            f"{path} counts image {int(ids.max())}, and the {place.split} split has {most}. It is damaged, or "
            "not of THINGS-EEG2."
        )
    concept, image = (None, None) if table is None else table.columns(ids, place.split)
    n = len(ids)
    return StimulusTable(
        onset=onsets,
        id=ids,
        concept=concept,
        image=image,
        split=np.where(ids >= 1, place.split, "target"),
        session=None if place.session is None else np.full(n, place.session),
        run=None if place.part is None else np.full(n, place.part),
    )
