"""Read THINGS-EEG2's source: BrainVision as recorded, with the pictures' numbers from the behavioural .mat."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.replay_data.formats import mne_files
from decode_stream.replay_data.formats.mne_files import MneRecording
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

from .names import DOWNLOADS, Place
from .raw import table_of_ids

__all__ = ["TARGET_TRIGGER", "Alignment", "behaviour_of", "read_source", "trigger_codes"]

#: Trigger of the pictures that the person was to respond to.
TARGET_TRIGGER = 255
#: More triggers than this share that do not fit the ids, and the .mat is of another recording.
_MOST_MISMATCHES = 0.1
_CODE = re.compile(r"(?:Stimulus/)?S\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Alignment:
    """How triggers and behavioural ids go together.

    Attributes
    ----------
    onsets, ids : array of shape (n,), int64
        Sample and 1-based image of every picture; -1 for targets.
    n_mismatched : int
        Triggers that are not the ones their picture was to send.
    n_left_over : int
        Triggers behind the last picture.
    """

    onsets: IntArray
    ids: IntArray
    n_mismatched: int
    n_left_over: int


def behaviour_of(path: Path) -> Path:
    """Return where the behavioural .mat of a .vhdr lies."""
    return path.parent.parent / "beh" / path.name.replace("_eeg.vhdr", "_beh.mat")


def trigger_codes(ids: IntArray, split: str) -> IntArray:
    """Return the trigger that each picture sends: triggers are no ids.

    A training picture sends the first two digits of its number, a test picture its number, a target 255.
    """
    codes = np.where(ids >= 1, ids, TARGET_TRIGGER)
    if split == "train":
        while (large := (codes > 99) & (ids >= 1)).any():
            codes = np.where(large, codes // 10, codes)
    return codes.astype(np.int64)


def read_source(path: Path, place: Place, options: ReadOptions) -> MneRecording:
    """Open a part of a session as it was recorded.

    The pictures' numbers are those of the behavioural file, in order. The first annotation, which begins the segment,
    is no picture. Without the behavioural file, the triggers are the markers and the table of stimuli has no ids.

    Raises
    ------
    RecordingError
        If it cannot be read, or the behavioural file is of another recording.
    """
    if options.marker_column is not None:
        raise RecordingError(
            f"{path} has no stim channel: its markers are annotations, numbered by {behaviour_of(path)}."
        )
    recording = mne_files.read(path, options)
    triggers = [
        (at, int(match[1]))
        for at, label in recording.markers
        if (match := _CODE.fullmatch(label)) is not None
    ]
    onsets = np.array([at for at, _ in triggers], dtype=np.int64)
    codes = np.array([code for _, code in triggers], dtype=np.int64)
    behaviour = behaviour_of(path)
    if not behaviour.is_file():
        recording.notes = (
            *recording.notes,
            f"{behaviour} is not there, so nobody knows which pictures were shown: markers are the triggers. It is in "
            f"{DOWNLOADS['source']}.",
        )
        recording.stimuli = _without_ids(place, onsets, codes)
        recording.markers = tuple((at, str(code)) for at, code in triggers)
        return recording
    aligned = _align(path, place, onsets, codes, _ids(behaviour))
    recording.stimuli = table_of_ids(path, place, aligned.onsets, aligned.ids)
    recording.markers = recording.stimuli.markers()
    recording.notes = (*recording.notes, *_said(aligned))
    return recording


def _said(aligned: Alignment) -> list[str]:
    said = []
    if aligned.n_mismatched:
        said.append(
            f"{aligned.n_mismatched} of {len(aligned.ids)} triggers are not those that their pictures were to send."
        )
    if aligned.n_left_over:
        said.append(f"{aligned.n_left_over} triggers behind the last picture are left out.")
    return said


def _without_ids(place: Place, onsets: IntArray, codes: IntArray) -> StimulusTable:
    return StimulusTable(
        onset=onsets,
        split=np.where(codes == TARGET_TRIGGER, "target", place.split),
        session=np.full(len(onsets), place.session),
        run=None if place.part is None else np.full(len(onsets), place.part),
    )


def _align(path: Path, place: Place, onsets: IntArray, codes: IntArray, ids: IntArray) -> Alignment:
    """Return the triggers with their ids, in order.

    Where a recording begins with a trigger of its own instead of a new segment, that one is dropped.
    """
    due, behaviour = trigger_codes(ids, place.split), behaviour_of(path)
    if len(codes) < len(ids):
        raise RecordingError(
            f"{path} has {len(codes)} triggers, and {behaviour.name} lists {len(ids)} pictures. One of them is cut "
            f"off or of another recording; get both again: {DOWNLOADS['source']}."
        )
    firsts = range(min(2, 1 + len(codes) - len(ids)))
    misses = {first: int(np.count_nonzero(codes[first : first + len(ids)] != due)) for first in firsts}
    first = min(misses, key=lambda first: misses[first])
    if misses[first] > _MOST_MISMATCHES * len(ids):
        raise RecordingError(
            f"{misses[first]} of {len(ids)} triggers of {path} do not fit the pictures in {behaviour.name}. It belongs "
            f"to another recording; put the one of this subject, session and part there: {DOWNLOADS['source']}."
        )
    return Alignment(onsets[first : first + len(ids)], ids, misses[first], len(codes) - len(ids) - first)


def _ids(behaviour: Path) -> IntArray:
    """Return the number of every picture of a behavioural file, -1 for targets, which it counts as 0."""
    import scipy.io

    try:
        with behaviour.open("rb") as file:
            table: Any = scipy.io.loadmat(file)["data"][0][0][2]["tot_img_number"][0]
        ids = np.array([int(np.asarray(number).item()) for number in table], dtype=np.int64)
    except Exception as error:  # scipy raises whatever a damaged file makes of it, OSError too
        if isinstance(error, OSError) and error.strerror:
            raise RecordingError(f"{behaviour} cannot be read: {error.strerror}.") from error
        raise RecordingError(
            f"{behaviour} is not a behavioural file of THINGS-EEG2 or is damaged: {error!r}. Get it again: "
            f"{DOWNLOADS['source']}."
        ) from error
    return np.where(ids >= 1, ids, -1)
