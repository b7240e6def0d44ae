"""The state of a training: what changes from step to step, and what is watched and kept."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from decode_stream.stream.errors import DecodeStreamError

from .history import EpochReport, FitHistory
from .schedules import STEP_EPOCHS, Schedule

__all__ = ["DIVERGED", "TrainingRun", "out_of_memory_told", "rate_schedule"]

#: A training has failed when an epoch's mean loss lies so many times above that of the first batch, before any step.
DIVERGED = 10.0
# Below this a loss may rise tenfold without harm: a fine-tuning can begin near 0.
_LOSS_FLOOR = 1.0


class TrainingRun:
    """A module with its loss, its optimizer, and how far it has come.

    Parameters
    ----------
    module, criterion : Module
        What is trained, and what it is trained by.
    optimizer : Optimizer
    schedule : LRScheduler
        Stepped with every batch.
    n_epochs : int
    keep_best : bool
        Keep the weights of the epoch with the lowest validation loss, the first of them, instead of the last.
    generator : numpy Generator, optional
        Of what is drawn beside torch's own generators.
    scaler : GradScaler, optional
        For gradients in half precision.
    remedy : str
        What to do where it diverges; by default a lower --learning-rate is named.

    Attributes
    ----------
    reports : list of EpochReport
        Of the epochs done.
    kept : dict of str to Tensor, or None
        State of the module at the best epoch.
    kept_epoch : int
        That epoch; 0 where none was kept.
    first_loss : float or None
        Loss of the first batch, by which the others are judged; None starts that anew, for a loss of another kind.
    learning_rate : float
        Of the last step.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        *,
        n_epochs: int,
        keep_best: bool = False,
        generator: np.random.Generator | None = None,
        scaler: torch.amp.GradScaler | None = None,
        remedy: str = "",
    ) -> None:
        self.module, self.criterion = module, criterion
        self.optimizer, self.schedule, self.scaler = optimizer, schedule, scaler
        self.n_epochs, self.keep_best, self.generator = n_epochs, keep_best, generator
        self.remedy = remedy
        self.reports: list[EpochReport] = []
        self.kept: dict[str, Tensor] | None = None
        self.kept_epoch = 0
        self.first_loss: float | None = None
        self.learning_rate = 0.0

    @property
    def epoch(self) -> int:
        """Number of the epoch under way, from 1."""
        return len(self.reports) + 1

    @property
    def device(self) -> torch.device:
        """Where the module is trained."""
        return next(self.module.parameters()).device

    def step(self, loss: Tensor, most_norm: float | None = None) -> None:
        """Follow the gradient of a loss.

        Parameters
        ----------
        loss : Tensor of shape ()
        most_norm : float, optional
            A longer gradient is cut to this norm.

        Raises
        ------
        DecodeStreamError
            If the loss is not finite.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(value)
        if self.first_loss is None:
            self.first_loss = value
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.zero_grad()
        self.backward(loss)
        self.advance(most_norm)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to what has been gathered."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    def advance(self, most_norm: float | None = None) -> None:
        """Move along the gradient that has been gathered, cut to a norm, and the learning rate along its schedule."""
        if most_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            learnt = [value for group in self.optimizer.param_groups for value in group["params"]]
            torch.nn.utils.clip_grad_norm_(learnt, most_norm)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.schedule.step()

    def end_epoch(self, train_loss: float, **validated: Any) -> EpochReport:
        """Record an epoch, and keep its weights if it is the best.

        Parameters
        ----------
        train_loss : float
        **validated
            What was measured on the validation trials, as in `EpochReport`.

        Raises
        ------
        DecodeStreamError
            If the training loss is far above where it began, or the validation loss is not finite.
        """
        valid_loss = validated.get("valid_loss")
        if valid_loss is not None and not math.isfinite(valid_loss):
            raise self._diverged(valid_loss)
        if train_loss > DIVERGED * max(self.first_loss or 0.0, _LOSS_FLOOR):
            raise self._diverged(train_loss)
        best = min((r.valid_loss for r in self.reports if r.valid_loss is not None), default=math.inf)
        report = EpochReport(self.epoch, self.n_epochs, self.learning_rate, train_loss, **validated)
        self.reports.append(report)
        if self.keep_best and report.valid_loss is not None and report.valid_loss < best:
            self.kept = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
            self.kept_epoch = report.epoch
        return report

    def stale_epochs(self) -> int:
        """Return how many epochs the lowest validation loss lies back."""
        losses = [report.valid_loss for report in self.reports if report.valid_loss is not None]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def finish(self) -> FitHistory:
        """Give the module the weights that are kept, and return how it went."""
        if self.kept is not None:
            self.module.load_state_dict(self.kept)
        self.module.eval()
        return FitHistory(tuple(self.reports), self.kept_epoch or len(self.reports))

    def _diverged(self, loss: float) -> DecodeStreamError:
        if self.first_loss is None and not self.reports:
            return DecodeStreamError(
                f"The loss is {loss:g} before the first step: the trials, the targets or the weights that training "
                "begins with hold values that are not finite. Leave those trials out, or begin with other weights."
            )
        began = "" if self.first_loss is None else f" where it began at {self.first_loss:g}"
        rate = float(self.optimizer.param_groups[0]["lr"])
        remedy = self.remedy or f"Try again with --learning-rate {rate / 10:.1g}."
        return DecodeStreamError(
            f"Training diverged in epoch {self.epoch} of {self.n_epochs}: the loss is {loss:g}{began}, at a learning "
            f"rate of {rate:g}. More than {DIVERGED:g} times the first loss is no learning. {remedy}"
        )


def rate_schedule(
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    n_epochs: int,
    n_steps: int,
    *,
    rise: float = 0.2,
    final_divisor: float = 1e4,
    step_epochs: int = STEP_EPOCHS,
    step_factor: float = 0.8,
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return how the learning rate of an optimizer changes, step by step.

    Parameters
    ----------
    schedule : Schedule
        ``step`` multiplies by `step_factor` every `step_epochs` epochs (Mind Reader: Lin et al. 2022); ``cosine`` falls
        to 0 along half a cosine (Loshchilov and Hutter 2017, without restarts); ``one-cycle`` rises from a
        25th over `rise` of all steps, and falls to where it began divided by `final_divisor` (Smith and Topin 2019).
    n_epochs, n_steps : int
        Of the whole training, and steps of an epoch.
    """
    total = n_epochs * n_steps
    if schedule == "one-cycle":
        # Where the rise would end with the first of all steps, torch divides by zero.
        rise = rise / 2 if rise * total == 1 else rise
        rate = optimizer.param_groups[0]["lr"]
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=total, pct_start=rise, final_div_factor=final_divisor
        )
    if schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    factor = step_factor if schedule == "step" else 1.0
    return torch.optim.lr_scheduler.StepLR(optimizer, step_epochs * n_steps, factor)


@contextmanager
def out_of_memory_told(batch_size: int, remedy: str = "") -> Iterator[None]:
    """Turn a lack of memory into a message that names the batch.

    Parameters
    ----------
    batch_size : int
    remedy : str
        What to do about it; by default a smaller --batch-size is named.

    Raises
    ------
    DecodeStreamError
        If memory runs out within the block, on the GPU or beside it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        # For the memory of the machine itself torch has no class of its own.
        if isinstance(error, RuntimeError) and not on_gpu and "DefaultCPUAllocator" not in str(error):
            raise
        where = "of the GPU" if on_gpu else "of this machine"
        remedy = (
            remedy
            or f"Try again with --batch-size {max(3, batch_size // 2)}, or on a machine with more memory."
        )
        raise DecodeStreamError(
            f"The memory {where} is too small for batches of {batch_size} trials. {remedy}"
        ) from error
