"""What was shown: one table for every recording, with no column that its source cannot give."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .types import IntArray

__all__ = ["StimulusTable", "TextArray"]

TextArray: TypeAlias = npt.NDArray[np.str_]

_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True, slots=True, eq=False)
class StimulusTable:
    """The stimuli of a recording, one row a presentation, by onset.

    A column is None where the source does not say: nothing is invented. Single cells that are not known hold -1 in
    columns of numbers and an empty string in columns of text.

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

    def __post_init__(self) -> None:
        for column in fields(self):
            values = getattr(self, column.name)
            if values is None:
                continue
            kind: Any = np.str_ if column.name in ("concept", "image", "split") else np.int64
            values = np.asarray(values, dtype=kind)
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
        """Return the same rows with other onsets."""
        return replace(self, onset=onset)

    def markers(self) -> tuple[tuple[int, str], ...]:
        """Return (onset sample, id in decimal) of every row whose id is known, by onset."""
        if self.id is None:
            return ()
        known = np.flatnonzero(self.id >= 0)
        order = known[np.argsort(self.onset[known], kind="stable")]
        return tuple((int(self.onset[i]), str(self.id[i])) for i in order)
