"""Two-way identification as it developed over the trials of a session, with its interval."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray, IntArray

from .intervals import wilson
from .scores import Scores

__all__ = ["RunningMean", "running_two_way", "share_interval", "two_way_effect"]


@dataclass(frozen=True, slots=True, eq=False)
class RunningMean:
    """The mean over the trials so far, at some numbers of trials.

    Attributes
    ----------
    trials : array of shape (n_points,), int64
        Number of trials at each point.
    mean, low, high : array of shape (n_points,), float64
        With its 95 % interval.
    interval : str
        How the interval was made, in words.
    """

    trials: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    interval: str


def running_two_way(scores: Scores, at: IntArray, effect: float = 1.0) -> RunningMean:
    """Return the running mean of `Scores.two_way`.

    Parameters
    ----------
    at : array of shape (n_points,), int
        Numbers of trials to tell it at, from 1 to those there are.
    effect : float
        How many times more trials are needed than if they were independent; see `two_way_effect`.
    """
    low, high = share_interval(scores.two_way(), at, effect)
    mean = np.cumsum(scores.two_way())[at - 1] / at
    return RunningMean(at.astype(np.int64), mean, low, high, scores.interval_name)


def two_way_effect(scores: Scores) -> float:
    """Return how many times more trials are needed than if they were independent, at least 1, as `design_effect`."""
    shares, n = scores.two_way(), np.array([scores.n])
    widths = [high - low for low, high in scores.wider_intervals(shares)]
    if not widths:
        return 1.0
    low, high = share_interval(shares, n)
    return max(1.0, float(max(widths) / (high - low)[0]) ** 2)


def share_interval(
    shares: FloatArray, at: IntArray, effect: float = 1.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a 95 % interval of the mean of the first trials, of values between 0 and 1.

    Wilson's, for as many right-or-wrong trials as tell as much: a share of many entries spreads less around its mean p
    than the ``p (1 - p)`` of right and wrong. How much it spreads is told from the trials and two more, a 0 and a 1, so
    that a few that are alike do not promise what they cannot hold. Of values that are 0 or 1 it is Wilson's own.

    Parameters
    ----------
    shares : array of shape (n_trials,)
    at : array of shape (n_points,), int
        Numbers of trials, from 1 to `n_trials`.
    effect : float
        How many times more trials are needed than if they were independent.

    Returns
    -------
    low, high : arrays of shape (n_points,), float64
    """
    total, squares = np.cumsum(shares)[at - 1], np.cumsum(shares**2)[at - 1]
    p = (total + 1) / (at + 2)
    spread = (squares + 1) / (at + 2) - p**2
    effective = np.maximum(at * np.maximum(p * (1 - p) / spread, 1.0) / effect, 1.0)
    return wilson(total / at * effective, effective)
