"""The ``events.tsv`` beside a recording of volumes: when it applies, and on which volume each row falls."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from decode_stream.stream.stimuli import StimulusTable

from .bids import BidsEvents, best_fitting, find_beside, read_events

__all__ = ["find_events", "read_volume_events"]

_ENDING = "events.tsv"
#: Onsets that lie closer to the beginning of a volume are at its beginning, written with few digits. Volumes.
_BETWEEN = 0.005


def find_events(path: Path) -> Path | None:
    """Return the events table of an image file.

    As BIDS has it (`find_beside`); for images of other names, the best fitting in the same folder: ``bold_events.tsv``
    for ``bold_1slice.nii.gz``.
    """
    return find_beside(path, _ENDING) or best_fitting(path.parent, path.name, _ENDING)


def read_volume_events(
    table: Path | None, images: Path, tr_s: float, n_volumes: int, column: str | None, notes: list[str]
) -> BidsEvents:
    """Return what an events table says was shown, each row on the volume whose beginning is nearest to its onset.

    Where between volumes an onset lies, and how long each stimulus lasts, is told beside that.

    Parameters
    ----------
    table : Path or None
        The table; without one nothing was shown that is known.
    images : Path
        The images, whose name may tell session and run.
    column : str or None
        Column with what was shown, instead of the one that `read_events` takes.
    notes : list of str
        Is added to.

    Raises
    ------
    RecordingError
        As `read_events`.
    """
    if table is None:
        return BidsEvents(StimulusTable(), ())
    events = read_events(table, images, 1 / tr_s, column, notes, timed=True)
    volumes = events.stimuli.onset
    inside = (volumes >= 0) & (volumes < n_volumes)
    if n_outside := int(np.count_nonzero(~inside)):
        notes.append(
            f"{n_outside} events of {table.name} lie outside the {n_volumes} volumes and are left out."
        )
    fraction = events.stimuli.fraction
    if fraction is not None and (n_between := int(np.count_nonzero(np.abs(fraction[inside]) >= _BETWEEN))):
        notes.append(
            f"{n_between} onsets lie between volumes, of {tr_s:.4g} s each: betas are made for the very moment, and "
            "windows of volumes begin at the nearest."
        )
    labels = tuple(label for label, kept in zip(events.labels, inside, strict=True) if kept)
    return replace(events, stimuli=events.stimuli.rows(inside), labels=labels)
