"""Scores that use statistics of the whole test set, as some papers do. None of them is possible live.

A decoder that must answer after each trial knows neither the mean of all trials to come nor that every picture will be
shown as often as any other. These numbers are for comparison with papers, and are made only when asked for.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax

from decode_stream.stream.types import FloatArray, IntArray

from .identification import nth_showing

__all__ = ["assigned", "standardised"]


def standardised(embeddings: FloatArray, gallery: FloatArray) -> npt.NDArray[np.float64]:
    """Return predictions z-scored over the test set, dimension by dimension, then given the gallery's mean and spread.

    What Brain-Diffuser and MindDiffuser do (Ozcelik and VanRullen 2023; Lu et al. 2023), who take mean and spread of
    the training pictures where the gallery's stand here.

    Parameters
    ----------
    embeddings : array of shape (n_trials, ..., dimension)
    gallery : array of shape (n_entries, dimension)
    """
    mean, spread = embeddings.mean(axis=0, dtype=np.float64), embeddings.std(axis=0, dtype=np.float64)
    z = (embeddings - mean) / np.where(spread > 0, spread, 1.0)
    told: npt.NDArray[np.float64] = z * gallery.std(axis=0, dtype=np.float64) + gallery.mean(
        axis=0, dtype=np.float64
    )
    return told


def assigned(log_evidence: FloatArray, truth: IntArray) -> npt.NDArray[np.float64]:
    """Return whether each trial is right when no picture may be picked twice, shape (n,).

    The first showings of all pictures are one set, the second ones the next, and within each set trials and pictures
    are matched one to one so that the sum of the trials' log-posteriors is largest (linear sum assignment).

    Parameters
    ----------
    log_evidence : array of shape (n, n_entries)
    truth : array of shape (n,), int
    """
    log_p = log_softmax(log_evidence, axis=1)
    number = nth_showing(truth)
    right = np.zeros(len(truth))
    for which in np.unique(number):
        own = np.flatnonzero(number == which)
        trials, picked = linear_sum_assignment(log_p[own], maximize=True)
        right[own[trials]] = picked == truth[own[trials]]
    return right
