"""Which trials make the rows of an epoch, and how they are read: a batch at a time, however large a recording is."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import IntArray

__all__ = ["TrialArray", "batches", "plan_rows", "read_rows", "row_trials"]


class TrialArray(Protocol):
    """What training asks of trials: an array in memory or mapped from a file, or a choice from one.

    Attributes
    ----------
    shape : tuple of int
        (n_trials, ...).
    """

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any:
        """Return some trials, by a slice or by places."""
        ...


def plan_rows(
    labels: IntArray,
    subjects: IntArray | None,
    average_repeats: int,
    generator: np.random.Generator | None,
    *,
    one_repeat: bool = False,
) -> IntArray:
    """Return which trials are averaged to each row of an epoch.

    Every trial has its part in one row, unless one repeat is asked for. Repeats of a picture are dealt anew in every
    epoch, in portions as equal as can be: of five repeats averaged by four, three and two. NICE and UBP average all
    four repeats of a picture, MindEye takes one of three.

    Parameters
    ----------
    labels : array of shape (n_trials,), int64
        Picture of each trial.
    subjects : array of shape (n_trials,), int64, optional
        Whose trial it is: those of two people are never averaged.
    average_repeats : int
        At most so many trials to a row.
    generator : numpy Generator or None
        Shuffles trials and rows; without it both stay in order.
    one_repeat : bool
        Take one trial of each picture and person, whichever comes first, and leave out the others.

    Returns
    -------
    array of shape (n_rows, average_repeats), int64
        Places of trials, -1 where a row has fewer.
    """
    order = np.arange(len(labels)) if generator is None else generator.permutation(len(labels))
    people = np.zeros_like(labels) if subjects is None else subjects
    if one_repeat:
        _, first = np.unique(np.stack([people, labels], axis=1)[order], axis=0, return_index=True)
        order = order[np.sort(first)]
    if average_repeats == 1:
        return order[:, None]
    by_picture = order[np.lexsort((labels[order], people[order]))]
    changes = (np.diff(labels[by_picture]) != 0) | (np.diff(people[by_picture]) != 0)
    portions = [
        portion
        for repeats in np.split(by_picture, np.flatnonzero(changes) + 1)
        for portion in np.array_split(repeats, -(-len(repeats) // average_repeats))
    ]
    rows = np.full((len(portions), average_repeats), -1)
    for row, portion in zip(rows, portions, strict=True):
        row[: len(portion)] = portion
    return rows if generator is None else generator.permutation(rows)


def batches(rows: IntArray, batch_size: int) -> list[IntArray]:
    """Split the rows of an epoch into batches of at most `batch_size`, as equal as can be."""
    return np.array_split(rows, max(1, -(-len(rows) // batch_size)))


def row_trials(rows: IntArray) -> IntArray:
    """Return one trial that stands for each row, whatever the order within it: the first of the training set."""
    first: IntArray = np.where(rows < 0, np.iinfo(np.int64).max, rows).min(axis=1)
    return first


def read_rows(epochs: TrialArray, rows: IntArray) -> npt.NDArray[np.float32]:
    """Read the trials of some rows and average them.

    Parameters
    ----------
    epochs : array-like of shape (n_trials, n_channels, n_times)
    rows : array of shape (n, average_repeats), int64
        As `plan_rows` gives them.

    Returns
    -------
    array of shape (n, n_channels, n_times), float32
        A copy.
    """
    total = np.array(epochs[rows[:, 0]], dtype=np.float32)
    for trials in rows[:, 1:].T:
        there = np.flatnonzero(trials >= 0)
        total[there] += epochs[trials[there]]
    n_averaged = (rows >= 0).sum(axis=1).astype(np.float32)
    mean: npt.NDArray[np.float32] = total / n_averaged[:, None, None]
    return mean
