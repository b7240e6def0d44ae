"""How encoders of whole trials are fitted."""

from dataclasses import dataclass, field
from typing import Literal

from decode_stream.stream.errors import UsageError

from .augmentations import Augmentation, Truncation
from .loss_spec import LossSpec
from .schedules import STEP_EPOCHS, Schedule

__all__ = ["StructuralHead", "WholeTrialSettings"]


@dataclass(frozen=True)
class StructuralHead:
    """A second part of the embedding, of its own target and loss.

    Attributes
    ----------
    dimension : int
        Its dimensions are the last of the module's output and of the targets.
    loss : LossSpec
        Any but ``bimixco``, which mixes the trials for both parts.
    weight : float
        Of its loss beside the semantic part's.
    """

    dimension: int
    loss: LossSpec = field(default_factory=lambda: LossSpec("mse-cosine", weight=0.6))
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.loss.name == "bimixco":
            raise ValueError(
                "The structural part has no bimixco of its own: it takes that of the semantic part."
            )


@dataclass(frozen=True)
class WholeTrialSettings:
    """How an encoder of whole trials is fitted; the defaults are NICE's (Song et al. 2024).

    Attributes
    ----------
    n_epochs, batch_size : int
        Passes over the trials, and rows a step at most.
    learning_rate : float
        The highest where it changes.
    betas : tuple of (float, float)
        Of AdamW; ``one-cycle`` moves the first between 0.85 and 0.95.
    weight_decay : float
        Decoupled; the scale of a loss does not decay.
    schedule : Schedule
        See `decode_stream.decoders.training.run.rate_schedule`, and there `rise`, `final_divisor`, `step_epochs` and
        `step_factor`.
    biases_decay : bool
        Whether `weight_decay` is of the biases of layers, too.
    rise_epochs : int or None
        ``one-cycle``: it rises for so many epochs, and for the share `rise` of all steps at most.
    loss : LossSpec
    structure : StructuralHead or None
    augmentations : tuple of Augmentation
    average_repeats : int
        So many repeats of a picture are averaged, dealt anew in every epoch; 1 for single trials.
    one_repeat : bool
        An epoch takes one repeat of each picture and person, drawn anew every time, and not all trials.
    truncate : Truncation or None
        For an encoder that is to decode growing windows. Validation trials are truncated, too, alike in every epoch.
    patience : int or None
        Stop when the validation loss has not fallen for so many epochs.
    keep : {"best", "last"}
        Which epoch's weights are kept; the best has the lowest validation loss.
    seed : int
        Of the order of trials, all that is drawn, and dropout.
    mixed_precision : {"auto", "off"}
        ``auto`` computes in bfloat16 on a GPU, in float16 on one that has none, and in float32 elsewhere.
    norm : {"unit", "none"}
        How pictures are ranked in validation: by cosine, or by the plain inner product.
    """

    n_epochs: int = 200
    batch_size: int = 1000
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    rise: float = 0.2
    rise_epochs: int | None = None
    final_divisor: float = 1e4
    step_epochs: int = STEP_EPOCHS
    step_factor: float = 0.8
    biases_decay: bool = True
    loss: LossSpec = field(default_factory=LossSpec)
    structure: StructuralHead | None = None
    augmentations: tuple[Augmentation, ...] = ()
    average_repeats: int = 1
    one_repeat: bool = False
    truncate: Truncation | None = None
    patience: int | None = None
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    mixed_precision: Literal["auto", "off"] = "auto"
    norm: Literal["unit", "none"] = "unit"

    def __post_init__(self) -> None:
        for name in ("n_epochs", "average_repeats", "step_epochs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is 1 or more; got {getattr(self, name)}.")
        if self.one_repeat and self.average_repeats > 1:
            raise UsageError("One repeat of each picture is taken, or several are averaged, but not both.")
        if self.rise_epochs is not None and self.rise_epochs < 1:
            raise UsageError(f"rise_epochs is 1 or more; got {self.rise_epochs}.")
        if not 0 < self.rise < 1:
            raise UsageError(f"rise lies between 0 and 1; got {self.rise:g}.")
        if self.patience is not None and self.patience < 1:
            raise UsageError(f"patience is 1 epoch or more; got {self.patience}.")
        # Of batches of two, one could hold a single trial, which has nothing to be told from.
        if self.batch_size < 3:
            raise UsageError(f"batch_size is 3 or more; got {self.batch_size}. Give a larger --batch-size.")
        if self.learning_rate <= 0:
            raise UsageError(
                f"learning_rate is above 0; got {self.learning_rate:g}. Give another --learning-rate."
            )
