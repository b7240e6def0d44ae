"""What a training shows while it runs: what is done, and how the loss on held-out trials falls."""

import sys
from math import isfinite
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from decode_stream.decoders.training.history import EpochReport

__all__ = ["TrainingProgress"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_NO_NUMBER = "!"
_WIDTH = 24


class TrainingProgress:
    """Lines of what is done, and a progress bar below them; without a terminal, a line every so many epochs.

    Parameters
    ----------
    console : Console
        On stderr: what is printed stays clean.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = sys.stderr.isatty()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, disable=not self._live)
        self._task = self._bar.add_task("reading", total=None)
        self._stage = "fitting"
        self._losses: list[float] = []

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def pictures(self, done: int, of: int) -> None:
        """Show how many pictures have their embedding."""
        self._bar.update(self._task, description="embedding the pictures", completed=done, total=of)

    def steps(self, done: int, of: int, loss: float) -> None:
        """Show how far a training is that counts in steps, and the loss of the last one."""
        words = f"{self._stage}, step {done} of {of}: loss {loss:.4f}"
        self._bar.update(self._task, description=words, completed=done, total=of)
        if not self._live and (done == of or done % max(1, of // 10) == 0):
            self._console.print(words, highlight=False, markup=False, soft_wrap=True)

    def report(self, text: str) -> None:
        """Show what is being done."""
        self._stage, self._losses = text, []
        self._bar.update(self._task, description=text, completed=0, total=None)
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def epoch(self, report: EpochReport) -> None:
        """Show an epoch of a network, and the curve of its loss on validation trials up to here."""
        loss = report.train_loss if report.valid_loss is None else report.valid_loss
        self._losses.append(loss)
        words = f"{self._stage}, epoch {report.epoch} of {report.n_epochs}: loss {report.train_loss:.3f}"
        if report.valid_loss is not None:
            words += f", held out {report.valid_loss:.3f} {_curve(self._losses)}"
        if report.valid_top1 is not None:
            words += f" top-1 {report.valid_top1:.3f} of {report.n_pictures}"
        self._bar.update(self._task, description=words, completed=report.epoch, total=report.n_epochs)
        last = report.epoch == report.n_epochs
        if not self._live and (last or report.epoch % max(1, report.n_epochs // 10) == 0):
            self._console.print(words, highlight=False, markup=False, soft_wrap=True)


def _curve(values: list[float]) -> str:
    """Return values as a line of blocks, the newest last; of what is no number an exclamation mark."""
    some = values[-_WIDTH:]
    known = [value for value in some if isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = (high - low) or 1.0
    return "".join(
        _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1))] if isfinite(value) else _NO_NUMBER
        for value in some
    )
