"""The pictures of NSD that a paper's split tests on, for a gallery."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from decode_stream.config import NsdSplit
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.nsd.design import DESIGN, subject_trials
from decode_stream.replay_data.nsd.facts import download, nsd_root
from decode_stream.replay_data.nsd.splits import split_trials
from decode_stream.stream.errors import UsageError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

from .shown_pictures import ShownPicture, shown_pictures

__all__ = ["nsd_test_pictures"]

_SUBJECT = re.compile(r"subj(\d+)")


def nsd_test_pictures(folder: Path, subjects: Sequence[str], name: NsdSplit) -> tuple[ShownPicture, ...]:
    """Return the pictures that a split tests a person on, each once, by number.

    Parameters
    ----------
    folder : Path
        NSD's, with ``nsddata`` and, unless embeddings are stored ones, ``nsddata_stimuli``.
    subjects : sequence of str
        Whom the decoder is made for: ``subj01``.
    name : str

    Raises
    ------
    UsageError
        If the folder is another, it is not said who the person is, or a picture is missing.
    """
    root = nsd_root(folder)
    known = [int(found[1]) for subject in subjects if (found := _SUBJECT.fullmatch(subject))]
    if root is None or not known:
        lacking = (
            f"{folder} is none"
            if root is None
            else f"the bundle is of {', '.join(subjects) or 'nobody named'}"
        )
        raise UsageError(
            "--nsd-split makes a gallery of NSD's own pictures, of what subj01 to subj08 saw, from the folder that "
            f"holds nsddata and nsddata_stimuli; {lacking}. Train on recordings in NSD's folders, and give the folder."
        )
    trials = subject_trials(root, known[0])
    if trials is None:
        raise UsageError(
            f"Nothing in {root} says what was shown. {DESIGN.name} does: {download(None, DESIGN)}."
        )
    _, test = split_trials(trials.table, name)
    rows = trials.table.rows(np.flatnonzero(test))
    _, first = np.unique(np.asarray(rows.id), return_index=True)
    once = rows.rows(first)
    table = StimulusTable(np.arange(len(once)), once.id, image=once.image)
    shown = ArrayRecording(
        np.zeros((len(once), 1), np.float32),
        (Channel("none"),),
        1.0,
        name=f"{root.name}: {name}",
        stimuli=table,
    )
    return shown_pictures([shown], None, [root]).pictures
