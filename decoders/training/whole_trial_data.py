"""What encoders of whole trials learn from and are chosen by, and what a checkpoint of theirs belongs to."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
from torch import nn

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import IntArray

from .batches import TrialArray
from .checkpoint import Identity, array_digest, module_digest
from .whole_trial_settings import WholeTrialSettings

__all__ = ["TrainingTrials", "ValidationTrials", "check_trials", "check_validation", "identity"]


@dataclass(frozen=True, eq=False)
class TrainingTrials:
    """The trials that are learnt from, and the pictures' targets.

    Attributes
    ----------
    epochs : array-like of shape (n_trials, n_channels, n_times), float32
    labels : array of shape (n_trials,), int64
        Rows of the targets.
    targets : array-like of shape (n_pictures, dimension), float32
    subjects : array of shape (n_trials,), int64, or None
    text_targets : array-like of shape (n_pictures, dimension), or None
    people : array of shape (n_trials,), int64, or None
        Whose trial each is, where the subjects do not tell.
    choices : array of shape (n_pictures + 1,), int64, or None
        Of pictures with several targets: picture i has the rows [choices[i], choices[i + 1]), and labels are pictures.
    """

    epochs: TrialArray
    labels: IntArray
    targets: TrialArray
    subjects: IntArray | None
    text_targets: TrialArray | None
    people: IntArray | None = None
    choices: IntArray | None = None

    @property
    def whose(self) -> IntArray | None:
        """Whose trial each is: those of two people are neither averaged nor mixed."""
        return self.subjects if self.people is None else self.people


@dataclass(frozen=True, eq=False)
class ValidationTrials:
    """Trials that nothing is learnt from: they choose the epoch, and show how the training goes.

    Attributes
    ----------
    epochs : array-like of shape (n_trials, n_channels, n_times), float32
    labels : array of shape (n_trials,), int64
        Rows of the targets; the distinct ones are the candidates.
    subjects : array of shape (n_trials,), int64, optional
    average_repeats : int
        So many repeats of a picture are averaged: as many as will be in use.
    """

    epochs: TrialArray
    labels: IntArray
    subjects: IntArray | None = None
    average_repeats: int = 1


def identity(
    module: nn.Module, data: TrainingTrials, settings: WholeTrialSettings, valid: ValidationTrials | None
) -> Identity:
    """Return what a checkpoint must agree in to go on from it.

    Parameters
    ----------
    module : Module
        As training begins, with the parameters frozen that are to stay as they are.
    """
    trained = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    return {
        "settings": asdict(settings),
        "module": type(module).__name__,
        "weights at the beginning": module_digest(module),
        "trained parameters": hashlib.sha256("\n".join(trained).encode()).hexdigest(),
        "trials": array_digest(data.epochs, data.labels, data.subjects, data.people, data.choices),
        "targets": array_digest(data.targets, data.text_targets),
        "validation trials": None
        if valid is None
        else array_digest(valid.epochs, valid.labels, valid.subjects),
        "validation repeats": None if valid is None else valid.average_repeats,
    }


def check_trials(data: TrainingTrials, settings: WholeTrialSettings) -> None:
    """Refuse trials that nothing can be learnt from.

    Raises
    ------
    UsageError
        If they show fewer than two pictures.
    ValueError
        If shapes and labels do not fit together.
    """
    n, n_pictures = len(data.labels), len(data.targets)
    if len(data.epochs) != n or len(data.epochs.shape) != 3:
        raise ValueError(
            f"{n} labels need as many trials of shape (n_channels, n_times); got {data.epochs.shape}."
        )
    for whose in (data.subjects, data.people):
        if whose is not None and len(whose) != n:
            raise ValueError(f"{n} trials need as many subjects; got {len(whose)}.")
    if settings.loss.text_weight and data.text_targets is None:
        raise ValueError("A loss with a text_weight needs text_targets.")
    if data.text_targets is not None and len(data.text_targets) != n_pictures:
        raise ValueError(f"{n_pictures} targets need as many text targets; got {len(data.text_targets)}.")
    if settings.structure is not None and not 0 < settings.structure.dimension < data.targets.shape[1]:
        raise ValueError(f"The structural part is some of {data.targets.shape[1]} dimensions, and not all.")
    if len(np.unique(data.labels)) < 2:
        raise UsageError(
            f"There are {n} trials of {len(np.unique(data.labels))} pictures to train on, and an encoder learns to "
            "tell pictures apart: at least 2 are needed. Record more, or hold out less."
        )
    _check_labels(data.labels, n_pictures if data.choices is None else len(data.choices) - 1)
    stops = settings.truncate.n_times if settings.truncate is not None else (1,)
    if max(stops) > data.epochs.shape[2]:
        raise ValueError(f"Trials of {data.epochs.shape[2]} samples are not truncated after {max(stops)}.")


def check_validation(valid: ValidationTrials | None, n_pictures: int, settings: WholeTrialSettings) -> None:
    """Refuse validation trials that nothing can be chosen by.

    Raises
    ------
    UsageError
        If they show fewer than two pictures, or early stopping is asked for without any.
    ValueError
        If shapes and labels do not fit together.
    """
    if valid is None:
        if settings.patience is not None:
            raise UsageError(
                "Training is to stop when the validation loss no longer falls, and there are no validation trials. "
                "Hold some out, or train for all epochs."
            )
        return
    if len(valid.epochs) != len(valid.labels):
        raise ValueError(f"{len(valid.labels)} labels need as many trials; got {len(valid.epochs)}.")
    if len(np.unique(valid.labels)) < 2:
        raise UsageError(
            f"The validation set holds {len(valid.labels)} trials of {len(np.unique(valid.labels))} pictures; the "
            "epoch is chosen by telling pictures apart, for which at least 2 are needed. Hold more out, or train "
            "without validation."
        )
    _check_labels(valid.labels, n_pictures)


def _check_labels(labels: IntArray, n_pictures: int) -> None:
    if labels.min() < 0 or labels.max() >= n_pictures:
        raise ValueError(f"Labels are rows of the targets, 0 to {n_pictures - 1}.")
