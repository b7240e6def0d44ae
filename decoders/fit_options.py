"""What a fit is told beside its trials and its recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .epochs import TrialSet
from .manifest import PublicWeights
from .training.history import Progress
from .training.schedules import Schedule

__all__ = ["FitOptions", "Start", "Validation", "Weights"]

#: Tensors of a network by the names of its parameters.
Weights = Mapping[str, npt.NDArray[Any]]


def _silent(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where a network begins, instead of at random.

    Attributes
    ----------
    weights : mapping of str to array, or None
        Those of a network of the same make, by its own names: a fine-tuning begins there.
    public : tuple of Path
        Files of weights that the published code of the model has saved.
    person : str
        Of public weights of several people, whose to take; empty for anyone's.
    origin : PublicWeights or None
        Where `weights` come from in the end, if from public ones.
    learnt_first : tuple of str
        In words what `weights` were learnt from.
    channels : tuple of str or None
        Those of the one person whose `weights` they are, in order; None where they are of others.
    same_person : bool
        Whether that person is known to be the one whose decoder is made: two people may have channels of one name.
    """

    weights: Weights | None = None
    public: tuple[Path, ...] = ()
    person: str = ""
    origin: PublicWeights | None = None
    learnt_first: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None
    same_person: bool = False

    @property
    def as_published(self) -> bool:
        """Whether the network is to do what the published code does, its defects included."""
        return bool(self.public) or self.origin is not None

    @property
    def given(self) -> bool:
        """Whether there is anything to begin with."""
        return self.weights is not None or bool(self.public)


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Trials that are not trained on: what may be chosen is chosen by them.

    Attributes
    ----------
    trials : TrialSet
        Its labels are rows of `embeddings`.
    embeddings : array of shape (n_pictures, dimension), float32
        Of the pictures that they show.
    structure : array of shape (n_pictures, structure_dim), float32, or None
        For the second head.
    """

    trials: TrialSet
    embeddings: npt.NDArray[np.float32]
    structure: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FitOptions:
    """What a fit is told beside its trials and its recipe.

    Attributes
    ----------
    seed : int
        Of everything random.
    valid : Validation or None
    start : Start
    folder : Path or None
        Where the state of a long fit is kept, so that one that was stopped goes on; None to keep none.
    n_epochs, batch_size, learning_rate : int, int, float, or None
        Instead of the model's own.
    loss, schedule : str or None
        Likewise: of `decode_stream.decoders.training.loss_spec.LOSSES`, and how the learning rate changes.
    nsd_split : str or None
        By which paper's split of NSD the trials are those to train on; it is noted, and changes nothing here.
    report : callable
        Is told what happens, a line at a time.
    progress : callable or None
        Is told of every epoch of a network.
    """

    seed: int = 0
    valid: Validation | None = None
    start: Start = Start()
    folder: Path | None = None
    n_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    loss: str | None = None
    schedule: Schedule | None = None
    nsd_split: str | None = None
    report: Callable[[str], None] = _silent
    progress: Progress | None = None

    @property
    def asked(self) -> dict[str, str]:
        """What is asked for instead of the model's own, by the name of the flag."""
        flags = {
            "epochs": self.n_epochs,
            "batch-size": self.batch_size,
            "learning-rate": self.learning_rate,
            "loss": self.loss,
            "schedule": self.schedule,
            "nsd-split": self.nsd_split,
        }
        return {name: str(value) for name, value in flags.items() if value is not None}

    def of(self, name: str, valid: Validation | None = None) -> "FitOptions":
        """Return the options of one fit of several: with a folder, and trials to choose by, of its own."""
        return replace(self, valid=valid, folder=None if self.folder is None else self.folder / name)
