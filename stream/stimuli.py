"""What was shown: one table for every recording, with no column that its source cannot give."""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from math import floor, isfinite
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .types import FloatArray, IntArray

__all__ = ["LONGEST_S", "StimulusTable", "TextArray", "column_kind", "to_hundredths"]

TextArray: TypeAlias = npt.NDArray[np.str_]

#: What is said to be shown for longer, or for less than no time, does not say how long.
LONGEST_S = 1e6
_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")


def to_hundredths(onset: float) -> float:
    """Return an onset in samples, rounded to a hundredth of one.

    So is the onset of every trial, live and offline, which keeps the clock's jitter out of live sessions; the grid on
    which responses are modelled is half as fine.
    """
    return floor(100 * onset + 0.5) / 100


def column_kind(name: str) -> Any:
    """Return the type of the values in a column of a `StimulusTable`."""
    if name in ("concept", "image", "split"):
        return np.str_
    return np.float64 if name in ("fraction", "duration_s") else np.int64


@dataclass(frozen=True, slots=True, eq=False)
class StimulusTable:
    """The stimuli of a recording, one row a presentation, by onset.

    A column is None where the source does not say: nothing is invented. Single cells that are not known hold -1 in
    columns of whole numbers, NaN in those of other numbers and an empty string in columns of text.

    Attributes
    ----------
    onset : array of shape (n,), int64
        Sample of the onset, in the recording's own samples.
    id : array of shape (n,), int64, or None
        The stimulus as its dataset counts: the image's number (1-based in THINGS-EEG2 and THINGS-MEG, 0-based in
        NSD, see the readers).
    concept : array of shape (n,), str, or None
        Name of what the picture shows.
    image : array of shape (n,), str, or None
        The picture's file, relative to the folder of pictures of its dataset, with ``/`` between the parts.
    split : array of shape (n,), str, or None
        ``train`` or ``test`` as the dataset divides itself, ``target`` or ``catch`` for what belongs to neither.
    session, run, repeat : array of shape (n,), int64, or None
        1-based; `repeat` counts the presentations of the same stimulus to this person.
    fraction : array of shape (n,), float64, or None
        Of volumes, seconds apart: how far behind the beginning of its sample the stimulus began, in samples, from -0.5
        to 0.5.
    duration_s : array of shape (n,), float64, or None
        How long it was shown, in seconds.

    Raises
    ------
    ValueError
        If the columns differ in length.
    """

    onset: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    id: IntArray | None = None
    concept: TextArray | None = None
    image: TextArray | None = None
    split: TextArray | None = None
    session: IntArray | None = None
    run: IntArray | None = None
    repeat: IntArray | None = None
    fraction: FloatArray | None = None
    duration_s: FloatArray | None = None

    def __post_init__(self) -> None:
        for column in fields(self):
            values = getattr(self, column.name)
            if values is None:
                continue
            values = np.asarray(values, dtype=column_kind(column.name))
            if values.shape != (len(self.onset),):
                raise ValueError(
                    f"Column {column.name} has shape {values.shape} for {len(self.onset)} onsets."
                )
            object.__setattr__(self, column.name, values)

    def __len__(self) -> int:
        return len(self.onset)

    @classmethod
    def of_markers(cls, markers: Sequence[tuple[int, str]]) -> "StimulusTable":
        """Return the table that markers alone give: onsets, and ids where every label is a whole number."""
        labels = [label for _, label in markers]
        # Up to 18 digits, which an int64 holds; longer ones are codes of another kind.
        whole = bool(labels) and all(_WHOLE_NUMBER.fullmatch(label) for label in labels)
        ids = np.array([int(label) for label in labels], dtype=np.int64) if whole else None
        return cls(np.array([at for at, _ in markers], dtype=np.int64), ids)

    @classmethod
    def joined(cls, tables: Sequence["StimulusTable"], starts: Sequence[int]) -> "StimulusTable":
        """Return the table of recordings laid end to end, with the columns that all of them have.

        Parameters
        ----------
        tables : sequence of StimulusTable
            At least one.
        starts : sequence of int
            Where each recording begins, in samples.
        """
        common = set.intersection(*(set(table.columns) for table in tables)) - {"onset"}
        onset = np.concatenate([table.onset + start for table, start in zip(tables, starts, strict=True)])
        return cls(
            onset, **{name: np.concatenate([getattr(table, name) for table in tables]) for name in common}
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are there."""
        return tuple(column.name for column in fields(self) if getattr(self, column.name) is not None)

    def rows(self, which: npt.NDArray[Any] | slice) -> "StimulusTable":
        """Return some rows, chosen by a slice, by places or by a mask."""
        return replace(self, **{name: getattr(self, name)[which] for name in self.columns})

    def at(self, onset: IntArray) -> "StimulusTable":
        """Return the same rows with other onsets, which are whole samples."""
        return replace(self, onset=onset, fraction=None)

    def markers(self) -> tuple[tuple[int, str], ...]:
        """Return (onset sample, id in decimal) of every row whose id is known, by onset."""
        if self.id is None:
            return ()
        known = np.flatnonzero(self.id >= 0)
        order = known[np.argsort(self.onset[known], kind="stable")]
        return tuple((int(self.onset[i]), str(self.id[i])) for i in order)

    def rows_of(self, markers: Sequence[tuple[int, str]]) -> tuple[int, ...]:
        """Return the row of each marker, -1 where there is none.

        It stands at the marker's sample, with its label as id unless there are no ids or the labels are names. Of
        several, the markers have one after the other.
        """
        labels = () if self.id is None else tuple(map(str, self.id.tolist()))
        by_id = not {label for _, label in markers}.isdisjoint(labels)
        waiting: dict[tuple[int, str], deque[int]] = {}
        for row, at in enumerate(self.onset.tolist()):
            waiting.setdefault((at, labels[row] if by_id else ""), deque()).append(row)
        found = []
        for at, label in markers:
            rows = waiting.get((at, label if by_id else ""), deque([-1]))
            found.append(rows.popleft() if len(rows) > 1 else rows[0])
        return tuple(found)

    def onset_at(self, sample: int, row: int) -> float:
        """Return where the onset of a marker lies whose row is known, in samples, to a hundredth.

        Parameters
        ----------
        sample : int
            Of the marker.
        row : int
            As `rows_of` has it.
        """
        fraction = 0.0 if self.fraction is None or row < 0 else float(self.fraction[row])
        return to_hundredths(sample + (fraction if isfinite(fraction) else 0.0))

    def duration_at(self, row: int) -> float | None:
        """Return how long the stimulus of a row was shown, in seconds; None where nobody knows, or the row is -1."""
        duration_s = float("nan") if self.duration_s is None or row < 0 else float(self.duration_s[row])
        return duration_s if 0 <= duration_s < LONGEST_S else None
