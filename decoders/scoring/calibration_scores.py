"""Whether probabilities mean what they say: of the trials given 0.7, seven in ten should be right."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax, logit
from scipy.stats import norm

from decode_stream.stream.types import FloatArray, IntArray

from .intervals import bootstrap_interval, bootstrap_means, few_drawn, picture_means
from .scores import hits

__all__ = [
    "CalibrationScores",
    "Estimate",
    "Reliability",
    "calibration_scores",
    "debiased_error",
    "reliability",
]

_N_BINS = 15
#: A bin needs two trials for the variance of its hits.
_LEAST_TRIALS = 2 * _N_BINS
#: Values of log-evidence looked at together, so that large galleries do not need much memory.
_VALUES = 4_000_000
_MOST_STEPS, _SINGULAR = 100, 1e10


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval; NaNs where the trials do not tell."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """The numbers of a reliability diagram, a bin each: trials ordered by confidence, as many in each bin.

    Attributes
    ----------
    confidence : tuple of float
        Mean probability of the most probable entry.
    right : tuple of float
        How often it was the truth.
    n : tuple of int
        Trials.
    """

    confidence: tuple[float, ...]
    right: tuple[float, ...]
    n: tuple[int, ...]


@dataclass(frozen=True)
class CalibrationScores:
    """How well the posteriors of trials are calibrated.

    Attributes
    ----------
    n : int
        Trials.
    log_loss : float
        Mean of ``-log p`` of the truth, in nats.
    brier : float
        Mean over trials of the sum over entries of ``(p - y)**2``, y being 1 for the truth and 0 else: from 0 to 2.
    ece : float or None
        Expected calibration error of the most probable entry, debiased: see `debiased_error`. None below 30 trials.
    slope : Estimate
        1 where the evidence is neither too bold (below 1) nor too timid (above). For a gallery of two, b in
        ``logit P(entry 1) = a + b * (log-odds of entry 1)`` (Cox 1958, Biometrika 45:562); for larger ones, b in
        ``P = softmax(b * log-evidence)``.
    intercept : Estimate
        0 where nothing is claimed too often. For a gallery of two, a of the same fit, in favour of entry 1. For larger
        ones calibration in the large of the most probable entry: a in ``logit P(it is right) = a + logit(its
        probability)``; below 0 where confidence is too high on the whole.
    reliability : Reliability
    """

    n: int
    log_loss: float
    brier: float
    ece: float | None
    slope: Estimate
    intercept: Estimate
    reliability: Reliability


def calibration_scores(
    log_evidence: FloatArray,
    truth: IntArray,
    runs: IntArray,
    *,
    repeating: bool = False,
    n_resamples: int = 2000,
    seed: int = 0,
) -> CalibrationScores:
    """Score the posteriors of trials.

    Intervals are those of `bootstrap_means`, over runs or blocks of trials, widened by `few_drawn`; where pictures are
    shown again those of `picture_means` if they are wider. Each resample's slope and intercept is one Newton step from
    the estimate of all trials (Moulton and Zeger 1991, Comput. Stat. Data Anal. 11:53).

    Parameters
    ----------
    log_evidence : array of shape (n_trials, n_entries)
        Its softmax is the posterior. In order of onset.
    truth : array of shape (n_trials,), int
    runs : array of shape (n_trials,), int
    repeating : bool
        Whether the truths are pictures shown again, as `Scores.repeating` tells.

    Raises
    ------
    ValueError
        If there are no trials, or fewer than two entries.
    """
    n, n_entries = log_evidence.shape
    if not n or n_entries < 2:
        raise ValueError(f"There is nothing to calibrate in {n} trials among {n_entries} entries.")
    log_p, brier, confidence = _posterior_scores(log_evidence, truth)
    right = hits(log_evidence, truth)
    draws = _Draws(runs, truth if repeating else None, n_resamples, seed)
    if n_entries == 2:
        odds = log_evidence[:, 1] - log_evidence[:, 0]
        design = np.stack([np.ones(n), odds], axis=1)
        intercept, slope = _logistic(design, truth.astype(np.float64), np.zeros(n), draws)
    else:
        slope = _slope(log_evidence, truth, draws)
        odds = logit(np.clip(confidence, 1e-12, 1 - 1e-12))
        (intercept,) = _logistic(np.ones((n, 1)), right, odds, draws)
    diagram = reliability(confidence, right)
    error = debiased_error(diagram) if n >= _LEAST_TRIALS else None
    return CalibrationScores(n, float(-log_p.mean()), float(brier.mean()), error, slope, intercept, diagram)


def reliability(confidence: FloatArray, right: FloatArray, n_bins: int = _N_BINS) -> Reliability:
    """Return a reliability diagram of bins of equal mass; fewer bins where there are fewer trials.

    Parameters
    ----------
    confidence, right : array of shape (n_trials,)
        Probability of the most probable entry, and whether it was right.
    """
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(n_bins, len(confidence)))
    return Reliability(
        tuple(float(confidence[b].mean()) for b in bins),
        tuple(float(right[b].mean()) for b in bins),
        tuple(len(b) for b in bins),
    )


def debiased_error(diagram: Reliability) -> float:
    """Return the expected calibration error, freed of what chance alone adds to it.

    With the mean confidence f and the share of hits y of a bin of n trials, the plain error ``sum_b (n_b / N) |y_b -
    f_b|`` is above 0 even where all is calibrated. Kumar, Liang and Ma (2019, NeurIPS) take the bias off that resampled
    hits show; with the normal approximation of ``y ~ N(y_b, s_b**2)``, ``s_b**2 = y_b (1 - y_b) / (n_b - 1)``, its mean
    has a closed form, and with ``d = |y_b - f_b|`` the estimate is::

        sum_b (n_b / N) * (2 d - E|y - f_b|),
        E|y - f_b| = s sqrt(2 / pi) exp(-d**2 / (2 s**2)) + d (1 - 2 Phi(-d / s))

    It is not taken for less than 0. Where all is calibrated this takes off two fifths of what chance adds: the estimate
    errs on the side of more error, the less the more trials there are. Bins of equal mass have less of that bias than
    those of equal width (Roelofs et al. 2022, AISTATS).

    Parameters
    ----------
    diagram : Reliability
        With at least two trials in each bin.
    """
    n = np.array(diagram.n, np.float64)
    y, f = np.array(diagram.right), np.array(diagram.confidence)
    d, s = np.abs(y - f), np.sqrt(y * (1 - y) / (n - 1))
    z = d / np.maximum(s, 1e-12)
    expected = s * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + d * (1 - 2 * norm.cdf(-z))
    return max(0.0, float((n / n.sum()) @ (2 * d - expected)))


def _blocks(log_evidence: FloatArray) -> Iterator[slice]:
    step = max(1, _VALUES // log_evidence.shape[1])
    for start in range(0, len(log_evidence), step):
        yield slice(start, start + step)


def _posterior_scores(log_evidence: FloatArray, truth: IntArray) -> tuple[npt.NDArray[np.float64], ...]:
    """Return log-probability of the truth, Brier score and highest probability of each trial."""
    parts = []
    for block in _blocks(log_evidence):
        log_p = log_softmax(log_evidence[block], axis=1)
        p = np.exp(log_p)
        own = log_p[np.arange(len(p)), truth[block]]
        # sum (p - y)^2 = sum p^2 - 2 p_truth + 1
        parts.append((own, (p**2).sum(axis=1) - 2 * np.exp(own) + 1, p.max(axis=1)))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


#: What a fit says at some coefficients: each trial's slope of the log-likelihood, (n, p), and curvature, (n, p, p).
_Sums = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, eq=False)
class _Draws:
    """What is drawn for the intervals: runs or blocks of trials and, where they are given, pictures."""

    runs: IntArray
    pictures: IntArray | None
    n_resamples: int
    seed: int

    def means(self, columns: FloatArray) -> Iterator[tuple[npt.NDArray[np.float64], float]]:
        """Yield replicates of the means of columns (n, p), and how many times farther out they should lie."""
        n, seed = self.n_resamples, self.seed
        yield bootstrap_means(columns, self.runs, n_resamples=n, seed=seed), few_drawn(self.runs)
        if self.pictures is not None:
            yield picture_means(columns, self.pictures, n_resamples=n, seed=seed), few_drawn(self.pictures)


def _logistic(x: FloatArray, y: FloatArray, offset: FloatArray, draws: _Draws) -> list[Estimate]:
    """Return the coefficients of a logistic regression of y on x, (n, p)."""

    def sums(beta: FloatArray) -> tuple[FloatArray, FloatArray]:
        p = expit(offset + x @ beta)
        return x * (y - p)[:, None], x[:, :, None] * x[:, None] * (p * (1 - p))[:, None, None]

    return _newton(sums, np.sqrt((x**2).mean(axis=0)), draws)


def _slope(log_evidence: FloatArray, truth: IntArray, draws: _Draws) -> Estimate:
    """Return the factor on the log-evidence under which the truth is the most likely."""

    def sums(beta: FloatArray) -> tuple[FloatArray, FloatArray]:
        slopes, curvatures = [], []
        for block in _blocks(log_evidence):
            e = log_evidence[block]
            p = np.exp(log_softmax(beta[0] * e, axis=1))
            mean = (p * e).sum(axis=1)
            slopes.append(e[np.arange(len(e)), truth[block]] - mean)
            curvatures.append((p * (e - mean[:, None]) ** 2).sum(axis=1))
        return np.concatenate(slopes)[:, None], np.concatenate(curvatures)[:, None, None]

    spread = np.sqrt(sums(np.zeros(1))[1].mean(axis=0)[0])
    return _newton(sums, spread, draws)[0]


def _newton(sums: _Sums, spread: FloatArray, draws: _Draws) -> list[Estimate]:
    """Return the coefficients of most likelihood, with intervals; NaNs where there is no finite or no single one.

    Parameters
    ----------
    spread : array of shape (p,)
        Of what each coefficient is multiplied with: a step changes a log-odds by about 1 at most.
    """
    unknown = [Estimate(nan, nan, nan)] * len(spread)
    if not (spread > 1e-12).all():
        return unknown
    beta = np.zeros(len(spread))
    for _ in range(_MOST_STEPS):
        slope, curvature = sums(beta)
        total = curvature.mean(axis=0)
        if np.linalg.cond(total / np.outer(spread, spread)) > _SINGULAR:
            return unknown
        step = np.linalg.solve(total, slope.mean(axis=0))
        beta = beta + np.clip(step, -1 / spread, 1 / spread)
        if (np.abs(step * spread) < 1e-9).all():
            break
    else:
        return unknown
    slope, curvature = sums(beta)
    columns = np.concatenate([slope, curvature.reshape(len(slope), -1)], axis=1)
    intervals = [_stepped(beta, spread, means, factor) for means, factor in draws.means(columns)]
    if np.isnan(intervals).any():
        return unknown
    widest = np.argmax([high - low for low, high in intervals], axis=0)
    return [
        Estimate(float(value), *(float(end) for end in intervals[which][:, i]))
        for i, (value, which) in enumerate(zip(beta, widest, strict=True))
    ]


def _stepped(
    beta: FloatArray, spread: FloatArray, means: FloatArray, factor: float
) -> npt.NDArray[np.float64]:
    """Return the interval, (2, p), of a Newton step from beta with each replicate; NaNs if all are singular."""
    totals = means[:, len(beta) :].reshape(-1, len(beta), len(beta))
    sound = np.linalg.cond(totals / np.outer(spread, spread)) < _SINGULAR
    if not sound.any():
        return np.full((2, len(beta)), nan)
    steps = np.linalg.solve(totals[sound], means[sound, : len(beta), None])[:, :, 0]
    return np.array([bootstrap_interval(column) for column in (beta + factor * steps).T]).T
