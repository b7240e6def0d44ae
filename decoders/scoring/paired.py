"""Which of two decoders is right more often, on the same trials."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from decode_stream.stream.types import FloatArray, IntArray

from .intervals import LEAST_PICTURES, block_bootstrap, bootstrap_interval, picture_means

__all__ = ["Difference", "exact_mcnemar", "paired_difference"]


@dataclass(frozen=True)
class Difference:
    """How much more often one decoder is right than another, on the same trials.

    Attributes
    ----------
    value, low, high : float
        Difference of the shares that are right, with a 95 % bootstrap interval; a difference is one where it leaves
        out 0.
    interval : str
        What was drawn.
    p : float
        Of `exact_mcnemar`.
    better, worse : int
        Trials on which the first is right and the other is not, and the other way round.
    """

    value: float
    low: float
    high: float
    interval: str
    p: float
    better: int
    worse: int


def exact_mcnemar(ours: FloatArray, theirs: FloatArray) -> tuple[float, int, int]:
    """Return the two-sided p of McNemar's exact test, and on how many trials each alone is better.

    Of the trials on which the two differ, half should be better with either if neither is (McNemar 1947, Psychometrika
    12:153); the number is binomial. It takes trials for independent, which showings of one picture are not.

    Parameters
    ----------
    ours, theirs : array of shape (n,)
        Whether each trial is right: 1, 0, or the share of a tie.

    Returns
    -------
    p : float
        1 where they never differ.
    better, worse : int
    """
    better, worse = int((ours > theirs).sum()), int((ours < theirs).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return p, better, worse


def paired_difference(
    ours: FloatArray, theirs: FloatArray, runs: IntArray, pictures: IntArray | None = None, *, seed: int = 0
) -> Difference:
    """Return how much more often one decoder is right than another, on the same trials.

    Parameters
    ----------
    ours, theirs : array of shape (n,)
        Whether each trial is right: 1, 0, or the share of a tie.
    runs : array of shape (n,), int
    pictures : array of shape (n,), int, optional
        What each trial showed. Pictures are drawn then, eight at least, each with all its trials; runs, or blocks of
        successive trials, are drawn without them. The wider of the two is told where both can be drawn.

    Raises
    ------
    ValueError
        If there are no trials or the two differ in number.
    """
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"{len(ours)} and {len(theirs)} trials cannot be compared; they must be the same.")
    each = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    spans = [(*block_bootstrap(each, runs, seed=seed), "bootstrap over runs or blocks of trials")]
    if pictures is not None and len(np.unique(pictures)) >= LEAST_PICTURES:
        spans.append(
            (*bootstrap_interval(picture_means(each, pictures, seed=seed)), "bootstrap over pictures")
        )
    low, high, how = max(spans, key=lambda span: span[1] - span[0])
    return Difference(float(each.mean()), low, high, how, *exact_mcnemar(ours, theirs))
