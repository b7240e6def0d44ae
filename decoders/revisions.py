"""What is said anew of trials that were decided before: their newest log-evidence, with scores of its own."""

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from decode_stream.stream.types import FloatArray, Trial

from .evidence import Calibration
from .scoring.scores import Scores, TrialScore, hits

__all__ = ["Revisions"]


class Revisions:
    """Keeps, of each trial and each way of revising it, what was said last.

    Parameters
    ----------
    calibration : Calibration
        Of trials of one window.
    scores : Scores
        Of the decisions, whose protocol and gallery these share.
    run : int
        Number kept with every trial.
    """

    def __init__(self, calibration: Calibration, scores: Scores, run: int) -> None:
        self._calibration = calibration
        self._scores = scores
        self._run = run
        self._newest: dict[str, dict[int, tuple[Trial, npt.NDArray[np.float64]]]] = {
            "refined": {},
            "final": {},
        }

    def add(
        self, trial: Trial, way: Literal["refined", "final"], similarities: FloatArray
    ) -> npt.NDArray[np.float64]:
        """Take what is said of a trial now in the place of what was, and return the posterior, shape (n_entries,).

        Parameters
        ----------
        similarities : array of shape (n_entries,)
            Similarity of its embedding to the gallery.
        """
        log_evidence = self._calibration.log_evidence(similarities[None])
        self._newest[way][trial.number] = trial, log_evidence
        belief: npt.NDArray[np.float64] = softmax(log_evidence)
        return belief

    def scores(self, way: Literal["refined", "final"]) -> Scores:
        """Return the scores of all trials that were revised this way, by what was said of them last."""
        made = replace(self._scores, trials=[])
        for _, (trial, log_evidence) in sorted(self._newest[way].items()):
            right = hits(log_evidence[None], np.array([trial.stimulus]))
            made.add(TrialScore(trial.number, trial.onset, trial.stimulus, log_evidence, right, self._run))
        return made
