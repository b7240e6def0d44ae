"""How right the beliefs are, with chance, n and an interval."""

from dataclasses import dataclass, field
from math import nan

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from decode_stream.stream.types import FloatArray, IntArray

from .intervals import (
    LEAST_PICTURES,
    SHORTEST_BLOCK,
    block_bootstrap,
    bootstrap_interval,
    picture_spread,
    wilson,
)

__all__ = [
    "Scores",
    "TrialScore",
    "auc",
    "hits",
    "paired_auc_difference",
]

_OVER_PICTURES = "cluster-robust variance over pictures"


@dataclass(frozen=True, slots=True, eq=False)
class TrialScore:
    """One decided trial.

    Attributes
    ----------
    number, onset, stimulus : int
        The trial's number, onset sample at the decoder's rate, and true gallery index.
    log_evidence : array of shape (n_entries,), float64
        Evidence summed over its windows.
    right_by_latency : array of shape (n_latencies,), float64
        Whether each window alone puts the truth first: 1, 0, the share of a tie, NaN where none was decoded.
    run : int
        Which run it belongs to.
    novelty : float
        Mean over its windows of how far they lie from those of the training, from 0 to 1; NaN where not told.
    showing : int
        How many times its stimulus had been shown with it, by its marker.
    repeated_right, repeated_log_loss : float
        Whether all these showings together put the truth first, as in `hits`, and minus the logarithm of the
        probability that they give it; NaN where not told.
    above, ties : float
        How many entries have more evidence than the truth, and how many as much, itself among them; `above` is NaN
        where the evidence holds one. Counted once: a window may ask at any time how many of all trials were right.
    """

    number: int
    onset: int
    stimulus: int
    log_evidence: npt.NDArray[np.float64]
    right_by_latency: npt.NDArray[np.float64]
    run: int = 0
    novelty: float = nan
    showing: int = 1
    repeated_right: float = nan
    repeated_log_loss: float = nan
    above: float = field(init=False)
    ties: float = field(init=False)

    def __post_init__(self) -> None:
        above, ties = _placed(self.log_evidence[None], np.array([self.stimulus]))
        object.__setattr__(self, "above", float(above[0]))
        object.__setattr__(self, "ties", float(ties[0]))


def hits(evidence: FloatArray, truth: IntArray, top: int = 1) -> npt.NDArray[np.float64]:
    """Return whether the truth is among the best `top` entries: 1, 0, or the share of a tie.

    Parameters
    ----------
    evidence : array of shape (n, n_entries)
        Any measure that orders the entries; a row with a NaN gives NaN.
    truth : array of shape (n,), int
    top : int

    Returns
    -------
    array of shape (n,), float64
    """
    return _share(*_placed(evidence, truth), top)


def _placed(evidence: FloatArray, truth: IntArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return how many entries of each row are above the truth, NaN for a row with a NaN, and how many as high."""
    own = evidence[np.arange(len(truth)), truth][:, None]
    above = np.where(np.isnan(evidence).any(1), nan, (evidence > own).sum(1))
    return above, (evidence == own).sum(1).astype(np.float64)


def _share(above: FloatArray, ties: FloatArray, top: int) -> npt.NDArray[np.float64]:
    """Return the truth's share of the best `top` places; NaN where `above` is."""
    share: npt.NDArray[np.float64] = np.clip((top - above) / np.maximum(ties, 1), 0.0, 1.0)
    return share


def auc(scores: FloatArray, positive: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: the probability that a positive scores above a negative.

    Parameters
    ----------
    scores : array of shape (n,)
    positive : array of shape (n,), bool

    Returns
    -------
    float
        NaN where one class is absent.
    """
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    if not n_pos or not n_neg:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def paired_auc_difference(
    ours: FloatArray,
    theirs: FloatArray,
    positive: npt.NDArray[np.bool_],
    runs: IntArray,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return the difference of two decoders' AUC on the same trials, with a 95 % bootstrap interval.

    Scores are compared within each run only, since decoders trained without different runs have scales of their
    own; the AUC is the mean over runs weighted by trials. Trials are drawn with replacement within runs.

    Parameters
    ----------
    ours, theirs : array of shape (n_trials,)
        Scores of the positive class.
    positive : array of shape (n_trials,), bool
    runs : array of shape (n_trials,), int

    Returns
    -------
    difference, low, high : float
    """
    groups = [np.flatnonzero(runs == run) for run in np.unique(runs)]

    def difference(parts: list[npt.NDArray[np.intp]]) -> float:
        return sum(len(g) * (auc(ours[g], positive[g]) - auc(theirs[g], positive[g])) for g in parts) / sum(
            len(g) for g in parts
        )

    rng = np.random.default_rng(seed)
    replicates = np.array([difference([rng.choice(g, len(g)) for g in groups]) for _ in range(n_resamples)])
    return difference(groups), *bootstrap_interval(replicates)


@dataclass(eq=False)
class Scores:
    """Decided trials, and what they say about the decoder.

    Parameters
    ----------
    n_entries : int
        Size of the gallery: chance is 1 / n_entries.
    overlapping : bool
        Whether trials share samples; intervals are then widened by a block bootstrap.
    caveat : str
        What keeps the score from being a held-out one; told wherever the score is.
    pictures : bool
        Whether the gallery is a sample, of pictures that could have been others. Categories are fixed: no others are
        spoken of, and that they differ widens nothing.
    """

    n_entries: int
    overlapping: bool = False
    caveat: str = ""
    trials: list[TrialScore] = field(default_factory=list)
    pictures: bool = True

    def add(self, trial: TrialScore) -> None:
        """Count one more decided trial."""
        self.trials.append(trial)

    @property
    def n(self) -> int:
        """Number of scored trials."""
        return len(self.trials)

    @property
    def protocol(self) -> str:
        """In words what the accuracy counts."""
        caveat = f"; {self.caveat}" if self.caveat else ""
        return f"single trial, {self.n_entries}-way, each trial after its last window{caveat}"

    def log_evidence(self) -> npt.NDArray[np.float64]:
        """Return the log-evidence of all trials, shape (n_trials, n_entries)."""
        return np.array([t.log_evidence for t in self.trials]).reshape(self.n, self.n_entries)

    def truth(self) -> IntArray:
        """Return the true gallery index of all trials, shape (n_trials,)."""
        return np.array([t.stimulus for t in self.trials], dtype=np.int64)

    def hits(self, top: int = 1) -> npt.NDArray[np.float64]:
        """Return for each trial whether the truth is among the best `top`: 1, 0, or the share of a tie."""
        above = np.array([trial.above for trial in self.trials])
        return _share(above, np.array([trial.ties for trial in self.trials]), top)

    def two_way(self) -> npt.NDArray[np.float64]:
        """Return of each trial the share of the other entries that the true one beats, shape (n_trials,).

        Two-way identification, in log-evidence; ties count half, chance is 0.5. NaN of a gallery of one.
        """
        beaten = np.array([t.above + (t.ties - 1) / 2 for t in self.trials])
        return 1 - beaten / (self.n_entries - 1) if self.n_entries > 1 else np.full(self.n, nan)

    def design_effect(self, hits: FloatArray) -> float:
        """Return how many times more trials are needed than if they were independent, at least 1.

        This is the squared ratio of a wider interval to Wilson's: of the bootstrap over blocks of trials where trials
        overlap, of the cluster-robust one over pictures where these are shown again, and the larger one where both.
        Dividing n by it gives an interval as wide as that, but never narrower than that of independent trials.
        """
        widths = [np.subtract(*interval[::-1]) for interval in self.wider_intervals(hits)]
        if not widths:
            return 1.0
        low, high = wilson(float(hits.sum()), self.n)
        return max(1.0, float(max(widths) / (high - low)) ** 2)

    def wider_intervals(self, hits: FloatArray) -> list[tuple[float, float]]:
        """Return the 95 % intervals of the mean of `hits` that know why trials are not independent, if they are not."""
        intervals = []
        if self.overlapping and self.n >= 2 * SHORTEST_BLOCK:
            intervals.append(block_bootstrap(hits, np.array([trial.run for trial in self.trials])))
        if self.repeating:
            intervals.append(picture_spread(hits, self.truth()))
        return intervals

    @property
    def repeating(self) -> bool:
        """Whether pictures, enough of them to tell how they differ, are shown again; never of categories."""
        return self.pictures and LEAST_PICTURES <= len(np.unique(self.truth())) < self.n

    def interval(self, hits: FloatArray) -> tuple[float, float]:
        """Return the 95 % interval of the mean of `hits`; (0, 1) without trials."""
        if not self.n:
            return 0.0, 1.0
        n = self.n / self.design_effect(hits)
        low, high = wilson(float(hits.mean()) * n, n)
        return float(low), float(high)

    @property
    def interval_name(self) -> str:
        """How the interval is made."""
        ways = ["block bootstrap"] * self.overlapping + [_OVER_PICTURES] * self.repeating
        if len(ways) == 2:
            return f"Wilson, widened by the wider of {' and '.join(ways)}"
        return f"Wilson, widened by {ways[0]}" if ways else "Wilson, pointwise"

    def two_class_score(self) -> npt.NDArray[np.float64]:
        """Return the log-odds of entry 1 against entry 0, shape (n_trials,); two entries only."""
        e = self.log_evidence()
        return e[:, 1] - e[:, 0]

    def auc(self) -> float | None:
        """Return the area under the ROC curve of a two-entry gallery, or None for larger ones."""
        if self.n_entries != 2 or not self.n:
            return None
        value = auc(self.two_class_score(), self.truth() == 1)
        return None if np.isnan(value) else value

    def by_latency(self) -> npt.NDArray[np.float64]:
        """Return the fraction right from each window alone, shape (n_latencies,); NaN where none was decoded."""
        if not self.n:
            return np.empty(0)
        right = np.array([trial.right_by_latency for trial in self.trials])
        n_seen = np.isfinite(right).sum(axis=0)
        curve: npt.NDArray[np.float64] = np.nansum(right, axis=0) / np.where(n_seen, n_seen, np.nan)
        return curve
