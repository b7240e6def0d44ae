"""What a training tells of itself: a report an epoch, and all of them in the end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["EpochReport", "FitHistory", "Progress"]


@dataclass(frozen=True)
class EpochReport:
    """One pass over the trials.

    Attributes
    ----------
    epoch, n_epochs : int
        Its number, from 1, and that of the last.
    learning_rate : float
        Of its last step.
    train_loss : float
        Mean over the trials, with all that is drawn in training: dropout, augmentations, hidden latencies.
    valid_loss : float or None
        Of the validation trials, with none of that; None without them. Encoders of whole trials: log loss among their
        `n_pictures`, at the scale of the evidence that fits best. Evidence is calibrated after the training, so that a
        network which has only become too sure of itself is none the worse. For windows that grow the trials are as far
        on as their windows, at latencies drawn once and for all, and so they are for the shares below.
    valid_top1, valid_top5 : float or None
        Share of the validation trials whose picture came first, or among the first five, of `n_pictures`; None where
        that was not asked.
    n_pictures : int or None
        Pictures of the validation trials, which are the candidates.
    """

    epoch: int
    n_epochs: int
    learning_rate: float
    train_loss: float
    valid_loss: float | None = None
    valid_top1: float | None = None
    valid_top5: float | None = None
    n_pictures: int | None = None


#: Is told of every epoch.
Progress: TypeAlias = Callable[[EpochReport], None]


@dataclass(frozen=True)
class FitHistory:
    """How a fit went.

    Attributes
    ----------
    reports : tuple of EpochReport
        Of every epoch; fewer than were asked for where the training stopped early.
    kept_epoch : int
        Number of the epoch whose weights were kept, from 1.
    """

    reports: tuple[EpochReport, ...]
    kept_epoch: int

    @property
    def train_loss(self) -> tuple[float, ...]:
        """Mean training loss of every epoch."""
        return tuple(report.train_loss for report in self.reports)

    @property
    def valid_loss(self) -> tuple[float, ...]:
        """Mean validation loss of every epoch; empty without validation data."""
        return tuple(report.valid_loss for report in self.reports if report.valid_loss is not None)
