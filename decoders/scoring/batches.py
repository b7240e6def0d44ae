"""Retrieval within batches of a few hundred pictures or trials, as papers on fMRI count it.

A mean over draws hides how few pictures there are: draws share them. `identification.k_way` of the fits, and of their
transpose, is what these draws tend to, for each picture by itself, so that its interval can be one over pictures.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

from .identification import retrieval

__all__ = ["batch_counts", "found_in_batches", "random_batches", "stream_batches"]


def stream_batches(n: int, k: int, n_batches: int, seed: int) -> list[IntArray]:
    """Return batches of k of n that a shuffled stream gives, as MindEye draws them (Scotti et al. 2023).

    The stream goes through all n in an order drawn anew each time, and is cut into batches; what is left at the end of
    a pass and fills none is passed over, so that no batch holds anything twice.

    Parameters
    ----------
    n, k, n_batches, seed : int
        k at most n.

    Returns
    -------
    list of array of shape (k,), int64

    Raises
    ------
    ValueError
        If k is less than 1 or more than n.
    """
    _check(n, k)
    rng = np.random.default_rng(seed)
    batches = list[IntArray]()
    while len(batches) < n_batches:
        order = rng.permutation(n)
        batches += [order[start : start + k] for start in range(0, n - k + 1, k)]
    return batches[:n_batches]


def random_batches(n: int, k: int, n_batches: int, seed: int) -> list[IntArray]:
    """Return batches of k of n, each drawn from all of them without replacement, as in MindEye2 (Scotti et al. 2024).

    Parameters
    ----------
    n, k, n_batches, seed : int
        k at most n.

    Returns
    -------
    list of array of shape (k,), int64

    Raises
    ------
    ValueError
        If k is less than 1 or more than n.
    """
    _check(n, k)
    rng = np.random.default_rng(seed)
    return [rng.choice(n, k, replace=False) for _ in range(n_batches)]


def found_in_batches(
    fits: FloatArray, batches: Sequence[IntArray]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return which share of each batch is found among it, from brain to picture and back, two of (n_batches,).

    Parameters
    ----------
    fits : array of shape (n, n)
        Of predictions with pictures, row i of picture i.
    batches : sequence of array of int
    """
    found = [retrieval(fits[np.ix_(batch, batch)]) for batch in batches]
    forward, backward = ([float(values.mean()) for values in way] for way in zip(*found, strict=True))
    return np.array(forward), np.array(backward)


def batch_counts(
    fits: FloatArray, truth: IntArray, batches: Sequence[IntArray]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return for every trial of batches of trials whether it is right, as Mind Reader counts (Lin et al. 2022).

    A batch holds trials, so that a picture may come twice in it: right is what finds the same picture, whichever of its
    showings. Ties are shared.

    Parameters
    ----------
    fits : array of shape (n_trials, n_entries)
    truth : array of shape (n_trials,), int
        Entry of each trial.
    batches : sequence of array of shape (size,), int

    Returns
    -------
    forward, backward : array of shape (n_batches, size)
        Whether the picture that fits a trial best is its own; whether the trial that fits its picture best is of it.
    chance : array of shape (n_batches, size)
        Share of the batch that shows the same picture.
    """
    forward, backward, chance = (list[npt.NDArray[np.float64]]() for _ in range(3))
    for batch in batches:
        shown = truth[batch]
        same = shown[:, None] == shown
        own = fits[np.ix_(batch, shown)]
        for found, table in ((forward, own), (backward, own.T)):
            best = table == table.max(axis=1, keepdims=True)
            found.append((best & same).sum(axis=1) / best.sum(axis=1))
        chance.append(same.mean(axis=1))
    return np.array(forward), np.array(backward), np.array(chance)


def _check(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"A batch of {k} cannot be drawn from {n}.")
