"""Write the tables of NSD's published layout: the design, the pictures' origin, and what people answered."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.types import IntArray

from .design import DESIGN, RESPONSES, STIM_INFO, NsdDesign, design_trials
from .facts import TRIAL_S

__all__ = ["write_design", "write_responses"]

_RESPONSES = (
    *(
        "SUBJECT",
        "SESSION",
        "RUN",
        "TRIAL",
        "73KID",
        "10KID",
        "TIME",
        "ISOLD",
        "ISCORRECT",
        "RT",
        "CHANGEMIND",
    ),
    *(
        "MEMORYRECENT",
        "MEMORYFIRST",
        "ISOLDCURRENT",
        "ISCORRECTCURRENT",
        "TOTAL1",
        "TOTAL2",
        "BUTTON",
        "MISSINGDATA",
    ),
)


def write_design(root: Path, design: NsdDesign, coco_ids: IntArray, subjects: Sequence[int]) -> None:
    """Write ``nsd_expdesign.mat`` and ``nsd_stim_info_merged.csv``.

    Parameters
    ----------
    root : Path
        The dataset's folder to be.
    design : NsdDesign
        With `stimpattern`.
    coco_ids : array of shape (n_pictures,), int64
        COCO's number of every picture, by `nsdId`.
    subjects : sequence of int
        Those who took part; the table has columns for all of NSD's eight.

    Raises
    ------
    RecordingError
        If a file is there already or cannot be written.
    """
    from scipy.io import savemat

    pattern = np.asarray(design.stimpattern, dtype=np.uint8)
    per_session = [
        _distinct_counts(part)
        for part in np.split(design.masterordering, np.cumsum(pattern.sum((1, 2)))[:-1])
    ]
    with written_whole(root / DESIGN) as path:
        savemat(
            path,
            {
                "masterordering": design.masterordering[None].astype(np.float64),
                "basiccnt": np.array(per_session, dtype=np.float64).T,
                "sharedix": design.sharedix[None].astype(np.float64),
                "stimpattern": pattern,
                "subjectim": design.subjectim.astype(np.float64),
            },
            do_compression=True,
        )
    shown = {subject: _presentations(design, subject, len(coco_ids)) for subject in subjects}
    shared = set((design.sharedix - 1).tolist())
    header = ["", "cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000", "shared1000"]
    header += [f"subject{s}" for s in range(1, 9)] + [
        f"subject{s}_rep{r}" for s in range(1, 9) for r in range(3)
    ]
    with written_whole(root / STIM_INFO) as path, _table(path, ",") as row:
        row(header)
        for i, coco_id in enumerate(coco_ids.tolist()):
            trials = [shown[s][i].tolist() if s in shown else [0, 0, 0] for s in range(1, 9)]
            cells: list[object] = [i, coco_id, "train2017", "(0, 0, 0, 0)", 0.0, i, False, False, i in shared]
            row([*cells, *(int(any(seen)) for seen in trials), *(trial for seen in trials for trial in seen)])


def write_responses(root: Path, design: NsdDesign, subject: int, n_sessions: int) -> None:
    """Write the subject's ``responses.tsv``, of somebody who always answers right, after 1 s.

    Parameters
    ----------
    root, design
        As in `write_design`.
    subject : int
        1 to 8.
    n_sessions : int
        Sessions that were recorded.

    Raises
    ------
    RecordingError
        If the file is there already or cannot be written.
    """
    trials = design_trials(design, subject)
    table = trials.table
    columns = (table.session, table.run, table.id, table.repeat, trials.slot)
    if any(column is None for column in columns):
        raise ValueError("The design needs its stimpattern.")
    session, run, nsd_id, repeat, slot = (np.asarray(column) for column in columns)
    kept = session <= n_sessions
    with (
        written_whole(root / RESPONSES.format(subject)) as path,
        _table(path, "\t") as row,
    ):
        row(_RESPONSES)
        before, trial = (0, 0), 0
        for i in np.flatnonzero(kept):
            trial = trial + 1 if (session[i], run[i]) == before else 1
            before = (int(session[i]), int(run[i]))
            day = session[i] - 1 + (run[i] * 400 + slot[i] * TRIAL_S) / 86_400
            old = int(repeat[i] > 1)
            place = design.masterordering[i]
            known = [subject, *before, trial, nsd_id[i] + 1, place, f"{day:.6f}", old, 1, 1000, 0]
            row([*known, *("NaN",) * 4, 1, 0, 1 + old, 0])


def _distinct_counts(places: IntArray) -> list[int]:
    """Return how many pictures are shown exactly once, twice and three times."""
    _, counts = np.unique(places, return_counts=True)
    return [int(np.count_nonzero(counts == n)) for n in (1, 2, 3)]


def _presentations(design: NsdDesign, subject: int, n_pictures: int) -> IntArray:
    """Return the trials, from 1, in which every picture was shown, shape (n_pictures, 3); 0 for never."""
    table = design_trials(design, subject).table
    shown = np.zeros((n_pictures, 3), dtype=np.int64)
    ids, repeats = np.asarray(table.id), np.asarray(table.repeat)
    kept = repeats <= 3
    shown[ids[kept], repeats[kept] - 1] = table.onset[kept] + 1
    return shown


@contextmanager
def _table(path: Path, delimiter: str) -> Iterator[Callable[[Iterable[object]], object]]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield csv.writer(file, delimiter=delimiter, lineterminator="\n").writerow
