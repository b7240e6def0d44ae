"""Showings of a picture put together, before the mapper or after it, and how what is decoded of them fits pictures."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoded import Decoded, similarity_rows, unit_rows
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation

__all__ = [
    "averaged_after",
    "averaged_before",
    "fits_of",
    "gives_likelihoods",
    "groups_by_picture",
    "whole_embeddings",
]


def gives_likelihoods(bundle: Bundle) -> bool:
    """Return whether inner products with the gallery are log-likelihoods; embeddings then hold unlike numbers."""
    return bundle.projector is not None and bundle.projector.gaussian


def groups_by_picture(truth: IntArray) -> tuple[IntArray, list[IntArray]]:
    """Return the pictures shown, in order, and the trials of each."""
    pictures = np.unique(truth)
    return pictures, [np.flatnonzero(truth == picture) for picture in pictures]


def averaged_before(evaluation: Evaluation, groups: Sequence[IntArray]) -> npt.NDArray[np.float32]:
    """Return what is decoded of the mean window of each group, as if it were a single one.

    Parameters
    ----------
    evaluation : Evaluation
        With windows.
    groups : sequence of array of int
        Trials that are put together.

    Returns
    -------
    array of shape (n_groups, n_latencies, dimension), float32
    """
    manifest, windows = evaluation.bundle.manifest, evaluation.decoded.windows
    assert windows is not None
    latencies_s = np.array([manifest.schedule.latency_s(k) for k in range(manifest.n_latencies)])
    return np.array(
        [
            evaluation.encode(windows[group].mean(axis=0), latencies_s)
            if len(group) > 1
            else evaluation.decoded.embeddings[group[0]]
            for group in groups
        ],
        np.float32,
    )


def averaged_after(evaluation: Evaluation, groups: Sequence[IntArray]) -> npt.NDArray[np.float32]:
    """Return the mean of what the encoder gave for each group, as it gave it, likewise."""
    embeddings = evaluation.decoded.embeddings
    return np.array([embeddings[group].mean(axis=0) for group in groups], np.float32)


def fits_of(
    evaluation: Evaluation, embeddings: FloatArray, entries: IntArray | None = None
) -> npt.NDArray[np.float64]:
    """Return how well what was decoded fits entries of the gallery, shape (n, n_entries).

    The similarity by the bundle's rule, the cosine where embeddings are of unit length, as papers on fMRI take it: no
    calibration is in it. Of several windows it is the mean, each weighed by what it counts. Where a decoder gives
    likelihoods it is the logarithm of the belief, since only that tells which trial fits a picture best.

    Parameters
    ----------
    embeddings : array of shape (n, n_latencies, dimension)
    entries : array of int, optional
        Of the gallery; by default all.
    """
    bundle, decoded = evaluation.bundle, evaluation.decoded
    gallery = bundle.gallery if entries is None else bundle.gallery[entries]
    similarities = similarity_rows(embeddings, gallery, bundle.norm)
    if gives_likelihoods(bundle):
        beliefs: npt.NDArray[np.float64] = log_softmax(decoded.evidence_until(similarities, -1), axis=1)
        return beliefs
    fits: npt.NDArray[np.float64] = np.einsum("nle,l->ne", similarities, _shares(decoded))
    return fits


def whole_embeddings(evaluation: Evaluation, embeddings: FloatArray) -> npt.NDArray[np.float64]:
    """Return one embedding for the windows' embeddings, (n, n_latencies, dimension): their mean, weighed likewise.

    Each enters as it enters similarity, so that the inner product with an entry is what `fits_of` gives.
    """
    norm, shares = evaluation.bundle.norm, _shares(evaluation.decoded)
    total = np.zeros((len(embeddings), embeddings.shape[2]))
    for k in np.flatnonzero(shares):
        total += shares[k] * unit_rows(embeddings[:, k], norm)
    return total


def _shares(decoded: Decoded) -> npt.NDArray[np.float64]:
    """Return what each window counts, summing to 1; alike where the calibration found that none tells anything."""
    weights = decoded.weights()
    if not weights.any():
        weights = np.ones_like(weights)
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares
