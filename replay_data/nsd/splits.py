"""How papers divide NSD's trials into those that they train on and those that they test on."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.stored import StoredRecording
from decode_stream.replay_data.subject import subject_of
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch, Recording
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray, Gap, IntArray

from .design import DESIGN, subject_trials
from .facts import SUBJECTS, download, nsd_root

__all__ = [
    "SPLITS",
    "Part",
    "Split",
    "SplitRecording",
    "leaves_out",
    "split_recording",
    "split_trials",
    "tested_pictures",
]

Part = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Split:
    """A paper's division of the trials.

    Attributes
    ----------
    sessions : int
        How many of each person's sessions are used, from the first on. Before August 2023 the last three of each were
        held back.
    by_appearance : bool
        Whether the last 15 % of the pictures, in the order of their first appearance, are for testing; otherwise those
        that everybody was shown.
    says : str
    """

    sessions: int
    by_appearance: bool
    says: str


#: By the name of the paper. Counts are those of subjects 1, 2, 5 and 7.
SPLITS = {
    "mindeye": Split(
        37,
        False,
        "sessions 1 to 37, 27,750 trials; tested on the 982 of 1000 shared pictures that these show (MindEye, Takagi, "
        "Brain-Diffuser)",
    ),
    "mindeye2": Split(40, False, "all 40 sessions, 30,000 trials; tested on the 1000 shared pictures"),
    "mind-reader": Split(
        37,
        True,
        "sessions 1 to 37; of the pictures in the order of their first appearance the last 15 % are tested on (1477 of "
        "9841), shared or not",
    ),
}
#: Of Mind Reader's pictures.
_TRAINED_ON = 0.85
_SUBJECT = re.compile(r"subj(\d+)")


def leaves_out(trained: str, tested: str, whose: str, of: str) -> bool:
    """Return whether a training by one split is known to leave out all that the other tests on.

    Where pictures are divided by their first appearance that depends on the people: all are shown the shared pictures
    at the same places, but what are the last ones of somebody with fewer sessions comes earlier.

    Parameters
    ----------
    trained : str
        Empty for a training without a split, of which that is never known.
    tested : str
    whose : str
        Whose decoder was trained, such as ``subj01``; empty where nothing tells it.
    of : str
        Whose trials are tested on.
    """
    if trained not in SPLITS or SPLITS[trained].by_appearance != SPLITS[tested].by_appearance:
        return False
    return not SPLITS[tested].by_appearance or _n_sessions(whose, trained) == _n_sessions(of, tested) != 0


def _n_sessions(person: str, name: str) -> int:
    """Return how many sessions of a person a split uses; 0 for somebody unknown."""
    found = _SUBJECT.fullmatch(person)
    number = int(found[1]) if found else 0
    return min(SPLITS[name].sessions, SUBJECTS[number].sessions) if number in SUBJECTS else 0


def split_trials(table: StimulusTable, name: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which of a person's trials a split trains on, and which it tests on: two arrays (n_trials,), bool.

    Parameters
    ----------
    table : StimulusTable
        With `id` and `session`, in the order shown, of all of a person's sessions; where pictures are divided by
        whether everybody saw them any of the trials will do, with `split`.
    name : str
        One of `SPLITS`.

    Raises
    ------
    RecordingError
        If the trials do not say what is needed.
    """
    split = SPLITS[name]
    needed = ("id", "session") if split.by_appearance else ("session", "split")
    if lacking := [column for column in needed if column not in table.columns]:
        raise RecordingError(
            f"The trials do not say their {' and '.join(lacking)}, so the split {name} cannot divide them. "
            f"{DESIGN.name} tells it: {download(None, DESIGN)}."
        )
    used = np.asarray(table.session) <= split.sessions
    if not split.by_appearance:
        test = np.asarray(table.split) == "test"
    else:
        pictures, first = np.unique(np.asarray(table.id)[used], return_index=True)
        appeared = pictures[np.argsort(first)]
        test = np.isin(table.id, appeared[int(_TRAINED_ON * len(appeared)) :])  # type: ignore[arg-type]
    return used & ~test, used & test


@dataclass(frozen=True, eq=False)
class SplitRecording:
    """The part of a recording that a split trains on, or tests on; see `Recording` for what is not told here.

    Of betas only the part's own are there. Of volumes all are, as the answers to pictures lie upon each other, and only
    the markers and stimuli are the part's own.

    Attributes
    ----------
    whole : Recording
    kept : array of int or None
        Samples of `whole` that are there; None for all.
    """

    whole: Recording
    kept: IntArray | None
    stimuli: StimulusTable
    markers: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Short name for people."""
        return self.whole.name

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The signal's channels."""
        return self.whole.channels

    @property
    def sfreq_hz(self) -> float:
        """Sampling rate."""
        return self.whole.sfreq_hz

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return self.whole.n_samples if self.kept is None else len(self.kept)

    @property
    def epoch(self) -> Epoch | None:
        """How trials lie."""
        return self.whole.epoch

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Breaks; betas have none."""
        return self.whole.gaps

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), in the channels' units."""
        if self.kept is None:
            return self.whole.read(start, stop)
        rows = self.kept[max(0, start) : max(0, stop)]
        if not len(rows):
            return self.whole.read(0, 0)
        first = int(rows[0])
        return self.whole.read(first, int(rows[-1]) + 1)[rows - first]


def split_recording(
    recording: Recording, path: Path, name: str, part: Part, *, without: IntArray | None = None
) -> SplitRecording | None:
    """Return one part of a recording of NSD by a paper's split; None where the split uses none of its trials.

    Parameters
    ----------
    recording : Recording
    path : Path
        Where it was opened. Of one that was converted, what it was converted from counts as well.
    name : str
        One of `SPLITS`.
    part : {"train", "test"}
    without : array of int, optional
        Ids of pictures whose trials are left out of the part.

    Raises
    ------
    RecordingError
        If nothing tells whether a trial is the one or the other.
    """
    table = recording.stimuli
    if "session" not in table.columns:
        raise RecordingError(
            f"{recording.name} does not say which sessions of NSD its trials are of; --nsd-split divides recordings of "
            "NSD alone, and needs nsddata with them. Leave it out."
        )
    if SPLITS[name].by_appearance:
        own = _by_pictures(recording, path, name, part)
    else:
        own = split_trials(table, name)[part == "test"]
    known = np.zeros_like(own) if without is None else own & np.isin(table.id, without)  # type: ignore[arg-type]
    own &= ~known
    if not own.any():
        return None
    # What is here is of one part, whatever the dataset itself calls it.
    chosen = replace(table.rows(own), split=np.full(int(own.sum()), part))
    kept = None
    markers = recording.markers
    onsets = set(chosen.onset.tolist())
    markers = tuple((at, label) for at, label in markers if at in onsets)
    if recording.epoch is not None and recording.epoch.n_times == 1:
        kept = np.sort(chosen.onset)
        markers = tuple((int(np.searchsorted(kept, at)), label) for at, label in markers)
        chosen = chosen.at(np.searchsorted(kept, chosen.onset))
    words = "trained" if part == "train" else "tested"
    note = f"By the split {name}, {len(chosen)} of {len(table)} trials are {words} on."
    if known.any():
        note += f" {known.sum()} more would be, but for what they show: it is tested on."
    if kept is None and part == "train":
        note += " Volumes of the others still tell level and spread of voxels, as they lie between."
    return SplitRecording(recording, kept, chosen, markers, (*recording.notes, note))


def tested_pictures(recording: Recording, path: Path, name: str) -> IntArray:
    """Return the ids of the pictures that a split by first appearance tests on of the person of a recording.

    Raises
    ------
    RecordingError
        If nothing tells in which order the person saw the pictures.
    """
    return _pictures(recording, path, name, "test")


def _by_pictures(recording: Recording, path: Path, name: str, part: Part) -> npt.NDArray[np.bool_]:
    """Return which trials of a recording are a part's, by the pictures of all of the person's sessions."""
    pictures = _pictures(recording, path, name, part)
    table = recording.stimuli
    if table.id is None:
        raise RecordingError(
            f"{recording.name} does not say which pictures were shown, so {name} cannot divide it."
        )
    used = np.asarray(table.session) <= SPLITS[name].sessions
    return np.asarray(used & np.isin(table.id, pictures))


def _pictures(recording: Recording, path: Path, name: str, part: Part) -> IntArray:
    """Return the ids of a part's pictures of the person of a recording, of all sessions."""
    source = recording.source if isinstance(recording, StoredRecording) else ""
    subject = _SUBJECT.fullmatch(subject_of(path))
    root = nsd_root(path) or (nsd_root(Path(source)) if source else None)
    trials = None if root is None or subject is None else subject_trials(root, int(subject[1]))
    if trials is None:
        raise RecordingError(
            f"The split {name} goes by the order in which a person saw the pictures of all sessions, and nothing "
            f"beside {path} tells it. {DESIGN.name} does: {download(None, DESIGN)}."
        )
    of_part = split_trials(trials.table, name)[part == "test"]
    return np.unique(np.asarray(trials.table.id)[of_part])
