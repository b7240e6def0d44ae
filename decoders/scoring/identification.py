"""Which of k pictures was seen: k-way accuracy from ranks, identification by correlation, concept centres.

A gallery of N entries gives the accuracy among any k <= N of them without drawing any: the truth is found among k - 1
distractors if none of those that beat it was drawn, and how many were drawn is hypergeometric.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

from decode_stream.stream.types import FloatArray, IntArray

from .scores import hits

__all__ = [
    "concept_centres",
    "correlations",
    "drawn_k_way",
    "k_way",
    "nth_showing",
    "ranks",
    "retrieval",
    "two_way",
]


def ranks(evidence: FloatArray, truth: IntArray) -> tuple[IntArray, IntArray]:
    """Return how many entries beat the truth, and how many others tie with it, both of shape (n,).

    Parameters
    ----------
    evidence : array of shape (n, n_entries)
        Any measure that orders the entries.
    truth : array of shape (n,), int
    """
    own = evidence[np.arange(len(truth)), truth][:, None]
    return (evidence > own).sum(axis=1), (evidence == own).sum(axis=1) - 1


def k_way(evidence: FloatArray, truth: IntArray, k: int, top: int = 1) -> npt.NDArray[np.float64]:
    """Return the probability that the truth is among the best `top` of k entries, k - 1 others drawn at random.

    The expectation over all draws without replacement, in closed form: of N - 1 others `above` beat the truth, so the
    number of these among k - 1 drawn is hypergeometric. Ties are broken at random.

    Parameters
    ----------
    evidence : array of shape (n, n_entries)
    truth : array of shape (n,), int
    k : int
        From 2 to n_entries; with n_entries it is `scores.hits`.
    top : int

    Returns
    -------
    array of shape (n,), float64

    Raises
    ------
    ValueError
        If k is not between 2 and the number of entries.
    """
    n_entries = evidence.shape[1]
    if not 2 <= k <= n_entries:
        raise ValueError(f"k is {k}; it lies between 2 and the {n_entries} entries of the gallery.")
    above, ties = ranks(evidence, truth)
    # By how many beat the truth; where some tie with it, any number of them may stand before it.
    of_rank = hypergeom.cdf(top - 1, n_entries - 1, np.arange(n_entries), k - 1)
    summed = np.concatenate([[0.0], np.cumsum(of_rank)])
    share: npt.NDArray[np.float64] = (summed[above + ties + 1] - summed[above]) / (ties + 1)
    return share


def drawn_k_way(
    evidence: FloatArray, truth: IntArray, k: int, seeds: Sequence[int], top: int = 1
) -> npt.NDArray[np.float64]:
    """Return the same from one draw of distractors a trial and seed, as papers do; shape (n_seeds, n).

    `k_way` is what its mean tends to; a draw adds noise of its own. It is here for comparison with published figures.
    """
    n, n_entries = evidence.shape
    drawn = np.empty((len(seeds), n))
    for row, seed in enumerate(seeds):
        order = np.random.default_rng(seed).random((n, n_entries))
        order[np.arange(n), truth] = -1.0  # the truth is always among them
        among = np.argpartition(order, k - 1, axis=1)[:, :k]
        place = (among == truth[:, None]).argmax(axis=1)
        drawn[row] = hits(np.take_along_axis(evidence, among, axis=1), place, top)
    return drawn


def correlations(predicted: FloatArray, features: FloatArray) -> npt.NDArray[np.float64]:
    """Return Pearson's correlation over dimensions of each prediction with each picture's features, (n, n_entries)."""

    def standardised(x: FloatArray) -> npt.NDArray[np.float64]:
        centred = x.astype(np.float64) - x.mean(axis=1, keepdims=True, dtype=np.float64)
        unit: npt.NDArray[np.float64] = centred / np.maximum(
            np.linalg.norm(centred, axis=1, keepdims=True), 1e-12
        )
        return unit

    return standardised(predicted) @ standardised(features).T


def two_way(fits: FloatArray, truth: IntArray) -> npt.NDArray[np.float64]:
    """Return for each prediction the share of other pictures that fit it less than the true one, shape (n,).

    Two-way identification as MindEye does it (Scotti et al. 2023), with `correlations` for `fits`; ties count half.
    """
    above, ties = ranks(fits, truth)
    beaten: npt.NDArray[np.float64] = 1 - (above + ties / 2) / (fits.shape[1] - 1)
    return beaten


def retrieval(fits: FloatArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return for m predictions of m pictures, row i of picture i, whether each is found, both of shape (m,).

    Returns
    -------
    forward : array
        Whether a prediction fits its own picture best: brain to picture.
    backward : array
        Whether a picture fits its own prediction best: picture to brain.
    """
    own = np.arange(len(fits))
    return hits(fits, own), hits(fits.T, own)


def nth_showing(truth: IntArray) -> IntArray:
    """Return of each trial which showing of its picture it is, from 0, in the order of the trials."""
    order = np.argsort(truth, kind="stable")
    _, first, counts = np.unique(truth[order], return_index=True, return_counts=True)
    number = np.empty(len(truth), np.int64)
    number[order] = np.arange(len(truth)) - np.repeat(first, counts)
    return number


def concept_centres(
    features: FloatArray, concepts: IntArray, n_concepts: int, *, unit: bool
) -> npt.NDArray[np.float64]:
    """Return the mean embedding of each concept's pictures, shape (n_concepts, dimension).

    Parameters
    ----------
    features : array of shape (n_pictures, dimension)
        Not of the pictures that are to be found: the protocol asks for OTHER pictures of their concepts.
    concepts : array of shape (n_pictures,), int
    unit : bool
        Bring the centres to unit length. NICE (Song et al. 2024) matches with plain means, of which the shorter ones,
        of concepts whose pictures differ, are picked less often.
    """
    centres = np.zeros((n_concepts, features.shape[1]))
    np.add.at(centres, concepts, features.astype(np.float64))
    centres /= np.maximum(np.bincount(concepts, minlength=n_concepts), 1)[:, None]
    if unit:
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return centres
