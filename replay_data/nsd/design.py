"""Which picture NSD showed in which trial."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

from .facts import CORE_RUNS, SUBJECTS, TRIALS_PER_RUN, download

__all__ = [
    "DESIGN",
    "RESPONSES",
    "STIM_INFO",
    "NsdDesign",
    "NsdTrials",
    "coco_files",
    "design_trials",
    "read_design",
    "response_trials",
    "subject_trials",
]

DESIGN = Path("nsddata/experiments/nsd/nsd_expdesign.mat")
STIM_INFO = Path("nsddata/experiments/nsd/nsd_stim_info_merged.csv")
#: By subject.
RESPONSES = "nsddata/ppdata/subj{:02d}/behav/responses.tsv"


@dataclass(frozen=True, slots=True, eq=False)
class NsdDesign:
    """What ``nsd_expdesign.mat`` holds; all indices count from 1, as there.

    Attributes
    ----------
    masterordering : array of shape (n_trials,), int64
        Of every trial, the same for everybody, the place of its picture among the subject's own.
    subjectim : array of shape (n_subjects, n_images), int64
        The subjects' pictures among all 73,000; the shared ones come first.
    sharedix : array of shape (n_shared,), int64
        The shared pictures among all 73,000.
    stimpattern : array of shape (n_sessions, n_runs, n_slots), bool, or None
        Which of a run's slots of 4 s show a picture; the others are blank.
    """

    masterordering: IntArray
    subjectim: IntArray
    sharedix: IntArray
    stimpattern: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NsdTrials:
    """The trials of one person.

    Attributes
    ----------
    table : StimulusTable
        One row a trial in the order shown, `onset` counting the trials; ids count from 0, as ``nsdId`` does.
    slot : array of shape (n_trials,), int64, or None
        The trial's place in its run, from 0, in units of 4 s, blank trials counted.
    source : str
        Name of the file that tells.
    """

    table: StimulusTable
    slot: IntArray | None
    source: str

    def of(self, session: int, run: int | None = None) -> "NsdTrials":
        """Return the trials of one session, or of one of its runs with pictures."""
        which = np.asarray(self.table.session) == session
        if run is not None:
            which &= np.asarray(self.table.run) == run
        return NsdTrials(self.table.rows(which), None if self.slot is None else self.slot[which], self.source)


def read_design(path: Path) -> NsdDesign:
    """Return the experiment's design.

    Raises
    ------
    RecordingError
        If the file is missing, damaged, or not what it should be.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    names = ("masterordering", "subjectim", "sharedix", "stimpattern")
    try:
        with path.open("rb") as file:
            held: dict[str, Any] = loadmat(file, variable_names=names)
        order, images, shared = (np.asarray(held[name], dtype=np.int64) for name in names[:3])
        pattern = np.asarray(held["stimpattern"]) > 0 if "stimpattern" in held else None
    except KeyError as error:
        raise RecordingError(
            f"{path} has no variable {error}. Download it again from {download(None, DESIGN)}."
        ) from error
    except (OSError, MatReadError, ValueError, TypeError, NotImplementedError, EOFError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
        # scipy raises an OSError without a reason of the system's for a file that ends too early.
        raise RecordingError(
            f"{path} is damaged or cut off: {error}. Download it again from {download(None, DESIGN)}."
        ) from error
    design = NsdDesign(order.reshape(-1), images, shared.reshape(-1), pattern)
    fits = images.ndim == 2 and order.size and order.min() >= 1 and order.max() <= images.shape[1]
    if (
        not fits
        or images.min() < 1
        or (pattern is not None and (pattern.ndim != 3 or pattern.sum() > order.size))
    ):
        raise RecordingError(
            f"{path} contradicts itself: masterordering {order.shape} runs to {order.max(initial=0)}, subjectim has "
            f"the shape {images.shape}. Download it again from {download(None, DESIGN)}."
        )
    return design


def design_trials(design: NsdDesign, subject: int) -> NsdTrials:
    """Return the trials of a subject, up to the last session that was recorded.

    Raises
    ------
    RecordingError
        If the design has no such subject.
    """
    if not 1 <= subject <= len(design.subjectim):
        raise RecordingError(
            f"NSD's design has the subjects 1 to {len(design.subjectim)}, and not {subject}."
        )
    if design.stimpattern is not None:
        session, run, slot = np.nonzero(design.stimpattern)
    else:
        n_sessions = -(-len(design.masterordering) // sum(TRIALS_PER_RUN))
        session = np.repeat(np.arange(n_sessions), sum(TRIALS_PER_RUN))
        run = np.tile(np.repeat(np.arange(CORE_RUNS), TRIALS_PER_RUN), n_sessions)
    kept = np.flatnonzero(session[: len(design.masterordering)] < SUBJECTS[subject].sessions)
    place = design.masterordering[kept]
    table = StimulusTable(
        onset=np.arange(len(kept)),
        id=design.subjectim[subject - 1, place - 1] - 1,
        split=np.where(place <= len(design.sharedix), "test", "train"),
        session=session[kept] + 1,
        run=run[kept] + 1,
        repeat=_repeats(place),
    )
    return NsdTrials(table, slot[kept] if design.stimpattern is not None else None, DESIGN.name)


def subject_trials(root: Path, subject: int) -> NsdTrials | None:
    """Return the trials of a subject from what lies in a dataset's folder, or None if nothing there tells.

    ``nsd_expdesign.mat`` tells most; without it the subject's ``responses.tsv`` still has ids, sessions and runs.
    The picture's file is that of COCO, of which NSD shows a crop, if ``nsd_stim_info_merged.csv`` is there.

    Raises
    ------
    RecordingError
        If one of these files is damaged.
    """
    responses = root / RESPONSES.format(subject)
    if (root / DESIGN).is_file():
        trials = design_trials(read_design(root / DESIGN), subject)
    elif responses.is_file():
        trials = response_trials(responses)
    else:
        return None
    if (root / STIM_INFO).is_file() and trials.table.id is not None:
        files = coco_files(root / STIM_INFO)
        images = np.array([files.get(i, "") for i in trials.table.id.tolist()])
        trials = replace(trials, table=replace(trials.table, image=images))
    return trials


def _repeats(place: IntArray) -> IntArray:
    """Return how often each entry has stood there up to and with itself, from 1."""
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    counts = np.empty(len(place), dtype=np.int64)
    counts[order] = np.arange(len(place)) - np.repeat(starts, np.diff(starts, append=len(place))) + 1
    return counts


def response_trials(path: Path) -> NsdTrials:
    """Return the trials that a subject's ``responses.tsv`` tells of: ids, sessions, runs and repeats.

    Raises
    ------
    RecordingError
        If the file is missing or damaged.
    """
    needed = ("SESSION", "RUN", "73KID")
    columns = _columns(path, needed, "\t")
    try:
        session, run, picture = (np.array([int(float(cell)) for cell in columns[name]]) for name in needed)
    except ValueError as error:
        raise RecordingError(f"{path} is damaged: {error}. Download it again.") from error
    table = StimulusTable(
        np.arange(len(session)), picture - 1, session=session, run=run, repeat=_repeats(picture)
    )
    return NsdTrials(table, None, path.name)


def coco_files(path: Path) -> dict[int, str]:
    """Return the COCO file of every picture of ``nsd_stim_info_merged.csv``, by its id from 0.

    Raises
    ------
    RecordingError
        If the file is missing or damaged.
    """
    columns = _columns(path, ("nsdId", "cocoId", "cocoSplit"), ",")
    try:
        return {
            int(nsd_id): f"{split}/{int(coco_id):012d}.jpg"
            for nsd_id, coco_id, split in zip(*columns.values(), strict=True)
        }
    except ValueError as error:
        raise RecordingError(f"{path} is damaged: {error}. Download it again.") from error


def _columns(path: Path, names: tuple[str, ...], delimiter: str) -> dict[str, list[str]]:
    """Return some columns of a table of text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=delimiter)
            header = next(rows)
            places = [header.index(name) for name in names]
            cells = [[row[place] for place in places] for row in rows if row]
    except (ValueError, StopIteration):
        raise RecordingError(
            f"{path} lacks one of the columns {', '.join(names)}. Download it again."
        ) from None
    except (IndexError, csv.Error) as error:
        raise RecordingError(
            f"{path} is damaged or cut off: {len(header)} columns are due in every row."
        ) from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}.") from error
    return {name: [row[i] for row in cells] for i, name in enumerate(names)}
