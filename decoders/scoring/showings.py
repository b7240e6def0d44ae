"""What a session knows of a stimulus after it was shown again and again."""

from dataclasses import dataclass

import numpy as np

from .scores import Scores

__all__ = ["Showings", "showings"]


@dataclass(frozen=True)
class Showings:
    """Decisions that rest on the first n showings of a stimulus, for n = 1, 2, 4 and so on.

    Attributes
    ----------
    showings : tuple of int
        Each n.
    n : tuple of int
        Stimuli that were shown so often.
    top1 : tuple of float
        Share of them put first, by the truth.
    log_loss : tuple of float
        Mean of ``-log p`` of the truth, in nats.
    """

    showings: tuple[int, ...] = ()
    n: tuple[int, ...] = ()
    top1: tuple[float, ...] = ()
    log_loss: tuple[float, ...] = ()


def showings(scores: Scores) -> Showings:
    """Return what was decided after n showings; empty where nothing was shown twice.

    A decision is told that the showings are of one stimulus, not which.
    """
    shown = np.array([trial.showing for trial in scores.trials], np.int64)
    if not (shown > 1).any():
        return Showings()
    each = [2**power for power in range(int(shown.max()).bit_length())]
    groups = [[trial for trial in scores.trials if trial.showing == n] for n in each]
    return Showings(
        tuple(each),
        tuple(len(group) for group in groups),
        tuple(float(np.mean([trial.repeated_right for trial in group])) for group in groups),
        tuple(float(np.mean([trial.repeated_log_loss for trial in group])) for group in groups),
    )
